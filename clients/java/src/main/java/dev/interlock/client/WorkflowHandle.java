package dev.interlock.client;

import dev.interlock.v1.RunSpec;
import java.time.Duration;
import java.util.Map;

/**
 * Runs one workflow; made by {@link InterlockClient#workflow}.
 *
 * <p>A handle does not change: each method that sets something gives a new handle that has it.
 */
public final class WorkflowHandle {
  private final Runs runs;
  private final RunSpec spec;
  private final String requestId;
  private final Duration waitTimeout;

  WorkflowHandle(Runs runs, String workflowId) {
    this(runs, RunSpec.newBuilder().setWorkflowId(workflowId).build(), "", null);
  }

  private WorkflowHandle(Runs runs, RunSpec spec, String requestId, Duration waitTimeout) {
    this.runs = runs;
    this.spec = spec;
    this.requestId = requestId;
    this.waitTimeout = waitTimeout;
  }

  /** The version to run; the newest when it is not set. */
  public WorkflowHandle version(int version) {
    return with(spec.toBuilder().setWorkflowVersion(version));
  }

  /** The session to run in; a new one for each run when it is not set. */
  public WorkflowHandle session(String sessionId) {
    return with(spec.toBuilder().setSessionId(sessionId));
  }

  /** Labels for runs, at most 64. */
  public WorkflowHandle labels(Map<String, String> labels) {
    return with(spec.toBuilder().clearLabels().putAllLabels(labels));
  }

  /** How long a run may take, its pauses included; after that it fails. */
  public WorkflowHandle runTimeout(Duration timeout) {
    return with(spec.toBuilder().setRunTimeout(Times.message(timeout)));
  }

  /**
   * Longest time that {@link #run} waits; then it gives the run as it is, which goes on. As long as
   * it takes when it is not set; zero means not at all.
   */
  public WorkflowHandle waitTimeout(Duration timeout) {
    return new WorkflowHandle(runs, spec, requestId, timeout);
  }

  /**
   * Makes all calls with the same id, at most 64 characters, start one run between them. A new id
   * for each call when it is not set.
   */
  public WorkflowHandle requestId(String requestId) {
    return new WorkflowHandle(runs, spec, requestId, waitTimeout);
  }

  /** Starts a run without input, and waits until it pauses or ends. */
  public Run run() {
    return run(null);
  }

  /**
   * Starts a run, and waits until it pauses or ends.
   *
   * @param input what {@link Json#write} takes; null means none
   */
  public Run run(Object input) {
    return runs.run(withInput(input), freshRequestId(), waitTimeout);
  }

  /**
   * Starts a run, and streams its events until it pauses or ends. It starts when the first event is
   * asked for.
   *
   * @param input what {@link Json#write} takes; null means none
   */
  public RunStream stream(Object input) {
    return runs.stream(withInput(input), freshRequestId());
  }

  private RunSpec withInput(Object input) {
    return input == null ? spec : spec.toBuilder().setInputJson(Json.write(input)).build();
  }

  private String freshRequestId() {
    return requestId.isEmpty() ? Runs.newRequestId() : requestId;
  }

  private WorkflowHandle with(RunSpec.Builder changed) {
    return new WorkflowHandle(runs, changed.build(), requestId, waitTimeout);
  }
}
