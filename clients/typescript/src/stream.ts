import { Backoff } from "./backoff.js";
import { type Caller, retryDelay } from "./caller.js";
import { fromConnectError } from "./errors.js";
import { Link, sleep } from "./signals.js";

const LEFT = Symbol("left");

/** Reads items until the signal aborts. */
type Read<Item> = (signal: AbortSignal) => AsyncGenerator<Item, undefined, undefined>;

/**
 * Items from the server, one by one. The first call is made when the first item is asked for.
 *
 * Leaving a `for await` loop over it ends the call behind it; so do `close` and `await using`.
 */
export class Stream<Item> implements AsyncIterableIterator<Item, undefined, undefined> {
  readonly #leaving = new AbortController();
  readonly #items: AsyncGenerator<Item, undefined, undefined>;

  /** @internal */
  constructor(read: Read<Item>, ...signals: readonly (AbortSignal | undefined)[]) {
    this.#items = this.#read(read, signals);
  }

  /** The next item. */
  async next(): Promise<IteratorResult<Item, undefined>> {
    return await this.#items.next();
  }

  /** Ends the stream, also while somebody waits for its next item. */
  async return(): Promise<IteratorResult<Item, undefined>> {
    this.#leaving.abort(LEFT);
    return await this.#items.return(undefined);
  }

  /** Ends the stream and the call behind it. */
  async close(): Promise<void> {
    await this.return();
  }

  /** The items that are left, in an array; for lists, as most other streams are long. */
  async toArray(): Promise<Item[]> {
    const items: Item[] = [];
    for await (const item of this) {
      items.push(item);
    }
    return items;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#read(
    read: Read<Item>,
    signals: readonly (AbortSignal | undefined)[],
  ): AsyncGenerator<Item, undefined, undefined> {
    const link = new Link(this.#leaving.signal, ...signals);
    try {
      yield* read(link.signal);
    } catch (reason) {
      if (reason !== LEFT) {
        throw reason;
      }
    } finally {
      // Leaving a loop over the library's streams does not end their calls; this does.
      link.cut();
      link.abort();
    }
  }
}

/** Where a stream stands: what to call to go on from there, and what is new in a reply. */
export interface Cursor<Reply, Item> {
  /** Whether nothing can follow, so that a lost connection loses nothing. */
  readonly isFinished: boolean;
  /** Starts the call that goes on from here. */
  open(options: { signal: AbortSignal }): AsyncIterable<Reply>;
  /** Takes a reply in; gives its new items, or `undefined` when it shows no progress. */
  receive(reply: Reply): Item[] | undefined;
}

/** The items of a stream that goes on by itself after the server was unavailable. */
export async function* resuming<Reply, Item>(
  caller: Caller,
  cursor: Cursor<Reply, Item>,
  signal: AbortSignal,
): AsyncGenerator<Item, undefined, undefined> {
  const backoff = new Backoff(caller.retryTimeoutMs);
  for (;;) {
    signal.throwIfAborted();
    try {
      for await (const reply of cursor.open({ signal })) {
        const items = cursor.receive(reply);
        if (items !== undefined) {
          backoff.reset();
          yield* items;
        }
      }
      return;
    } catch (reason) {
      signal.throwIfAborted();
      if (cursor.isFinished) {
        return;
      }
      const error = fromConnectError(reason);
      const delay = retryDelay(error, backoff);
      if (delay === undefined) {
        throw error;
      }
      await sleep(delay, signal);
    }
  }
}

/** A page of a list, and the token of the next one; the empty token means the last. */
export type Page<Item> = readonly [items: Item[], nextPageToken: string];

/** The items of a list, read page by page as they are asked for. */
export async function* paging<Item>(
  read: (pageToken: string) => Promise<Page<Item>>,
): AsyncGenerator<Item, undefined, undefined> {
  let token = "";
  do {
    const [items, next] = await read(token);
    yield* items;
    token = next;
  } while (token);
}
