package dev.interlock.client;

import dev.interlock.v1.GetRequirementRequest;
import dev.interlock.v1.GetRunRequest;
import dev.interlock.v1.GetSessionRequest;
import dev.interlock.v1.ListRequirementsRequest;
import dev.interlock.v1.ListRequirementsResponse;
import dev.interlock.v1.ListRunEventsRequest;
import dev.interlock.v1.ListRunEventsResponse;
import dev.interlock.v1.ListRunsRequest;
import dev.interlock.v1.ListRunsResponse;
import dev.interlock.v1.ListWorkflowsRequest;
import dev.interlock.v1.ListWorkflowsResponse;
import dev.interlock.v1.RequirementFilter;
import dev.interlock.v1.RequirementServiceGrpc;
import dev.interlock.v1.ResolveRequirementRequest;
import dev.interlock.v1.ResolveRequirementResponse;
import dev.interlock.v1.RunEvent;
import dev.interlock.v1.RunFilter;
import dev.interlock.v1.RunServiceGrpc;
import dev.interlock.v1.RunState;
import dev.interlock.v1.SessionServiceGrpc;
import dev.interlock.v1.WatchRequirementsRequest;
import dev.interlock.v1.Workflow;
import dev.interlock.v1.WorkflowServiceGrpc;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * A connection to an Interlock server, safe to share between threads.
 *
 * <p>Every method that calls the server throws {@link InterlockException}. While the server is
 * unavailable, calls are made again; each carries a request id, so nothing happens twice.
 */
public final class InterlockClient implements AutoCloseable {
  private static final int MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
  private static final int METADATA_BYTES_MAX = 16 * 1024;

  private final Caller caller;
  private final Runs runs;

  private InterlockClient(Caller caller) {
    this.caller = caller;
    this.runs = new Runs(caller);
  }

  /**
   * Connects without encryption; see {@link #builder} for everything else.
   *
   * @param target where the server is, for example {@code localhost:50051}
   */
  public static InterlockClient connect(String target) {
    return builder(target).build();
  }

  /**
   * Begins to describe a connection.
   *
   * @param target where the server is, for example {@code interlock.example.com:443}
   */
  public static Builder builder(String target) {
    return new Builder(target);
  }

  /** A handle for running a workflow. Asks the server nothing. */
  public WorkflowHandle workflow(String workflowId) {
    return new WorkflowHandle(runs, workflowId);
  }

  /**
   * Sends the decisions that were made on a paused run, lets it go on, and waits until it pauses
   * again or ends.
   *
   * <p>Requirements on which nothing was decided still wait afterwards. Nothing but the decisions
   * is sent: what is executed is what the server has on record.
   */
  public Run continueRun(Run run) {
    return runs.continueRun(run, null);
  }

  /**
   * Continues a run; see {@link #continueRun(Run)}.
   *
   * @param waitTimeout longest time to wait; then the run is given as it is, and goes on
   */
  public Run continueRun(Run run, Duration waitTimeout) {
    return runs.continueRun(run, waitTimeout);
  }

  /**
   * Sends the decisions that were made on a paused run, lets it go on, and streams its events until
   * it pauses again or ends. They are sent when the first event is asked for.
   */
  public RunStream continueStream(Run run) {
    return runs.continueStream(run);
  }

  /** Gets a run. */
  public Run getRun(String runId) {
    GetRunRequest request = GetRunRequest.newBuilder().setRunId(runId).build();
    return new Run(caller.call(RunServiceGrpc.getGetRunMethod(), request).getRun());
  }

  /** Waits until a run pauses or ends. */
  public Run waitRun(String runId) {
    return runs.await(runId, null);
  }

  /**
   * Waits until a run pauses or ends.
   *
   * @param waitTimeout longest time to wait; then the run is given as it is
   */
  public Run waitRun(String runId, Duration waitTimeout) {
    return runs.await(runId, waitTimeout);
  }

  /**
   * Cancels a run: a paused one at once, a running one before its next effect.
   *
   * @param reason recorded with the run, at most 4,000 characters; may be empty
   */
  public Run cancelRun(String runId, String reason) {
    return runs.cancel(runId, reason);
  }

