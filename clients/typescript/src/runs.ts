import { create } from "@bufbuild/protobuf";
import type { Caller, Calling } from "./caller.js";
import { RunCursor } from "./cursors.js";
import type { RunEvent } from "./event.js";
import { Run, type RunRef, runIdOf } from "./run.js";
import { resuming, Stream } from "./stream.js";
import { duration } from "./times.js";
import * as v1 from "./v1.js";

/** Longest wait in one call, so that no proxy takes it for dead. */
const SLICE_MS = 30_000;

/** What can be said about waiting for a run. */
export interface WaitOptions {
  /**
   * Longest time to wait until the run pauses or ends; then the run is given as it is, and goes
   * on. Left out: as long as it takes. 0: not at all.
   */
  readonly waitTimeoutMs?: number | undefined;
  /** Ends the wait when it aborts, by throwing its reason. The run goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** What can be said about every call. */
export interface CallOptions {
  /** Ends the call when it aborts, by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Starting, continuing and waiting for runs. */
export class Runs {
  constructor(readonly caller: Caller) {}

  /** Starts a run, and waits for it. */
  async run(spec: v1.RunSpec, requestId: string, options: WaitOptions): Promise<Run> {
    return await this.#settled(options, async (waitTimeout, calling) => {
      const request = create(v1.RunRequestSchema, { spec, requestId, waitTimeout });
      return await this.caller.call(this.caller.services.runs.run, request, calling);
    });
  }

  /** Starts a run, and streams its events. */
  runStream(spec: v1.RunSpec, requestId: string, { signal }: CallOptions): Stream<RunEvent> {
    const request = create(v1.RunStreamRequestSchema, { spec, requestId });
    return this.#events(signal, { endOnPause: true }, (options) =>
      this.caller.services.runs.runStream(request, options),
    );
  }

  /** Sends the decisions on a run, and waits for it. */
  async continue(run: RunRef, options: WaitOptions): Promise<Run> {
    const leg = legOf(run);
    return await this.#settled(options, async (waitTimeout, calling) => {
      const request = create(v1.ContinueRunRequestSchema, { ...leg, waitTimeout });
      return await this.caller.call(this.caller.services.runs.continueRun, request, calling);
    });
  }

  /** Sends the decisions on a run, and streams its events. */
  continueStream(run: RunRef, { signal }: CallOptions): Stream<RunEvent> {
    const request = create(v1.ContinueRunStreamRequestSchema, legOf(run));
    return this.#events(signal, { runId: request.runId, endOnPause: true }, (options) =>
      this.caller.services.runs.continueRunStream(request, options),
    );
  }

  /** Waits until a run pauses or ends. */
  async wait(run: RunRef, options: WaitOptions): Promise<Run> {
    return await this.#settled(options, this.#waiting(runIdOf(run)));
  }

  /** Streams the events of a run from any position. */
  watch(
    run: RunRef,
    afterSequence: number | bigint,
    endOnPause: boolean,
    { signal }: CallOptions,
  ): Stream<RunEvent> {
    const position = { runId: runIdOf(run), afterSequence: BigInt(afterSequence), endOnPause };
    return this.#events(signal, position);
  }

  #events(
    signal: AbortSignal | undefined,
    position: { runId?: string; afterSequence?: bigint; endOnPause: boolean },
    opening?: ConstructorParameters<typeof RunCursor>[2],
  ): Stream<RunEvent> {
    const watch = create(v1.WatchRunRequestSchema, position);
    const cursor = new RunCursor(this.caller.services.runs.watchRun, watch, opening);
    return new Stream((link) => resuming(this.caller, cursor, link), signal, this.caller.closing);
  }

  /** Waits in slices: first in the call that starts the wait, then in `WaitRun`. */
  async #settled(options: WaitOptions, start: WaitingCall): Promise<Run> {
    const { waitTimeoutMs = Infinity, signal } = options;
    if (!(waitTimeoutMs >= 0)) {
      throw new RangeError(`waitTimeoutMs is ${waitTimeoutMs}: it cannot be negative`);
    }
    const end = performance.now() + waitTimeoutMs;
    for (let call = start; ; ) {
      const waitMs = Math.min(SLICE_MS, Math.max(0, end - performance.now()));
      const { run: message } = await call(duration(waitMs), { waitMs, signal });
      const run = new Run(message ?? create(v1.RunSchema));
      if (run.isSettled || performance.now() >= end) {
        return run;
      }
      call = this.#waiting(run.id);
    }
  }

  #waiting(runId: string): WaitingCall {
    return async (waitTimeout, calling) => {
      const request = create(v1.WaitRunRequestSchema, { runId, waitTimeout });
      return await this.caller.call(this.caller.services.runs.waitRun, request, calling);
    };
  }
}

type WaitingCall = (
  waitTimeout: ReturnType<typeof duration>,
  calling: Calling,
) => Promise<{ run?: v1.Run | undefined }>;

/** A request that nobody else makes has an id that nobody else uses. */
export function newRequestId(): string {
  return crypto.randomUUID();
}

/** The decisions that were made on a run's requirements, and nothing else of it. */
function legOf(run: RunRef) {
  const requirements = typeof run === "string" ? [] : run.requirements;
  const resolutions = requirements.flatMap((one) => one.decision?.resolving(one.id) ?? []);
  return { runId: runIdOf(run), resolutions, requestId: newRequestId() };
}
