import dev.interlock.client.InterlockClient;
import dev.interlock.client.Json;
import dev.interlock.v1.Workflow;
import java.math.BigInteger;

/** Uses what the package brings, as its users would; talks to a server where there is one. */
public final class FirstUse {
  public static void main(String[] args) {
    String target = System.getenv("INTERLOCK_TARGET");
    try (InterlockClient client =
        InterlockClient.connect(target == null ? "localhost:50051" : target)) {
      System.out.println("Version: " + client.getClass().getPackage().getImplementationVersion());
      System.out.println("JSON: " + Json.write(new BigInteger("9007199254740993")));
      if (target != null) {
        for (Workflow workflow : client.listWorkflows()) {
          System.out.println("Workflow: " + workflow.getWorkflowId());
        }
      }
    }
  }
}
