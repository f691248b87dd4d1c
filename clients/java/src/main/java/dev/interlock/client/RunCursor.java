package dev.interlock.client;

import dev.interlock.v1.ContentDelta;
import dev.interlock.v1.ContinueRunStreamRequest;
import dev.interlock.v1.ContinueRunStreamResponse;
import dev.interlock.v1.RunEvent;
import dev.interlock.v1.RunEvents;
import dev.interlock.v1.RunServiceGrpc;
import dev.interlock.v1.RunStreamRequest;
import dev.interlock.v1.RunStreamResponse;
import dev.interlock.v1.WatchRunRequest;
import dev.interlock.v1.WatchRunResponse;
import io.grpc.Channel;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** The position in the events of one run. */
final class RunCursor implements Cursor<RunCursor.Reply, Event> {
  /** A reply of any of the calls that stream events. */
  record Reply(RunEvents events, dev.interlock.v1.Run snapshot) {}

  private final WatchRunRequest.Builder watch;
  private final boolean isLeg;
  private final Map<String, Pieces> pieces = new HashMap<>();
  // Repeated as it is until it has brought an event, so that nothing starts twice.
  private Function<Channel, Inbound<Reply>> opening;
  private volatile Run snapshot;
  private boolean isFinished;

  private RunCursor(
      Function<Channel, Inbound<Reply>> opening, WatchRunRequest.Builder watch, boolean isLeg) {
    this.opening = opening;
    this.watch = watch;
    this.isLeg = isLeg;
  }

  static RunCursor run(RunStreamRequest request) {
    return new RunCursor(
        channel ->
            Inbound.open(
                channel,
                RunServiceGrpc.getRunStreamMethod(),
                request,
                (RunStreamResponse reply) -> new Reply(reply.getEvents(), null)),
        WatchRunRequest.newBuilder().setEndOnPause(true),
        true);
  }

  static RunCursor continued(ContinueRunStreamRequest request) {
    return new RunCursor(
        channel ->
            Inbound.open(
                channel,
                RunServiceGrpc.getContinueRunStreamMethod(),
                request,
                (ContinueRunStreamResponse reply) -> new Reply(reply.getEvents(), null)),
        WatchRunRequest.newBuilder().setRunId(request.getRunId()).setEndOnPause(true),
        true);
  }

  static RunCursor watch(WatchRunRequest request) {
    return new RunCursor(null, request.toBuilder(), false);
  }

  Optional<Run> snapshot() {
    return Optional.ofNullable(snapshot);
  }

  @Override
  public Inbound<Reply> open(Channel channel) {
    pieces.values().forEach(Pieces::resume);
    if (opening != null) {
      return opening.apply(channel);
    }
    return Inbound.open(
        channel,
        RunServiceGrpc.getWatchRunMethod(),
        watch.build(),
        (WatchRunResponse reply) ->
            new Reply(reply.getEvents(), reply.hasSnapshot() ? reply.getSnapshot() : null));
  }

  @Override
  public Optional<List<Event>> receive(Reply reply) {
    if (reply.snapshot != null) {
      snapshot = new Run(reply.snapshot);
      return Optional.empty();
    }
    List<Event> events = new ArrayList<>();
    for (RunEvent message : reply.events.getEventsList()) {
      if (admits(message)) {
        events.add(new Event(message));
      }
    }
    return Optional.of(events);
  }

  @Override
  public boolean isFinished() {
    return isFinished;
  }

  /** Notes an event; whether it is to be delivered. */
  private boolean admits(RunEvent message) {
    if (message.hasContentDelta()) {
      return piecesOf(message).admits(message.getContentDelta());
    }
    if (message.getSequence() <= watch.getAfterSequence()) {
      return false;
    }
    opening = null;
    watch.setRunId(message.getRunId()).setAfterSequence(message.getSequence());
    note(message);
    return message.getEventCase() != RunEvent.EventCase.EVENT_NOT_SET;
  }

  private void note(RunEvent message) {
    isFinished = false;
    switch (message.getEventCase()) {
      case WORKFLOW_COMPLETED, WORKFLOW_FAILED, WORKFLOW_CANCELLED -> isFinished = true;
      case WORKFLOW_PAUSED -> isFinished = isLeg;
      case STEP_STARTED -> pieces.remove(message.getStep().getStepId());
      case STEP_COMPLETED, STEP_FAILED, STEP_SKIPPED -> piecesOf(message).end();
      default -> {}
    }
  }

  private Pieces piecesOf(RunEvent message) {
    return pieces.computeIfAbsent(message.getStep().getStepId(), step -> new Pieces());
  }

  /**
   * The pieces of text of one step. The server does not store them: after a lost connection some
   * may come again, and some never come.
   */
  private static final class Pieces {
    private long lastIndex;
    private long skippedUntil;

    void resume() {
      skippedUntil = Math.max(skippedUntil, lastIndex);
    }

    void end() {
      skippedUntil = Long.MAX_VALUE;
    }

    boolean admits(ContentDelta piece) {
      if (piece.getIndex() <= skippedUntil) {
        return false;
      }
      lastIndex = piece.getIndex();
      return true;
    }
  }
}
