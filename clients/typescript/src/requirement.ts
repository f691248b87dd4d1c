import {
  type ConfirmOptions,
  Decision,
  type DecisionKind,
  type RejectOptions,
} from "./decision.js";
import { DecisionError } from "./errors.js";
import { type JsonObject, type JsonValue, parseField } from "./json.js";
import { enumName, type Name, snake } from "./names.js";
import { StepRecord } from "./record.js";
import { moment } from "./times.js";
import { ToolExecution } from "./tool.js";
import * as v1 from "./v1.js";

const WORDS: Record<DecisionKind, string> = {
  confirm: "be confirmed",
  reject: "be rejected",
  user_input: "take user input",
  user_feedback: "take user feedback",
  external_result: "take an external result",
  edited_output: "take an edited output",
  route_choice: "take a choice of routes",
  retry: "be retried",
  skip: "be skipped",
  fail: "be failed",
};

/** Which answers fit which kind, besides `reject`. A kind that is newer takes any. */
const FITTING: Record<string, readonly DecisionKind[]> = {
  CONFIRMATION: ["confirm"],
  USER_INPUT: ["user_input"],
  EXTERNAL_EXECUTION: ["external_result"],
  USER_FEEDBACK: ["user_feedback", "user_input"],
  STEP_CONFIRMATION: ["confirm"],
  STEP_INPUT: ["user_input"],
  OUTPUT_REVIEW: ["confirm", "edited_output", "retry"],
  ROUTE_SELECTION: ["route_choice"],
  ITERATION_REVIEW: ["confirm", "retry"],
  ERROR_DECISION: ["retry", "skip", "fail", "edited_output"],
  IN_DOUBT: ["retry", "external_result", "fail"],
};

/** Names of the contract's `RequirementKind`. */
export type RequirementKind = Name<typeof v1.RequirementKind>;

/** Names of the contract's `RequirementState`. */
export type RequirementState = Name<typeof v1.RequirementState>;

/** One value that a person must supply. */
export interface UserInputField {
  /** Name of the value; for a tool, of the argument. */
  readonly name: string;
  /** Its type; the empty name means any that the tool accepts. */
  readonly type: Name<typeof v1.UserInputFieldType>;
  /** Text to show to the person. */
  readonly description: string;
  /** What the agent proposed; `undefined` when it proposed nothing. */
  readonly value: JsonValue | undefined;
  /** Whether a value must be given. */
  readonly required: boolean;
  /** The values to choose from; empty means any of the type. */
  readonly allowedValues: readonly JsonValue[];
}

/**
 * One thing that waits for a person or for an outside system.
 *
 * Its methods only note a decision on this object; `continueRun` and `resolve` send it. They
 * throw a `DecisionError` when the answer does not fit the kind of the requirement, or when it
 * is already resolved.
 */
export class Requirement extends StepRecord<v1.Requirement> {
  #decision: Decision | undefined;
  readonly #toolExecution: ToolExecution | undefined;

  /** @internal */
  constructor(message: v1.Requirement) {
    super(message);
    const { subject } = message;
    this.#toolExecution =
      subject.case === "toolExecution" ? new ToolExecution(subject.value) : undefined;
  }

  /** Unique in the service. */
  get id(): string {
    return this.message.requirementId;
  }

  /** What is needed to resolve it. */
  get kind(): RequirementKind {
    return enumName(v1.RequirementKind, this.message.kind);
  }

  /** Whether it still waits, as the server sent it. */
  get state(): RequirementState {
    return enumName(v1.RequirementState, this.message.state);
  }

  /** The run that waits. */
  get runId(): string {
    return this.message.runId;
  }

  /** Display name of the step's executor. */
  get executorName(): string {
    return this.message.executorName;
  }

  /** Names of team members down to the agent that made the call; empty without a team. */
  get memberPath(): readonly string[] {
    return this.message.memberPath;
  }

  /** Text to show to the person; empty means none. */
  get prompt(): string {
    return this.message.message;
  }

  /** The tool call; `undefined` when it is about a step. */
  get toolExecution(): ToolExecution | undefined {
    return this.#toolExecution;
  }

  /** Name of the tool; empty when it is about a step. */
  get toolName(): string {
    return this.#toolExecution?.toolName ?? "";
  }

  /** The arguments of the tool call; empty when it is about a step. */
  get toolArgs(): JsonObject {
    return this.#toolExecution?.args ?? {};
  }

  /** The fields to fill in. What the agent fixed is not among them: `toolArgs` shows it. */
  get userInputFields(): UserInputField[] {
    return this.message.userInputSchema.filter((one) => !one.readOnly).map(userInputField);
  }

  /** The questions to answer. */
  get feedbackQuestions(): readonly v1.FeedbackQuestion[] {
    return this.message.feedbackQuestions;
  }

  /** The routes to choose from; `undefined` when it is not about a router's choice. */
  get routeSelection(): v1.RouteSelection | undefined {
    const { subject } = this.message;
    return subject.case === "routeSelection" ? subject.value : undefined;
  }

  /** What a step was given or, under review, what it gave; `undefined` when there is nothing. */
  get content(): JsonValue | undefined {
    const { subject } = this.message;
    return subject.case === "stepGate" ? parseField(subject.value.contentJson) : undefined;
  }

  /** Which attempt of its step this is about, from 1. */
  get attempt(): number {
    return this.message.attempt;
  }

  /** Whether a confirmation may come with other arguments. */
  get canEditArgs(): boolean {
    return this.message.canEditArgs;
  }

