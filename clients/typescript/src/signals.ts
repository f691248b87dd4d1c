import { setTimeout } from "node:timers/promises";

/** Aborts when one of several signals does, for as long as it is linked to them. */
export class Link {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];

  constructor(...signals: readonly (AbortSignal | undefined)[]) {
    this.#signals = signals.filter((one) => one !== undefined);
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
    await setTimeout(ms, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
