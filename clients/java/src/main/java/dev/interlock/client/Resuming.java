package dev.interlock.client;

import io.grpc.StatusException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Optional;
import java.util.Queue;

/** A stream that goes on by itself after the server was unavailable. */
final class Resuming<R, T> implements AutoCloseable {
  private final Caller caller;
  private final Cursor<R, T> cursor;
  private final Backoff backoff;
  private final Queue<T> items = new ArrayDeque<>();
  private Inbound<R> inbound;
  private boolean isClosed;

  Resuming(Caller caller, Cursor<R, T> cursor) {
    this.caller = caller;
    this.cursor = cursor;
    this.backoff = caller.backoff();
  }

  /** The next item; empty when the stream has ended. */
  Optional<T> next() {
    while (true) {
      Inbound<R> current = current();
      if (current == null) {
        return Optional.empty();
      }
      if (!items.isEmpty()) {
        return Optional.of(items.remove());
      }
      try {
        receive(current.read());
      } catch (InterruptedException interrupted) {
        hangUp();
        Thread.currentThread().interrupt();
        throw InterlockException.interrupted(interrupted);
      } catch (StatusException lost) {
        lost(lost);
      }
    }
  }

  /** Ends the stream and its call; from any thread. */
  @Override
  public synchronized void close() {
    isClosed = true;
    hangUp();
  }

  /** The call to read from; null when the stream is closed. */
  private synchronized Inbound<R> current() {
    if (!isClosed && inbound == null) {
      inbound = cursor.open(caller.channel());
    }
    return inbound;
  }

  private void receive(R reply) {
    if (reply == null) {
      close();
      return;
    }
    cursor
        .receive(reply)
        .ifPresent(
            news -> {
              backoff.reset();
              items.addAll(news);
            });
  }

  /** Waits before the stream goes on, or ends it. */
  private void lost(StatusException failed) {
    hangUp();
    if (isClosed() || cursor.isFinished()) {
      close();
      return;
    }
    InterlockException error = caller.failure(failed.getStatus(), failed.getTrailers());
    Optional<Duration> delay = Caller.retryDelay(error, backoff);
    if (delay.isEmpty()) {
      close();
      throw error;
    }
    caller.pause(delay.get());
  }

  private synchronized boolean isClosed() {
    return isClosed;
  }

  private synchronized void hangUp() {
    if (inbound != null) {
      inbound.cancel();
      inbound = null;
    }
  }
}