  /** Streams the events of a run until it ends, those that have happened first. */
  public RunStream watchRun(String runId) {
    return watchRun(runId, 0, false);
  }

  /**
   * Streams the events of a run.
   *
   * @param afterSequence begin after the event with this sequence; 0 means with the first
   * @param endOnPause end when the run pauses, not only when it ends
   */
  public RunStream watchRun(String runId, long afterSequence, boolean endOnPause) {
    return runs.watch(runId, afterSequence, endOnPause);
  }

  /** Lists runs without their step results, newest first, page by page. */
  public Iterable<Run> listRuns(RunFilter filter) {
    return new Pages<>(
        token ->
            caller.call(
                RunServiceGrpc.getListRunsMethod(),
                ListRunsRequest.newBuilder().setFilter(filter).setPageToken(token).build()),
        page -> page.getRunsList().stream().map(Run::new).toList(),
        ListRunsResponse::getNextPageToken);
  }

  /**
   * Lists the stored events of a run, oldest first, page by page.
   *
   * @param afterSequence begin after the event with this sequence; 0 means with the first
   */
  public Iterable<Event> listRunEvents(String runId, long afterSequence) {
    ListRunEventsRequest request =
        ListRunEventsRequest.newBuilder().setRunId(runId).setAfterSequence(afterSequence).build();
    return new Pages<>(
        token ->
            caller.call(
                RunServiceGrpc.getListRunEventsMethod(),
                request.toBuilder().setPageToken(token).build()),
        page ->
            page.getEventsList().stream()
                .filter(one -> one.getEventCase() != RunEvent.EventCase.EVENT_NOT_SET)
                .map(Event::new)
                .toList(),
        ListRunEventsResponse::getNextPageToken);
  }

  /** Gets a requirement. */
  public Requirement getRequirement(String requirementId) {
    GetRequirementRequest request =
        GetRequirementRequest.newBuilder().setRequirementId(requirementId).build();
    return new Requirement(
        caller.call(RequirementServiceGrpc.getGetRequirementMethod(), request).getRequirement());
  }

  /** Lists requirements of all runs, oldest first, page by page; without states the pending. */
  public Iterable<Requirement> listRequirements(RequirementFilter filter) {
    return new Pages<>(
        token ->
            caller.call(
                RequirementServiceGrpc.getListRequirementsMethod(),
                ListRequirementsRequest.newBuilder().setFilter(filter).setPageToken(token).build()),
        page -> page.getRequirementsList().stream().map(Requirement::new).toList(),
        ListRequirementsResponse::getNextPageToken);
  }

  /**
   * Streams requirements as they appear and change, those that wait first; never ends by itself. A
   * requirement may come more than once. Without states the filter selects all of them.
   */
  public ServerStream<Requirement> watchRequirements(RequirementFilter filter) {
    WatchRequirementsRequest request =
        WatchRequirementsRequest.newBuilder().setFilter(filter).build();
    return new ServerStream<>(new Resuming<>(caller, new InboxCursor(request)));
  }

  /** Sends the decision that was made on a requirement; see {@link #resolve(String, Decision)}. */
  public Resolved resolve(Requirement requirement) {
    Decision decision =
        requirement
            .decision()
            .orElseThrow(() -> new IllegalStateException("nothing is decided on " + requirement));
    return resolve(requirement.id(), decision);
  }

  /** Decides on a requirement and sends it; see {@link #resolve(String, Decision)}. */
  public Resolved resolve(Requirement requirement, Decision decision) {
    requirement.decide(decision);
    return resolve(requirement);
  }

  /**
   * Resolves one requirement. When its step waits for no other, the step goes on by itself. The
   * same decision again gets the same answer.
   *
   * @throws InterlockException.AlreadyResolved somebody decided otherwise before
   */
  public Resolved resolve(String requirementId, Decision decision) {
    return resolve(requirementId, decision, false);
  }

