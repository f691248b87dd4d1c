package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.interlock.v1.GetRunRequest;
import dev.interlock.v1.GetRunResponse;
import dev.interlock.v1.RunRequest;
import dev.interlock.v1.RunResponse;
import dev.interlock.v1.RunServiceGrpc.RunServiceImplBase;
import dev.interlock.v1.RunState;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class CallTest {
  private final List<RunRequest> started = new CopyOnWriteArrayList<>();
  private final CountDownLatch isHeld = new CountDownLatch(1);
  private final CountDownLatch isCancelled = new CountDownLatch(1);
  private RuntimeException failure = FakeServer.unavailable();
  private int failures;

  private final RunServiceImplBase service =
      new RunServiceImplBase() {
        @Override
        public void run(RunRequest request, StreamObserver<RunResponse> replies) {
          started.add(request);
          if (started.size() <= failures) {
            replies.onError(failure);
            return;
          }
          dev.interlock.v1.Run run =
              dev.interlock.v1.Run.newBuilder().setState(RunState.RUN_STATE_COMPLETED).build();
          replies.onNext(RunResponse.newBuilder().setRun(run).build());
          replies.onCompleted();
        }

        @Override
        public void getRun(GetRunRequest request, StreamObserver<GetRunResponse> replies) {
          isHeld.countDown();
          FakeServer.awaitCancellation(Context.current());
          isCancelled.countDown();
        }
      };

  @Test
  void isRetriedAsItIsWhileTheServerIsUnavailable() throws Exception {
    failures = 2;
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build()) {
      assertEquals("COMPLETED", client.workflow("W").run().state());
    }
    assertEquals(3, started.size());
    assertEquals(1, started.stream().distinct().count());
    assertEquals(36, started.get(0).getRequestId().length());
  }

  @Test
  void givesUpAfterTheRetryTimeout() throws Exception {
    failures = Integer.MAX_VALUE;
    failure =
        FakeServer.error(
            Status.Code.UNAVAILABLE,
            RetryInfo.newBuilder().setRetryDelay(Times.message(Duration.ofSeconds(60))).build());
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build()) {
      InterlockException error =
          assertThrows(InterlockException.Unavailable.class, client.workflow("W")::run);
      assertEquals(Optional.of(Duration.ofSeconds(60)), error.retryDelay());
    }
    assertEquals(1, started.size());
  }

  @Test
  void hasTheDetailsOfItsError() throws Exception {
    failures = 1;
    failure =
        FakeServer.error(
            Status.Code.INVALID_ARGUMENT,
            ErrorInfo.newBuilder().setReason("INVALID_FIELD").putMetadata("a", "b").build(),
            BadRequest.newBuilder()
                .addFieldViolations(
                    BadRequest.FieldViolation.newBuilder()
                        .setField("spec.workflow_id")
                        .setDescription("is missing"))
                .build());
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build()) {
      InterlockException error =
          assertThrows(InterlockException.InvalidArgument.class, client.workflow("")::run);
      assertEquals("INVALID_FIELD", error.reason());
      assertEquals(Map.of("a", "b"), error.metadata());
      assertEquals(
          List.of(new InterlockException.FieldViolation("spec.workflow_id", "is missing")),
          error.fieldViolations());
      assertEquals("INVALID_FIELD: the message (spec.workflow_id: is missing)", error.getMessage());
    }
    assertEquals(1, started.size());
  }

  @Test
  void endsWhenItsTimeoutIsOver() throws Exception {
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().timeout(Duration.ofMillis(200)).build()) {
      assertThrows(InterlockException.DeadlineExceeded.class, () -> client.getRun("r"));
    }
  }

  @Test
  void endsWhenTheThreadIsInterrupted() throws Exception {
    try (FakeServer server = new FakeServer(service);
        InterlockClient client = server.client().build()) {
      CompletableFuture<Boolean> isStillInterrupted = new CompletableFuture<>();
      Thread caller =
          new Thread(
              () -> {
                assertThrows(InterlockException.Cancelled.class, () -> client.getRun("r"));
                isStillInterrupted.complete(Thread.currentThread().isInterrupted());
              });
      caller.start();
      isHeld.await();
      caller.interrupt();
      isCancelled.await();
      assertTrue(isStillInterrupted.get());
    }
  }

  @Test
  void endsWhenTheClientIsClosed() throws Exception {
    try (FakeServer server = new FakeServer(service)) {
      InterlockClient client = server.client().build();
      CompletableFuture<Run> call = CompletableFuture.supplyAsync(() -> client.getRun("r"));
      isHeld.await();
      client.close();
      Throwable error = assertThrows(Exception.class, call::get).getCause();
      assertEquals(InterlockException.ClientClosed.class, error.getClass());
      assertThrows(InterlockException.ClientClosed.class, () -> client.getRun("r"));
    }
  }
}
