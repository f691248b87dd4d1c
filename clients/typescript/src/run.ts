import { type JsonValue, parseField } from "./json.js";
import { enumName, type Name } from "./names.js";
import { StepRecord } from "./record.js";
import { type Requirement, StepRequirement } from "./requirement.js";
import { moment } from "./times.js";
import { ToolExecution } from "./tool.js";
import * as v1 from "./v1.js";

/** Names of the contract's `RunState`. */
export type RunState = Name<typeof v1.RunState>;

/** Why a run or a step failed. */
export interface RunError {
  /** Stable, in UPPER_SNAKE_CASE. */
  readonly reason: string;
  /** Text for a developer. */
  readonly message: string;
  /** Facts behind the message. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What one finished step or composite gave. */
export class StepResult extends StepRecord<v1.StepResult> {
  /** How it ended. */
  get outcome(): Name<typeof v1.StepOutcome> {
    return enumName(v1.StepOutcome, this.message.outcome);
  }

  /** What it gave: a JSON value; `undefined` when it gave none. */
  get output(): JsonValue | undefined {
    return parseField(this.message.outputJson);
  }

  /** Why it failed; `undefined` when it did not. */
  get error(): RunError | undefined {
    return this.message.error;
  }

  /** Tool calls that its executor made, in call order. */
  get toolExecutions(): ToolExecution[] {
    return this.message.toolExecutions.map((one) => new ToolExecution(one));
  }
}

/**
 * A run as it was when the server sent it. Decisions are made on the requirements in it, and
 * sent by `continueRun`.
 */
export class Run {
  /** What it waits for, one entry for each paused step. */
  readonly stepRequirements: readonly StepRequirement[];

  /** @internal */
  constructor(
    /** The run as the server sent it. */
    readonly message: v1.Run,
  ) {
    this.stepRequirements = message.stepRequirements.map((one) => new StepRequirement(one));
  }

  /** Unique in the service. */
  get id(): string {
    return this.message.runId;
  }

  /** Name of the workflow that runs. */
  get workflowId(): string {
    return this.message.workflowId;
  }

  /** The session that it belongs to. */
  get sessionId(): string {
    return this.message.sessionId;
  }

  /** Where it is in its life. */
  get state(): RunState {
    return enumName(v1.RunState, this.message.state);
  }

  /** Whether it waits for requirements to be resolved. */
  get isPaused(): boolean {
    return this.state === "PAUSED";
  }

  /** Whether it ended well. */
  get isCompleted(): boolean {
    return this.state === "COMPLETED";
  }

  /** Whether it ended with an error. */
  get isFailed(): boolean {
    return this.state === "FAILED";
  }

  /** Whether it was cancelled. */
  get isCancelled(): boolean {
    return this.state === "CANCELLED";
  }

  /**
   * Whether it makes no progress by itself: it is paused, or it has ended. A state that is newer
   * than this client counts as that, so that nobody waits for what will never come.
   */
  get isSettled(): boolean {
    return this.state !== "PENDING" && this.state !== "RUNNING";
  }

  /** Why it is paused; empty when it is not. */
  get pauseKind(): Name<typeof v1.PauseKind> {
    return enumName(v1.PauseKind, this.message.pauseKind);
  }

  /** The input it was started with; `undefined` when there was none. */
  get input(): JsonValue | undefined {
    return parseField(this.message.inputJson);
  }

  /** The result; `undefined` until it has completed. `message.outputJson` is its exact text. */
  get output(): JsonValue | undefined {
    return parseField(this.message.outputJson);
  }

  /** Why it failed; `undefined` when it did not. */
  get error(): RunError | undefined {
    return this.message.error;
  }

  /**
   * Results of finished steps and composites, oldest first. One that was edited, refused or
   * sent back is followed by the one that counts instead. Empty on runs that were listed.
   */
  get stepResults(): StepResult[] {
    return this.message.stepResults.map((one) => new StepResult(one));
  }

  /** All requirements of all steps. */
  get requirements(): Requirement[] {
    return this.stepRequirements.flatMap((one) => one.requirements);
  }

  /** The requirements on which nothing is decided. */
  get activeRequirements(): Requirement[] {
    return this.requirements.filter((one) => !one.isResolved);
  }

  /** User-defined labels. */
  get labels(): Readonly<Record<string, string>> {
    return this.message.labels;
  }

  /** Sequence of its newest event. */
  get lastSequence(): number {
    return Number(this.message.lastSequence);
  }

  /** When it was accepted. */
  get createdAt(): Date | undefined {
    return moment(this.message.createTime);
  }

  /** When it ended. */
  get endedAt(): Date | undefined {
    return moment(this.message.endTime);
  }

  /** When it ends by itself, as failed, unless it ended before; `undefined` means never. */
  get expiresAt(): Date | undefined {
    return moment(this.message.expireTime);
  }
}

/** A run, or its id. */
export type RunRef = Run | string;

/** The id of a run. */
export function runIdOf(run: RunRef): string {
  return typeof run === "string" ? run : run.id;
}
