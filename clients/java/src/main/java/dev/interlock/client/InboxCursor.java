package dev.interlock.client;

import dev.interlock.v1.RequirementServiceGrpc;
import dev.interlock.v1.WatchRequirementsRequest;
import dev.interlock.v1.WatchRequirementsResponse;
import io.grpc.Channel;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** The position in the changes of requirements. */
final class InboxCursor implements Cursor<WatchRequirementsResponse, Requirement> {
  private final WatchRequirementsRequest.Builder request;

  InboxCursor(WatchRequirementsRequest request) {
    this.request = request.toBuilder();
  }

  @Override
  public Inbound<WatchRequirementsResponse> open(Channel channel) {
    return Inbound.open(
        channel,
        RequirementServiceGrpc.getWatchRequirementsMethod(),
        request.build(),
        Function.identity());
  }

  @Override
  public Optional<List<Requirement>> receive(WatchRequirementsResponse reply) {
    if (!reply.getResumeToken().isEmpty()) {
      request.setResumeToken(reply.getResumeToken());
    }
    return Optional.of(
        reply.hasRequirement() ? List.of(new Requirement(reply.getRequirement())) : List.of());
  }

  @Override
  public boolean isFinished() {
    return false;
  }
}
