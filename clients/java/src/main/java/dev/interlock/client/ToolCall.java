package dev.interlock.client;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Optional;

/**
 * A call of an external tool, which a {@link Worker} has claimed and a {@link ToolHandler}
 * executes.
 *
 * <p>When the claim is lost, the handler's thread is interrupted and {@link #isCancelled} becomes
 * true: nobody wants the result any more, so stop.
 */
public final class ToolCall {
  private final Worker worker;
  private final Requirement requirement;
  private Thread thread;
  private boolean isExecuted;
  private Worker.Outcome cancelledAs;

  ToolCall(Worker worker, Requirement requirement) {
    this.worker = worker;
    this.requirement = requirement;
  }

  /** The worker that executes it; {@link Worker#shutdown} lets it end after this call. */
  public Worker worker() {
    return worker;
  }

  /** What the run waits for, with all that is known of the call. */
  public Requirement requirement() {
    return requirement;
  }

  /**
   * Identifies the call. It is the same each time that the call is executed, so use it as an
   * idempotency key.
   */
  public String requirementId() {
    return requirement.id();
  }

  /** The run that waits. */
  public String runId() {
    return requirement.runId();
  }

  /** Name of the tool. */
  public String toolName() {
    return requirement.toolName();
  }

  /** The arguments: an object. */
  public JsonNode args() {
    return requirement.args();
  }

  /** The arguments as one of your types. */
  public <T> T args(Class<T> type) {
    return requirement.args(type);
  }

  /**
   * Grows each time that the call is claimed, from 1. Greater than 1 means that an earlier worker
   * gave up or died, and may have executed the call in part.
   */
  public long epoch() {
    return requirement.message().getClaim().getEpoch();
  }

  /** Whether the claim was lost, or the worker stops and does not wait any longer. */
  public synchronized boolean isCancelled() {
    return cancelledAs != null;
  }

  /** This thread executes it from now on. */
  synchronized void begin() {
    thread = Thread.currentThread();
    if (isCancelled()) {
      thread.interrupt();
    }
  }

  /** The handler has returned; gives what became of it if it was cancelled before that. */
  synchronized Optional<Worker.Outcome> end() {
    isExecuted = true;
    Thread.interrupted(); // What comes now must not be disturbed.
    return Optional.ofNullable(cancelledAs);
  }

  /** Stops the handler, if it has not returned. */
  synchronized void cancel(Worker.Outcome outcome) {
    if (isExecuted || isCancelled()) {
      return;
    }
    cancelledAs = outcome;
    if (thread != null) {
      thread.interrupt();
    }
  }
}
