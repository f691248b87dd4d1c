import { type JsonValue, parseField } from "./json.js";
import { type Snake, snake } from "./names.js";
import { StepRecord } from "./record.js";
import { type Requirement, StepRequirement } from "./requirement.js";
import { StepResult } from "./run.js";
import { moment } from "./times.js";
import { ToolExecution } from "./tool.js";
import type * as v1 from "./v1.js";

type Happening = Exclude<v1.RunEvent["event"], { case: undefined }>;

type Payloads = { [One in Happening as Snake<One["case"]>]: One["value"] };

/** The kinds of event that this client knows, by their names in the contract. */
export type EventKind = keyof Payloads;

/**
 * Something that happened in a run: `kind` says what, and narrows `payload`, which is what is
 * particular to that kind.
 */
export type RunEvent = {
  [Kind in EventKind]: EventRecord & { readonly kind: Kind; readonly payload: Payloads[Kind] };
}[EventKind];

/** What all kinds of event have in common. */
export class EventRecord extends StepRecord<v1.RunEvent> {
  /** Name of the kind, for example `"step_started"`. */
  readonly kind: EventKind;
  /** What is particular to the kind, as the server sent it. */
  readonly payload: Payloads[EventKind];
  #stepRequirements: StepRequirement[] | undefined;

  /** @internal */
  constructor(message: v1.RunEvent, { case: name, value }: Happening) {
    super(message);
    this.kind = snake(name);
    this.payload = value;
  }

  /** The run. */
  get runId(): string {
    return this.message.runId;
  }

  /**
   * Position in the run: 1, 2, 3, with no gaps. A `content_delta` is not stored, and has that
   * of the stored event before it.
   */
  get sequence(): number {
    return Number(this.message.sequence);
  }

  /** When it happened. */
  get time(): Date | undefined {
    return moment(this.message.eventTime);
  }

  /** What the run, or the step, waits for; empty on events that are no pause. */
  get requirements(): Requirement[] {
    return this.stepRequirements.flatMap((one) => one.requirements);
  }

  /** The same, step by step. */
  get stepRequirements(): readonly StepRequirement[] {
    this.#stepRequirements ??= stepRequirementsOf(this.payload);
    return this.#stepRequirements;
  }

  /** What a step or composite gave, on events about its end. */
  get result(): StepResult | undefined {
    const result = "result" in this.payload && this.payload.result;
    return typeof result === "object" ? new StepResult(result) : undefined;
  }

  /** What a step, a composite or the run gave, on events about its end: a JSON value. */
  get output(): JsonValue | undefined {
    return "outputJson" in this.payload ? parseField(this.payload.outputJson) : this.result?.output;
  }

  /** The tool call, on events about one. */
  get toolExecution(): ToolExecution | undefined {
    const call = "toolExecution" in this.payload && this.payload.toolExecution;
    return call ? new ToolExecution(call) : undefined;
  }
}

/** The event in a message; `undefined` when its kind is newer than this client. */
export function eventOf(message: v1.RunEvent): RunEvent | undefined {
  const { event } = message;
  return event.case === undefined ? undefined : (new EventRecord(message, event) as RunEvent);
}

function stepRequirementsOf(payload: Payloads[EventKind]): StepRequirement[] {
  if ("stepRequirements" in payload) {
    return payload.stepRequirements.map((one) => new StepRequirement(one));
  }
  const one = "stepRequirement" in payload && payload.stepRequirement;
  return one ? [new StepRequirement(one)] : [];
}
