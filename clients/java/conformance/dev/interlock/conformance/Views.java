package dev.interlock.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.interlock.client.Event;
import dev.interlock.client.InterlockException;
import dev.interlock.client.Json;
import dev.interlock.client.PausedStep;
import dev.interlock.client.Requirement;
import dev.interlock.client.Run;
import dev.interlock.client.StepResult;
import dev.interlock.client.ToolCall;
import dev.interlock.client.UserInputField;
import dev.interlock.v1.FeedbackOption;
import dev.interlock.v1.FeedbackQuestion;
import dev.interlock.v1.RequirementClaim;
import dev.interlock.v1.RequirementResolution;
import dev.interlock.v1.RouteSelection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** What the shell gives, as the suite writes it down. */
final class Views {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private Views() {}

  static ObjectNode run(Run run) {
    ObjectNode view =
        JSON.objectNode()
            .put("run_id", run.id())
            .put("workflow_id", run.workflowId())
            .put("session_id", run.sessionId())
            .put("state", run.state())
            .put("pause_kind", run.pauseKind())
            .put("is_paused", run.isPaused())
            .put("output", text(run.output()))
            .put("last_sequence", run.lastSequence());
    view.set("labels", map(run.labels()));
    view.set("step_results", list(run.stepResults(), Views::result));
    view.set("step_requirements", list(run.pausedSteps(), Views::step));
    JsonNode error =
        run.error()
            .<JsonNode>map(
                it -> JSON.objectNode().put("reason", it.reason()).put("message", it.message()))
            .orElse(JSON.nullNode());
    return view.set("error", error);
  }

  static ObjectNode requirement(Requirement requirement) {
    dev.interlock.v1.Requirement message = requirement.message();
    ObjectNode view =
        JSON.objectNode()
            .put("requirement_id", requirement.id())
            .put("run_id", requirement.runId())
            .put("kind", requirement.kind())
            .put("state", requirement.state())
            .put("step", requirement.stepName())
            .put("executor", message.getExecutorName())
            .put("message", requirement.prompt())
            .put("tool_name", requirement.toolName())
            .put("args", text(requirement.args()))
            .put("content", text(requirement.content()))
            .put("on_timeout", requirement.onTimeout())
            .put("expires", requirement.expireTime().isPresent())
            .put("attempt", message.getAttempt())
            .put("can_edit_args", requirement.canEditArgs())
            .put("resolution", requirement.resolution().map(Views::answer).orElse(null))
            .put("resolved_by", requirement.resolvedBy());
    view.set("path", strings(requirement.stepPath()));
    view.set("member_path", strings(message.getMemberPathList()));
    view.set("fields", list(requirement.userInputFields(), Views::field));
    view.set("questions", list(requirement.questions(), Views::question));
    view.set("routes", requirement.routes().map(Views::routes).orElse(JSON.nullNode()));
    return view.set("claim", requirement.claim().map(Views::claim).orElse(JSON.nullNode()));
  }

  static ObjectNode event(Event event) {
    ObjectNode view =
        JSON.objectNode()
            .put("kind", event.kindName())
            .put("sequence", event.sequence())
            .put("step", event.stepName())
            .put("text", event.text());
    return view.set("path", strings(event.stepPath()));
  }

  static ObjectNode error(InterlockException error) {
    ObjectNode view =
        JSON.objectNode()
            .put("code", error.code().name())
            .put("reason", error.reason())
            .put("message", error.description());
    ObjectNode fields = JSON.objectNode();
    error.fieldViolations().forEach(one -> fields.put(one.field(), one.description()));
    view.set("metadata", map(error.metadata()));
    return view.set("fields", fields);
  }

  static ObjectNode call(ToolCall call, String outcome) {
    return JSON.objectNode()
        .put("requirement_id", call.requirementId())
        .put("tool_name", call.toolName())
        .put("args", text(call.args()))
        .put("epoch", call.epoch())
        .put("outcome", outcome);
  }

  static <T> ArrayNode list(Iterable<T> items, Function<T, ? extends JsonNode> view) {
    ArrayNode views = JSON.arrayNode();
    items.forEach(one -> views.add(view.apply(one)));
    return views;
  }

  private static ObjectNode step(PausedStep step) {
    ObjectNode view =
        JSON.objectNode().put("step", step.stepName()).put("executor", step.executorName());
    view.set("path", strings(step.stepPath()));
    return view.set("requirements", list(step.requirements(), Views::requirement));
  }

  private static ObjectNode result(StepResult result) {
    ObjectNode view =
        JSON.objectNode()
            .put("name", result.name())
            .put("outcome", result.outcome())
            .put("output", text(result.output()));
    return view.set("path", strings(result.path()));
  }

  private static ObjectNode field(UserInputField field) {
    ObjectNode view =
        JSON.objectNode()
            .put("name", field.name())
            .put("type", field.type())
            .put("required", field.required())
            .put("value", field.value().isNull() ? null : text(field.value()));
    return view.set(
        "allowed", list(field.allowedValues(), value -> JSON.textNode(Json.write(value))));
  }

  private static ObjectNode question(FeedbackQuestion question) {
    ObjectNode view =
        JSON.objectNode()
            .put("question_id", question.getQuestionId())
            .put("question", question.getQuestion())
            .put("multi_select", question.getMultiSelect());
    return view.set(
        "options",
        strings(question.getOptionsList().stream().map(FeedbackOption::getLabel).toList()));
  }

  private static JsonNode routes(RouteSelection routes) {
    ObjectNode view = JSON.objectNode().put("allow_multiple", routes.getAllowMultiple());
    view.set("available", strings(routes.getAvailableRoutesList()));
    return view.set("proposed", strings(routes.getProposedRoutesList()));
  }

  private static JsonNode claim(RequirementClaim claim) {
    return JSON.objectNode().put("worker_id", claim.getWorkerId()).put("epoch", claim.getEpoch());
  }

  private static String answer(RequirementResolution answer) {
    return switch (answer.getResolutionCase()) {
      case RESOLUTION_NOT_SET -> null;
      default -> answer.getResolutionCase().name().toLowerCase(Locale.ROOT);
    };
  }

  private static ArrayNode strings(List<String> strings) {
    return list(strings, JSON::textNode);
  }

  private static ObjectNode map(Map<String, String> map) {
    ObjectNode view = JSON.objectNode();
    map.forEach(view::put);
    return view;
  }

  /** JSON text of a value as the shell gives it; null when it is absent. */
  private static String text(JsonNode value) {
    return value.isMissingNode() ? null : Json.write(value);
  }
}
