import type { StepRef } from "./v1.js";

/** Something that the server has sent, about one step of a run or about the whole run. */
export abstract class StepRecord<Message extends { readonly step?: StepRef | undefined }> {
  /** @param message - The record as the server sent it. */
  constructor(readonly message: Message) {}

  /** Name of the step; empty when it is about the whole run. */
  get stepName(): string {
    return this.message.step?.name ?? "";
  }

  /** Names from the root down to the step; a loop is followed by its iteration's number. */
  get stepPath(): readonly string[] {
    return this.message.step?.path ?? [];
  }
}
