import { setMaxListeners } from "node:events";
import { setTimeout } from "node:timers/promises";

/** Longest time that a timer of Node takes; it takes a longer one for none at all. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** Aborts when one of several signals does, for as long as it is linked to them. */
export class Link {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];

  constructor(...signals: readonly (AbortSignal | undefined)[]) {
    this.#signals = signals.filter((one) => one !== undefined);
    // One signal for a hundred calls is no leak: each lets go of it.
    setMaxListeners(0, ...this.#signals);
    for (const signal of this.#signals) {
      signal.addEventListener("abort", this.#follow);
    }
    this.#follow();
  }

  /** The signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts. */
  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** Lets go of the signals, which may live much longer. */
  cut(): void {
    for (const signal of this.#signals) {
      signal.removeEventListener("abort", this.#follow);
    }
  }

  readonly #follow = (): void => {
    const aborted = this.#signals.find((one) => one.aborted);
    if (aborted) {
      this.abort(aborted.reason);
    }
  };
}

/**
 * Waits.
 *
 * @throws what the signal's reason is, when it aborts.
 */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(Math.min(ms, TIMER_MS_MAX), undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
