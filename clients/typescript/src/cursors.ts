import { clone } from "@bufbuild/protobuf";
import { eventOf, type RunEvent } from "./event.js";
import { Requirement } from "./requirement.js";
import type { Cursor } from "./stream.js";
import * as v1 from "./v1.js";

type RunReply = v1.RunStreamResponse | v1.ContinueRunStreamResponse | v1.WatchRunResponse;
type Open<Request, Reply> = (
  request: Request,
  options: { signal: AbortSignal },
) => AsyncIterable<Reply>;

const ENDS: readonly string[] = ["workflow_completed", "workflow_failed", "workflow_cancelled"];

/** The position in the events of one run. */
export class RunCursor implements Cursor<RunReply, RunEvent> {
  isFinished = false;
  readonly #texts = new Texts();
  readonly #isLeg: boolean;
  #opening: ((options: { signal: AbortSignal }) => AsyncIterable<RunReply>) | undefined;

  /**
   * @param watch - Watches from a position.
   * @param position - What to watch; it is kept up to date.
   * @param opening - Begins a leg, which ends when the run pauses. It is called instead until it
   * has brought an event, always with the same request id, so that nothing starts twice.
   */
  constructor(
    readonly watch: Open<v1.WatchRunRequest, v1.WatchRunResponse>,
    readonly position: v1.WatchRunRequest,
    opening?: (options: { signal: AbortSignal }) => AsyncIterable<RunReply>,
  ) {
    this.#opening = opening;
    this.#isLeg = opening !== undefined;
  }

  open(options: { signal: AbortSignal }): AsyncIterable<RunReply> {
    this.#texts.resume();
    return this.#opening
      ? this.#opening(options)
      : this.watch(clone(v1.WatchRunRequestSchema, this.position), options);
  }

  receive({ payload }: RunReply): RunEvent[] | undefined {
    switch (payload.case) {
      case "events":
        return payload.value.events.flatMap((one) => this.#event(one) ?? []);
      case "snapshot":
        return undefined;
      default:
        return [];
    }
  }

  #event(message: v1.RunEvent): RunEvent | undefined {
    const isStored = message.event.case !== "contentDelta";
    if (isStored && message.sequence <= this.position.afterSequence) {
      return undefined;
    }
    const event = eventOf(message);
    if (isStored) {
      this.#opening = undefined;
      this.position.runId = message.runId;
      this.position.afterSequence = message.sequence;
      this.isFinished = event !== undefined && this.#isLast(event);
    }
    return event && this.#texts.admits(event) ? event : undefined;
  }

  #isLast({ kind }: RunEvent): boolean {
    return ENDS.includes(kind) || (this.#isLeg && kind === "workflow_paused");
  }
}

/** Keeps pieces of text from coming twice: after a lost connection some are sent again. */
class Texts {
  readonly #received = new Map<string, bigint>();
  #skipped = new Map<string, bigint>();

  resume(): void {
    this.#skipped = new Map(this.#received);
  }

  admits({ kind, payload, message }: RunEvent): boolean {
    const step = message.step?.stepId ?? "";
    if (kind === "content_delta") {
      const isNew = payload.index > (this.#skipped.get(step) ?? 0n);
      if (isNew) {
        this.#received.set(step, payload.index);
      }
      return isNew;
    }
    if (kind === "step_started") {
      this.#received.delete(step);
      this.#skipped.delete(step);
    }
    return true;
  }
}

/** The position in the changes of requirements. */
export class InboxCursor implements Cursor<v1.WatchRequirementsResponse, Requirement> {
  readonly isFinished = false;

  constructor(
    readonly watch: Open<v1.WatchRequirementsRequest, v1.WatchRequirementsResponse>,
    readonly position: v1.WatchRequirementsRequest,
  ) {}

  open(options: { signal: AbortSignal }): AsyncIterable<v1.WatchRequirementsResponse> {
    return this.watch(clone(v1.WatchRequirementsRequestSchema, this.position), options);
  }

  receive({ payload, resumeToken }: v1.WatchRequirementsResponse): Requirement[] {
    this.position.resumeToken = resumeToken || this.position.resumeToken;
    return payload.case === "requirement" ? [new Requirement(payload.value)] : [];
  }
}
