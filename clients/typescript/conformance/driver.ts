/** The driver of the conformance suite; clients/conformance/README.md says what it must do. */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  Client,
  type ClientOptions,
  Decision,
  InterlockError,
  parseJson,
  type Requirement,
  type RequirementFilter,
  type Run,
  type RunEvent,
  type RunFilter,
  type RunOptions,
  type Stream,
  stringifyJson,
} from "@interlock-dev/interlock";
import { Crew } from "./crew.js";
import { Reading } from "./reading.js";
import { errorView, eventView, requirementView, runView } from "./views.js";

// biome-ignore lint/suspicious/noExplicitAny: requests are what the suite says
export type Request = any;
type Operation = (request: Request) => Promise<unknown>;

let client: Client;
const crew = new Crew();
const runs = new Map<string, Run>();
const requirements = new Map<string, Requirement>();
const streams = new Map<string, Reading<RunEvent | Requirement>>();

const operations: Record<string, Operation> = {
  async connect(request) {
    client?.close();
    streams.clear();
    const options: ClientOptions = {
      token: request.token,
      timeoutMs: ms(request.timeout),
      retryTimeoutMs: ms(request.retry_timeout),
      tls: request.ca_file && { ca: readFileSync(request.ca_file) },
    };
    client = new Client(request.target, options);
    return {};
  },

  async run(request) {
    return seen(await client.workflow(request.workflow).run(input(request), runOptions(request)));
  },

  async continue(request) {
    return seen(await client.continueRun(decided(request), waiting(request)));
  },

  async get_run(request) {
    return seen(await client.getRun(request.run_id));
  },

  async wait_run(request) {
    return seen(await client.waitRun(request.run_id, waiting(request)));
  },

  async cancel_run(request) {
    return seen(await client.cancelRun(request.run_id, { reason: request.reason }));
  },

  async list_runs(request) {
    const filter: RunFilter = {
      workflowId: request.workflow,
      sessionId: request.session_id,
      states: request.states,
      labels: request.labels,
    };
    return { runs: (await client.listRuns(filter).toArray()).map(runView) };
  },

  async list_events(request) {
    const options = { afterSequence: request.after_sequence };
    const events = await client.listRunEvents(request.run_id, options).toArray();
    return { events: events.map(eventView) };
  },

  async open(request) {
    streams.set(request.stream, new Reading<RunEvent | Requirement>(opened(request)));
    return {};
  },

  async read({ stream, count = Infinity, until, timeout }) {
    const { items, ended } = await reading(stream).read(
      (item, number) => number >= count || (until !== undefined && kindOf(item) === until),
      timeout,
    );
    return { items: items.map(item), ended };
  },

  async leave({ stream }) {
    await reading(stream).leave();
    streams.delete(stream);
    return {};
  },

  async list_requirements(request) {
    const found = await client.listRequirements(filterOf(request.filter)).toArray();
    return { requirements: found.map(item) };
  },

  async get_requirement(request) {
    return item(await client.getRequirement(request.requirement_id));
  },

  async resolve(request) {
    const options = { holdRun: request.hold_run };
    const known = requirements.get(request.requirement_id);
    const { requirement, runState } = await client.resolve(
      known ?? request.requirement_id,
      decision(request),
      options,
    );
    return { requirement: item(requirement), run_state: runState };
  },

  async list_workflows() {
    const workflows = await client.listWorkflows().toArray();
    return { workflows: workflows.map((one) => one.workflowId) };
  },

  async get_session(request) {
    const session = await client.getSession(request.session_id);
    return { session_id: session.id, state: stringifyJson(session.state) };
  },

  async worker_start(request) {
    crew.start(client, request);
    return {};
  },

  worker_seen: (request) => crew.seen(request),
  worker_finish: (request) => crew.finish(request),
  worker_stop: (request) => crew.stop(request),
};

function opened(request: Request): Stream<RunEvent> | Stream<Requirement> {
  switch (request.of) {
    case "run":
      return client.workflow(request.workflow).runStream(input(request), runOptions(request));
    case "continue":
      return client.continueRunStream(decided(request));
    case "watch": {
      const { after_sequence: afterSequence, end_on_pause: endOnPause } = request;
      return client.watchRun(request.run_id, { afterSequence, endOnPause });
    }
    default:
      return client.watchRequirements(filterOf(request.filter));
  }
}

