import type { CallOptions } from "@connectrpc/connect";
import { Backoff } from "./backoff.js";
import type { Services } from "./connection.js";
import { fromConnectError, type InterlockError, UnavailableError } from "./errors.js";
import { Link, sleep, TIMER_MS_MAX } from "./signals.js";

/** What goes with one call. */
export interface Calling {
  /** Ends the call when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** How long the server may wait before it replies, on top of the timeout. */
  readonly waitMs?: number;
  /** Deadline of the call with its retries, in place of the client's. */
  readonly timeoutMs?: number;
  /** How long to retry, in place of the client's. */
  readonly retryTimeoutMs?: number;
}

/** Makes calls with one reply, again and again while the server is unavailable. */
export class Caller {
  /**
   * @param closing - Aborts when the client is closed.
   * @param timeoutMs - Deadline of a call with its retries; infinite means none.
   * @param retryTimeoutMs - How long to retry.
   */
  constructor(
    readonly services: Services,
    readonly closing: AbortSignal,
    readonly timeoutMs: number,
    readonly retryTimeoutMs: number,
  ) {}

  /**
   * Makes a call. What is sent again is the same request, its id included.
   *
   * @throws InterlockError - the call failed.
   * @throws the signal's reason, when it aborts.
   */
  async call<Request, Reply>(
    method: (request: Request, options: CallOptions) => Promise<Reply>,
    request: Request,
    calling: Calling = {},
  ): Promise<Reply> {
    const {
      waitMs = 0,
      timeoutMs = this.timeoutMs,
      retryTimeoutMs = this.retryTimeoutMs,
    } = calling;
    const link = new Link(this.closing, calling.signal);
    const backoff = new Backoff(retryTimeoutMs);
    const end = performance.now() + timeoutMs + waitMs;
    try {
      for (;;) {
        link.signal.throwIfAborted();
        try {
          return await method(request, { signal: link.signal, ...timeLeft(end) });
        } catch (reason) {
          link.signal.throwIfAborted();
          const error = fromConnectError(reason);
          const delay = retryDelay(error, backoff);
          if (delay === undefined || performance.now() + delay >= end) {
            throw error;
          }
          await sleep(delay, link.signal);
        }
      }
    } finally {
      link.cut();
    }
  }
}

/** Milliseconds to wait before another attempt; `undefined` means that there is none. */
export function retryDelay(error: InterlockError, backoff: Backoff): number | undefined {
  return error instanceof UnavailableError ? backoff.next(error.retryDelayMs) : undefined;
}

function timeLeft(end: number): { timeoutMs?: number } {
  const left = Math.round(end - performance.now());
  return left > TIMER_MS_MAX ? {} : { timeoutMs: Math.max(1, left) };
}
