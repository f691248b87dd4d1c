import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { milliseconds } from "./times.js";

const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** Name of a gRPC status code. */
export type StatusCode = (typeof CODES)[number];

/** What is wrong with one field of a request. */
export interface FieldViolation {
  /** Path of the field, for example `spec.workflow_id`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/** What is known about a failed call besides its message. */
interface Details {
  readonly code: StatusCode;
  readonly reason?: string;
  readonly metadata?: Record<string, string>;
  readonly fieldViolations?: readonly FieldViolation[];
  readonly retryDelayMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * A call that failed. There is a class for each family of errors. A *run* that fails throws
 * nothing: see `Run.error`.
 *
 * The error of the gRPC library behind it is its `cause`.
 */
export class InterlockError extends Error {
  /** The gRPC status code. */
  readonly code: StatusCode;
  /**
   * Name of the contract's `ErrorReason` without its prefix, for example `RUN_NOT_FOUND`;
   * empty when the error does not come from Interlock.
   */
  readonly reason: string;
  /** Every dynamic part of the message, by the name that `ErrorReason` gives it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is wrong with which field of the request. */
  readonly fieldViolations: readonly FieldViolation[];
  /** How long the server asks to wait before another attempt. */
  readonly retryDelayMs: number | undefined;

  /** @internal */
  constructor(message: string, details: Details) {
    super(message, { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.fieldViolations = details.fieldViolations ?? [];
    this.retryDelayMs = details.retryDelayMs;
  }
}

/** A field of the request is missing or malformed; see `fieldViolations`. */
export class InvalidArgumentError extends InterlockError {}

/** There is no such workflow, run, requirement or session. */
export class NotFoundError extends InterlockError {}

/** The request id was used before, with another request. */
export class AlreadyExistsError extends InterlockError {}

/** What was asked for does not fit the state of the run, requirement or session. */
export class FailedPreconditionError extends InterlockError {}

/** Somebody decided otherwise before. */
export class AlreadyResolvedError extends FailedPreconditionError {
  /** The requirement. */
  get requirementId(): string {
    return this.metadata["requirement_id"] ?? "";
  }
  /** What was decided: a name of `RequirementResolution.resolution`. */
  get resolution(): string {
    return this.metadata["resolution"] ?? "";
  }
  /** Who decided. */
  get resolvedBy(): string {
    return this.metadata["resolved_by"] ?? "";
  }
}

/** Something changed since it was read: read it again, then retry. */
export class ConflictError extends InterlockError {}

/** A position is past the newest event, or before the oldest that is kept. */
export class OutOfRangeError extends InterlockError {}

/** A limit was reached. */
export class ResourceExhaustedError extends InterlockError {}

/** The server does not know who is calling. */
export class UnauthenticatedError extends InterlockError {}

/** The caller may not do this. */
export class PermissionDeniedError extends InterlockError {}

/** The server does not offer the method. */
export class UnimplementedError extends InterlockError {}

/** The server could not be reached, for longer than the client was told to retry. */
export class UnavailableError extends InterlockError {}

/** The call took longer than its timeout. It may have had its effect. */
export class DeadlineExceededError extends InterlockError {}

/** Something went wrong inside the server; `metadata.error_id` finds it in its log. */
export class InternalError extends InterlockError {}

/** The call was cancelled by the server. A caller who cancels gets their signal's reason. */
export class CancelledError extends InterlockError {}

/** The client was closed, before the call or during it. */
export class ClientClosedError extends InterlockError {
  /** @internal */
  constructor() {
    super("the client is closed", { code: "CANCELLED" });
  }
}

/** An answer does not fit its requirement, or comes too late. Nobody asked the server. */
export class DecisionError extends Error {
  override readonly name = "DecisionError";
}

const BY_CODE: Partial<Record<StatusCode, typeof InterlockError>> = {
  CANCELLED: CancelledError,
  INVALID_ARGUMENT: InvalidArgumentError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  NOT_FOUND: NotFoundError,
  ALREADY_EXISTS: AlreadyExistsError,
  PERMISSION_DENIED: PermissionDeniedError,
  RESOURCE_EXHAUSTED: ResourceExhaustedError,
  FAILED_PRECONDITION: FailedPreconditionError,
  ABORTED: ConflictError,
  OUT_OF_RANGE: OutOfRangeError,
  UNIMPLEMENTED: UnimplementedError,
  INTERNAL: InternalError,
  UNAVAILABLE: UnavailableError,
  UNAUTHENTICATED: UnauthenticatedError,
};

/**
 * Turns what the gRPC library threw into the error of its family.
 *
 * @internal
 */
export function fromConnectError(reason: unknown): InterlockError {
  const error = ConnectError.from(reason);
  const isLost = isConnectionLost(error);
  const code = isLost ? "UNAVAILABLE" : (CODES[error.code] ?? "UNKNOWN");
  const message = isLost ? `the connection failed: ${error.rawMessage}` : error.rawMessage || code;
  const [info] = error.findDetails(ErrorInfoSchema);
  const family =
    info?.reason === "REQUIREMENT_ALREADY_RESOLVED" ? AlreadyResolvedError : BY_CODE[code];
  return new (family ?? InterlockError)(message, {
    code,
    reason: info?.reason ?? "",
    metadata: { ...info?.metadata },
    fieldViolations: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) => bad.fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    retryDelayMs: milliseconds(error.findDetails(RetryInfoSchema)[0]?.retryDelay),
    cause: error,
  });
}

/**
 * Whether the connection broke. The library gives such errors codes of many families; what
 * a server has sent comes with headers.
 */
function isConnectionLost(error: ConnectError): boolean {
  const isFromServer = !error.metadata.keys().next().done;
  if (isFromServer) {
    return false;
  }
  switch (error.code) {
    case Code.Aborted:
    case Code.Canceled:
    case Code.InvalidArgument:
    case Code.Unavailable:
      return true;
    default:
      return typeof (error.cause as { code?: unknown } | undefined)?.code === "string";
  }
}
