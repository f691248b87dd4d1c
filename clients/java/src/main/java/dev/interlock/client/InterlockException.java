package dev.interlock.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call that failed. There is a class for each family of errors.
 *
 * <p>Mistakes that are seen without asking the server are {@link IllegalArgumentException} and
 * {@link IllegalStateException}. A <em>run</em> that fails throws nothing: see {@link Run#error}.
 */
public class InterlockException extends RuntimeException {
  private final String description;
  private final Status.Code code;
  private final Details details;

  /**
   * What is wrong with one field of a request.
   *
   * @param field path of the field, for example {@code spec.workflow_id}
   * @param description what is wrong with it
   */
  public record FieldViolation(String field, String description) implements Serializable {}

  private InterlockException(Failure failure) {
    super(failure.text(), failure.cause);
    this.description = failure.description;
    this.code = failure.code;
    this.details = failure.details;
  }

  /** What happened, for a developer, as the server says it. */
  public String description() {
    return description;
  }

  /** The gRPC status code. */
  public Status.Code code() {
    return code;
  }

  /**
   * Name of the contract's {@code ErrorReason} without its prefix, for example {@code
   * RUN_NOT_FOUND}; empty when the error does not come from Interlock.
   */
  public String reason() {
    return details.reason;
  }

  /** Every dynamic part of the message, by the name that {@code ErrorReason} gives it. */
  public Map<String, String> metadata() {
    return details.metadata;
  }

  /** Every field of the request that is wrong. */
  public List<FieldViolation> fieldViolations() {
    return details.fieldViolations;
  }

  /** How long the server asks to wait before another attempt. */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay);
  }

  /** A field of the request is missing or malformed; see {@link #fieldViolations}. */
  public static final class InvalidArgument extends InterlockException {
    private InvalidArgument(Failure failure) {
      super(failure);
    }
  }

  /** There is no such workflow, run, requirement or session. */
  public static final class NotFound extends InterlockException {
    private NotFound(Failure failure) {
      super(failure);
    }
  }

  /** The request id was used before, with another request. */
  public static final class AlreadyExists extends InterlockException {
    private AlreadyExists(Failure failure) {
      super(failure);
    }
  }

  /** What was asked for does not fit the state of the run, requirement or session. */
  public static class FailedPrecondition extends InterlockException {
    private FailedPrecondition(Failure failure) {
      super(failure);
    }
  }

  /** Somebody decided otherwise before. */
  public static final class AlreadyResolved extends FailedPrecondition {
    private AlreadyResolved(Failure failure) {
      super(failure);
    }

    /** The requirement. */
    public String requirementId() {
      return metadata().getOrDefault("requirement_id", "");
    }

    /** What was decided: the name of the answer's field in {@code RequirementResolution}. */
    public String resolution() {
      return metadata().getOrDefault("resolution", "");
    }

    /** Who decided. */
    public String resolvedBy() {
      return metadata().getOrDefault("resolved_by", "");
    }

    /** When it was decided, in RFC 3339. */
    public String resolveTime() {
      return metadata().getOrDefault("resolve_time", "");
    }
  }

  /** Something changed since it was read: read it again, then retry. */
  public static final class Conflict extends InterlockException {
    private Conflict(Failure failure) {
      super(failure);
    }
  }

  /** A position is past the newest event, or before the oldest that is kept. */
  public static final class OutOfRange extends InterlockException {
    private OutOfRange(Failure failure) {
      super(failure);
    }
  }

  /** A limit was reached. */
  public static final class ResourceExhausted extends InterlockException {
    private ResourceExhausted(Failure failure) {
      super(failure);
    }
  }

  /** The server does not know who is calling. */
  public static final class Unauthenticated extends InterlockException {
    private Unauthenticated(Failure failure) {
      super(failure);
    }
  }

  /** The caller may not do this. */
  public static final class PermissionDenied extends InterlockException {
    private PermissionDenied(Failure failure) {
      super(failure);
    }
  }

  /** The server does not offer the method. */
  public static final class Unimplemented extends InterlockException {
    private Unimplemented(Failure failure) {
      super(failure);
    }
  }

  /** The server could not be reached, for longer than the client was told to retry. */
  public static final class Unavailable extends InterlockException {
    private Unavailable(Failure failure) {
      super(failure);
    }
  }

  /** The call took longer than its timeout. It may have had its effect. */
  public static final class DeadlineExceeded extends InterlockException {
    private DeadlineExceeded(Failure failure) {
      super(failure);
    }
  }

  /** The thread was interrupted, which is still so, or something cancelled the call. */
  public static final class Cancelled extends InterlockException {
    private Cancelled(Failure failure) {
      super(failure);
    }
  }

  /** Something went wrong inside the server; {@code error_id} of the metadata is in its log. */
  public static final class Internal extends InterlockException {
    private Internal(Failure failure) {
      super(failure);
    }
  }

  /** The client was closed, before the call or during it. */
  public static final class ClientClosed extends InterlockException {
    private ClientClosed(Failure failure) {
      super(failure);
    }
  }

  /** The exception of the family that a status belongs to. */
  static InterlockException of(Status status, Metadata trailers) {
    Details details = Details.of(status, trailers);
    String description = status.getDescription();
    return of(
        new Failure(
            description == null ? status.getCode().name() : description,
            status.getCode(),
            details,
            status.asRuntimeException(trailers)));
  }

  static InterlockException interrupted(InterruptedException cause) {
    return new Cancelled(Failure.here("the thread was interrupted", cause));
  }

  static InterlockException clientClosed() {
    return new ClientClosed(Failure.here("the client is closed", null));
  }

  private static InterlockException of(Failure failure) {
    if (failure.details.reason.equals("REQUIREMENT_ALREADY_RESOLVED")) {
      return new AlreadyResolved(failure);
    }
    return switch (failure.code) {
      case INVALID_ARGUMENT -> new InvalidArgument(failure);
      case NOT_FOUND -> new NotFound(failure);
      case ALREADY_EXISTS -> new AlreadyExists(failure);
      case FAILED_PRECONDITION -> new FailedPrecondition(failure);
      case ABORTED -> new Conflict(failure);
      case OUT_OF_RANGE -> new OutOfRange(failure);
      case RESOURCE_EXHAUSTED -> new ResourceExhausted(failure);
      case UNAUTHENTICATED -> new Unauthenticated(failure);
      case PERMISSION_DENIED -> new PermissionDenied(failure);
      case UNIMPLEMENTED -> new Unimplemented(failure);
      case UNAVAILABLE -> new Unavailable(failure);
      case DEADLINE_EXCEEDED -> new DeadlineExceeded(failure);
      case CANCELLED -> new Cancelled(failure);
      case INTERNAL -> new Internal(failure);
      default -> new InterlockException(failure);
    };
  }

  private record Failure(String description, Status.Code code, Details details, Throwable cause) {
    static Failure here(String description, Throwable cause) {
      return new Failure(description, Status.Code.CANCELLED, Details.NONE, cause);
    }

    String text() {
      StringBuilder text =
          new StringBuilder(details.reason.isEmpty() ? code.name() : details.reason);
      text.append(": ").append(description);
      for (FieldViolation violation : details.fieldViolations) {
        if (!description.contains(violation.description)) {
          text.append(" (" + violation.field + ": " + violation.description + ")");
        }
      }
      return text.toString();
    }
  }

  /** What came with an error in the messages of {@code google.rpc}; empty where there is none. */
  private record Details(
      String reason,
      Map<String, String> metadata,
      List<FieldViolation> fieldViolations,
      Duration retryDelay)
      implements Serializable {
    static final Details NONE = new Details("", Map.of(), List.of(), null);

    static Details of(Status status, Metadata trailers) {
      List<Any> details;
      try {
        details = StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList();
      } catch (IllegalArgumentException malformed) {
        return NONE;
      }
      ErrorInfo info = find(details, ErrorInfo.getDefaultInstance());
      BadRequest request = find(details, BadRequest.getDefaultInstance());
      RetryInfo retry = find(details, RetryInfo.getDefaultInstance());
      return new Details(
          info.getReason(),
          Map.copyOf(info.getMetadataMap()),
          request.getFieldViolationsList().stream()
              .map(one -> new FieldViolation(one.getField(), one.getDescription()))
              .toList(),
          retry.hasRetryDelay() ? Times.duration(retry.getRetryDelay()) : null);
    }

    @SuppressWarnings("unchecked")
    private static <M extends Message> M find(List<Any> details, M fallback) {
      for (Any detail : details) {
        try {
          if (detail.is(fallback.getClass())) {
            return (M) detail.unpack(fallback.getClass());
          }
        } catch (InvalidProtocolBufferException malformed) {
          return fallback;
        }
      }
      return fallback;
    }
  }
}
