package dev.interlock.client;

import static dev.interlock.client.Worker.Outcome.FAILED;
import static dev.interlock.client.Worker.Outcome.LOST;
import static dev.interlock.client.Worker.Outcome.RELEASED;
import static dev.interlock.client.Worker.Outcome.REPORTED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.interlock.v1.ClaimRequirementRequest;
import dev.interlock.v1.ClaimRequirementResponse;
import dev.interlock.v1.ReleaseClaimRequest;
import dev.interlock.v1.ReleaseClaimResponse;
import dev.interlock.v1.RenewClaimRequest;
import dev.interlock.v1.RenewClaimResponse;
import dev.interlock.v1.RequirementClaim;
import dev.interlock.v1.RequirementServiceGrpc.RequirementServiceImplBase;
import dev.interlock.v1.ResolveRequirementRequest;
import dev.interlock.v1.ResolveRequirementResponse;
import dev.interlock.v1.ToolExecution;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class WorkerTest {
  private final BlockingQueue<String> waiting = new LinkedBlockingQueue<>();
  private final BlockingQueue<Object> seen = new LinkedBlockingQueue<>();
  private final BlockingQueue<Worker.Outcome> outcomes = new LinkedBlockingQueue<>();
  private final BlockingQueue<StatusRuntimeException> refusals = new LinkedBlockingQueue<>();
  private final CountDownLatch isClaimHeld = new CountDownLatch(1);
  private final CountDownLatch isClaimCancelled = new CountDownLatch(1);
  private volatile StatusRuntimeException renewal;
  private FakeServer server;
  private InterlockClient client;

  /** Gives the calls that wait, and notes what it is told of them. */
  private final RequirementServiceImplBase service =
      new RequirementServiceImplBase() {
        @Override
        public void claimRequirement(
            ClaimRequirementRequest request, StreamObserver<ClaimRequirementResponse> replies) {
          String args = waiting.poll();
          if (args != null) {
            reply(
                replies, ClaimRequirementResponse.newBuilder().setRequirement(call(args)).build());
          } else if (request.getWaitTimeout().getSeconds() == 0) {
            reply(replies, ClaimRequirementResponse.getDefaultInstance());
          } else {
            isClaimHeld.countDown();
            FakeServer.awaitCancellation(Context.current());
            isClaimCancelled.countDown();
          }
        }

        @Override
        public void resolveRequirement(
            ResolveRequirementRequest request, StreamObserver<ResolveRequirementResponse> replies) {
          seen.add(request);
          StatusRuntimeException refusal = refusals.poll();
          if (refusal != null) {
            replies.onError(refusal);
          } else {
            reply(replies, ResolveRequirementResponse.getDefaultInstance());
          }
        }

        @Override
        public void renewClaim(
            RenewClaimRequest request, StreamObserver<RenewClaimResponse> replies) {
          if (renewal != null) {
            replies.onError(renewal);
          } else {
            reply(replies, RenewClaimResponse.getDefaultInstance());
          }
        }

        @Override
        public void releaseClaim(
            ReleaseClaimRequest request, StreamObserver<ReleaseClaimResponse> replies) {
          seen.add(request);
          reply(replies, ReleaseClaimResponse.getDefaultInstance());
        }
      };

  @BeforeEach
  void open() throws IOException {
    server = new FakeServer(service);
    client = server.client().build();
  }

  @AfterEach
  void close() {
    client.close();
    server.close();
  }

  private Worker.Builder worker(ToolHandler handler) {
    return Worker.builder(client)
        .tool("weigh", handler)
        .lease(Duration.ofSeconds(1))
        .onOutcome((call, outcome) -> outcomes.add(outcome));
  }

  @Test
  void reportsWhatTheHandlerReturns() throws Exception {
    waiting.add("{\"grams\":9007199254740993}");
    try (Worker worker = worker(ToolCall::args).start()) {
      assertEquals(REPORTED, outcomes.take());
    }
    ResolveRequirementRequest report = (ResolveRequirementRequest) seen.take();
    assertEquals(7, report.getClaimEpoch());
    assertEquals(
        "{\"grams\":9007199254740993}", report.getResolution().getExternalResult().getResultJson());
  }

  @Test
  void reportsWhatTheHandlerThrows() throws Exception {
    waiting.add("{}");
    ToolHandler handler =
        call -> {
          throw new IOException("the scales are broken");
        };
    try (Worker worker = worker(handler).start()) {
      assertEquals(FAILED, outcomes.take());
    }
    assertEquals("the scales are broken", errorOf(seen.take()));
  }

  @Test
  void aRefusedResultIsReportedAsAnError() throws Exception {
    waiting.add("{}");
    refusals.add(FakeServer.error(Status.Code.RESOURCE_EXHAUSTED, "SIZE_LIMIT_EXCEEDED"));
    try (Worker worker = worker(call -> "much").start()) {
      assertEquals(FAILED, outcomes.take());
    }
    seen.take();
    assertEquals("the result was refused: the message", errorOf(seen.take()));
  }

  @Test
  void aLostClaimInterruptsTheHandler() throws Exception {
    waiting.add("{}");
    renewal = FakeServer.error(Status.Code.FAILED_PRECONDITION, "CLAIM_LOST");
    ToolHandler handler =
        call -> {
          try {
            new CountDownLatch(1).await();
          } finally {
            assertTrue(call.isCancelled());
          }
          return null;
        };
    try (Worker worker = worker(handler).start()) {
      assertEquals(LOST, outcomes.take());
    }
    assertTrue(seen.isEmpty());
  }

  @Test
  void aRefusedReportIsALostCall() throws Exception {
    waiting.add("{}");
    refusals.add(FakeServer.error(Status.Code.FAILED_PRECONDITION, "REQUIREMENT_CANCELLED"));
    try (Worker worker = worker(call -> 1).start()) {
      assertEquals(LOST, outcomes.take());
    }
  }

  @Test
  void anOutageDoesNotEndIt() throws Exception {
    client.close();
    client = server.client().retryTimeout(Duration.ZERO).build();
    waiting.add("{}");
    refusals.add(FakeServer.unavailable());
    try (Worker worker = worker(call -> 1).start()) {
      assertEquals(REPORTED, outcomes.take());
    }
    assertEquals(seen.take(), seen.take());
  }

  @Test
  void stoppingCancelsTheClaimAndWaitsForHandlers() throws Exception {
    CountDownLatch isCalled = new CountDownLatch(1);
    CountDownLatch mayEnd = new CountDownLatch(1);
    waiting.add("{}");
    ToolHandler handler =
        call -> {
          isCalled.countDown();
          mayEnd.await();
          return 1;
        };
    Worker worker = worker(handler).concurrency(2).start();
    isCalled.await();
    isClaimHeld.await();
    worker.shutdown();
    isClaimCancelled.await();
    assertTrue(outcomes.isEmpty());
    mayEnd.countDown();
    worker.join();
    assertEquals(REPORTED, outcomes.take());
  }

  @Test
  void afterTheLimitHandlersAreCancelledAndTheirCallsGivenBack() throws Exception {
    CountDownLatch isCalled = new CountDownLatch(1);
    waiting.add("{}");
    ToolHandler handler =
        call -> {
          isCalled.countDown();
          new CountDownLatch(1).await();
          return 1;
        };
    Worker worker = worker(handler).start();
    isCalled.await();
    worker.stop(Duration.ofMillis(50));
    assertEquals(RELEASED, outcomes.take());
    ReleaseClaimRequest release = (ReleaseClaimRequest) seen.take();
    assertEquals(7, release.getClaimEpoch());
  }

  @Test
  void executesSoManyAtOnceAndNoMore() throws Exception {
    AtomicInteger running = new AtomicInteger();
    List<Integer> counts = new CopyOnWriteArrayList<>();
    for (int number = 0; number < 9; number++) {
      waiting.add("{}");
    }
    CountDownLatch three = new CountDownLatch(3);
    ToolHandler handler =
        call -> {
          counts.add(running.incrementAndGet());
          three.countDown();
          three.await();
          running.decrementAndGet();
          return 1;
        };
    try (Worker worker = worker(handler).concurrency(3).start()) {
      for (int number = 0; number < 9; number++) {
        assertEquals(REPORTED, outcomes.take());
      }
    }
    assertEquals(3, counts.stream().mapToInt(it -> it).max().orElseThrow());
  }

  @Test
  void endsWhenItIsRefused() throws Exception {
    try (FakeServer without =
            new FakeServer(new dev.interlock.v1.RunServiceGrpc.RunServiceImplBase() {});
        InterlockClient client = without.client().build()) {
      Worker worker = Worker.builder(client).tool("weigh", call -> 1).start();
      assertThrows(InterlockException.Unimplemented.class, worker::join);
    }
  }

  private static String errorOf(Object report) {
    return ((ResolveRequirementRequest) report)
        .getResolution()
        .getExternalResult()
        .getErrorMessage();
  }

  private static dev.interlock.v1.Requirement call(String args) {
    return dev.interlock.v1.Requirement.newBuilder()
        .setRequirementId("r")
        .setToolExecution(ToolExecution.newBuilder().setToolName("weigh").setToolArgsJson(args))
        .setClaim(RequirementClaim.newBuilder().setEpoch(7))
        .build();
  }

  private static <T> void reply(StreamObserver<T> replies, T reply) {
    replies.onNext(reply);
    replies.onCompleted();
  }
}
