package dev.interlock.client;

import dev.interlock.v1.Confirmation;
import dev.interlock.v1.EditedOutput;
import dev.interlock.v1.ExternalResult;
import dev.interlock.v1.Fail;
import dev.interlock.v1.FeedbackAnswer;
import dev.interlock.v1.OnReject;
import dev.interlock.v1.Rejection;
import dev.interlock.v1.RequirementResolution;
import dev.interlock.v1.RequirementResolution.ResolutionCase;
import dev.interlock.v1.Retry;
import dev.interlock.v1.RouteChoice;
import dev.interlock.v1.Skip;
import dev.interlock.v1.UserFeedback;
import dev.interlock.v1.UserInput;
import java.util.List;
import java.util.Map;

/**
 * An answer that is not yet tied to a requirement; {@link InterlockClient#resolve(String,
 * Decision)} ties it to one. The methods of a {@link Requirement} also check that the answer fits.
 */
public final class Decision {
  private final RequirementResolution message;

  private Decision(RequirementResolution.Builder message) {
    this.message = message.build();
  }

  /** Lets the tool, the step or the output pass. */
  public static Decision confirm() {
    return confirm("");
  }

  /**
   * Lets the tool, the step or the output pass.
   *
   * @param note recorded with the decision, at most 4,000 characters
   */
  public static Decision confirm(String note) {
    return of(Confirmation.newBuilder().setNote(note).build());
  }

  /**
   * Lets a tool run with other arguments, where it allows edits.
   *
   * @param note recorded with the decision, at most 4,000 characters
   * @param editedArgs the arguments to use instead: what makes a JSON object
   */
  public static Decision confirm(String note, Object editedArgs) {
    String edited = Json.write(editedArgs);
    return of(Confirmation.newBuilder().setNote(note).setEditedArgsJson(edited).build());
  }

  /** Keeps the tool or the step from running, or refuses the output. */
  public static Decision reject() {
    return reject("");
  }

  /**
   * Keeps the tool or the step from running, or refuses the output.
   *
   * @param note the reason, which the agent is told, at most 4,000 characters
   */
  public static Decision reject(String note) {
    return reject(note, OnReject.ON_REJECT_UNSPECIFIED);
  }

  /**
   * Keeps the tool or the step from running, or refuses the output.
   *
   * @param note the reason, which the agent is told, at most 4,000 characters
   * @param onReject what follows, where the requirement leaves a choice
   */
  public static Decision reject(String note, OnReject onReject) {
    Rejection rejection = Rejection.newBuilder().setNote(note).setOnReject(onReject).build();
    return new Decision(RequirementResolution.newBuilder().setReject(rejection));
  }

  /**
   * Supplies values; a field that is left out keeps its value or default.
   *
   * @param values values by field name: what makes a JSON object
   */
  public static Decision userInput(Object values) {
    UserInput input = UserInput.newBuilder().setValuesJson(Json.write(values)).build();
    return new Decision(RequirementResolution.newBuilder().setUserInput(input));
  }

  /**
   * Answers an agent's questions.
   *
   * @param answers the labels that were chosen, by question id
   */
  public static Decision userFeedback(Map<String, List<String>> answers) {
    UserFeedback.Builder feedback = UserFeedback.newBuilder();
    answers.forEach(
        (question, labels) ->
            feedback.addAnswers(
                FeedbackAnswer.newBuilder().setQuestionId(question).addAllSelectedOptions(labels)));
    return new Decision(RequirementResolution.newBuilder().setUserFeedback(feedback));
  }

  /** Supplies what a tool that ran elsewhere gave back: any value that JSON has, also null. */
  public static Decision externalResult(Object result) {
    return of(ExternalResult.newBuilder().setResultJson(Json.write(result)).build());
  }

  /** Says why a tool that ran elsewhere failed; the agent is told. */
  public static Decision externalError(String message) {
    return of(ExternalResult.newBuilder().setErrorMessage(message).build());
  }

  /** Replaces the output under review, or supplies that of a failed step. */
  public static Decision editOutput(Object output) {
    EditedOutput edited = EditedOutput.newBuilder().setOutputJson(Json.write(output)).build();
    return new Decision(RequirementResolution.newBuilder().setEditedOutput(edited));
  }

  /** Chooses routes, in the order in which they shall run. */
  public static Decision selectRoutes(String... routes) {
    RouteChoice choice = RouteChoice.newBuilder().addAllRoutes(List.of(routes)).build();
    return new Decision(RequirementResolution.newBuilder().setRouteChoice(choice));
  }

  /** Runs it again. */
  public static Decision retry() {
    return retry("");
  }

  /**
   * Runs it again.
   *
   * @param feedback what to do better, at most 4,000 characters
   */
  public static Decision retry(String feedback) {
    Retry retry = Retry.newBuilder().setFeedback(feedback).build();
    return new Decision(RequirementResolution.newBuilder().setRetry(retry));
  }

  /** Passes over it. */
  public static Decision skip() {
    return new Decision(RequirementResolution.newBuilder().setSkip(Skip.getDefaultInstance()));
  }

  /** Lets it fail. */
  public static Decision fail() {
    return fail("");
  }

  /**
   * Lets it fail.
   *
   * @param message recorded as the error, at most 4,000 characters
   */
  public static Decision fail(String message) {
    Fail fail = Fail.newBuilder().setMessage(message).build();
    return new Decision(RequirementResolution.newBuilder().setFail(fail));
  }

  /** Which answer it is. */
  public ResolutionCase kind() {
    return message.getResolutionCase();
  }

  /** The answer as it is sent for one requirement. */
  RequirementResolution resolving(String requirementId) {
    return message.toBuilder().setRequirementId(requirementId).build();
  }

  private static Decision of(Confirmation confirmation) {
    return new Decision(RequirementResolution.newBuilder().setConfirm(confirmation));
  }

  private static Decision of(ExternalResult result) {
    return new Decision(RequirementResolution.newBuilder().setExternalResult(result));
  }

  @Override
  public String toString() {
    return kind().name().toLowerCase(java.util.Locale.ROOT);
  }
}
