package dev.interlock.client;

import com.fasterxml.jackson.databind.JsonNode;
import dev.interlock.v1.StepOutcome;
import java.util.List;
import java.util.Optional;

/** What one finished node gave. */
public final class StepResult {
  private final dev.interlock.v1.StepResult message;

  StepResult(dev.interlock.v1.StepResult message) {
    this.message = message;
  }

  /** The result as the server sent it, with its tool calls and usage. */
  public dev.interlock.v1.StepResult message() {
    return message;
  }

  /** Name of the node. */
  public String name() {
    return message.getStep().getName();
  }

  /** Names from the root down to the node; a loop is followed by its iteration's number. */
  public List<String> path() {
    return List.copyOf(message.getStep().getPathList());
  }

  /** {@code COMPLETED}, {@code FAILED} or {@code SKIPPED}. */
  public String outcome() {
    return Names.of(StepOutcome.getDescriptor(), message.getOutcomeValue());
  }

  /** What it gave; missing when it gave nothing. */
  public JsonNode output() {
    return Json.read(message.getOutputJson());
  }

  /** Why it failed; empty when it did not. */
  public Optional<RunError> error() {
    return message.hasError() ? Optional.of(RunError.of(message.getError())) : Optional.empty();
  }
}
