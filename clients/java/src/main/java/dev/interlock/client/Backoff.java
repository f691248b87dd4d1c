package dev.interlock.client;

import java.time.Duration;
import java.util.Optional;
import java.util.function.DoubleSupplier;
import java.util.function.LongSupplier;

/** One outage: waits double from attempt to attempt, until it has lasted too long. */
final class Backoff {
  private static final Duration SHORTEST = Duration.ofMillis(100);
  private static final Duration LONGEST = Duration.ofSeconds(10);
  // Doublings that lead from the shortest wait past the longest.
  private static final int LONGEST_AFTER = 7;

  private final Duration limit;
  private final LongSupplier nanoClock;
  private final DoubleSupplier random;
  private int attempts;
  private long since;

  /**
   * @param limit after which to give up, counted from the first failure
   * @param nanoClock gives nanoseconds that never run backwards
   * @param random gives a number from 0 to 1
   */
  Backoff(Duration limit, LongSupplier nanoClock, DoubleSupplier random) {
    this.limit = limit;
    this.nanoClock = nanoClock;
    this.random = random;
  }

  /** The outage is over. */
  void reset() {
    attempts = 0;
  }

  /**
   * How long to wait before the next attempt; empty means to give up.
   *
   * @param retryDelay what the server asks for. The wait is a little longer, so that not all
   *     clients come back at once.
   */
  Optional<Duration> next(Duration retryDelay) {
    long now = nanoClock.getAsLong();
    since = attempts == 0 ? now : since;
    Duration doubled = SHORTEST.multipliedBy(1L << Math.min(attempts, LONGEST_AFTER));
    attempts++;
    Duration full = doubled.compareTo(LONGEST) < 0 ? doubled : LONGEST;
    long jittered = (long) (full.toNanos() * (0.5 + random.getAsDouble() / 2));
    Duration delay = retryDelay.plusNanos(jittered);
    Duration lasted = Duration.ofNanos(now - since).plus(delay);
    return lasted.compareTo(limit) <= 0 ? Optional.of(delay) : Optional.empty();
  }
}