  /** When it began to wait. */
  get createdAt(): Date | undefined {
    return moment(this.message.createTime);
  }

  /** When it stops waiting by itself; `undefined` means never. */
  get expiresAt(): Date | undefined {
    return moment(this.message.expireTime);
  }

  /** What happens then. */
  get onTimeout(): Name<typeof v1.OnTimeout> {
    return enumName(v1.OnTimeout, this.message.onTimeout);
  }

  /** The answer that was given, here or on the server; `undefined` while there is none. */
  get resolution(): DecisionKind | undefined {
    const answer = this.message.resolution?.resolution.case;
    return this.#decision?.kind ?? (answer && snake(answer));
  }

  /** Who resolved it, as the server sent it. */
  get resolvedBy(): string {
    return this.message.resolvedBy;
  }

  /** Whether it waits for a yes or a no, to a tool call or to a whole step. */
  get needsConfirmation(): boolean {
    return this.#needs("CONFIRMATION", "STEP_CONFIRMATION");
  }

  /** Whether it waits for values, of a tool call or of a whole step. */
  get needsUserInput(): boolean {
    return this.#needs("USER_INPUT", "STEP_INPUT");
  }

  /** Whether it waits for the result of a tool that runs elsewhere. */
  get needsExternalExecution(): boolean {
    return this.#needs("EXTERNAL_EXECUTION");
  }

  /** Whether it is decided, here or on the server, or waits no longer. */
  get isResolved(): boolean {
    return this.#decision !== undefined || this.state !== "PENDING";
  }

  /** What was decided on this object. */
  get decision(): Decision | undefined {
    return this.#decision;
  }

  /** Lets the tool, the step or the output pass. */
  confirm(options?: ConfirmOptions): void {
    this.decide(Decision.confirm(options));
  }

  /** Keeps the tool or the step from running, or refuses the output. Fits every kind. */
  reject(options?: RejectOptions): void {
    this.decide(Decision.reject(options));
  }

  /** Supplies values by field name; a field that is left out keeps its value or default. */
  provideUserInput(values: object): void {
    this.decide(Decision.userInput(values));
  }

  /** Answers questions: one label or several, by the question's id. */
  provideUserFeedback(answers: Readonly<Record<string, string | readonly string[]>>): void {
    this.decide(Decision.userFeedback(answers));
  }

  /** Supplies what the tool that ran elsewhere gave back: any JSON value. */
  setResult(result: unknown): void {
    this.decide(Decision.result(result));
  }

  /** Says why the tool that ran elsewhere failed; the agent is told. */
  setError(message: string): void {
    this.decide(Decision.error(message));
  }

  /** Replaces the output under review, or supplies that of a failed step: any JSON value. */
  editOutput(output: unknown): void {
    this.decide(Decision.editOutput(output));
  }

  /** Chooses routes, in the order in which they shall run. */
  selectRoutes(...routes: string[]): void {
    this.decide(Decision.selectRoutes(...routes));
  }

  /** Runs it again, with what to do better. */
  retry(feedback?: string): void {
    this.decide(Decision.retry(feedback));
  }

  /** Passes over the step that failed. */
  skip(): void {
    this.decide(Decision.skip());
  }

  /** Lets it fail, with what is recorded as the error. */
  fail(message?: string): void {
    this.decide(Decision.fail(message));
  }

  /** Notes any decision; the methods above are short for it. */
  decide(decision: Decision): void {
    const words = WORDS[decision.kind];
    if (decision.kind !== "reject" && FITTING[this.kind]?.includes(decision.kind) === false) {
      throw new DecisionError(`requirement ${this.id} is of kind ${this.kind}: it cannot ${words}`);
    }
    if (this.isResolved) {
      const how = this.#decision?.kind ?? this.state;
      throw new DecisionError(
        `requirement ${this.id} is already resolved (${how}): it cannot ${words}`,
      );
    }
    this.#decision = decision;
  }

  #needs(...kinds: RequirementKind[]): boolean {
    return kinds.includes(this.kind) && !this.isResolved;
  }
}

/** Everything that one paused step waits for. */
export class StepRequirement extends StepRecord<v1.StepRequirement> {
  /** One entry for each tool call that waits, in call order. */
  readonly executorRequirements: readonly Requirement[];
  /** What the step itself waits for: its gate, its input, its review, its route, its failure. */
  readonly stepRequirements: readonly Requirement[];

  /** @internal */
  constructor(message: v1.StepRequirement) {
    super(message);
    this.executorRequirements = message.executorRequirements.map((one) => new Requirement(one));
    this.stepRequirements = message.stepRequirements.map((one) => new Requirement(one));
  }

  /** Display name of the executor that paused; empty when the step itself waits. */
  get executorName(): string {
    return this.message.executorName;
  }

  /** All of them, those of the executor first. */
  get requirements(): readonly Requirement[] {
    return [...this.executorRequirements, ...this.stepRequirements];
  }
}

/** What `Client.resolve` gives. */
export interface Resolved {
  /** The requirement as it is now. */
  readonly requirement: Requirement;
  /** State of its run after the answer. */
  readonly runState: Name<typeof v1.RunState>;
}

function userInputField(message: v1.UserInputField): UserInputField {
  return {
    name: message.name,
    type: enumName(v1.UserInputFieldType, message.type),
    description: message.description,
    value: parseField(message.valueJson),
    required: message.required,
    allowedValues: message.allowedValuesJson.map((text) => parseField(text) ?? null),
  };
}
