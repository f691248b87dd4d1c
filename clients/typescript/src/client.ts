import { create } from "@bufbuild/protobuf";
import type { CallOptions as WireOptions } from "@connectrpc/connect";
import { Caller } from "./caller.js";
import { Connection, type Services, type TlsOptions } from "./connection.js";
import { InboxCursor } from "./cursors.js";
import type { Decision } from "./decision.js";
import { ClientClosedError, DecisionError } from "./errors.js";
import { eventOf, type RunEvent } from "./event.js";
import { enumName, enumNumber } from "./names.js";
import {
  Requirement,
  type RequirementKind,
  type RequirementState,
  type Resolved,
} from "./requirement.js";
import { Run, type RunRef, type RunState, runIdOf } from "./run.js";
import { type CallOptions, newRequestId, Runs, type WaitOptions } from "./runs.js";
import { Session } from "./session.js";
import { paging, resuming, Stream } from "./stream.js";
import * as v1 from "./v1.js";
import { WorkflowHandle } from "./workflow.js";

/** How to connect, and how long to try. */
export interface ClientOptions {
  /** Sent with every call as `authorization: Bearer TOKEN`. */
  readonly token?: string | undefined;
  /** `true` for TLS with the system's root certificates; left out, no encryption. */
  readonly tls?: boolean | TlsOptions | undefined;
  /** Deadline of every call that does not wait for a run, its retries included; none if left out. */
  readonly timeoutMs?: number | undefined;
  /** For how long to try again while the server is unavailable; 30 seconds if left out. */
  readonly retryTimeoutMs?: number | undefined;
  /** What to send with every call: gRPC metadata, by lower-case name. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** Which runs. A run must match everything that is given. */
export interface RunFilter extends CallOptions {
  /** Of this workflow. */
  readonly workflowId?: string | undefined;
  /** Of this session. */
  readonly sessionId?: string | undefined;
  /** In one of these states. */
  readonly states?: readonly RunState[] | undefined;
  /** With all of these labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Which requirements. A requirement must match everything that is given. */
export interface RequirementFilter extends CallOptions {
  /** Of this run. */
  readonly runId?: string | undefined;
  /** Of this workflow. */
  readonly workflowId?: string | undefined;
  /** Of this session. */
  readonly sessionId?: string | undefined;
  /** In one of these states. None: pending when listing, every state when watching. */
  readonly states?: readonly RequirementState[] | undefined;
  /** Of one of these kinds. */
  readonly kinds?: readonly RequirementKind[] | undefined;
  /** For one of these tools. */
  readonly toolNames?: readonly string[] | undefined;
}

/** From where to read the events of a run, and how far. */
export interface WatchOptions extends CallOptions {
  /** Begin after the event with this sequence. */
  readonly afterSequence?: number | bigint | undefined;
  /** End when the run pauses, not only when it ends. */
  readonly endOnPause?: boolean | undefined;
}

/**
 * A connection to an Interlock server. It is made when it is first needed, and again when it
 * broke.
 *
 * Every method that calls the server throws an `InterlockError` when the call fails, and the
 * reason of the `signal` it was given when that aborts.
 */
export class Client {
  /**
   * The generated clients of all services, for what has no method here. They neither retry nor
   * translate errors.
   */
  readonly services: Services;
  /** @internal */
  readonly caller: Caller;
  readonly #connection: Connection;
  readonly #closing = new AbortController();
  readonly #runs: Runs;

  /**
   * @param target - Where the server is, for example `"localhost:50051"`.
   * @param options - How to connect, and how long to try.
   */
  constructor(target: string, options: ClientOptions = {}) {
    const { token, tls = false, timeoutMs = Infinity, retryTimeoutMs = 30_000 } = options;
    this.#connection = new Connection(target, tls, {
      ...options.metadata,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    });
    this.services = this.#connection.services;
    this.caller = new Caller(this.services, this.#closing.signal, timeoutMs, retryTimeoutMs);
    this.#runs = new Runs(this.caller);
  }

