import { type JsonObject, parseObject } from "./json.js";
import { moment } from "./times.js";
import type * as v1 from "./v1.js";

/** Groups runs that share state. */
export class Session {
  /** @internal */
  constructor(
    /** The session as the server sent it. */
    readonly message: v1.Session,
  ) {}

  /** Chosen by the caller, or made by the service. */
  get id(): string {
    return this.message.sessionId;
  }

  /** What functions, tools and agents of its runs can read and change. */
  get state(): JsonObject {
    return parseObject(this.message.stateJson);
  }

  /** Changes whenever the session changes. */
  get etag(): string {
    return this.message.etag;
  }

  /** When it was created. */
  get createdAt(): Date | undefined {
    return moment(this.message.createTime);
  }

  /** When it last changed. */
  get updatedAt(): Date | undefined {
    return moment(this.message.updateTime);
  }
}
