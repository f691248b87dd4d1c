// What a user may write who has installed the package.
import { readFileSync } from "node:fs";
import { Client, NotFoundError, type Run, type RunEvent, Worker } from "@interlock-dev/interlock";

const { version } = JSON.parse(
  readFileSync(new URL(import.meta.resolve("@interlock-dev/interlock/package.json")), "utf8"),
);
const target = process.env["INTERLOCK_TARGET"];
await using client = new Client(target ?? "localhost:50051", { timeoutMs: 10_000 });
const worker: Worker = new Worker(client, { run_query: ({ sql }: { sql: string }) => [sql] });

if (target !== undefined) {
  const error = await client.getRun("nobody").catch((error: unknown) => error);
  if (!(error instanceof NotFoundError) || error.reason !== "RUN_NOT_FOUND") {
    throw error;
  }
  const runs: Run[] = await client.listRuns({ states: ["PAUSED"] }).toArray();
  for (const run of runs) {
    for await (const event of client.watchRun(run, { endOnPause: true })) {
      describe(event);
    }
  }
}
console.log(`interlock ${version}: ${worker.workerId.length} characters of worker, and all types`);

function describe(event: RunEvent): string {
  return event.kind === "content_delta" ? event.payload.text : event.kind;
}