  /**
   * Resolves one requirement; see {@link #resolve(String, Decision)}.
   *
   * @param holdRun keep the run paused until somebody continues it
   */
  public Resolved resolve(String requirementId, Decision decision, boolean holdRun) {
    ResolveRequirementRequest request =
        ResolveRequirementRequest.newBuilder()
            .setResolution(decision.resolving(requirementId))
            .setHoldRun(holdRun)
            .setRequestId(Runs.newRequestId())
            .build();
    ResolveRequirementResponse reply =
        caller.call(RequirementServiceGrpc.getResolveRequirementMethod(), request);
    return new Resolved(
        new Requirement(reply.getRequirement()),
        Names.of(RunState.getDescriptor(), reply.getRunStateValue()));
  }

  /** Lists the workflows that can be started, by name, newest version only. */
  public Iterable<Workflow> listWorkflows() {
    return new Pages<>(
        token ->
            caller.call(
                WorkflowServiceGrpc.getListWorkflowsMethod(),
                ListWorkflowsRequest.newBuilder().setPageToken(token).build()),
        ListWorkflowsResponse::getWorkflowsList,
        ListWorkflowsResponse::getNextPageToken);
  }

  /** Gets a session; {@link #listRuns} gives its runs. */
  public Session getSession(String sessionId) {
    GetSessionRequest request = GetSessionRequest.newBuilder().setSessionId(sessionId).build();
    return Session.of(caller.call(SessionServiceGrpc.getGetSessionMethod(), request).getSession());
  }

  /**
   * The channel to the server, with the client's token and headers, for the generated stubs of
   * {@code dev.interlock.v1}: they have the few methods that this class has not.
   */
  public Channel channel() {
    return caller.channel();
  }

  /** Closes the connection; calls that are under way end with an exception. */
  @Override
  public void close() {
    caller.close();
  }

  Caller caller() {
    return caller;
  }

  /** Describes a connection. */
  public static final class Builder {
    private final String target;
    private final Metadata headers = new Metadata();
    private ChannelCredentials credentials = InsecureChannelCredentials.create();
    private Duration timeout;
    private Duration retryTimeout = Duration.ofSeconds(30);

    private Builder(String target) {
      this.target = target;
    }

    /** Encrypts, and trusts what Java trusts. */
    public Builder tls() {
      return credentials(TlsChannelCredentials.create());
    }

    /**
     * Encrypts, and trusts the certificates in a file.
     *
     * @param rootCertificates certificates in PEM
     * @throws UncheckedIOException the file cannot be read
     */
    public Builder tls(Path rootCertificates) {
      try {
        return credentials(
            TlsChannelCredentials.newBuilder().trustManager(rootCertificates.toFile()).build());
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    /** Any credentials of gRPC, for example with a client certificate. */
    public Builder credentials(ChannelCredentials credentials) {
      this.credentials = credentials;
      return this;
    }

    /** A token, which is sent with every call as {@code authorization: Bearer TOKEN}. */
    public Builder token(String token) {
      return header("authorization", "Bearer " + token);
    }

    /** A header to send with every call. */
    public Builder header(String name, String value) {
      headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
      return this;
    }

    /**
     * Deadline of every call that does not wait for a run, its retries included; none when it is
     * not set. A call that waits for a run has it on top of the wait.
     */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    /** How long to try again while the server is unavailable; 30 seconds when it is not set. */
    public Builder retryTimeout(Duration retryTimeout) {
      this.retryTimeout = retryTimeout;
      return this;
    }

    /** Makes the client. It connects when it is first used. */
    public InterlockClient build() {
      ManagedChannel channel =
          Grpc.newChannelBuilder(target, credentials)
              .maxInboundMessageSize(MESSAGE_BYTES_MAX)
              .maxInboundMetadataSize(METADATA_BYTES_MAX)
              // A connection that has died is noticed within 40 seconds, also while nothing is
              // sent.
              .keepAliveTime(30, TimeUnit.SECONDS)
              .keepAliveTimeout(10, TimeUnit.SECONDS)
              .keepAliveWithoutCalls(true)
              // The client retries by itself, with the same request id.
              .disableRetry()
              .build();
      return new InterlockClient(new Caller(channel, headers, timeout, retryTimeout));
    }
  }
}
