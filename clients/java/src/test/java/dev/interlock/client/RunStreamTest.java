package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.interlock.v1.ContentDelta;
import dev.interlock.v1.RunEvent;
import dev.interlock.v1.RunEvents;
import dev.interlock.v1.RunServiceGrpc.RunServiceImplBase;
import dev.interlock.v1.RunStreamRequest;
import dev.interlock.v1.RunStreamResponse;
import dev.interlock.v1.StepRef;
import dev.interlock.v1.StepStarted;
import dev.interlock.v1.WatchRunRequest;
import dev.interlock.v1.WatchRunResponse;
import dev.interlock.v1.WorkflowCompleted;
import dev.interlock.v1.WorkflowStarted;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class RunStreamTest {
  /** What a call sends, and how it ends; without an error it waits to be cancelled. */
  private record Leg(List<RunEvent> events, Status end) {}

  private final Queue<Leg> legs = new ArrayDeque<>();
  private final List<RunStreamRequest> started = new CopyOnWriteArrayList<>();
  private final List<Long> watchedAfter = new CopyOnWriteArrayList<>();
  private final CountDownLatch isCancelled = new CountDownLatch(1);

  private final RunServiceImplBase service =
      new RunServiceImplBase() {
        @Override
        public void runStream(RunStreamRequest request, StreamObserver<RunStreamResponse> replies) {
          started.add(request);
          Leg leg = legs.remove();
          replies.onNext(RunStreamResponse.newBuilder().setEvents(batch(leg)).build());
          end(leg, replies);
        }

        @Override
        public void watchRun(WatchRunRequest request, StreamObserver<WatchRunResponse> replies) {
          watchedAfter.add(request.getAfterSequence());
          dev.interlock.v1.Run snapshot =
              dev.interlock.v1.Run.newBuilder().setRunId(request.getRunId()).build();
          replies.onNext(WatchRunResponse.newBuilder().setSnapshot(snapshot).build());
          Leg leg = legs.remove();
          replies.onNext(WatchRunResponse.newBuilder().setEvents(batch(leg)).build());
          end(leg, replies);
        }
      };

  @Test
  void goesOnAfterTheLastStoredEvent() throws Exception {
    leg(Status.UNAVAILABLE, started(1), unknown(2));
    leg(Status.UNAVAILABLE);
    leg(Status.OK, unknown(2), stepStarted(3), completed(4));
    assertEquals(List.of(1L, 3L, 4L), sequences());
    assertEquals(List.of(2L, 2L), watchedAfter);
  }

  @Test
  void isStartedAgainUnderTheSameRequestIdUntilAnEventHasCome() throws Exception {
    leg(Status.UNAVAILABLE);
    leg(Status.OK, started(1), completed(2));
    assertEquals(List.of(1L, 2L), sequences());
    assertEquals(2, started.size());
    assertEquals(1, started.stream().distinct().count());
    assertEquals(List.of(), watchedAfter);
  }

  @Test
  void aLostConnectionAfterTheEndLosesNothing() throws Exception {
    leg(Status.UNAVAILABLE, started(1), completed(2));
    assertEquals(List.of(1L, 2L), sequences());
    assertEquals(List.of(), watchedAfter);
  }

  @Test
  void piecesOfTextDoNotComeTwice() throws Exception {
    leg(Status.UNAVAILABLE, stepStarted(1), piece(1, 1, "a"), piece(1, 2, "b"));
    leg(Status.OK, piece(1, 2, "b"), piece(1, 3, "c"), completed(2));
    StringBuilder text = new StringBuilder();
    read(event -> text.append(event.text()));
    assertEquals("abc", text.toString());
  }

  @Test
  void otherErrorsEndIt() throws Exception {
    leg(Status.FAILED_PRECONDITION, started(1));
    assertThrows(InterlockException.FailedPrecondition.class, this::sequences);
    assertEquals(List.of(), watchedAfter);
  }

  @Test
  void givesUpWhenTheServerStaysAway() throws Exception {
    leg(Status.UNAVAILABLE);
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().retryTimeout(Duration.ZERO).build();
        RunStream stream = client.workflow("W").stream(null)) {
      assertThrows(InterlockException.Unavailable.class, stream.iterator()::hasNext);
      assertFalse(stream.iterator().hasNext());
    }
  }

  @Test
  void leavingTheLoopCancelsTheCall() throws Exception {
    leg(null, started(1), stepStarted(2));
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build()) {
      try (RunStream stream = client.workflow("W").stream(null)) {
        for (Event event : stream) {
          assertEquals(1, event.sequence());
          break;
        }
      }
      isCancelled.await();
    }
  }

  @Test
  void closingWakesTheReader() throws Exception {
    leg(null, started(1));
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build()) {
      RunStream stream = client.workflow("W").stream(null);
      Thread closing = new Thread(stream::close);
      for (Event event : stream) {
        assertEquals(1, event.sequence());
        closing.start();
      }
      isCancelled.await();
    }
  }

  private void leg(Status end, RunEvent... events) {
    legs.add(new Leg(List.of(events), end));
  }

  private List<Long> sequences() throws Exception {
    List<Long> sequences = new ArrayList<>();
    read(event -> sequences.add(event.sequence()));
    return sequences;
  }

  private void read(java.util.function.Consumer<Event> reader) throws Exception {
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build();
        RunStream stream = client.workflow("W").stream(null)) {
      stream.forEach(reader);
    }
  }

  private static RunEvents batch(Leg leg) {
    return RunEvents.newBuilder().addAllEvents(leg.events).build();
  }

  private void end(Leg leg, StreamObserver<?> replies) {
    if (leg.end == null) {
      FakeServer.awaitCancellation(Context.current());
      isCancelled.countDown();
    } else if (leg.end.isOk()) {
      replies.onCompleted();
    } else {
      replies.onError(leg.end.asRuntimeException());
    }
  }

  private static RunEvent.Builder event(long sequence) {
    return RunEvent.newBuilder()
        .setRunId("r")
        .setSequence(sequence)
        .setStep(StepRef.newBuilder().setStepId("s"));
  }

  private static RunEvent started(long sequence) {
    return event(sequence).setWorkflowStarted(WorkflowStarted.getDefaultInstance()).build();
  }

  private static RunEvent stepStarted(long sequence) {
    return event(sequence).setStepStarted(StepStarted.getDefaultInstance()).build();
  }

  private static RunEvent completed(long sequence) {
    return event(sequence).setWorkflowCompleted(WorkflowCompleted.getDefaultInstance()).build();
  }

  /** An event of a kind that is newer than this client. */
  private static RunEvent unknown(long sequence) {
    return event(sequence).build();
  }

  private static RunEvent piece(long sequence, long index, String text) {
    ContentDelta delta = ContentDelta.newBuilder().setIndex(index).setText(text).build();
    return event(sequence).setContentDelta(delta).build();
  }
}
