package dev.interlock.client;

import dev.interlock.client.InterlockException.ClientClosed;
import dev.interlock.v1.ClaimRequirementRequest;
import dev.interlock.v1.ClaimRequirementResponse;
import dev.interlock.v1.ExternalResult;
import dev.interlock.v1.ReleaseClaimRequest;
import dev.interlock.v1.RenewClaimRequest;
import dev.interlock.v1.RequirementResolution;
import dev.interlock.v1.RequirementServiceGrpc;
import dev.interlock.v1.ResolveRequirementRequest;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;

/**
 * Executes external tools: takes their calls from the server, runs your handlers, and reports what
 * they return or throw.
 *
 * <p>No two workers execute one call at once: a worker claims a call for a while, renews the claim
 * while the handler runs, and reports under it. When a worker dies, its claim runs out and another
 * one takes the call, with a higher {@link ToolCall#epoch}. An outage of the server does not end a
 * worker.
 */
public final class Worker implements AutoCloseable {
  private static final Duration CLAIM_WAIT = Duration.ofSeconds(20);
  private static final Duration AFTER_OUTAGE = Duration.ofSeconds(1);
  // Failures of the server that do not say that it will not have this worker.
  private static final Set<Status.Code> PASSING =
      EnumSet.of(
          Status.Code.CANCELLED,
          Status.Code.UNKNOWN,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.ABORTED,
          Status.Code.INTERNAL);
  private static final Duration FOREVER = Duration.ofNanos(Long.MAX_VALUE);

  private final Caller caller;
  private final Map<String, ToolHandler> tools;
  private final String id;
  private final String workflowId;
  private final Duration lease;
  private final BiConsumer<ToolCall, Outcome> listener;
  private final Semaphore free;
  private final Set<ToolCall> executing = ConcurrentHashMap.newKeySet();
  private final ExecutorService handlers;
  private final ScheduledExecutorService renewals;
  private final Thread claims;
  private volatile boolean isStopping;
  private volatile boolean isOver;
  private volatile InterlockException failure;

  /** What became of a call. */
  public enum Outcome {
    /** The server took the result. */
    REPORTED,
    /** The server took an error. */
    FAILED,
    /** The claim was lost, or nobody waits for the call any more: the work was dropped. */
    LOST,
    /** The worker stopped before the handler had ended, and gives the call back. */
    RELEASED
  }

  private Worker(Builder builder) {
    this.caller = builder.client.caller();
    this.tools = Map.copyOf(builder.tools);
    this.id = builder.id;
    this.workflowId = builder.workflowId;
    this.lease = builder.lease;
    this.listener = builder.listener;
    this.free = new Semaphore(builder.concurrency);
    this.handlers = Executors.newCachedThreadPool(task -> new Thread(task, "interlock-tool"));
    this.renewals =
        Executors.newScheduledThreadPool(
            builder.concurrency, task -> daemon(task, "interlock-renewal"));
    this.claims = new Thread(this::claimUntilStopped, "interlock-claims");
  }

  /** Begins to describe a worker. */
  public static Builder builder(InterlockClient client) {
    return new Builder(client);
  }

  /** Who it is for the server. */
  public String id() {
    return id;
  }

  /**
   * Waits until the worker has ended.
   *
   * @throws InterlockException the server refused to give it calls, which ended it
   */
  public void join() throws InterruptedException {
    claims.join();
    handlers.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
    if (failure != null) {
      throw failure;
    }
  }

  /**
   * Takes no more calls, and does not wait; {@link #join} does. Handlers that run end and report.
   */
  public void shutdown() {
    isStopping = true;
    claims.interrupt();
  }

  /**
   * Takes no more calls, and waits until the handlers that run have ended and reported; for other
   * threads than those of handlers.
   */
  @Override
  public void close() {
    stop(FOREVER);
  }

