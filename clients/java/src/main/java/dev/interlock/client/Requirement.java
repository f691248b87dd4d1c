package dev.interlock.client;

import static dev.interlock.v1.RequirementResolution.ResolutionCase.CONFIRM;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.EDITED_OUTPUT;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.EXTERNAL_RESULT;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.FAIL;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.REJECT;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.RETRY;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.ROUTE_CHOICE;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.SKIP;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.USER_FEEDBACK;
import static dev.interlock.v1.RequirementResolution.ResolutionCase.USER_INPUT;

import com.fasterxml.jackson.databind.JsonNode;
import dev.interlock.v1.FeedbackQuestion;
import dev.interlock.v1.OnReject;
import dev.interlock.v1.OnTimeout;
import dev.interlock.v1.RequirementClaim;
import dev.interlock.v1.RequirementKind;
import dev.interlock.v1.RequirementResolution;
import dev.interlock.v1.RequirementResolution.ResolutionCase;
import dev.interlock.v1.RequirementState;
import dev.interlock.v1.RouteSelection;
import java.time.Instant;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * One thing that waits for a person or for an outside system.
 *
 * <p>Its methods only note a decision on this object; {@link InterlockClient#continueRun(Run)} and
 * {@link InterlockClient#resolve(Requirement)} send it. Every method that decides throws {@link
 * IllegalArgumentException} when the answer does not fit the kind of the requirement, and {@link
 * IllegalStateException} when it is already resolved.
 */
public final class Requirement {
  private static final Map<RequirementKind, Set<ResolutionCase>> FITTING =
      Map.ofEntries(
          Map.entry(RequirementKind.REQUIREMENT_KIND_CONFIRMATION, Set.of(CONFIRM, REJECT)),
          Map.entry(RequirementKind.REQUIREMENT_KIND_USER_INPUT, Set.of(USER_INPUT, REJECT)),
          Map.entry(
              RequirementKind.REQUIREMENT_KIND_EXTERNAL_EXECUTION, Set.of(EXTERNAL_RESULT, REJECT)),
          Map.entry(
              RequirementKind.REQUIREMENT_KIND_USER_FEEDBACK,
              Set.of(USER_FEEDBACK, USER_INPUT, REJECT)),
          Map.entry(RequirementKind.REQUIREMENT_KIND_STEP_CONFIRMATION, Set.of(CONFIRM, REJECT)),
          Map.entry(RequirementKind.REQUIREMENT_KIND_STEP_INPUT, Set.of(USER_INPUT, REJECT)),
          Map.entry(
              RequirementKind.REQUIREMENT_KIND_OUTPUT_REVIEW,
              Set.of(CONFIRM, REJECT, EDITED_OUTPUT, RETRY)),
          Map.entry(RequirementKind.REQUIREMENT_KIND_ROUTE_SELECTION, Set.of(ROUTE_CHOICE, REJECT)),
          Map.entry(
              RequirementKind.REQUIREMENT_KIND_ITERATION_REVIEW, Set.of(CONFIRM, REJECT, RETRY)),
          Map.entry(
              RequirementKind.REQUIREMENT_KIND_ERROR_DECISION,
              Set.of(RETRY, SKIP, FAIL, EDITED_OUTPUT, REJECT)),
          Map.entry(
              RequirementKind.REQUIREMENT_KIND_IN_DOUBT,
              Set.of(RETRY, EXTERNAL_RESULT, FAIL, REJECT)));

  // What a kind that is newer than this client takes.
  private static final Set<ResolutionCase> ANY = EnumSet.allOf(ResolutionCase.class);

  private final dev.interlock.v1.Requirement message;
  private volatile Decision decision;

  Requirement(dev.interlock.v1.Requirement message) {
    this.message = message;
  }

  /** The requirement as the server sent it. */
  public dev.interlock.v1.Requirement message() {
    return message;
  }

  /** Unique in the service. */
  public String id() {
    return message.getRequirementId();
  }

  /** The run that waits. */
  public String runId() {
    return message.getRunId();
  }

  /**
   * Name of the {@code RequirementKind} without its prefix, for example {@code CONFIRMATION}; the
   * number of a kind that is newer than this client.
   */
  public String kind() {
    return Names.of(RequirementKind.getDescriptor(), message.getKindValue());
  }

  /** {@code PENDING}, {@code RESOLVED}, {@code EXPIRED} or {@code CANCELLED}, as it was sent. */
  public String state() {
    return Names.of(RequirementState.getDescriptor(), message.getStateValue());
  }

  /** Name of the node. */
  public String stepName() {
    return message.getStep().getName();
  }

  /** Names from the root down to the node; a loop is followed by its iteration's number. */
  public List<String> stepPath() {
    return List.copyOf(message.getStep().getPathList());
  }

  /** Text to show to the person; empty means none. */
  public String prompt() {
    return message.getMessage();
  }

  /** Name of the tool that is called; empty when it is about a step. */
  public String toolName() {
    return message.getToolExecution().getToolName();
  }

  /** The arguments, exactly as the tool gets them; missing when it is not about a tool call. */
  public JsonNode args() {
    return Json.read(argsJson());
  }

  /** The arguments as one of your types. */
  public <T> T args(Class<T> type) {
    return Json.convert(args(), type);
  }

  /** The arguments as the JSON text that was sent; empty when it is not about a tool call. */
  public String argsJson() {
    return message.getToolExecution().getToolArgsJson();
  }

  /** Whether a confirmation may come with other arguments. */
  public boolean canEditArgs() {
    return message.getCanEditArgs();
  }

  /** The fields to fill in. What the agent fixed is not among them: {@link #args} shows it. */
  public List<UserInputField> userInputFields() {
    return message.getUserInputSchemaList().stream()
        .filter(field -> !field.getReadOnly())
        .map(UserInputField::of)
        .toList();
  }

  /** The questions to answer. */
  public List<FeedbackQuestion> questions() {
    return message.getFeedbackQuestionsList();
  }

  /** The routes to choose from; empty when it is not a choice of routes. */
  public Optional<RouteSelection> routes() {
    return message.hasRouteSelection()
        ? Optional.of(message.getRouteSelection())
        : Optional.empty();
  }

  /** What a step was given or, under review, what it gave; missing where there is nothing. */
  public JsonNode content() {
    return Json.read(message.getStepGate().getContentJson());
  }

  /** The worker that executes the call; empty when none does. */
  public Optional<RequirementClaim> claim() {
    return message.hasClaim() ? Optional.of(message.getClaim()) : Optional.empty();
  }

  /** When it stops waiting by itself; empty means never. */
  public Optional<Instant> expireTime() {
    return message.hasExpireTime()
        ? Optional.of(Times.instant(message.getExpireTime()))
        : Optional.empty();
  }

  /**
   * What happens then: {@code CANCEL}, {@code REJECT}, {@code APPROVE}, {@code SKIP} or {@code
   * FAIL}; empty when nothing does.
   */
  public String onTimeout() {
    return Names.of(OnTimeout.getDescriptor(), message.getOnTimeoutValue());
  }

  /** Whether it waits for a yes or a no, to a tool call or to a whole step. */
  public boolean needsConfirmation() {
    return needs(
        RequirementKind.REQUIREMENT_KIND_CONFIRMATION,
        RequirementKind.REQUIREMENT_KIND_STEP_CONFIRMATION);
  }

  /** Whether it waits for values, of a tool call or of a whole step. */
  public boolean needsUserInput() {
    return needs(
        RequirementKind.REQUIREMENT_KIND_USER_INPUT, RequirementKind.REQUIREMENT_KIND_STEP_INPUT);
  }

  /** Whether it waits for the result of a tool that runs elsewhere. */
  public boolean needsExternalExecution() {
    return needs(RequirementKind.REQUIREMENT_KIND_EXTERNAL_EXECUTION);
  }

  /** Whether it is decided, here or on the server, or waits no longer. */
  public boolean isResolved() {
    return decision != null || message.getState() != RequirementState.REQUIREMENT_STATE_PENDING;
  }

  /** What was decided on this object; empty when nothing was. */
  public Optional<Decision> decision() {
    return Optional.ofNullable(decision);
  }

  /** The answer that was given, here or on the server; empty while there is none. */
  public Optional<RequirementResolution> resolution() {
    if (decision != null) {
      return Optional.of(decision.resolving(id()));
    }
    return message.hasResolution() ? Optional.of(message.getResolution()) : Optional.empty();
  }

  /** Who resolved it, as the server sent it. */
  public String resolvedBy() {
    return message.getResolvedBy();
  }

  /** Lets the tool, the step or the output pass. */
  public void confirm() {
    decide(Decision.confirm());
  }

  /** Lets it pass, with a note; see {@link Decision#confirm(String)}. */
  public void confirm(String note) {
    decide(Decision.confirm(note));
  }

  /** Lets a tool run with other arguments; see {@link Decision#confirm(String, Object)}. */
  public void confirm(String note, Object editedArgs) {
    decide(Decision.confirm(note, editedArgs));
  }

  /** Keeps the tool or the step from running, or refuses the output. Fits every kind. */
  public void reject() {
    decide(Decision.reject());
  }

  /** Rejects it, with a reason; see {@link Decision#reject(String)}. */
  public void reject(String note) {
    decide(Decision.reject(note));
  }

  /** Rejects it, and chooses what follows; see {@link Decision#reject(String, OnReject)}. */
  public void reject(String note, OnReject onReject) {
    decide(Decision.reject(note, onReject));
  }

  /** Supplies values by field name; one that is left out keeps its value or default. */
  public void provideUserInput(Object values) {
    decide(Decision.userInput(values));
  }

  /** Answers questions: the labels that were chosen, by question id. */
  public void provideUserFeedback(Map<String, List<String>> answers) {
    decide(Decision.userFeedback(answers));
  }

  /** Supplies what the tool that ran elsewhere gave back: any value that JSON has, also null. */
  public void setResult(Object result) {
    decide(Decision.externalResult(result));
  }

  /** Says why the tool that ran elsewhere failed; the agent is told. */
  public void setError(String message) {
    decide(Decision.externalError(message));
  }

  /** Replaces the output under review, or supplies that of a failed step. */
  public void editOutput(Object output) {
    decide(Decision.editOutput(output));
  }

  /** Chooses routes, in the order in which they shall run. */
  public void selectRoutes(String... routes) {
    decide(Decision.selectRoutes(routes));
  }

  /** Runs it again. */
  public void retry() {
    decide(Decision.retry());
  }

  /** Runs it again, with what to do better. */
  public void retry(String feedback) {
    decide(Decision.retry(feedback));
  }

  /** Passes over the step that failed. */
  public void skip() {
    decide(Decision.skip());
  }

  /** Lets it fail. */
  public void fail() {
    decide(Decision.fail());
  }

  /** Lets it fail, with what is recorded as the error. */
  public void fail(String message) {
    decide(Decision.fail(message));
  }

  /** Notes any decision; the methods above are short for it. */
  public synchronized void decide(Decision decision) {
    if (!FITTING.getOrDefault(message.getKind(), ANY).contains(decision.kind())) {
      throw new IllegalArgumentException(
          "requirement " + id() + " is of kind " + kind() + ": " + decision + " does not fit it");
    }
    if (isResolved()) {
      String how = this.decision == null ? state() : this.decision.toString();
      throw new IllegalStateException(
          "requirement "
              + id()
              + " is already resolved ("
              + how
              + "): "
              + decision
              + " is too late");
    }
    this.decision = decision;
  }

  private boolean needs(RequirementKind... kinds) {
    return !isResolved() && Arrays.asList(kinds).contains(message.getKind());
  }

  @Override
  public String toString() {
    String how = decision == null ? state() : decision.toString();
    return "requirement " + id() + " " + kind() + " " + toolName() + argsJson() + ": " + how;
  }
}
