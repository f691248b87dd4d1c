import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, type HandlerContext } from "@connectrpc/connect";
import { type ToolCall, UnauthenticatedError, Worker } from "@interlock-dev/interlock";
import * as v1 from "@interlock-dev/interlock/v1";
import { aborted, FakeService, Flag, failure, unavailable } from "./service.js";

/** Calls that wait for workers, and what workers said about them. */
class Desk {
  readonly waiting: v1.Requirement[] = [];
  readonly answers: Record<string, string> = {};
  readonly released: string[] = [];
  renewals = 0;
  /** What becomes of a renewal. */
  onRenew = () => {};
  /** What becomes of an answer. */
  onAnswer = (_text: string) => {};
  #wake = new Flag();

  add(...ids: string[]): void {
    for (const requirementId of ids) {
      const value = { toolName: "echo", toolArgsJson: `{"id":"${requirementId}"}` };
      this.waiting.push(
        create(v1.RequirementSchema, {
          requirementId,
          kind: v1.RequirementKind.EXTERNAL_EXECUTION,
          state: v1.RequirementState.PENDING,
          subject: { case: "toolExecution", value },
          claim: { epoch: 3n },
        }),
      );
    }
    this.#wake.raise();
  }

  async claim(request: v1.ClaimRequirementRequest, context: HandlerContext) {
    while (!this.waiting.length && request.waitTimeout?.seconds && !context.signal.aborted) {
      this.#wake = new Flag();
      await Promise.race([this.#wake.isUp, aborted(context.signal)]);
    }
    const requirement = context.signal.aborted ? undefined : this.waiting.shift();
    return requirement ? { requirement } : {};
  }

  renew() {
    this.renewals += 1;
    this.onRenew();
    return {};
  }

  resolve({ resolution, claimEpoch }: v1.ResolveRequirementRequest) {
    const answer = resolution?.resolution;
    assert.equal(claimEpoch, 3n);
    assert.ok(answer?.case === "externalResult");
    const text = String(answer.value.outcome.value);
    this.onAnswer(text);
    this.answers[resolution?.requirementId ?? ""] = text;
    return {};
  }

  release({ requirementId }: v1.ReleaseClaimRequest) {
    this.released.push(requirementId);
    return {};
  }

  async open(): Promise<FakeService> {
    return await FakeService.start({
      requirements: {
        claimRequirement: (request, context) => this.claim(request, context),
        renewClaim: () => this.renew(),
        resolveRequirement: (request) => this.resolve(request),
        releaseClaim: (request) => this.release(request),
      },
    });
  }
}

/** Stops a worker when so many calls have ended. */
function counting(count: number, worker: () => Worker): (call: ToolCall) => void {
  let left = count;
  return () => {
    left -= 1;
    if (left === 0) {
      void worker().stop();
    }
  };
}

test("results and errors are reported, whatever the handler gives", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("value", "nothing", "error", "crash", "large", "not JSON");
  const outcomes: string[] = [];
  const stop = counting(6, () => worker);
  const worker: Worker = new Worker(
    service.client(),
    {
      echo({ id }: { id: string }) {
        switch (id) {
          case "value":
            return { id };
          case "error":
            throw new Error("no such table");
          case "crash":
            throw undefined;
          case "large":
            return 2n ** 64n;
          case "not JSON":
            return Number.NaN;
          default:
            return undefined;
        }
      },
    },
    {
      onEnd(call) {
        outcomes.push(call.outcome);
        stop(call);
      },
    },
  );
  await worker.run();
  assert.deepEqual(desk.answers, {
    value: '{"id":"value"}',
    nothing: "null",
    error: "no such table",
    crash: "undefined",
    large: "18446744073709551616",
    "not JSON": "NaN is not JSON",
  });
  assert.deepEqual(outcomes, ["reported", "reported", "failed", "failed", "reported", "failed"]);
});

test("at most so many at a time, and stopping lets them end", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("a", "b", "c");
  const go = new Flag();
  const both = new Flag();
  let running = 0;
  const handler = async () => {
    running += 1;
    if (running === 2) {
      both.raise();
    }
    await go.isUp;
  };
  const worker = new Worker(service.client(), { echo: handler }, { concurrency: 2 });
  const working = worker.run();
  await both.isUp;
  const stopped = worker.stop();
  go.raise();
  await Promise.all([working, stopped]);
  assert.equal(running, 2);
  assert.deepEqual(Object.keys(desk.answers), ["a", "b"]);
  assert.equal(desk.waiting.length, 1);
});

