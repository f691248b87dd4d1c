package dev.interlock.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.interlock.client.InterlockClient;
import dev.interlock.client.Json;
import dev.interlock.client.ToolCall;
import dev.interlock.client.ToolHandler;
import dev.interlock.client.Worker;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** A worker whose handlers do what they were told, and the calls that it has had. */
final class DrivenWorker {
  private final Map<ToolCall, String> outcomes = new LinkedHashMap<>();
  private CompletableFuture<JsonNode> finish = new CompletableFuture<>();
  private Worker worker;

  static DrivenWorker start(InterlockClient client, JsonNode request) {
    DrivenWorker driven = new DrivenWorker();
    Worker.Builder builder = Worker.builder(client).onOutcome(driven::ended);
    request
        .get("tools")
        .properties()
        .forEach(tool -> builder.tool(tool.getKey(), driven.handler(tool.getValue())));
    Driver.given(request, "concurrency").ifPresent(it -> builder.concurrency(it.asInt()));
    Driver.seconds(request, "lease").ifPresent(builder::lease);
    driven.worker = builder.start();
    return driven;
  }

  /** Its calls, once so many have an outcome, or the time is over. */
  JsonNode seen(JsonNode request) {
    String outcome = request.path("outcome").asText();
    int count = request.path("count").asInt(1);
    Duration timeout = Driver.seconds(request, "timeout").orElse(Duration.ofSeconds(30));
    return seen(count, outcome, System.nanoTime() + timeout.toNanos());
  }

  private synchronized JsonNode seen(int count, String outcome, long end) {
    while (outcomes.values().stream().filter(outcome::equals).count() < count) {
      long left = (end - System.nanoTime()) / 1_000_000;
      if (left <= 0) {
        break;
      }
      pause(left);
    }
    return calls();
  }

  /** Lets every handler that waits return a value. */
  synchronized void finish(JsonNode value) {
    finish.complete(value);
    finish = new CompletableFuture<>();
  }

  JsonNode stop() {
    worker.close();
    return calls();
  }

  void abandon() {
    worker.shutdown();
  }

  private ToolHandler handler(JsonNode told) {
    return call -> {
      CompletableFuture<JsonNode> finished = began(call);
      return switch (told.get("do").asText()) {
        case "return" -> Json.read(told.get("value").asText());
        case "echo" -> call.args();
        case "fail" -> throw new Exception(told.get("message").asText());
        case "crash" -> throw new AssertionError("the handler crashed");
        default -> finished.get();
      };
    };
  }

  private synchronized CompletableFuture<JsonNode> began(ToolCall call) {
    outcomes.put(call, "running");
    notifyAll();
    return finish;
  }

  private synchronized void ended(ToolCall call, Worker.Outcome outcome) {
    outcomes.put(call, outcome.name().toLowerCase(Locale.ROOT));
    notifyAll();
  }

  private synchronized void pause(long milliseconds) {
    try {
      wait(milliseconds);
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  private synchronized JsonNode calls() {
    ArrayNode calls = JsonNodeFactory.instance.arrayNode();
    outcomes.forEach((call, outcome) -> calls.add(Views.call(call, outcome)));
    return calls;
  }
}
