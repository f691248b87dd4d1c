import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { UnavailableError } from "@interlock-dev/interlock";
import * as v1 from "@interlock-dev/interlock/v1";
import { aborted, FakeService, Flag, reply, unavailable } from "./service.js";

const STARTED = { case: "workflowStarted", value: {} } as const;
const STEP = { case: "stepStarted", value: {} } as const;
const PAUSED = { case: "workflowPaused", value: {} } as const;
const NEWER = { case: undefined } as const;

function delta(index: number) {
  return { case: "contentDelta", value: { text: `${index}`, index: BigInt(index) } } as const;
}

test("before its first event a stream is opened again by the same request", async () => {
  const ids: string[] = [];
  await using service = await FakeService.start({
    runs: {
      async *runStream({ requestId }) {
        ids.push(requestId);
        if (ids.length < 3) {
          throw unavailable();
        }
        yield reply(1, STARTED);
        yield reply(2, PAUSED);
      },
    },
  });
  const events = await service.client().workflow("W").runStream().toArray();
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ["workflow_started", "workflow_paused"],
  );
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
});

test("after that it goes on from the newest event, those of newer kinds counted", async () => {
  const positions: [bigint, boolean][] = [];
  await using service = await FakeService.start({
    runs: {
      async *runStream() {
        yield reply(1, STARTED);
        yield reply(2, NEWER);
        throw unavailable();
      },
      async *watchRun({ afterSequence, endOnPause }, context) {
        positions.push([afterSequence, endOnPause]);
        yield { payload: { case: "snapshot", value: { runId: "r" } } };
        yield reply(2, NEWER);
        yield reply(3, STEP);
        if (positions.length === 1) {
          await aborted(context.signal);
        }
        yield reply(4, PAUSED);
        throw unavailable();
      },
    },
  });
  const events: [string, number][] = [];
  for await (const { kind, sequence } of service.client().workflow("W").runStream()) {
    events.push([kind, sequence]);
    if (sequence === 3) {
      service.cut();
    }
  }
  assert.deepEqual(events, [
    ["workflow_started", 1],
    ["step_started", 3],
    ["workflow_paused", 4],
  ]);
  assert.deepEqual(positions, [
    [2n, true],
    [3n, true],
  ]);
});

test("pieces of text do not come twice", async () => {
  let calls = 0;
  await using service = await FakeService.start({
    runs: {
      async *watchRun() {
        calls += 1;
        yield reply(1, delta(1));
        yield reply(1, delta(2));
        if (calls === 1) {
          throw unavailable();
        }
        yield reply(1, delta(3));
      },
    },
  });
  let text = "";
  for await (const event of service.client().watchRun("r")) {
    text += event.kind === "content_delta" ? event.payload.text : "";
  }
  assert.equal(text, "123");
});

test("it gives up when the server stays away, and progress resets the clock", async () => {
  let calls = 0;
  await using service = await FakeService.start({
    runs: {
      async *watchRun({ afterSequence }) {
        calls += 1;
        if (calls <= 5) {
          yield reply(Number(afterSequence) + 1, STEP);
        }
        throw unavailable();
      },
    },
  });
  const stream = service.client({ retryTimeoutMs: 120 }).watchRun("r");
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const { sequence } of stream) {
      seen.push(sequence);
    }
  }, UnavailableError);
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
});

/** A service that says when a client cancels its stream. */
async function endless() {
  const cancelled = new Flag();
  const service = await FakeService.start({
    runs: {
      async *watchRun(_request, context) {
        yield reply(1, STARTED);
        await aborted(context.signal);
        cancelled.raise();
      },
    },
  });
  return { service, cancelled };
}

test("leaving the loop is a cancellation for the server", async () => {
  const { service, cancelled } = await endless();
  await using _ = service;
  for await (const event of service.client().watchRun("r")) {
    assert.equal(event.kind, "workflow_started");
    break;
  }
  await cancelled.isUp;
});

test("so is closing the stream while somebody waits for an event", async () => {
  const { service, cancelled } = await endless();
  await using _ = service;
  const stream = service.client().watchRun("r");
  await stream.next();
  const next = stream.next();
  await stream.close();
  assert.deepEqual(await next, { done: true, value: undefined });
  await cancelled.isUp;
});

test("so is an error in the loop, and a signal", async () => {
  const { service, cancelled } = await endless();
  await using _ = service;
  const controller = new AbortController();
  await assert.rejects(async () => {
    for await (const _event of service.client().watchRun("r", { signal: controller.signal })) {
      controller.abort(new RangeError("enough"));
    }
  }, /enough/);
  await cancelled.isUp;
});

test("the inbox goes on by its token", async () => {
  const tokens: string[] = [];
  const pending = (requirementId: string) =>
    create(v1.RequirementSchema, { requirementId, state: v1.RequirementState.PENDING });
  await using service = await FakeService.start({
    requirements: {
      async *watchRequirements({ resumeToken }) {
        tokens.push(resumeToken);
        const id = `q${tokens.length}`;
        yield { payload: { case: "requirement", value: pending(id) }, resumeToken: id };
        yield { payload: { case: "heartbeat", value: {} }, resumeToken: `${id}+` };
        throw unavailable();
      },
    },
  });
  const ids: string[] = [];
  for await (const { id } of service.client().watchRequirements()) {
    ids.push(id);
    if (ids.length === 3) {
      break;
    }
  }
  assert.deepEqual(ids, ["q1", "q2", "q3"]);
  assert.deepEqual(tokens, ["", "q1+", "q2+"]);
});

test("lists are read page by page, empty ones too", async () => {
  const pages: Record<string, [string[], string]> = {
    "": [["a", "b"], "2"],
    "2": [[], "3"],
    "3": [["c"], ""],
  };
  await using service = await FakeService.start({
    runs: {
      listRuns({ pageToken }) {
        const [ids, nextPageToken] = pages[pageToken] ?? [[], ""];
        return { runs: ids.map((runId) => ({ runId })), nextPageToken };
      },
    },
  });
  const runs = await service.client().listRuns().toArray();
  assert.deepEqual(
    runs.map(({ id }) => id),
    ["a", "b", "c"],
  );
});