test("a claim that is lost ends the handler, and nothing is reported", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("a");
  desk.onRenew = () => {
    throw failure(Code.FailedPrecondition, "CLAIM_LOST");
  };
  const outcomes: string[] = [];
  const worker: Worker = new Worker(
    service.client(),
    {
      async echo(_args, { signal }) {
        await aborted(signal);
        throw signal.reason;
      },
    },
    {
      leaseMs: 30,
      onEnd(call) {
        outcomes.push(call.outcome);
        void worker.stop();
      },
    },
  );
  await worker.run();
  assert.deepEqual([outcomes, desk.answers, desk.released], [["lost"], {}, []]);
});

test("so is one that is found lost when the result is reported", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("a", "b");
  desk.onAnswer = () => {
    desk.onAnswer = () => {};
    throw failure(Code.FailedPrecondition, "REQUIREMENT_CANCELLED");
  };
  const outcomes: string[] = [];
  const stop = counting(2, () => worker);
  const worker: Worker = new Worker(
    service.client(),
    { echo: () => 1 },
    {
      onEnd(call) {
        outcomes.push(call.outcome);
        stop(call);
      },
    },
  );
  await worker.run();
  assert.deepEqual([outcomes, desk.answers], [["lost", "reported"], { b: "1" }]);
});

test("a claim is renewed while the handler runs", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("a");
  const renewed = new Flag();
  desk.onRenew = () => {
    if (desk.renewals === 2) {
      throw unavailable();
    }
    if (desk.renewals === 4) {
      renewed.raise();
    }
  };
  const worker: Worker = new Worker(
    service.client(),
    { echo: () => renewed.isUp },
    { leaseMs: 30, onEnd: () => void worker.stop() },
  );
  await worker.run();
  assert.deepEqual(desk.answers, { a: "null" });
});

test("after the time to stop is over, calls are given back", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("a");
  const started = new Flag();
  const calls: ToolCall[] = [];
  const worker = new Worker(service.client(), {
    async echo(_args, call) {
      calls.push(call);
      started.raise();
      await new Promise(() => {});
    },
  });
  const working = worker.run();
  await started.isUp;
  await worker.stop({ graceMs: 20 });
  await working;
  assert.ok(calls[0]?.signal.aborted);
  assert.equal(calls[0]?.outcome, "released");
  assert.deepEqual([desk.answers, desk.released], [{}, ["a"]]);
});

test("a call that is given while the worker stops is given back", async () => {
  const desk = new Desk();
  const waiting = new Flag();
  const ids: string[] = [];
  await using service = await FakeService.start({
    requirements: {
      async claimRequirement(request, context) {
        ids.push(request.requestId);
        if (ids.length === 1) {
          waiting.raise();
          await aborted(context.signal);
          desk.add("a");
        }
        return desk.claim(request, context);
      },
      releaseClaim: (request) => desk.release(request),
    },
  });
  const worker = new Worker(service.client(), { echo: () => assert.fail("it must not run") });
  const working = worker.run();
  await waiting.isUp;
  await worker.stop();
  await working;
  assert.deepEqual(desk.released, ["a"]);
  assert.equal(new Set(ids).size, 1);
});

test("what the server cannot take as a result is reported as an error", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  desk.add("a");
  desk.onAnswer = (text) => {
    if (text === '"too large"') {
      throw failure(Code.ResourceExhausted, "SIZE_LIMIT_EXCEEDED");
    }
  };
  const worker: Worker = new Worker(
    service.client(),
    { echo: () => "too large" },
    { onEnd: () => void worker.stop() },
  );
  await worker.run();
  assert.deepEqual(desk.answers, { a: "the result was refused: SIZE_LIMIT_EXCEEDED" });
});

test("an outage does not end a worker, a refusal does", async () => {
  let claims = 0;
  await using service = await FakeService.start({
    requirements: {
      claimRequirement() {
        claims += 1;
        throw claims < 3 ? unavailable() : failure(Code.Unauthenticated, "");
      },
    },
  });
  const client = service.client({ retryTimeoutMs: 1 });
  const worker = new Worker(client, { echo: () => 1 });
  await assert.rejects(worker.run(), UnauthenticatedError);
  assert.equal(claims, 3);
});

test("a signal stops a worker", async () => {
  const desk = new Desk();
  await using service = await desk.open();
  const worker = new Worker(service.client(), { echo: () => 1 });
  await worker.run({ signal: AbortSignal.abort() });
});
