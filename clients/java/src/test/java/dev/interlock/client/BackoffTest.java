package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class BackoffTest {
  private static final Duration NONE = Duration.ZERO;
  private long now;
  private double random = 1;

  private Backoff backoff(int limitSeconds) {
    return new Backoff(Duration.ofSeconds(limitSeconds), () -> now, () -> random);
  }

  @Test
  void doublesUpToTenSeconds() {
    Backoff backoff = backoff(1_000);
    List<Long> milliseconds = new ArrayList<>();
    for (int attempt = 0; attempt < 10; attempt++) {
      milliseconds.add(backoff.next(NONE).orElseThrow().toMillis());
    }
    assertEquals(
        List.of(100L, 200L, 400L, 800L, 1600L, 3200L, 6400L, 10_000L, 10_000L, 10_000L),
        milliseconds);
  }

  @Test
  void isJitteredDownToHalf() {
    random = 0;
    assertEquals(Optional.of(Duration.ofMillis(50)), backoff(1).next(NONE));
  }

  @Test
  void waitsLongerThanTheServerAsks() {
    Duration asked = Duration.ofSeconds(3);
    assertEquals(Optional.of(asked.plusMillis(100)), backoff(30).next(asked));
    assertEquals(Optional.empty(), backoff(3).next(asked));
  }

  @Test
  void givesUpWhenTheOutageLastsTooLong() {
    Backoff backoff = backoff(1);
    assertEquals(Optional.of(Duration.ofMillis(100)), backoff.next(NONE));
    now += Duration.ofMillis(900).toNanos();
    assertEquals(Optional.empty(), backoff.next(NONE));
    backoff.reset();
    assertEquals(Optional.of(Duration.ofMillis(100)), backoff.next(NONE));
  }
}
