import dev.interlock.client.InterlockClient;
import dev.interlock.client.Requirement;
import dev.interlock.client.Run;

/** Runs a workflow, and decides in the same program what it waits for. */
public final class Backend {
  public static void main(String[] args) {
    String target = System.getenv().getOrDefault("INTERLOCK_TARGET", "localhost:50051");
    try (InterlockClient client = InterlockClient.connect(target)) {
      Run run = client.workflow("WeatherWorkflow").run("What is the weather in Tokyo?");
      while (run.isPaused()) {
        for (Requirement requirement : run.openRequirements()) {
          System.out.println("Waiting: " + requirement.toolName() + " " + requirement.args());
          requirement.confirm();
        }
        run = client.continueRun(run);
      }
      System.out.println("Done: " + run.output().asText());
    }
  }
}
