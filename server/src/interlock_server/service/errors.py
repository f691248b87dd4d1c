"""Errors on the wire: one table, and nothing internal ever leaves through it."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from interlock import v1
from interlock_server import errors, jsontext

DOMAIN = "interlock.dev"
_RETRY_DELAY = timedelta(seconds=1)

# Clients refuse trailers of more than 8 KiB, and a status travels in them twice: as text, of
# which a byte may become three, and in base64. What does not fit is cut off.
_MESSAGE_BYTES_MAX = 1_000
_PART_BYTES_MAX = 250
_VIOLATIONS_BYTES_MAX = 1_500

STATUS: dict[type[errors.InterlockError], tuple[int, v1.ErrorReason.ValueType]] = {
    errors.InvalidField: (code_pb2.INVALID_ARGUMENT, v1.ERROR_REASON_INVALID_FIELD),
    errors.WorkflowNotFound: (code_pb2.NOT_FOUND, v1.ERROR_REASON_WORKFLOW_NOT_FOUND),
    errors.RunNotFound: (code_pb2.NOT_FOUND, v1.ERROR_REASON_RUN_NOT_FOUND),
    errors.RequirementNotFound: (code_pb2.NOT_FOUND, v1.ERROR_REASON_REQUIREMENT_NOT_FOUND),
    errors.SessionNotFound: (code_pb2.NOT_FOUND, v1.ERROR_REASON_SESSION_NOT_FOUND),
    errors.RunNotPaused: (code_pb2.FAILED_PRECONDITION, v1.ERROR_REASON_RUN_NOT_PAUSED),
    errors.RequirementAlreadyResolved: (
        code_pb2.FAILED_PRECONDITION,
        v1.ERROR_REASON_REQUIREMENT_ALREADY_RESOLVED,
    ),
    errors.RequirementExpired: (
        code_pb2.FAILED_PRECONDITION,
        v1.ERROR_REASON_REQUIREMENT_EXPIRED,
    ),
    errors.RequirementCancelled: (
        code_pb2.FAILED_PRECONDITION,
        v1.ERROR_REASON_REQUIREMENT_CANCELLED,
    ),
    errors.ResolutionMismatch: (
        code_pb2.FAILED_PRECONDITION,
        v1.ERROR_REASON_RESOLUTION_MISMATCH,
    ),
    errors.RequirementClaimed: (
        code_pb2.FAILED_PRECONDITION,
        v1.ERROR_REASON_REQUIREMENT_CLAIMED,
    ),
    errors.ClaimLost: (code_pb2.FAILED_PRECONDITION, v1.ERROR_REASON_CLAIM_LOST),
    errors.SessionInUse: (code_pb2.FAILED_PRECONDITION, v1.ERROR_REASON_SESSION_IN_USE),
    errors.ExecutorNotFound: (code_pb2.FAILED_PRECONDITION, v1.ERROR_REASON_EXECUTOR_NOT_FOUND),
    errors.EtagMismatch: (code_pb2.ABORTED, v1.ERROR_REASON_ETAG_MISMATCH),
    errors.RequestIdReused: (code_pb2.ALREADY_EXISTS, v1.ERROR_REASON_REQUEST_ID_REUSED),
    errors.SequenceOutOfRange: (code_pb2.OUT_OF_RANGE, v1.ERROR_REASON_SEQUENCE_OUT_OF_RANGE),
    errors.RunLimitExceeded: (code_pb2.RESOURCE_EXHAUSTED, v1.ERROR_REASON_RUN_LIMIT_EXCEEDED),
    errors.SizeLimitExceeded: (code_pb2.RESOURCE_EXHAUSTED, v1.ERROR_REASON_SIZE_LIMIT_EXCEEDED),
    errors.ServerShutdown: (code_pb2.UNAVAILABLE, v1.ERROR_REASON_SERVER_SHUTDOWN),
    errors.StoreUnavailable: (code_pb2.UNAVAILABLE, v1.ERROR_REASON_STORE_UNAVAILABLE),
}
"""The code and reason of every error that a caller can see."""


def status_of(error: errors.InterlockError) -> status_pb2.Status:
    """An error as the status of a call, with its details."""
    code, reason = STATUS[type(error)]
    status = _status(code, reason, error.message, error.metadata)
    match error:
        case errors.InvalidField():
            _add(status, _bad_request(error))
        case errors.NotFound():
            resource = error_details_pb2.ResourceInfo(
                resource_type=f"{DOMAIN}/{error.kind}",
                resource_name=_cut(error.name, _PART_BYTES_MAX),
                description=status.message,
            )
            _add(status, resource)
    if code == code_pb2.FAILED_PRECONDITION:
        violation = error_details_pb2.PreconditionFailure.Violation(
            type=_name(reason),
            subject=_cut(next(iter(error.metadata.values()), ""), _PART_BYTES_MAX),
            description=status.message,
        )
        _add(status, error_details_pb2.PreconditionFailure(violations=[violation]))
    if code == code_pb2.UNAVAILABLE or isinstance(error, errors.RunLimitExceeded):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(_RETRY_DELAY)
        _add(status, retry)
    return status


def internal_status(error_id: str) -> status_pb2.Status:
    """What a caller sees of an error that is nobody's business but the operator's."""
    return _status(
        code_pb2.INTERNAL,
        v1.ERROR_REASON_INTERNAL,
        f"something went wrong inside the service; the operator finds it under {error_id}",
        {"error_id": error_id},
    )


def unimplemented_status() -> status_pb2.Status:
    """What a caller sees of a method that this server does not offer."""
    return _status(
        code_pb2.UNIMPLEMENTED,
        v1.ERROR_REASON_UNIMPLEMENTED,
        "this server does not offer the method",
        {},
    )


def _status(
    code: int, reason: v1.ErrorReason.ValueType, message: str, metadata: dict[str, str]
) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=_cut(message, _MESSAGE_BYTES_MAX))
    facts = {name: _cut(value, _PART_BYTES_MAX) for name, value in metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=_name(reason), domain=DOMAIN, metadata=facts)
    _add(status, info)
    return status


def _bad_request(error: errors.InvalidField) -> error_details_pb2.BadRequest:
    """The violations, as many as fit."""
    request = error_details_pb2.BadRequest()
    for one in error.violations:
        request.field_violations.add(
            field=_cut(one.field, _PART_BYTES_MAX),
            description=_cut(one.description, _PART_BYTES_MAX),
        )
        if request.ByteSize() > _VIOLATIONS_BYTES_MAX:
            break
    return request


def _cut(text: str, bytes_max: int) -> str:
    encoded = jsontext.clean(text).encode()
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[:bytes_max].decode(errors="ignore") + "..."


def _name(reason: v1.ErrorReason.ValueType) -> str:
    return v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def _add(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
