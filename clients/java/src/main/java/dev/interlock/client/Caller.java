package dev.interlock.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Makes calls, and makes them again while the server is unavailable. */
final class Caller implements AutoCloseable {
  private static final Duration SHORT = Duration.ofSeconds(5);

  private final ManagedChannel channel;
  private final Channel calls;
  private final Duration timeout;
  private final Duration retryTimeout;
  private final CountDownLatch closed = new CountDownLatch(1);

  /**
   * @param headers what to send with every call
   * @param timeout of a call with its retries; null means none. A call that waits for a run has it
   *     on top of the wait.
   * @param retryTimeout how long to retry
   */
  Caller(ManagedChannel channel, Metadata headers, Duration timeout, Duration retryTimeout) {
    this.channel = channel;
    this.calls =
        ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    this.timeout = timeout;
    this.retryTimeout = retryTimeout;
  }

  /** The channel for calls, with the client's headers. */
  Channel channel() {
    if (isClosed()) {
      throw InterlockException.clientClosed();
    }
    return calls;
  }

  <Q, R> R call(MethodDescriptor<Q, R> method, Q request) {
    return call(method, request, Duration.ZERO);
  }

  /**
   * Makes a call.
   *
   * @param request is sent again as it is, request id included
   * @param wait how long the server may wait before it replies
   */
  <Q, R> R call(MethodDescriptor<Q, R> method, Q request, Duration wait) {
    CallOptions options = CallOptions.DEFAULT;
    if (timeout != null) {
      options =
          options.withDeadline(Deadline.after(timeout.plus(wait).toNanos(), TimeUnit.NANOSECONDS));
    }
    Backoff backoff = backoff();
    while (true) {
      try {
        return ClientCalls.blockingUnaryCall(channel(), method, options, request);
      } catch (StatusRuntimeException failed) {
        InterlockException error = failure(failed.getStatus(), failed.getTrailers());
        pause(delay(error, backoff, options.getDeadline()));
      }
    }
  }

  /** Makes a call once, with little patience: nothing depends on it. */
  <Q, R> R tryCall(MethodDescriptor<Q, R> method, Q request) {
    CallOptions options =
        CallOptions.DEFAULT.withDeadlineAfter(SHORT.toNanos(), TimeUnit.NANOSECONDS);
    try {
      return ClientCalls.blockingUnaryCall(channel(), method, options, request);
    } catch (StatusRuntimeException failed) {
      throw failure(failed.getStatus(), failed.getTrailers());
    }
  }

  Backoff backoff() {
    return new Backoff(
        retryTimeout, System::nanoTime, () -> ThreadLocalRandom.current().nextDouble());
  }

  /** How long to wait before another attempt; empty means that there is none. */
  static Optional<Duration> retryDelay(InterlockException error, Backoff backoff) {
    return error instanceof InterlockException.Unavailable
        ? backoff.next(error.retryDelay().orElse(Duration.ZERO))
        : Optional.empty();
  }

  /** The exception of a failed call; tells one that {@link #close} ended from others. */
  InterlockException failure(Status status, Metadata trailers) {
    return isClosed() ? InterlockException.clientClosed() : InterlockException.of(status, trailers);
  }

  /** Waits, but not for longer than the client is open. */
  void pause(Duration delay) {
    try {
      closed.await(delay.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw InterlockException.interrupted(interrupted);
    }
    reconnect();
  }

  /** The channel has a backoff of its own, which must not add to the client's. */
  void reconnect() {
    channel.resetConnectBackoff();
  }

  /** Ends the calls that are under way. */
  @Override
  public void close() {
    closed.countDown();
    channel.shutdownNow();
  }

  private boolean isClosed() {
    return closed.getCount() == 0;
  }

  private static Duration delay(InterlockException error, Backoff backoff, Deadline deadline) {
    Duration delay = retryDelay(error, backoff).orElseThrow(() -> error);
    if (deadline != null && deadline.timeRemaining(TimeUnit.NANOSECONDS) <= delay.toNanos()) {
      throw error;
    }
    return delay;
  }
}
