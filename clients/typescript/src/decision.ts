import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { stringifyJson } from "./json.js";
import { enumNumber, type Snake, snake } from "./names.js";
import { OnReject, type RequirementResolution, RequirementResolutionSchema } from "./v1.js";

/** What a rejection may do, where the requirement leaves a choice. */
export type RejectAction = Exclude<keyof typeof OnReject, "UNSPECIFIED">;

/** What may come with a yes. */
export interface ConfirmOptions {
  /** Recorded with the decision, at most 4,000 characters. */
  readonly note?: string | undefined;
  /** Arguments to use instead, where the tool allows edits: an object of JSON values. */
  readonly editedArgs?: object | undefined;
}

/** What may come with a no. */
export interface RejectOptions {
  /** The reason, which the agent is told, at most 4,000 characters. */
  readonly note?: string | undefined;
  /** What follows, where the requirement leaves a choice. */
  readonly onReject?: RejectAction | undefined;
}

type Answer = Exclude<
  MessageInitShape<typeof RequirementResolutionSchema>["resolution"],
  undefined | { case?: undefined }
>;

/** The answers of the contract: names of `RequirementResolution.resolution`. */
export type DecisionKind = Snake<Answer["case"]>;

/**
 * An answer that is not yet tied to a requirement; `Client.resolve` ties it to one by its id.
 * On a `Requirement` call its own methods instead: they also check that the answer fits.
 */
export class Decision {
  readonly #answer: Answer;

  private constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** Lets the tool, the step or the output pass. */
  static confirm({ note = "", editedArgs }: ConfirmOptions = {}): Decision {
    const editedArgsJson = editedArgs === undefined ? "" : stringifyJson(editedArgs);
    return new Decision({ case: "confirm", value: { note, editedArgsJson } });
  }

  /** Keeps the tool or the step from running, or refuses the output. Fits every kind. */
  static reject({ note = "", onReject }: RejectOptions = {}): Decision {
    const action = onReject === undefined ? 0 : enumNumber(OnReject, onReject);
    return new Decision({ case: "reject", value: { note, onReject: action } });
  }

  /** Supplies values by field name; a field that is left out keeps its value or default. */
  static userInput(values: object): Decision {
    return new Decision({ case: "userInput", value: { valuesJson: stringifyJson(values) } });
  }

  /** Answers questions: the labels that were chosen, by the question's id. */
  static userFeedback(answers: Readonly<Record<string, string | readonly string[]>>): Decision {
    const list = Object.entries(answers).map(([questionId, chosen]) => ({
      questionId,
      selectedOptions: typeof chosen === "string" ? [chosen] : [...chosen],
    }));
    return new Decision({ case: "userFeedback", value: { answers: list } });
  }

  /** Supplies what a tool that ran elsewhere gave back: any JSON value. */
  static result(result: unknown): Decision {
    const outcome = { case: "resultJson", value: stringifyJson(result) } as const;
    return new Decision({ case: "externalResult", value: { outcome } });
  }

  /** Says why a tool that ran elsewhere failed; the agent is told. */
  static error(message: string): Decision {
    const outcome = { case: "errorMessage", value: message } as const;
    return new Decision({ case: "externalResult", value: { outcome } });
  }

  /** Replaces the output under review, or supplies that of a failed step: any JSON value. */
  static editOutput(output: unknown): Decision {
    return new Decision({ case: "editedOutput", value: { outputJson: stringifyJson(output) } });
  }

  /** Chooses routes, in the order in which they shall run. */
  static selectRoutes(...routes: string[]): Decision {
    return new Decision({ case: "routeChoice", value: { routes } });
  }

  /** Runs it again, with what to do better. */
  static retry(feedback = ""): Decision {
    return new Decision({ case: "retry", value: { feedback } });
  }

  /** Passes over it. */
  static skip(): Decision {
    return new Decision({ case: "skip", value: {} });
  }

  /** Lets it fail, with what is recorded as the error. */
  static fail(message = ""): Decision {
    return new Decision({ case: "fail", value: { message } });
  }

  /** Which answer it is. */
  get kind(): DecisionKind {
    return snake(this.#answer.case);
  }

  /** Whether it says that a tool that ran elsewhere failed. */
  get isError(): boolean {
    const { case: kind, value } = this.#answer;
    return kind === "externalResult" && value.outcome?.case === "errorMessage";
  }

  /** The answer as it is sent for one requirement. */
  resolving(requirementId: string): RequirementResolution {
    return create(RequirementResolutionSchema, { requirementId, resolution: this.#answer });
  }
}
