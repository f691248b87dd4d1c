// Starts a run, approves what it waits for, and prints its result.
import { Client, stringifyJson } from "@interlock-dev/interlock";

const client = new Client(process.env["INTERLOCK_TARGET"] ?? "localhost:50051");

let run = await client.workflow("WeatherWorkflow").run("What is the weather in Tokyo?");
while (run.isPaused) {
  for (const requirement of run.activeRequirements) {
    console.log(`Waiting: ${requirement.toolName} ${stringifyJson(requirement.toolArgs)}`);
    requirement.confirm();
  }
  run = await client.continueRun(run);
}
console.log(`Done: ${run.output}`);
client.close();
