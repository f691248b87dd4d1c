// Streams a run, approves what it waits for, and streams what comes after that.
import { Client, type RunEvent, type Stream } from "@interlock-dev/interlock";

const client = new Client(process.env["INTERLOCK_TARGET"] ?? "localhost:50051");

const workflow = client.workflow("WeatherWorkflow");
const runId = await show(workflow.runStream("What is the weather in Tokyo?"));

const run = await client.getRun(runId);
for (const requirement of run.activeRequirements) {
  requirement.confirm();
}
await show(client.continueRunStream(run));

console.log(`Done: ${(await client.getRun(runId)).output}`);
client.close();

/** Prints events until the run pauses or ends; gives the run's id. */
async function show(events: Stream<RunEvent>): Promise<string> {
  let runId = "";
  for await (const event of events) {
    runId = event.runId;
    if (event.kind !== "content_delta") {
      console.log(event.kind);
    }
  }
  return runId;
}
