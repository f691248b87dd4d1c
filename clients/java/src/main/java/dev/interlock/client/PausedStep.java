package dev.interlock.client;

import dev.interlock.v1.StepRequirement;
import java.util.List;
import java.util.stream.Stream;

/** Everything that one paused step waits for. */
public final class PausedStep {
  private final StepRequirement message;
  private final List<Requirement> executorRequirements;
  private final List<Requirement> stepRequirements;

  PausedStep(StepRequirement message) {
    this.message = message;
    this.executorRequirements =
        message.getExecutorRequirementsList().stream().map(Requirement::new).toList();
    this.stepRequirements =
        message.getStepRequirementsList().stream().map(Requirement::new).toList();
  }

  /** The step requirement as the server sent it. */
  public StepRequirement message() {
    return message;
  }

  /** Name of the node. */
  public String stepName() {
    return message.getStep().getName();
  }

  /** Names from the root down to the node; a loop is followed by its iteration's number. */
  public List<String> stepPath() {
    return List.copyOf(message.getStep().getPathList());
  }

  /** Display name of the agent or team that paused; empty when the step itself waits. */
  public String executorName() {
    return message.getExecutorName();
  }

  /** One entry for each tool call that waits, in call order. */
  public List<Requirement> executorRequirements() {
    return executorRequirements;
  }

  /** What the step itself waits for: its gate, its input, its review, its route or its failure. */
  public List<Requirement> stepRequirements() {
    return stepRequirements;
  }

  /** All of them, those of the executor first. */
  public List<Requirement> requirements() {
    return Stream.concat(executorRequirements.stream(), stepRequirements.stream()).toList();
  }
}
