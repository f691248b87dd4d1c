package dev.interlock.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.interlock.client.Decision;
import dev.interlock.client.Event;
import dev.interlock.client.InterlockClient;
import dev.interlock.client.InterlockException;
import dev.interlock.client.Json;
import dev.interlock.client.Requirement;
import dev.interlock.client.Resolved;
import dev.interlock.client.Run;
import dev.interlock.client.RunStream;
import dev.interlock.client.ServerStream;
import dev.interlock.client.Session;
import dev.interlock.client.WorkflowHandle;
import dev.interlock.v1.OnReject;
import dev.interlock.v1.RequirementFilter;
import dev.interlock.v1.RequirementKind;
import dev.interlock.v1.RequirementState;
import dev.interlock.v1.RunFilter;
import dev.interlock.v1.RunState;
import dev.interlock.v1.Workflow;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** A request from each line of standard input, a reply to each on standard output. */
public final class Driver {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private final Map<String, Run> runs = new HashMap<>();
  private final Map<String, Requirement> requirements = new HashMap<>();
  private final Map<String, Reading<?>> streams = new HashMap<>();
  private final Map<String, DrivenWorker> workers = new HashMap<>();
  private InterlockClient client;

  /** Serves until standard input ends. */
  public static void main(String[] args) throws IOException {
    PrintStream replies = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Driver driver = new Driver();
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      JsonNode request = Json.read(line);
      replies.println(Json.write(driver.reply(request).set("id", request.get("id"))));
    }
    Runtime.getRuntime().halt(0); // A thread may still read a stream that nobody left.
  }

  private ObjectNode reply(JsonNode request) {
    ObjectNode reply = JSON.objectNode();
    try {
      reply.set("result", result(request));
    } catch (InterlockException error) {
      reply.set("error", Views.error(error));
    } catch (IllegalArgumentException | IllegalStateException refusal) {
      reply.put("refused", refusal.getMessage());
    }
    return reply;
  }

  private JsonNode result(JsonNode request) {
    String op = request.get("op").asText();
    return switch (op) {
      case "connect" -> connect(request);
      case "run" -> seen(workflow(request).run(input(request)));
      case "continue" -> seen(continued(request));
      case "get_run" -> seen(client.getRun(text(request, "run_id")));
      case "wait_run" -> seen(awaited(request));
      case "cancel_run" -> seen(client.cancelRun(text(request, "run_id"), text(request, "reason")));
      case "list_runs" ->
          named("runs", Views.list(client.listRuns(runFilter(request)), Views::run));
      case "list_events" -> named("events", Views.list(listEvents(request), Views::event));
      case "open" -> open(request);
      case "read" -> read(request);
      case "leave" -> leave(request);
      case "list_requirements" ->
          named(
              "requirements",
              Views.list(client.listRequirements(filter(request.path("filter"))), this::seen));
      case "get_requirement" -> seen(client.getRequirement(text(request, "requirement_id")));
      case "resolve" -> resolve(request);
      case "list_workflows" -> named("workflows", Views.list(client.listWorkflows(), this::name));
      case "get_session" -> session(client.getSession(text(request, "session_id")));
      case "worker_start" -> startWorker(request);
      case "worker_seen" -> named("calls", worker(request).seen(request));
      case "worker_finish" -> finishWorker(request);
      case "worker_stop" -> named("calls", worker(request).stop());
      default -> throw new IllegalArgumentException("there is no operation " + op);
    };
  }

  private JsonNode connect(JsonNode request) {
    if (client != null) {
      workers.values().forEach(DrivenWorker::abandon);
      client.close();
    }
    workers.clear();
    streams.clear();
    InterlockClient.Builder builder = InterlockClient.builder(text(request, "target"));
    given(request, "token").ifPresent(it -> builder.token(it.asText()));
    given(request, "ca_file").ifPresent(it -> builder.tls(Path.of(it.asText())));
    seconds(request, "timeout").ifPresent(builder::timeout);
    seconds(request, "retry_timeout").ifPresent(builder::retryTimeout);
    client = builder.build();
    return JSON.objectNode();
  }

  // Runs.

  private WorkflowHandle workflow(JsonNode request) {
    WorkflowHandle workflow = client.workflow(text(request, "workflow"));
    workflow = with(workflow, given(request, "session_id"), (it, id) -> it.session(id.asText()));
    workflow = with(workflow, given(request, "labels"), (it, labels) -> it.labels(labels(labels)));
    workflow = with(workflow, given(request, "request_id"), (it, id) -> it.requestId(id.asText()));
    workflow = with(workflow, seconds(request, "run_timeout"), WorkflowHandle::runTimeout);
    return with(workflow, seconds(request, "wait_timeout"), WorkflowHandle::waitTimeout);
  }

  private static <T> WorkflowHandle with(
      WorkflowHandle workflow,
      Optional<T> value,
      java.util.function.BiFunction<WorkflowHandle, T, WorkflowHandle> set) {
    return value.map(it -> set.apply(workflow, it)).orElse(workflow);
  }

  private Run continued(JsonNode request) {
    Run run = decided(request);
    return seconds(request, "wait_timeout")
        .map(limit -> client.continueRun(run, limit))
        .orElseGet(() -> client.continueRun(run));
  }

  private Run awaited(JsonNode request) {
    String runId = text(request, "run_id");
    return seconds(request, "wait_timeout")
        .map(limit -> client.waitRun(runId, limit))
        .orElseGet(() -> client.waitRun(runId));
  }

  private Iterable<Event> listEvents(JsonNode request) {
    long after = request.path("after_sequence").asLong();
    return client.listRunEvents(text(request, "run_id"), after);
  }

  private JsonNode seen(Run run) {
    runs.put(run.id(), run);
    run.requirements().forEach(one -> requirements.put(one.id(), one));
    return Views.run(run);
  }

  /** The newest run of an id, with decisions on its requirements. */
  private Run decided(JsonNode request) {
    String runId = text(request, "run_id");
    Run run = runs.containsKey(runId) ? runs.get(runId) : client.getRun(runId);
    for (JsonNode decision : request.path("decisions")) {
      String requirementId = text(decision, "requirement_id");
      run.requirements().stream()
          .filter(one -> one.id().equals(requirementId))
          .forEach(one -> decide(one, decision));
    }
    return run;
  }

  // Streams.

  private JsonNode open(JsonNode request) {
    Reading<?> reading =
        switch (text(request, "of")) {
          case "run" -> events(workflow(request).stream(input(request)));
          case "continue" -> events(client.continueStream(decided(request)));
          case "watch" -> events(watch(request));
          default -> requirements(client.watchRequirements(filter(request.path("filter"))));
        };
    streams.put(text(request, "stream"), reading);
    return JSON.objectNode();
  }

  private RunStream watch(JsonNode request) {
    return client.watchRun(
        text(request, "run_id"),
        request.path("after_sequence").asLong(),
        request.path("end_on_pause").asBoolean());
  }

  private Reading<Event> events(RunStream stream) {
    return new Reading<>(stream, Views::event);
  }

  private Reading<Requirement> requirements(ServerStream<Requirement> stream) {
    return new Reading<>(stream, this::seen);
  }

  private JsonNode read(JsonNode request) {
    return streams
        .get(text(request, "stream"))
        .read(
            given(request, "count").map(JsonNode::asInt).orElse(Integer.MAX_VALUE),
            text(request, "until"),
            seconds(request, "timeout").orElse(Duration.ofNanos(Long.MAX_VALUE)));
  }

  private JsonNode leave(JsonNode request) {
    streams.remove(text(request, "stream")).leave();
    return JSON.objectNode();
  }

  // The inbox.

  private JsonNode seen(Requirement requirement) {
    requirements.put(requirement.id(), requirement);
    return Views.requirement(requirement);
  }

  private JsonNode resolve(JsonNode request) {
    String id = text(request, "requirement_id");
    boolean isHeld = request.path("hold_run").asBoolean();
    Requirement requirement = requirements.get(id);
    Decision decision;
    if (requirement == null) {
      decision = decision(request);
    } else {
      decide(requirement, request);
      decision = requirement.decision().orElseThrow();
    }
    Resolved resolved = client.resolve(id, decision, isHeld);
    ObjectNode result = JSON.objectNode();
    result.set("requirement", seen(resolved.requirement()));
    return result.put("run_state", resolved.runState());
  }

  private static void decide(Requirement requirement, JsonNode decision) {
    switch (text(decision, "verb")) {
      case "confirm" -> {
        if (decision.has("edited_args")) {
          requirement.confirm(text(decision, "note"), value(decision, "edited_args"));
        } else {
          requirement.confirm(text(decision, "note"));
        }
      }
      case "reject" -> requirement.reject(text(decision, "note"), onReject(decision));
      case "user_input" -> requirement.provideUserInput(value(decision, "values"));
      case "result" -> requirement.setResult(value(decision, "result"));
      case "error" -> requirement.setError(text(decision, "message"));
      case "feedback" -> requirement.provideUserFeedback(answers(decision));
      case "edit" -> requirement.editOutput(value(decision, "output"));
      case "select" -> requirement.selectRoutes(routes(decision));
      case "retry" -> requirement.retry(text(decision, "feedback"));
      case "skip" -> requirement.skip();
      case "fail" -> requirement.fail(text(decision, "message"));
      default -> throw new IllegalArgumentException("there is no such verb: " + decision);
    }
  }

  private static Decision decision(JsonNode decision) {
    return switch (text(decision, "verb")) {
      case "confirm" ->
          decision.has("edited_args")
              ? Decision.confirm(text(decision, "note"), value(decision, "edited_args"))
              : Decision.confirm(text(decision, "note"));
      case "reject" -> Decision.reject(text(decision, "note"), onReject(decision));
      case "user_input" -> Decision.userInput(value(decision, "values"));
      case "result" -> Decision.externalResult(value(decision, "result"));
      case "error" -> Decision.externalError(text(decision, "message"));
      case "feedback" -> Decision.userFeedback(answers(decision));
      case "edit" -> Decision.editOutput(value(decision, "output"));
      case "select" -> Decision.selectRoutes(routes(decision));
      case "retry" -> Decision.retry(text(decision, "feedback"));
      case "skip" -> Decision.skip();
      case "fail" -> Decision.fail(text(decision, "message"));
      default -> throw new IllegalArgumentException("there is no such verb: " + decision);
    };
  }

  private static OnReject onReject(JsonNode decision) {
    String name = given(decision, "on_reject").map(JsonNode::asText).orElse("UNSPECIFIED");
    return OnReject.valueOf("ON_REJECT_" + name);
  }

  private static Map<String, List<String>> answers(JsonNode decision) {
    Map<String, List<String>> answers = new HashMap<>();
    decision
        .get("answers")
        .properties()
        .forEach(one -> answers.put(one.getKey(), texts(one.getValue())));
    return answers;
  }

  private static String[] routes(JsonNode decision) {
    return texts(decision.get("routes")).toArray(String[]::new);
  }

  // What there is.

  private JsonNode name(Workflow workflow) {
    return JSON.textNode(workflow.getWorkflowId());
  }

  private static JsonNode session(Session session) {
    return JSON.objectNode()
        .put("session_id", session.id())
        .put("state", Json.write(session.state()));
  }

  // Workers.

  private JsonNode startWorker(JsonNode request) {
    workers.put(text(request, "worker"), DrivenWorker.start(client, request));
    return JSON.objectNode();
  }

  private JsonNode finishWorker(JsonNode request) {
    worker(request).finish(value(request, "value"));
    return JSON.objectNode();
  }

  private DrivenWorker worker(JsonNode request) {
    return workers.get(text(request, "worker"));
  }

  // Parameters.

  private static RunFilter runFilter(JsonNode request) {
    return RunFilter.newBuilder()
        .setWorkflowId(text(request, "workflow"))
        .setSessionId(text(request, "session_id"))
        .addAllStates(values(request, "states", it -> RunState.valueOf("RUN_STATE_" + it)))
        .putAllLabels(labels(request.path("labels")))
        .build();
  }

  private static RequirementFilter filter(JsonNode filter) {
    return RequirementFilter.newBuilder()
        .setRunId(text(filter, "run_id"))
        .setWorkflowId(text(filter, "workflow_id"))
        .setSessionId(text(filter, "session_id"))
        .addAllStates(
            values(filter, "states", it -> RequirementState.valueOf("REQUIREMENT_STATE_" + it)))
        .addAllKinds(
            values(filter, "kinds", it -> RequirementKind.valueOf("REQUIREMENT_KIND_" + it)))
        .addAllToolNames(texts(filter.path("tool_names")))
        .build();
  }

  private static <T> List<T> values(JsonNode request, String name, Function<String, T> value) {
    return texts(request.path(name)).stream().map(value).toList();
  }

  private static Map<String, String> labels(JsonNode labels) {
    Map<String, String> result = new HashMap<>();
    labels.properties().forEach(one -> result.put(one.getKey(), one.getValue().asText()));
    return result;
  }

  private static List<String> texts(JsonNode array) {
    List<String> texts = new ArrayList<>();
    array.forEach(one -> texts.add(one.asText()));
    return texts;
  }

  private static JsonNode input(JsonNode request) {
    return request.has("input") ? value(request, "input") : null;
  }

  /** A value of a user, which is JSON text in the request. */
  private static JsonNode value(JsonNode request, String name) {
    return Json.read(text(request, name));
  }

  private static String text(JsonNode request, String name) {
    return request.path(name).asText();
  }

  static Optional<Duration> seconds(JsonNode request, String name) {
    return given(request, name).map(it -> Duration.ofMillis((long) (it.asDouble() * 1000)));
  }

  static Optional<JsonNode> given(JsonNode request, String name) {
    return Optional.ofNullable(request.get(name));
  }

  private static ObjectNode named(String name, JsonNode value) {
    return JSON.objectNode().set(name, value);
  }
}