  /** Closes the connection; calls that are under way end with a `ClientClosedError`. */
  close(): void {
    this.#closing.abort(new ClientClosedError());
    this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /**
   * A handle for running a workflow. Asks the server nothing.
   *
   * @param workflowId - Name of the workflow.
   * @param version - The version to run; left out, the newest.
   */
  workflow(workflowId: string, version?: number): WorkflowHandle {
    return new WorkflowHandle(this.#runs, workflowId, version);
  }

  /**
   * Sends the decisions that were made on a paused run, lets it go on, and waits until it pauses
   * again or ends. What was not decided still waits afterwards. Nothing but the decisions is
   * sent: what is executed is what the server has on record.
   *
   * @param run - The run, or its id when there are no decisions to send.
   * @param options - How long to wait.
   */
  async continueRun(run: RunRef, options: WaitOptions = {}): Promise<Run> {
    return await this.#runs.continue(run, options);
  }

  /** The same, but streams the events until the run pauses again or ends. */
  continueRunStream(run: RunRef, options: CallOptions = {}): Stream<RunEvent> {
    return this.#runs.continueStream(run, options);
  }

  /** Gets a run. */
  async getRun(runId: string, options?: CallOptions): Promise<Run> {
    const request = create(v1.GetRunRequestSchema, { runId });
    const { run } = await this.caller.call(this.services.runs.getRun, request, options);
    return new Run(run ?? create(v1.RunSchema));
  }

  /** Waits until a run pauses or ends. */
  async waitRun(run: RunRef, options: WaitOptions = {}): Promise<Run> {
    return await this.#runs.wait(run, options);
  }

  /**
   * Cancels a run: a paused one at once, a running one before its next effect.
   *
   * @param run - The run, or its id.
   * @param options - `reason` is recorded with the run, at most 4,000 characters.
   */
  async cancelRun(
    run: RunRef,
    options: CallOptions & { readonly reason?: string | undefined } = {},
  ): Promise<Run> {
    const { reason = "" } = options;
    const content = { runId: runIdOf(run), reason, requestId: newRequestId() };
    const request = create(v1.CancelRunRequestSchema, content);
    const reply = await this.caller.call(this.services.runs.cancelRun, request, options);
    return new Run(reply.run ?? create(v1.RunSchema));
  }

  /**
   * Streams the events of a run, those that have happened first. It goes on by itself after a
   * lost connection: no stored event is missing, and none comes twice.
   */
  watchRun(run: RunRef, options: WatchOptions = {}): Stream<RunEvent> {
    const { afterSequence = 0, endOnPause = false } = options;
    return this.#runs.watch(run, afterSequence, endOnPause, options);
  }

  /** Lists runs without their step results, newest first, page by page. */
  listRuns(filter: RunFilter = {}): Stream<Run> {
    const { signal, states = [], labels = {}, workflowId = "", sessionId = "" } = filter;
    const request = create(v1.ListRunsRequestSchema, {
      filter: {
        workflowId,
        sessionId,
        labels: { ...labels },
        states: states.map((one) => enumNumber(v1.RunState, one)),
      },
    });
    return this.#list(this.services.runs.listRuns, request, signal, (reply) =>
      reply.runs.map((one) => new Run(one)),
    );
  }

  /** Lists the stored events of a run, oldest first, page by page. */
  listRunEvents(run: RunRef, options: Omit<WatchOptions, "endOnPause"> = {}): Stream<RunEvent> {
    const afterSequence = BigInt(options.afterSequence ?? 0);
    const request = create(v1.ListRunEventsRequestSchema, { runId: runIdOf(run), afterSequence });
    return this.#list(this.services.runs.listRunEvents, request, options.signal, (reply) =>
      reply.events.flatMap((one) => eventOf(one) ?? []),
    );
  }

  /** Gets a requirement. */
  async getRequirement(requirementId: string, options?: CallOptions): Promise<Requirement> {
    const request = create(v1.GetRequirementRequestSchema, { requirementId });
    const method = this.services.requirements.getRequirement;
    const { requirement } = await this.caller.call(method, request, options);
    return new Requirement(requirement ?? create(v1.RequirementSchema));
  }

