import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import {
  Client,
  ClientClosedError,
  DeadlineExceededError,
  NotFoundError,
  UnavailableError,
} from "@interlock-dev/interlock";
import * as v1 from "@interlock-dev/interlock/v1";
import { aborted, FakeService, Flag, failure, unavailable } from "./service.js";

test("a call is made again, as it was, while the server is unavailable", async () => {
  const ids: string[] = [];
  await using service = await FakeService.start({
    runs: {
      run({ requestId }) {
        ids.push(requestId);
        if (ids.length === 2) {
          service.cut();
        }
        if (ids.length < 3) {
          throw unavailable();
        }
        return { run: { runId: "r", state: v1.RunState.COMPLETED } };
      },
    },
  });
  const run = await service.client().workflow("W").run();
  assert.equal(run.state, "COMPLETED");
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
});

test("it gives up when the server stays away", async () => {
  const service = await FakeService.start({});
  await using client = new Client(service.target, { retryTimeoutMs: 300 });
  await service[Symbol.asyncDispose]();
  const error = await client.getRun("r").catch((one: unknown) => one);
  assert.ok(error instanceof UnavailableError);
  assert.match(error.message, /^the connection failed: .*ECONNREFUSED/);
});

test("nothing else is made again, and says what it is", async () => {
  let calls = 0;
  await using service = await FakeService.start({
    runs: {
      getRun() {
        calls += 1;
        throw failure(Code.NotFound, "RUN_NOT_FOUND");
      },
    },
  });
  const error = await service
    .client()
    .getRun("r")
    .catch((one: unknown) => one);
  assert.ok(error instanceof NotFoundError);
  assert.deepEqual(
    [error.name, error.code, error.reason, calls],
    ["NotFoundError", "NOT_FOUND", "RUN_NOT_FOUND", 1],
  );
});

test("a timeout is over all attempts", async () => {
  await using service = await FakeService.start({
    runs: { getRun: (_request, context) => aborted(context.signal).then(() => ({})) },
  });
  const client = service.client({ timeoutMs: 100 });
  await assert.rejects(client.getRun("r"), DeadlineExceededError);
});

test("a signal ends a call, for the server too", async () => {
  const seen = new Flag();
  const cancelled = new Flag();
  await using service = await FakeService.start({
    runs: {
      async run(_request, context) {
        seen.raise();
        await aborted(context.signal);
        cancelled.raise();
        return {};
      },
    },
  });
  const controller = new AbortController();
  const running = service.client().workflow("W").run("x", { signal: controller.signal });
  await seen.isUp;
  controller.abort(new RangeError("enough"));
  await assert.rejects(running, /enough/);
  await cancelled.isUp;
});

test("closing the client ends its calls", async () => {
  const seen = new Flag();
  await using service = await FakeService.start({
    runs: {
      async run(_request, context) {
        seen.raise();
        await aborted(context.signal);
        return {};
      },
    },
  });
  const client = service.client();
  const running = client.workflow("W").run();
  await seen.isUp;
  client.close();
  await assert.rejects(running, ClientClosedError);
  await assert.rejects(client.getRun("r"), ClientClosedError);
});

test("a wait goes on in further calls until the run settles", async () => {
  const waits: (bigint | undefined)[] = [];
  await using service = await FakeService.start({
    runs: {
      run: () => ({ run: { runId: "r", state: v1.RunState.RUNNING } }),
      waitRun({ waitTimeout }) {
        waits.push(waitTimeout?.seconds);
        const state = waits.length < 2 ? v1.RunState.RUNNING : v1.RunState.PAUSED;
        return { run: { runId: "r", state } };
      },
    },
  });
  const client = service.client();
  assert.ok((await client.workflow("W").run()).isPaused);
  assert.deepEqual(waits, [30n, 30n]);
  const run = await client.workflow("W").run("x", { waitTimeoutMs: 0 });
  assert.equal(run.state, "RUNNING");
});
