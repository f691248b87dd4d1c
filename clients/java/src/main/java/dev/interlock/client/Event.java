package dev.interlock.client;

import com.fasterxml.jackson.databind.JsonNode;
import dev.interlock.v1.RunEvent;
import dev.interlock.v1.StepRequirement;
import java.time.Instant;
import java.util.List;

/** Something that happened in a run. */
public final class Event {
  private final RunEvent message;

  Event(RunEvent message) {
    this.message = message;
  }

  /** The event as the server sent it, with what is particular to its kind. */
  public RunEvent message() {
    return message;
  }

  /** What happened. Kinds that are newer than this client never come out of a stream. */
  public RunEvent.EventCase kind() {
    return message.getEventCase();
  }

  /** Name of the kind in the contract, for example {@code step_started}. */
  public String kindName() {
    return RunEvent.getDescriptor().findFieldByNumber(kind().getNumber()).getName();
  }

  /** The run. */
  public String runId() {
    return message.getRunId();
  }

  /**
   * Position in the run: 1, 2, 3, with no gaps. A piece of text is not stored, and has the position
   * of the stored event before it.
   */
  public long sequence() {
    return message.getSequence();
  }

  /** When it happened. */
  public Instant time() {
    return Times.instant(message.getEventTime());
  }

  /** Name of the node that it is about; empty when it is about the whole run. */
  public String stepName() {
    return message.getStep().getName();
  }

  /** Names from the root down to that node; a loop is followed by its iteration's number. */
  public List<String> stepPath() {
    return List.copyOf(message.getStep().getPathList());
  }

  /** The piece of text of a {@code CONTENT_DELTA}; empty for every other kind. */
  public String text() {
    return message.getContentDelta().getText();
  }

  /** What the run gave, in {@code WORKFLOW_COMPLETED}; missing in every other kind. */
  public JsonNode output() {
    return Json.read(message.getWorkflowCompleted().getOutputJson());
  }

  /** What waits, in an event that says so; empty in every other kind. */
  public List<Requirement> requirements() {
    return steps().stream().flatMap(step -> new PausedStep(step).requirements().stream()).toList();
  }

  private List<StepRequirement> steps() {
    return switch (kind()) {
      case WORKFLOW_PAUSED -> message.getWorkflowPaused().getStepRequirementsList();
      case STEP_EXECUTOR_PAUSED -> List.of(message.getStepExecutorPaused().getStepRequirement());
      case STEP_PAUSED -> List.of(message.getStepPaused().getStepRequirement());
      default -> List.of();
    };
  }

  @Override
  public String toString() {
    return kindName() + " #" + sequence() + " of run " + runId();
  }
}
