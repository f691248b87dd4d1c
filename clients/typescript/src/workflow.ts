import { create } from "@bufbuild/protobuf";
import type { RunEvent } from "./event.js";
import { stringifyJson } from "./json.js";
import type { Run } from "./run.js";
import { type CallOptions, newRequestId, type Runs, type WaitOptions } from "./runs.js";
import type { Stream } from "./stream.js";
import { duration } from "./times.js";
import * as v1 from "./v1.js";

/** What can be said about a run that starts. */
export interface RunStreamOptions extends CallOptions {
  /** The session to run in; left out, a new one. */
  readonly sessionId?: string | undefined;
  /** Labels for the run, at most 64. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /**
   * How long the run may take, its pauses included; after that it fails. Left out: as the
   * workflow says.
   */
  readonly runTimeoutMs?: number | undefined;
  /** At most 64 characters; calls with the same one start one run between them. */
  readonly requestId?: string | undefined;
}

/** What can be said about a run that starts, and about waiting for it. */
export interface RunOptions extends RunStreamOptions, WaitOptions {}

/** Runs one workflow; made by `Client.workflow`. */
export class WorkflowHandle {
  readonly #runs: Runs;

  /** @internal */
  constructor(
    runs: Runs,
    /** Name of the workflow. */
    readonly workflowId: string,
    /** The version to run; `undefined` means the newest. */
    readonly version: number | undefined,
  ) {
    this.#runs = runs;
  }

  /**
   * Starts a run, and waits until it pauses or ends.
   *
   * @param input - Any JSON value; `undefined` means none.
   * @param options - What else is to be said.
   * @throws InterlockError - the call failed.
   */
  async run(input?: unknown, options: RunOptions = {}): Promise<Run> {
    const requestId = options.requestId ?? newRequestId();
    return await this.#runs.run(this.#spec(input, options), requestId, options);
  }

  /**
   * Starts a run, when the first event is asked for, and streams its events until it pauses or
   * ends. Leaving the loop ends the call, not the run.
   *
   * @param input - Any JSON value; `undefined` means none.
   * @param options - What else is to be said.
   */
  runStream(input?: unknown, options: RunStreamOptions = {}): Stream<RunEvent> {
    const requestId = options.requestId ?? newRequestId();
    return this.#runs.runStream(this.#spec(input, options), requestId, options);
  }

  #spec(input: unknown, { sessionId = "", labels = {}, runTimeoutMs }: RunOptions): v1.RunSpec {
    return create(v1.RunSpecSchema, {
      workflowId: this.workflowId,
      ...(this.version !== undefined && { workflowVersion: this.version }),
      sessionId,
      inputJson: input === undefined ? "" : stringifyJson(input),
      labels: { ...labels },
      ...(runTimeoutMs !== undefined && { runTimeout: duration(runTimeoutMs) }),
    });
  }
}
