"""What can go wrong: one class for each family of errors.

InterlockError
├── InvalidArgumentError
├── NotFoundError
├── AlreadyExistsError
├── FailedPreconditionError
│   ├── AlreadyResolvedError
│   ├── RequirementClaimedError
│   └── ClaimLostError
├── ConflictError
├── OutOfRangeError
├── ResourceExhaustedError
├── UnauthenticatedError
├── PermissionDeniedError
├── UnimplementedError
├── UnavailableError
├── DeadlineExceededError
├── InternalError
└── ClientClosedError

Mistakes that are seen without asking the server are the `ValueError` and `TypeError` of
Python. A run that fails raises nothing: see `RunOutput.error`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_TRAILER = "grpc-status-details-bin"


class InterlockError(Exception):
    """A call that failed.

    The `grpc.RpcError` behind it, where there is one, is its `__cause__`.

    Attributes:
        message: What happened, for a developer.
        code: The gRPC status code.
        reason: Name of the `ErrorReason` without its prefix, for example
            `"RUN_NOT_FOUND"`; empty when the error does not come from Interlock.
        metadata: Every dynamic part of the message, by the name that `ErrorReason` gives it.
        field_violations: Path and description of every field that is wrong.
        retry_delay: How long the server asks to wait before another attempt, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        details: _Details | None = None,
    ) -> None:
        details = details or _Details(())
        self.message = message
        self.code = code
        self.reason = details.info.reason
        self.metadata: dict[str, str] = dict(details.info.metadata)
        self.field_violations: list[tuple[str, str]] = details.field_violations
        self.retry_delay: float | None = details.retry_delay
        super().__init__(message)

    def __str__(self) -> str:
        """The reason, the message, and what is wrong with which field."""
        violations = "; ".join(f"{field}: {what}" for field, what in self.field_violations)
        parts = [f"{self.reason or self.code.name}: {self.message}"]
        if violations and violations not in self.message:
            parts.append(f"({violations})")
        return " ".join(parts)


class InvalidArgumentError(InterlockError):
    """A field of the request is missing or malformed; see `field_violations`."""


class NotFoundError(InterlockError):
    """There is no such workflow, run, requirement or session."""


class AlreadyExistsError(InterlockError):
    """The request id was used before, with another request."""


class FailedPreconditionError(InterlockError):
    """What was asked for does not fit the state of the run, requirement or session."""


class AlreadyResolvedError(FailedPreconditionError):
    """Somebody decided otherwise before."""

    @property
    def requirement_id(self) -> str:
        """The requirement."""
        return self.metadata.get("requirement_id", "")

    @property
    def resolution(self) -> str:
        """What was decided."""
        return self.metadata.get("resolution", "")

    @property
    def resolved_by(self) -> str:
        """Who decided."""
        return self.metadata.get("resolved_by", "")

    @property
    def resolve_time(self) -> str:
        """When it was decided, in RFC 3339."""
        return self.metadata.get("resolve_time", "")


class RequirementClaimedError(FailedPreconditionError):
    """A worker executes the call: the result comes from there. It can still be rejected."""

    @property
    def requirement_id(self) -> str:
        """The requirement."""
        return self.metadata.get("requirement_id", "")

    @property
    def worker_id(self) -> str:
        """Who holds it."""
        return self.metadata.get("worker_id", "")

    @property
    def expire_time(self) -> str:
        """Until when, unless the worker renews its claim, in RFC 3339."""
        return self.metadata.get("expire_time", "")


class ClaimLostError(FailedPreconditionError):
    """The claim is not held any more: another worker may have the call, so drop the work."""

    @property
    def requirement_id(self) -> str:
        """The requirement."""
        return self.metadata.get("requirement_id", "")


class ConflictError(InterlockError):
    """Something changed since it was read: read it again, then retry."""


class OutOfRangeError(InterlockError):
    """A position is past the newest event, or before the oldest that is kept."""


class ResourceExhaustedError(InterlockError):
    """A limit was reached."""


class UnauthenticatedError(InterlockError):
    """The server does not know who is calling."""


class PermissionDeniedError(InterlockError):
    """The caller may not do this."""


class UnimplementedError(InterlockError):
    """The server does not offer the method."""


class UnavailableError(InterlockError):
    """The server could not be reached, for longer than the client was told to retry."""


class DeadlineExceededError(InterlockError):
    """The call took longer than its timeout. It may have had its effect."""


class InternalError(InterlockError):
    """Something went wrong inside the server; `metadata["error_id"]` finds it in its log."""


class ClientClosedError(InterlockError):
    """The client was closed, before the call or during it."""

    def __init__(self) -> None:
        super().__init__("the client is closed", code=grpc.StatusCode.CANCELLED)


_BY_REASON: dict[str, type[InterlockError]] = {
    "REQUIREMENT_ALREADY_RESOLVED": AlreadyResolvedError,
    "REQUIREMENT_CLAIMED": RequirementClaimedError,
    "CLAIM_LOST": ClaimLostError,
}

_BY_CODE: dict[grpc.StatusCode, type[InterlockError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRangeError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    # Whoever cancels a call here does not read its error. A server that had to stop says this.
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.INTERNAL: InternalError,
}


def from_rpc_error(error: grpc.RpcError) -> InterlockError:
    """Turns what gRPC raised into the error of its family."""
    trailers: Iterable[tuple[str, Any]] = cast("Any", error).trailing_metadata() or ()
    details = _Details(trailers)
    code = error.code()
    kind = _BY_REASON.get(details.info.reason) or _BY_CODE.get(code, InterlockError)
    return kind(error.details() or code.name, code=code, details=details)


class _Details:
    """The messages of `google.rpc` that came with an error; empty where there are none."""

    def __init__(self, trailers: Iterable[tuple[str, Any]]) -> None:
        self.info = error_details_pb2.ErrorInfo()
        self._bad_request = error_details_pb2.BadRequest()
        self._retry = error_details_pb2.RetryInfo()
        known = {
            one.DESCRIPTOR.full_name: one for one in (self.info, self._bad_request, self._retry)
        }
        for detail in _status(trailers).details:
            if detail.TypeName() in known:
                detail.Unpack(known[detail.TypeName()])

    @property
    def field_violations(self) -> list[tuple[str, str]]:
        return [(one.field, one.description) for one in self._bad_request.field_violations]

    @property
    def retry_delay(self) -> float | None:
        if not self._retry.HasField("retry_delay"):
            return None
        return max(0.0, self._retry.retry_delay.ToNanoseconds() / 1e9)


def _status(trailers: Iterable[tuple[str, Any]]) -> status_pb2.Status:
    for key, value in trailers:
        if key == _DETAILS_TRAILER and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()
