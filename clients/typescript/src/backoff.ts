const SHORTEST_MS = 100;
const LONGEST_MS = 10_000;

/** One outage: waits double from attempt to attempt, until it has lasted too long. */
export class Backoff {
  #attempts = 0;
  #since: number | undefined;

  /**
   * @param limitMs - When to give up, counted from the first failure.
   * @param clock - Gives milliseconds that never run backwards.
   * @param random - Gives a number from 0 to 1.
   */
  constructor(
    readonly limitMs: number,
    readonly clock: () => number = () => performance.now(),
    readonly random: () => number = Math.random,
  ) {}

  /** The outage is over. */
  reset(): void {
    this.#attempts = 0;
    this.#since = undefined;
  }

  /**
   * Milliseconds to wait before the next attempt; `undefined` means to give up.
   *
   * @param retryDelayMs - What the server asks for. The client waits a little longer, so that
   * not all clients come back at once.
   */
  next(retryDelayMs = 0): number | undefined {
    const now = this.clock();
    this.#since ??= now;
    const doubled = Math.min(SHORTEST_MS * 2 ** this.#attempts++, LONGEST_MS);
    const delay = retryDelayMs + doubled * (0.5 + this.random() / 2);
    return now + delay - this.#since <= this.limitMs ? delay : undefined;
  }
}
