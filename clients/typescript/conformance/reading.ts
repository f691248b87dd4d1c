import { setTimeout } from "node:timers/promises";
import type { Stream } from "@interlock-dev/interlock";

const LATE = Symbol("late");

/** A stream that is read in portions. */
export class Reading<Item> {
  #next: Promise<IteratorResult<Item, undefined>> | undefined;

  constructor(readonly stream: Stream<Item>) {}

  /** Items until one is the last that is wanted, or the stream or the time has ended. */
  async read(
    isLast: (item: Item, count: number) => boolean,
    seconds: number | undefined,
  ): Promise<{ items: Item[]; ended: boolean }> {
    const items: Item[] = [];
    const over = new AbortController();
    const late =
      seconds === undefined
        ? new Promise<never>(() => {})
        : setTimeout(seconds * 1000, LATE, { signal: over.signal });
    try {
      for (;;) {
        // What comes too late for this portion is for the next one.
        this.#next ??= this.stream.next();
        const result = await Promise.race([this.#next, late]);
        if (result === LATE) {
          return { items, ended: false };
        }
        this.#next = undefined;
        if (result.done) {
          return { items, ended: true };
        }
        items.push(result.value);
        if (isLast(result.value, items.length)) {
          return { items, ended: false };
        }
      }
    } finally {
      late.catch(() => undefined);
      over.abort();
    }
  }

  /** Leaves the loop over it, as `break` does. */
  async leave(): Promise<void> {
    await this.stream.return();
  }
}
