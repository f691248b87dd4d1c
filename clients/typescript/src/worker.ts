import { create } from "@bufbuild/protobuf";
import type { Calling } from "./caller.js";
import type { Client } from "./client.js";
import { Decision } from "./decision.js";
import {
  InterlockError,
  InvalidArgumentError,
  NotFoundError,
  ResourceExhaustedError,
} from "./errors.js";
import type { JsonObject } from "./json.js";
import { Requirement } from "./requirement.js";
import { type CallOptions, newRequestId } from "./runs.js";
import { Link, sleep, TIMER_MS_MAX } from "./signals.js";
import { duration } from "./times.js";
import * as v1 from "./v1.js";

/** How long one request waits for a call. */
const CLAIM_WAIT_MS = 20_000;

/** A worker lives as long as it is told: no outage of the server ends it. */
const TIRELESS: Calling = { timeoutMs: Infinity, retryTimeoutMs: Infinity };
/** What is worth one attempt; otherwise the lease runs out by itself. */
const ONCE: Calling = { timeoutMs: 5_000, retryTimeoutMs: 0 };

const LOST_REASONS: readonly string[] = [
  "CLAIM_LOST",
  "REQUIREMENT_ALREADY_RESOLVED",
  "REQUIREMENT_CANCELLED",
  "REQUIREMENT_EXPIRED",
];

/**
 * Executes the calls of one tool.
 *
 * What it returns, or resolves to, is the result: any JSON value; `undefined` counts as null.
 * What it throws is the call's error: **the agent reads the message.**
 *
 * @param args - The arguments, of the types that the tool declares.
 * @param call - The call.
 */
// biome-ignore lint/suspicious/noExplicitAny: the server has checked them against the tool's types
export type ToolHandler = (args: any, call: ToolCall) => unknown;

/**
 * How a call ended for this worker: its result was accepted, its error was reported, its claim
 * was lost or its requirement resolved by somebody else, or it was given back. Until then it is
 * running.
 */
export type CallOutcome = "running" | "reported" | "failed" | "lost" | "released";

/** How a worker works. */
export interface WorkerOptions {
  /** At most so many calls at the same time; 1 if left out. */
  readonly concurrency?: number | undefined;
  /**
   * How long a call stays with this worker when nothing is heard of it, from 1 second to 1 hour;
   * 30 seconds if left out. The worker renews it three times as often.
   */
  readonly leaseMs?: number | undefined;
  /** Only calls of this workflow. */
  readonly workflowId?: string | undefined;
  /** Who works, at most 64 characters, different for each process; a random UUID if left out. */
  readonly workerId?: string | undefined;
  /** Is told of every call that has ended, for logs and counters. */
  readonly onEnd?: ((call: ToolCall) => void) | undefined;
}

/** One call of a tool, claimed by a worker. */
export class ToolCall {
  #outcome: CallOutcome = "running";

  /** @internal */
  constructor(
    /** What waits for the result. */
    readonly requirement: Requirement,
    /** Aborts when the call should not go on: its claim is lost, or the worker stops. */
    readonly signal: AbortSignal,
  ) {}

  /** Identifies the call, also when it is executed again: a good idempotency key. */
  get id(): string {
    return this.requirement.id;
  }

  /**
   * How often it was claimed. Greater than 1 means that an earlier worker gave up or died, and
   * may have executed it in part.
   */
  get epoch(): number {
    return Number(this.requirement.message.claim?.epoch ?? 0);
  }

  /** Name of the tool. */
  get toolName(): string {
    return this.requirement.toolName;
  }

  /** The arguments. */
  get args(): JsonObject {
    return this.requirement.toolArgs;
  }

  /** The run that waits. */
  get runId(): string {
    return this.requirement.runId;
  }

  /** How it ended. */
  get outcome(): CallOutcome {
    return this.#outcome;
  }

  /** @internal */
  end(outcome: CallOutcome): void {
    this.#outcome = outcome;
  }
}

