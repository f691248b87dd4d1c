import static dev.interlock.v1.RequirementKind.REQUIREMENT_KIND_CONFIRMATION;

import dev.interlock.client.Decision;
import dev.interlock.client.InterlockClient;
import dev.interlock.client.Requirement;
import dev.interlock.v1.RequirementFilter;

/** Approves what waits, in another process than the one that runs the workflow. */
public final class Inbox {
  public static void main(String[] args) {
    String target = System.getenv().getOrDefault("INTERLOCK_TARGET", "localhost:50051");
    RequirementFilter filter =
        RequirementFilter.newBuilder()
            .setWorkflowId("WeatherWorkflow")
            .addKinds(REQUIREMENT_KIND_CONFIRMATION)
            .build();
    int approved = 0;
    try (InterlockClient client = InterlockClient.connect(target)) {
      for (Requirement requirement : client.listRequirements(filter)) {
        System.out.println("Approving: " + requirement.toolName() + " " + requirement.args());
        client.resolve(requirement, Decision.confirm("approved from the inbox"));
        approved++;
      }
    }
    System.out.println("Approved: " + approved);
  }
}
