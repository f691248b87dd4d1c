package dev.interlock.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.interlock.client.InterlockException;
import dev.interlock.client.ServerStream;
import java.time.Duration;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** A stream that is read in portions: a thread loops over it, and hands out what comes. */
final class Reading<T> {
  private final ServerStream<T> stream;
  private final Function<T, JsonNode> view;
  private final SynchronousQueue<Arrival> arrivals = new SynchronousQueue<>();
  private final Thread loop = new Thread(this::loop, "loop");
  private boolean isEnded;

  /** An item; neither an item nor an error is the end. */
  private record Arrival(JsonNode item, InterlockException error) {}

  Reading(ServerStream<T> stream, Function<T, JsonNode> view) {
    this.stream = stream;
    this.view = view;
    loop.setDaemon(true);
  }

  /** Items, until there are so many, or one of a kind, or the time is over, or the stream ends. */
  JsonNode read(int count, String until, Duration timeout) {
    if (loop.getState() == Thread.State.NEW) {
      loop.start();
    }
    ArrayNode items = JsonNodeFactory.instance.arrayNode();
    long end = System.nanoTime() + timeout.toNanos();
    while (!isEnded && items.size() < count) {
      Arrival arrival = next(end - System.nanoTime());
      if (arrival == null) {
        break;
      }
      isEnded = arrival.item == null;
      if (arrival.error != null) {
        throw arrival.error;
      }
      if (!isEnded) {
        items.add(arrival.item);
        if (arrival.item.path("kind").asText().equals(until)) {
          break;
        }
      }
    }
    ObjectNode result = JsonNodeFactory.instance.objectNode().put("ended", isEnded);
    return result.set("items", items);
  }

  /** Leaves the loop, wherever it is. */
  void leave() {
    loop.interrupt();
    try {
      loop.join();
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  private void loop() {
    try (stream) {
      for (T item : stream) {
        arrivals.put(new Arrival(view.apply(item), null));
      }
      arrivals.put(new Arrival(null, null));
    } catch (InterlockException error) {
      end(error);
    } catch (InterruptedException left) {
      // The try closes the stream.
    }
  }

  private void end(InterlockException error) {
    try {
      arrivals.put(new Arrival(null, error));
    } catch (InterruptedException left) {
      // Nobody asks any more.
    }
  }

  private Arrival next(long nanos) {
    try {
      return arrivals.poll(nanos, TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }
}