function reading(name: string): Reading<RunEvent | Requirement> {
  const stream = streams.get(name);
  if (stream === undefined) {
    throw new RangeError(`there is no stream ${name}`);
  }
  return stream;
}

/** The newest run of an id, with decisions on its requirements. */
function decided(request: Request): Run | string {
  const run = runs.get(request.run_id);
  for (const one of request.decisions ?? []) {
    const requirement = run?.requirements.find(({ id }) => id === one.requirement_id);
    if (requirement === undefined) {
      throw new RangeError(`there is no requirement ${one.requirement_id}`);
    }
    const decide = verbs[one.verb];
    if (decide === undefined) {
      throw new RangeError(`there is no verb ${one.verb}`);
    }
    decide(requirement, one);
  }
  return run ?? request.run_id;
}

const verbs: Record<string, (requirement: Requirement, request: Request) => void> = {
  confirm: (one, request) => one.confirm(confirmOptions(request)),
  reject: (one, { note, on_reject: onReject }) => one.reject({ note, onReject }),
  user_input: (one, { values }) => one.provideUserInput(parseJson(values) as object),
  result: (one, { result }) => one.setResult(parseJson(result)),
  error: (one, { message }) => one.setError(message),
  feedback: (one, { answers }) => one.provideUserFeedback(answers),
  edit: (one, { output }) => one.editOutput(parseJson(output)),
  select: (one, { routes }) => one.selectRoutes(...routes),
  retry: (one, { feedback }) => one.retry(feedback),
  skip: (one) => one.skip(),
  fail: (one, { message }) => one.fail(message),
};

const decisions: Record<string, (request: Request) => Decision> = {
  confirm: (request) => Decision.confirm(confirmOptions(request)),
  reject: ({ note, on_reject: onReject }) => Decision.reject({ note, onReject }),
  user_input: ({ values }) => Decision.userInput(parseJson(values) as object),
  result: ({ result }) => Decision.result(parseJson(result)),
  error: ({ message }) => Decision.error(message),
  feedback: ({ answers }) => Decision.userFeedback(answers),
  edit: ({ output }) => Decision.editOutput(parseJson(output)),
  select: ({ routes }) => Decision.selectRoutes(...routes),
  retry: ({ feedback }) => Decision.retry(feedback),
  skip: () => Decision.skip(),
  fail: ({ message }) => Decision.fail(message),
};

function decision(request: Request): Decision | undefined {
  return decisions[request.verb]?.(request);
}

function confirmOptions({ note, edited_args: edited }: Request) {
  return { note, editedArgs: edited && (parseJson(edited) as object) };
}

function seen(run: Run): unknown {
  runs.set(run.id, run);
  for (const one of run.requirements) {
    requirements.set(one.id, one);
  }
  return runView(run);
}

function item(one: RunEvent | Requirement): unknown {
  if ("payload" in one) {
    return eventView(one);
  }
  requirements.set(one.id, one);
  return requirementView(one);
}

function kindOf(one: RunEvent | Requirement): string {
  return one.kind;
}

function input(request: Request): unknown {
  return request.input === undefined ? undefined : parseJson(request.input);
}

function runOptions(request: Request): RunOptions {
  return {
    sessionId: request.session_id,
    labels: request.labels,
    requestId: request.request_id,
    runTimeoutMs: ms(request.run_timeout),
    ...waiting(request),
  };
}

function waiting(request: Request): { waitTimeoutMs: number | undefined } {
  return { waitTimeoutMs: ms(request.wait_timeout) };
}

function filterOf(filter: Request = {}): RequirementFilter {
  return {
    runId: filter.run_id,
    workflowId: filter.workflow_id,
    sessionId: filter.session_id,
    states: filter.states,
    kinds: filter.kinds,
    toolNames: filter.tool_names,
  };
}

function ms(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

async function reply(request: Request): Promise<object> {
  const operation = operations[request.op];
  if (operation === undefined) {
    return { refused: `there is no operation ${request.op}` };
  }
  try {
    return { result: await operation(request) };
  } catch (error) {
    if (error instanceof InterlockError) {
      return { error: errorView(error) };
    }
    console.error(error);
    return { refused: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ id: request.id, ...(await reply(request)) })}\n`);
}
process.exit();
