package dev.interlock.client;

import dev.interlock.v1.CancelRunRequest;
import dev.interlock.v1.ContinueRunRequest;
import dev.interlock.v1.ContinueRunStreamRequest;
import dev.interlock.v1.RunRequest;
import dev.interlock.v1.RunServiceGrpc;
import dev.interlock.v1.RunSpec;
import dev.interlock.v1.RunState;
import dev.interlock.v1.RunStreamRequest;
import dev.interlock.v1.WaitRunRequest;
import dev.interlock.v1.WatchRunRequest;
import java.time.Duration;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;

/** Starting, continuing, watching and cancelling runs. */
final class Runs {
  // Longest wait in one call, so that no proxy takes it for dead.
  private static final Duration SLICE = Duration.ofSeconds(30);

  private static final Set<RunState> SETTLED =
      Set.of(
          RunState.RUN_STATE_PAUSED,
          RunState.RUN_STATE_COMPLETED,
          RunState.RUN_STATE_FAILED,
          RunState.RUN_STATE_CANCELLED);

  private final Caller caller;

  Runs(Caller caller) {
    this.caller = caller;
  }

  /** A request id that nobody else uses. */
  static String newRequestId() {
    return UUID.randomUUID().toString();
  }

  Run run(RunSpec spec, String requestId, Duration waitTimeout) {
    return settle(
        waitTimeout,
        slice -> {
          RunRequest request =
              RunRequest.newBuilder()
                  .setSpec(spec)
                  .setRequestId(requestId)
                  .setWaitTimeout(Times.message(slice))
                  .build();
          return caller.call(RunServiceGrpc.getRunMethod(), request, slice).getRun();
        });
  }

  Run continueRun(Run run, Duration waitTimeout) {
    return settle(
        waitTimeout,
        slice -> {
          ContinueRunRequest request =
              ContinueRunRequest.newBuilder()
                  .setRunId(run.id())
                  .addAllResolutions(run.resolutions())
                  .setRequestId(newRequestId())
                  .setWaitTimeout(Times.message(slice))
                  .build();
          return caller.call(RunServiceGrpc.getContinueRunMethod(), request, slice).getRun();
        });
  }

  Run await(String runId, Duration waitTimeout) {
    return settle(waitTimeout, slice -> awaitOnce(runId, slice));
  }

  RunStream stream(RunSpec spec, String requestId) {
    RunStreamRequest request =
        RunStreamRequest.newBuilder().setSpec(spec).setRequestId(requestId).build();
    return new RunStream(caller, RunCursor.run(request));
  }

  RunStream continueStream(Run run) {
    ContinueRunStreamRequest request =
        ContinueRunStreamRequest.newBuilder()
            .setRunId(run.id())
            .addAllResolutions(run.resolutions())
            .setRequestId(newRequestId())
            .build();
    return new RunStream(caller, RunCursor.continued(request));
  }

  RunStream watch(String runId, long afterSequence, boolean endOnPause) {
    WatchRunRequest request =
        WatchRunRequest.newBuilder()
            .setRunId(runId)
            .setAfterSequence(afterSequence)
            .setEndOnPause(endOnPause)
            .build();
    return new RunStream(caller, RunCursor.watch(request));
  }

  Run cancel(String runId, String reason) {
    CancelRunRequest request =
        CancelRunRequest.newBuilder()
            .setRunId(runId)
            .setReason(reason)
            .setRequestId(newRequestId())
            .build();
    return new Run(caller.call(RunServiceGrpc.getCancelRunMethod(), request).getRun());
  }

  private dev.interlock.v1.Run awaitOnce(String runId, Duration slice) {
    WaitRunRequest request =
        WaitRunRequest.newBuilder().setRunId(runId).setWaitTimeout(Times.message(slice)).build();
    return caller.call(RunServiceGrpc.getWaitRunMethod(), request, slice).getRun();
  }

  /**
   * Waits in slices: first in the call that starts the wait, then in {@code WaitRun}.
   *
   * @param waitTimeout null means as long as it takes
   */
  private Run settle(Duration waitTimeout, Function<Duration, dev.interlock.v1.Run> start) {
    if (waitTimeout != null && waitTimeout.isNegative()) {
      throw new IllegalArgumentException("a wait cannot be negative: " + waitTimeout);
    }
    long began = System.nanoTime();
    dev.interlock.v1.Run run = start.apply(slice(waitTimeout));
    while (!SETTLED.contains(run.getState())) {
      Duration remaining = remaining(waitTimeout, began);
      if (remaining != null && remaining.compareTo(Duration.ZERO) <= 0) {
        break;
      }
      run = awaitOnce(run.getRunId(), slice(remaining));
    }
    return new Run(run);
  }

  private static Duration remaining(Duration waitTimeout, long began) {
    return waitTimeout == null ? null : waitTimeout.minusNanos(System.nanoTime() - began);
  }

  private static Duration slice(Duration remaining) {
    return remaining == null || remaining.compareTo(SLICE) > 0 ? SLICE : remaining;
  }
}
