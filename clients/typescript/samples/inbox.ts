// Approves every call of one workflow that waits for a yes, whoever started the run.
import { Client, Decision, stringifyJson } from "@interlock-dev/interlock";

const client = new Client(process.env["INTERLOCK_TARGET"] ?? "localhost:50051");

let approved = 0;
const waiting = client.listRequirements({
  workflowId: "WeatherWorkflow",
  kinds: ["CONFIRMATION"],
});
for await (const requirement of waiting) {
  console.log(`Approving: ${requirement.toolName} ${stringifyJson(requirement.toolArgs)}`);
  await client.resolve(requirement, Decision.confirm({ note: "approved from the inbox" }));
  approved += 1;
}
console.log(`Approved: ${approved}`);
client.close();
