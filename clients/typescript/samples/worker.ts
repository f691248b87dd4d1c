// Runs the calls of a tool that the service cannot run itself.
import { Client, Worker } from "@interlock-dev/interlock";

const client = new Client(process.env["INTERLOCK_TARGET"] ?? "localhost:50051");
const callsMax = Number(process.env["CALLS"] ?? Infinity);

let calls = 0;
const worker = new Worker(
  client,
  {
    run_query({ sql }: { sql: string }) {
      console.log(`Running: ${sql}`);
      return [["Tokyo", 780.0]];
    },
  },
  {
    onEnd() {
      calls += 1;
      if (calls >= callsMax) {
        worker.stop();
      }
    },
  },
);
process.once("SIGINT", () => worker.stop());

await worker.run();
client.close();
