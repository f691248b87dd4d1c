import dev.interlock.client.InterlockClient;
import dev.interlock.client.ToolCall;
import dev.interlock.client.Worker;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Executes the calls of an external tool. */
public final class QueryWorker {
  public static void main(String[] args) throws InterruptedException {
    String target = System.getenv().getOrDefault("INTERLOCK_TARGET", "localhost:50051");
    String calls = System.getenv().getOrDefault("CALLS", "0");
    AtomicInteger left = new AtomicInteger(Integer.parseInt(calls));

    try (InterlockClient client = InterlockClient.connect(target);
        Worker worker =
            Worker.builder(client)
                .tool("run_query", QueryWorker::runQuery)
                .onOutcome(
                    (call, outcome) -> {
                      if (left.decrementAndGet() == 0) {
                        call.worker().shutdown();
                      }
                    })
                .start()) {
      // Ctrl-C lets the call that runs end and report.
      Runtime.getRuntime().addShutdownHook(new Thread(worker::close));
      worker.join();
    }
  }

  private static Object runQuery(ToolCall call) {
    System.out.println("Running: " + call.args().path("sql").asText());
    return List.of(List.of("Tokyo", 780.0));
  }
}