  /**
   * Takes no more calls, and waits until the handlers that run have ended and reported.
   *
   * @param limit when it is over, or when this thread is interrupted, the handlers are cancelled
   *     and their calls given back, once they return; what has not returned in the time of a lease
   *     is left behind
   */
  public void stop(Duration limit) {
    shutdown();
    boolean isInterrupted = !awaitEnd(limit);
    if (!handlers.isTerminated()) {
      isOver = true;
      executing.forEach(call -> call.cancel(Outcome.RELEASED));
      isInterrupted |= !awaitEnd(lease);
    }
    renewals.shutdownNow();
    if (isInterrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** Waits until the worker has ended; false when this thread was interrupted. */
  private boolean awaitEnd(Duration limit) {
    try {
      long end = System.nanoTime() + limit.toNanos();
      claims.join(Math.max(1, limit.toMillis()));
      handlers.awaitTermination(end - System.nanoTime(), TimeUnit.NANOSECONDS);
      return true;
    } catch (InterruptedException interrupted) {
      return false;
    }
  }

  private void claimUntilStopped() {
    try {
      while (!isStopping) {
        free.acquire();
        claim();
      }
    } catch (InterruptedException | ClientClosed stopped) {
      isStopping = true;
    } catch (InterlockException refused) {
      failure = refused;
      isStopping = true;
    } finally {
      handlers.shutdown();
    }
  }

  /** Takes a call and begins with it; none when there is none in time. */
  private void claim() {
    ClaimRequirementRequest request =
        ClaimRequirementRequest.newBuilder()
            .setWorkerId(id)
            .addAllToolNames(tools.keySet())
            .setWorkflowId(workflowId)
            .setLeaseDuration(Times.message(lease))
            .setWaitTimeout(Times.message(CLAIM_WAIT))
            .setRequestId(Runs.newRequestId())
            .build();
    try {
      begin(persist(RequirementServiceGrpc.getClaimRequirementMethod(), request, CLAIM_WAIT));
    } catch (InterlockException failed) {
      if (isStopping) {
        handlers.execute(() -> withdraw(request));
      } else if (PASSING.contains(failed.code()) && !(failed instanceof ClientClosed)) {
        free.release();
        caller.pause(AFTER_OUTAGE);
      } else {
        throw failed;
      }
    }
  }

  private void begin(ClaimRequirementResponse reply) {
    if (!reply.hasRequirement()) {
      free.release();
      return;
    }
    ToolCall call = new ToolCall(this, new Requirement(reply.getRequirement()));
    if (isStopping) {
      handlers.execute(() -> release(call));
      return;
    }
    executing.add(call);
    handlers.execute(() -> execute(call));
  }

  /** Gives back what a cancelled claim was given while its reply was on the way. */
  private void withdraw(ClaimRequirementRequest request) {
    ClaimRequirementRequest again =
        request.toBuilder().setWaitTimeout(Times.message(Duration.ZERO)).build();
    try {
      var reply = caller.tryCall(RequirementServiceGrpc.getClaimRequirementMethod(), again);
      if (reply.hasRequirement()) {
        release(new ToolCall(this, new Requirement(reply.getRequirement())));
      }
    } catch (InterlockException failed) {
      // Then it runs out by itself.
    }
  }

  private void execute(ToolCall call) {
    long period = lease.toNanos() / 3;
    ScheduledFuture<?> renewing =
        renewals.scheduleWithFixedDelay(() -> renew(call), period, period, TimeUnit.NANOSECONDS);
    try {
      ExternalResult result = result(call);
      Outcome outcome = call.end().orElseGet(() -> report(call, result));
      renewing.cancel(false);
      if (outcome == Outcome.RELEASED) {
        release(call);
      }
      listener.accept(call, outcome);
    } finally {
      renewing.cancel(false);
      executing.remove(call);
      free.release();
    }
  }

  /** What the handler returns or throws. */
  private ExternalResult result(ToolCall call) {
    call.begin();
    try {
      Object result = tools.get(call.toolName()).handle(call);
      return ExternalResult.newBuilder().setResultJson(Json.write(result)).build();
    } catch (Throwable thrown) { // Whatever a handler throws is how the call ended.
      return error(thrown.getMessage() == null ? thrown.toString() : thrown.getMessage());
    }
  }

  private Outcome report(ToolCall call, ExternalResult result) {
    ResolveRequirementRequest request =
        ResolveRequirementRequest.newBuilder()
            .setResolution(
                RequirementResolution.newBuilder()
                    .setRequirementId(call.requirementId())
                    .setExternalResult(result))
            .setClaimEpoch(call.epoch())
            .setRequestId(Runs.newRequestId())
            .build();
    try {
      persist(RequirementServiceGrpc.getResolveRequirementMethod(), request, Duration.ZERO);
      return result.hasResultJson() ? Outcome.REPORTED : Outcome.FAILED;
    } catch (InterlockException.InvalidArgument | InterlockException.ResourceExhausted refused) {
      // Such as a result that is too large. An error in its place lets the run go on.
      return result.hasResultJson()
          ? report(call, error("the result was refused: " + refused.description()))
          : Outcome.LOST;
    } catch (InterlockException lost) {
      return Outcome.LOST;
    }
  }

  private void renew(ToolCall call) {
    RenewClaimRequest request =
        RenewClaimRequest.newBuilder()
            .setRequirementId(call.requirementId())
            .setClaimEpoch(call.epoch())
            .setLeaseDuration(Times.message(lease))
            .build();
    try {
      caller.call(RequirementServiceGrpc.getRenewClaimMethod(), request);
    } catch (InterlockException.FailedPrecondition | InterlockException.NotFound lost) {
      call.cancel(Outcome.LOST);
    } catch (InterlockException failed) {
      // The next renewal may get through. If none does, the result is refused.
    }
  }

  private void release(ToolCall call) {
    ReleaseClaimRequest request =
        ReleaseClaimRequest.newBuilder()
            .setRequirementId(call.requirementId())
            .setClaimEpoch(call.epoch())
            .build();
    try {
      caller.tryCall(RequirementServiceGrpc.getReleaseClaimMethod(), request);
    } catch (InterlockException failed) {
      // Then the claim runs out by itself.
    }
  }

  /** Makes a call, also when the server is away for longer than the client would retry. */
  private <Q, R> R persist(MethodDescriptor<Q, R> method, Q request, Duration wait) {
    while (true) {
      try {
        return caller.call(method, request, wait);
      } catch (InterlockException.Unavailable | InterlockException.DeadlineExceeded outage) {
        if (isOver) {
          throw outage;
        }
        caller.pause(AFTER_OUTAGE);
      }
    }
  }

  private static ExternalResult error(String message) {
    return ExternalResult.newBuilder().setErrorMessage(message).build();
  }

  private static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    return thread;
  }

  /** Describes a worker. */
  public static final class Builder {
    private final InterlockClient client;
    private final Map<String, ToolHandler> tools = new LinkedHashMap<>();
    private int concurrency = 1;
    private Duration lease = Duration.ofSeconds(30);
    private String id = UUID.randomUUID().toString();
    private String workflowId = "";
    private BiConsumer<ToolCall, Outcome> listener = (call, outcome) -> {};

    private Builder(InterlockClient client) {
      this.client = client;
    }

    /** What executes the calls of a tool. */
    public Builder tool(String name, ToolHandler handler) {
      tools.put(name, handler);
      return this;
    }

    /** How many calls to execute at once; one when it is not set. */
    public Builder concurrency(int concurrency) {
      if (concurrency < 1) {
        throw new IllegalArgumentException(
            "a worker executes at least one call, not " + concurrency);
      }
      this.concurrency = concurrency;
      return this;
    }

    /**
     * How long a claim holds when it is not renewed, which happens three times in that time: from 1
     * second to 1 hour; 30 seconds when it is not set.
     */
    public Builder lease(Duration lease) {
      this.lease = lease;
      return this;
    }

    /** Who the worker is, at most 64 characters, different for each; random when it is not set. */
    public Builder id(String id) {
      this.id = id;
      return this;
    }

    /** Only takes calls of this workflow. */
    public Builder workflow(String workflowId) {
      this.workflowId = workflowId;
      return this;
    }

    /** Is told of each call and what became of it, on the thread that executed it. */
    public Builder onOutcome(BiConsumer<ToolCall, Outcome> listener) {
      this.listener = listener;
      return this;
    }

    /**
     * Starts the worker.
     *
     * @throws IllegalStateException it has no tool
     */
    public Worker start() {
      if (tools.isEmpty()) {
        throw new IllegalStateException("a worker needs at least one tool");
      }
      Worker worker = new Worker(this);
      worker.claims.start();
      return worker;
    }
  }
}