/**
 * Executes the calls of external tools, with a handler for each tool. However many workers there
 * are, each call is executed by one of them at a time.
 */
export class Worker {
  /** Who works. */
  readonly workerId: string;
  readonly #client: Client;
  readonly #handlers: ReadonlyMap<string, ToolHandler>;
  readonly #options: WorkerOptions;
  readonly #concurrency: number;
  readonly #leaseMs: number;
  readonly #stopping = new AbortController();
  readonly #givingUp = new AbortController();
  readonly #executions = new Set<Promise<void>>();
  #working: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param client - The connection.
   * @param handlers - The handlers by the names of their tools.
   * @param options - How to work.
   */
  constructor(
    client: Client,
    handlers: Readonly<Record<string, ToolHandler>>,
    options: WorkerOptions = {},
  ) {
    const { concurrency = 1, leaseMs = 30_000, workerId = crypto.randomUUID() } = options;
    if (!(concurrency >= 1)) {
      throw new RangeError(`concurrency is ${concurrency}: it must be at least 1`);
    }
    this.workerId = workerId;
    this.#client = client;
    this.#handlers = new Map(Object.entries(handlers));
    this.#options = options;
    this.#concurrency = concurrency;
    this.#leaseMs = leaseMs;
  }

  /**
   * Works until `stop` is called or the signal aborts, and every call has ended. While the
   * server is unavailable it waits.
   *
   * @throws InterlockError - the server refuses to give calls, or to take their results.
   */
  async run({ signal }: CallOptions = {}): Promise<void> {
    const stop = () => this.#stopping.abort();
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) {
      stop();
    }
    try {
      this.#working ??= this.#work();
      await this.#working;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /**
   * Takes no more calls, and waits for those that are running to end and report.
   *
   * @param options - After `graceMs` the signals of those that are still running are aborted,
   * and the calls given back for other workers; left out, it waits as long as they take.
   */
  async stop({
    graceMs = Infinity,
  }: {
    readonly graceMs?: number | undefined;
  } = {}): Promise<void> {
    this.#stopping.abort();
    const giveUp = () => this.#givingUp.abort(new Error("the worker stops"));
    const timer = graceMs > TIMER_MS_MAX ? undefined : setTimeout(giveUp, graceMs);
    // Whoever called `run` gets its error.
    await this.#working?.catch(() => undefined);
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      while (!signal.aborted) {
        if (this.#executions.size >= this.#concurrency) {
          await Promise.race(this.#executions);
          continue;
        }
        const requirement = await this.#claim(signal);
        if (requirement !== undefined && signal.aborted) {
          await this.#release(requirement);
        } else if (requirement !== undefined) {
          this.#start(requirement);
        }
      }
    } finally {
      await Promise.all(this.#executions);
    }
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
  }

  /** A call for this worker; `undefined` when there is none yet, or the worker stops. */
  async #claim(signal: AbortSignal): Promise<Requirement | undefined> {
    const request = create(v1.ClaimRequirementRequestSchema, {
      workerId: this.workerId,
      toolNames: [...this.#handlers.keys()],
      workflowId: this.#options.workflowId ?? "",
      leaseDuration: duration(this.#leaseMs),
      waitTimeout: duration(CLAIM_WAIT_MS),
      requestId: newRequestId(),
    });
    try {
      return await this.#claimed(request, { ...TIRELESS, waitMs: CLAIM_WAIT_MS, signal });
    } catch (error) {
      if (!signal.aborted) {
        throw error;
      }
    }
    // The server may have given a call just before it heard that nobody waits any more. The same
    // request gets the same call.
    request.waitTimeout = duration(0);
    return await this.#claimed(request, ONCE).catch(() => undefined);
  }

  async #claimed(
    request: v1.ClaimRequirementRequest,
    calling: Calling,
  ): Promise<Requirement | undefined> {
    const { caller, services } = this.#client;
    const method = services.requirements.claimRequirement;
    const { requirement } = await caller.call(method, request, calling);
    return requirement && new Requirement(requirement);
  }

  #start(requirement: Requirement): void {
    const execution = this.#execute(requirement)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#executions.delete(execution));
    this.#executions.add(execution);
  }

  async #execute(requirement: Requirement): Promise<void> {
    const link = new Link(this.#givingUp.signal);
    const call = new ToolCall(requirement, link.signal);
    const renewing = new Link(link.signal);
    void this.#renew(requirement, renewing.signal, (error) => link.abort(error));
    try {
      const answer = await raced(this.#handle(call), link.signal);
      // From here on the reply to the answer says whether the claim was held.
      renewing.abort();
      call.end(await this.#report(requirement, answer, link.signal));
    } catch (error) {
      const isLost = isLoss(error);
      call.end(isLost ? "lost" : "released");
      if (!isLost) {
        await this.#release(requirement);
      }
      if (!isLost && !link.signal.aborted) {
        this.#fail(error);
      }
    } finally {
      renewing.abort();
      renewing.cut();
      link.cut();
    }
    this.#options.onEnd?.(call);
  }

  async #handle(call: ToolCall): Promise<Decision> {
    try {
      const result = await this.#handlers.get(call.toolName)?.(call.args, call);
      return Decision.result(result === undefined ? null : result);
    } catch (error) {
      return Decision.error(messageOf(error));
    }
  }

  /** Keeps the claim until the signal aborts; says so when it is lost. */
  async #renew(
    requirement: Requirement,
    signal: AbortSignal,
    onLoss: (error: unknown) => void,
  ): Promise<void> {
    const { caller, services } = this.#client;
    const request = create(v1.RenewClaimRequestSchema, {
      ...claimOf(requirement),
      leaseDuration: duration(this.#leaseMs),
    });
    while (!signal.aborted) {
      try {
        await sleep(this.#leaseMs / 3, signal);
        await caller.call(services.requirements.renewClaim, request, { ...TIRELESS, signal });
      } catch (error) {
        if (isLoss(error)) {
          onLoss(error);
          return;
        }
        // Anything else may pass; the reply to the answer will tell.
      }
    }
  }

  /** Sends the answer, and the error in its place when the server cannot take the result. */
  async #report(
    requirement: Requirement,
    answer: Decision,
    signal: AbortSignal,
  ): Promise<CallOutcome> {
    const { caller, services } = this.#client;
    const request = create(v1.ResolveRequirementRequestSchema, {
      resolution: answer.resolving(requirement.id),
      claimEpoch: claimOf(requirement).claimEpoch,
      requestId: newRequestId(),
    });
    try {
      const method = services.requirements.resolveRequirement;
      await caller.call(method, request, { ...TIRELESS, signal });
      return answer.isError ? "failed" : "reported";
    } catch (error) {
      const isRefused =
        error instanceof InvalidArgumentError || error instanceof ResourceExhaustedError;
      if (answer.isError || !isRefused) {
        throw error;
      }
      const refusal = Decision.error(`the result was refused: ${error.message}`);
      return await this.#report(requirement, refusal, signal);
    }
  }

  async #release(requirement: Requirement): Promise<void> {
    const { caller, services } = this.#client;
    const request = create(v1.ReleaseClaimRequestSchema, claimOf(requirement));
    await caller.call(services.requirements.releaseClaim, request, ONCE).catch(() => undefined);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stopping.abort();
  }
}

function claimOf({ message }: Requirement): { requirementId: string; claimEpoch: bigint } {
  return { requirementId: message.requirementId, claimEpoch: message.claim?.epoch ?? 0n };
}

function isLoss(error: unknown): boolean {
  return (
    error instanceof NotFoundError ||
    (error instanceof InterlockError && LOST_REASONS.includes(error.reason))
  );
}

/** What a promise gives, unless the signal aborts first. */
async function raced<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) {
      onAbort();
    }
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  return message || "the tool failed";
}
