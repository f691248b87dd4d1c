import {
  type CallOutcome,
  type Client,
  type JsonValue,
  parseJson,
  stringifyJson,
  type ToolCall,
  type ToolHandler,
  Worker,
} from "@interlock-dev/interlock";
import type { Request } from "./driver.js";

/** One worker, and the calls that it was given. */
interface Member {
  readonly worker: Worker;
  readonly calls: ToolCall[];
  /** Let the handlers that wait return. */
  readonly waiting: Set<(value: JsonValue) => void>;
  /** Wake whoever waits for something to happen. */
  readonly watchers: Set<() => void>;
}

/** The workers of a driver, by their names. */
export class Crew {
  readonly #members = new Map<string, Member>();

  start(client: Client, { worker: name, tools, concurrency, lease }: Request): void {
    const calls: ToolCall[] = [];
    const waiting: Member["waiting"] = new Set();
    const watchers: Member["watchers"] = new Set();
    const moved = () => {
      for (const wake of watchers) {
        wake();
      }
    };
    const handlers = Object.entries(tools).map(([tool, what]): [string, ToolHandler] => [
      tool,
      (args, call) => {
        calls.push(call);
        moved();
        return done(what, args, call, waiting);
      },
    ]);
    const worker = new Worker(client, Object.fromEntries(handlers), {
      concurrency,
      leaseMs: lease && lease * 1000,
      onEnd: moved,
    });
    this.#members.set(name, { worker, calls, waiting, watchers });
    worker.run().catch((error: unknown) => console.error(name, error));
  }

  /** Waits until so many calls have that outcome. */
  async seen({ worker, count = 0, outcome, timeout }: Request): Promise<unknown> {
    const { calls, watchers } = this.#member(worker);
    const isThere = () =>
      calls.filter((one) => !outcome || one.outcome === outcome).length >= count;
    await new Promise<void>((resolve) => {
      const timer = timeout === undefined ? undefined : setTimeout(end, timeout * 1000);
      function end(): void {
        clearTimeout(timer);
        watchers.delete(look);
        resolve();
      }
      function look(): void {
        if (isThere()) {
          end();
        }
      }
      watchers.add(look);
      look();
    });
    return { calls: calls.map(callView) };
  }

  async finish({ worker, value }: Request): Promise<unknown> {
    const { waiting } = this.#member(worker);
    for (const finish of waiting) {
      finish(parseJson(value));
    }
    waiting.clear();
    return {};
  }

  async stop({ worker }: Request): Promise<unknown> {
    const member = this.#member(worker);
    await member.worker.stop();
    return { calls: member.calls.map(callView) };
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) {
      throw new RangeError(`there is no worker ${name}`);
    }
    return member;
  }
}

/** What a tool does. */
function done(what: Request, args: unknown, call: ToolCall, waiting: Member["waiting"]): unknown {
  switch (what.do) {
    case "return":
      return parseJson(what.value);
    case "echo":
      return args;
    case "fail":
      throw new Error(what.message);
    case "crash":
      return (undefined as unknown as { nothing: () => unknown }).nothing();
    default:
      return new Promise((resolve, reject) => {
        waiting.add(resolve);
        call.signal.addEventListener("abort", () => reject(call.signal.reason));
      });
  }
}

function callView(call: ToolCall): Record<string, string | number | CallOutcome> {
  return {
    requirement_id: call.id,
    tool_name: call.toolName,
    args: stringifyJson(call.args),
    epoch: call.epoch,
    outcome: call.outcome,
  };
}