  /** Lists requirements of all runs, oldest first, page by page. */
  listRequirements(filter: RequirementFilter = {}): Stream<Requirement> {
    const request = create(v1.ListRequirementsRequestSchema, { filter: filterOf(filter) });
    const method = this.services.requirements.listRequirements;
    return this.#list(method, request, filter.signal, (reply) =>
      reply.requirements.map((one) => new Requirement(one)),
    );
  }

  /**
   * Streams requirements as they appear and change, those that wait first; never ends. A
   * requirement may come more than once.
   */
  watchRequirements(filter: RequirementFilter = {}): Stream<Requirement> {
    const request = create(v1.WatchRequirementsRequestSchema, { filter: filterOf(filter) });
    const cursor = new InboxCursor(this.services.requirements.watchRequirements, request);
    return new Stream(
      (link) => resuming(this.caller, cursor, link),
      filter.signal,
      this.caller.closing,
    );
  }

  /**
   * Resolves one requirement. When its step waits for no other, the step goes on. The same
   * decision again gets the same answer.
   *
   * @param requirement - The requirement, or its id.
   * @param decision - The answer; may be left out when it was made on the requirement.
   * @param options - With `holdRun` the run stays paused until somebody calls `continueRun`.
   * @throws AlreadyResolvedError - somebody decided otherwise before.
   */
  async resolve(
    requirement: Requirement | string,
    decision?: Decision,
    options: CallOptions & { readonly holdRun?: boolean | undefined } = {},
  ): Promise<Resolved> {
    const request = create(v1.ResolveRequirementRequestSchema, {
      resolution: resolutionOf(requirement, decision),
      holdRun: options.holdRun ?? false,
      requestId: newRequestId(),
    });
    const method = this.services.requirements.resolveRequirement;
    const reply = await this.caller.call(method, request, options);
    return {
      requirement: new Requirement(reply.requirement ?? create(v1.RequirementSchema)),
      runState: enumName(v1.RunState, reply.runState),
    };
  }

  /** Lists the workflows that can be started, by name, newest version only. */
  listWorkflows(options: CallOptions = {}): Stream<v1.Workflow> {
    const request = create(v1.ListWorkflowsRequestSchema);
    const method = this.services.workflows.listWorkflows;
    return this.#list(method, request, options.signal, (reply) => reply.workflows);
  }

  /** Gets a session; `listRuns` gives its runs. */
  async getSession(sessionId: string, options?: CallOptions): Promise<Session> {
    const request = create(v1.GetSessionRequestSchema, { sessionId });
    const { session } = await this.caller.call(this.services.sessions.getSession, request, options);
    return new Session(session ?? create(v1.SessionSchema));
  }

  #list<Request extends { pageToken: string }, Reply extends { nextPageToken: string }, Item>(
    method: (request: Request, options: WireOptions) => Promise<Reply>,
    request: Request,
    signal: AbortSignal | undefined,
    itemsOf: (reply: Reply) => Item[],
  ): Stream<Item> {
    const read = (signal: AbortSignal) =>
      paging(async (pageToken) => {
        request.pageToken = pageToken;
        const reply = await this.caller.call(method, request, { signal });
        return [itemsOf(reply), reply.nextPageToken];
      });
    return new Stream(read, signal);
  }
}

function filterOf(filter: RequirementFilter): v1.RequirementFilter {
  const { runId = "", workflowId = "", sessionId = "", toolNames = [] } = filter;
  return create(v1.RequirementFilterSchema, {
    runId,
    workflowId,
    sessionId,
    states: filter.states?.map((one) => enumNumber(v1.RequirementState, one)) ?? [],
    kinds: filter.kinds?.map((one) => enumNumber(v1.RequirementKind, one)) ?? [],
    toolNames: [...toolNames],
  });
}

function resolutionOf(
  requirement: Requirement | string,
  decision: Decision | undefined,
): v1.RequirementResolution {
  if (typeof requirement === "string") {
    if (decision === undefined) {
      throw new DecisionError(`nothing is decided on requirement ${requirement}`);
    }
    return decision.resolving(requirement);
  }
  if (decision !== undefined) {
    requirement.decide(decision);
  }
  return resolutionOf(requirement.id, requirement.decision);
}
