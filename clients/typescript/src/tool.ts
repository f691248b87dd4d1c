import { type JsonObject, type JsonValue, parseField, parseObject } from "./json.js";
import type * as v1 from "./v1.js";

/** A tool call made by an agent. */
export class ToolExecution {
  #args: JsonObject | undefined;

  /** @internal */
  constructor(
    /** The call as the server sent it. */
    readonly message: v1.ToolExecution,
  ) {}

  /** Name of the tool. */
  get toolName(): string {
    return this.message.toolName;
  }

  /** The arguments, as the tool gets them; `message.toolArgsJson` is their exact text. */
  get args(): JsonObject {
    this.#args ??= parseObject(this.message.toolArgsJson);
    return this.#args;
  }

  /** Name of the agent that made the call. */
  get agentName(): string {
    return this.message.agentName;
  }

  /** What the tool gave back; `undefined` while it waits, and when it failed. */
  get result(): JsonValue | undefined {
    const { outcome } = this.message;
    return outcome.case === "resultJson" ? parseField(outcome.value) : undefined;
  }

  /** Why the call failed or was refused; `undefined` when it did not. */
  get errorMessage(): string | undefined {
    const { outcome } = this.message;
    return outcome.case === "errorMessage" ? outcome.value : undefined;
  }
}
