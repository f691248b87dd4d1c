package dev.interlock.client;

import com.fasterxml.jackson.databind.JsonNode;
import dev.interlock.v1.PauseKind;
import dev.interlock.v1.RequirementResolution;
import dev.interlock.v1.RunState;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A run as it was when the server sent it. Decisions are made on the requirements in it, and sent
 * by {@link InterlockClient#continueRun(Run)}.
 */
public final class Run {
  private static final Set<RunState> ENDED =
      Set.of(RunState.RUN_STATE_COMPLETED, RunState.RUN_STATE_FAILED, RunState.RUN_STATE_CANCELLED);

  private final dev.interlock.v1.Run message;
  private final List<PausedStep> pausedSteps;

  Run(dev.interlock.v1.Run message) {
    this.message = message;
    this.pausedSteps = message.getStepRequirementsList().stream().map(PausedStep::new).toList();
  }

  /** The run as the server sent it. */
  public dev.interlock.v1.Run message() {
    return message;
  }

  /** Unique in the service. */
  public String id() {
    return message.getRunId();
  }

  /** The workflow that runs. */
  public String workflowId() {
    return message.getWorkflowId();
  }

  /** The session that the run belongs to. */
  public String sessionId() {
    return message.getSessionId();
  }

  /**
   * {@code PENDING}, {@code RUNNING}, {@code PAUSED}, {@code COMPLETED}, {@code FAILED} or {@code
   * CANCELLED}; the number of a state that is newer than this client.
   */
  public String state() {
    return Names.of(RunState.getDescriptor(), message.getStateValue());
  }

  /** Whether it waits for requirements to be resolved. */
  public boolean isPaused() {
    return message.getState() == RunState.RUN_STATE_PAUSED;
  }

  /** Whether it is over: completed, failed or cancelled. */
  public boolean isEnded() {
    return ENDED.contains(message.getState());
  }

  /** Whether it ended with an error. */
  public boolean isFailed() {
    return message.getState() == RunState.RUN_STATE_FAILED;
  }

  /** Why it is paused: {@code EXECUTOR}, {@code STEP} or {@code ERROR}; empty when it is not. */
  public String pauseKind() {
    return Names.of(PauseKind.getDescriptor(), message.getPauseKindValue());
  }

  /** The input that it was started with; missing when there was none. */
  public JsonNode input() {
    return Json.read(message.getInputJson());
  }

  /** What it gave; missing until it has completed. */
  public JsonNode output() {
    return Json.read(message.getOutputJson());
  }

  /** What it gave, as one of your types; null until it has completed. */
  public <T> T output(Class<T> type) {
    return Json.convert(output(), type);
  }

  /** Why it failed; empty when it did not. */
  public Optional<RunError> error() {
    return message.hasError() ? Optional.of(RunError.of(message.getError())) : Optional.empty();
  }

  /**
   * Results of finished nodes, oldest first, those of containers and of what is inside them alike;
   * none on runs that were listed.
   */
  public List<StepResult> stepResults() {
    return message.getStepResultsList().stream().map(StepResult::new).toList();
  }

  /** What it waits for, one entry for each paused step. */
  public List<PausedStep> pausedSteps() {
    return pausedSteps;
  }

  /** All requirements of all paused steps. */
  public List<Requirement> requirements() {
    return pausedSteps.stream().flatMap(step -> step.requirements().stream()).toList();
  }

  /** The requirements on which nothing is decided. */
  public List<Requirement> openRequirements() {
    return requirements().stream().filter(one -> !one.isResolved()).toList();
  }

  /** User-defined labels. */
  public Map<String, String> labels() {
    return message.getLabelsMap();
  }

  /** Sequence of its newest event. */
  public long lastSequence() {
    return message.getLastSequence();
  }

  /** The decisions that were made on its requirements. */
  List<RequirementResolution> resolutions() {
    return requirements().stream()
        .flatMap(one -> one.decision().map(it -> it.resolving(one.id())).stream())
        .toList();
  }

  @Override
  public String toString() {
    return "run " + id() + " of " + workflowId() + ": " + state();
  }
}
