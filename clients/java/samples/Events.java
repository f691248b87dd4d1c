import dev.interlock.client.Event;
import dev.interlock.client.InterlockClient;
import dev.interlock.client.Requirement;
import dev.interlock.client.Run;
import dev.interlock.client.RunStream;
import dev.interlock.v1.RunEvent.EventCase;

/** Streams the events of a run, up to its pause and after it. */
public final class Events {
  public static void main(String[] args) {
    String target = System.getenv().getOrDefault("INTERLOCK_TARGET", "localhost:50051");
    try (InterlockClient client = InterlockClient.connect(target)) {
      RunStream start = client.workflow("WeatherWorkflow").stream("What is the weather in Tokyo?");
      Run run = client.getRun(print(start).runId());
      run.openRequirements().forEach(Requirement::confirm);
      Event last = print(client.continueStream(run));
      System.out.println("Done: " + last.output().asText());
    }
  }

  /** Prints the kinds of all events, and gives the last one. */
  private static Event print(RunStream stream) {
    Event last = null;
    try (stream) {
      for (Event event : stream) {
        if (event.kind() != EventCase.CONTENT_DELTA) {
          System.out.println(event.kindName());
        }
        last = event;
      }
    }
    return last;
  }
}
