"""What can go wrong for a caller, each with the facts that its message needs.

`service/errors.py` turns each of these into one gRPC status; whatever is not
listed there is an internal error whose text never leaves the server.

InterlockError
├── InvalidField
├── NotFound: WorkflowNotFound, RunNotFound, RequirementNotFound, SessionNotFound
├── RunNotPaused, ResolutionMismatch
├── RequirementAlreadyResolved, RequirementExpired, RequirementCancelled
├── RequirementClaimed, ClaimLost
├── SessionInUse, ExecutorNotFound
├── EtagMismatch, RequestIdReused
├── SequenceOutOfRange
├── RunLimitExceeded, SizeLimitExceeded
└── ServerShutdown, StoreUnavailable
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class InterlockError(Exception):
    """Base of every error that a caller can see; `metadata` holds its dynamic parts."""

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with one field of a request: its path, and the remedy."""

    field: str
    description: str


class InvalidField(InterlockError):
    """One or more fields of the request are missing or malformed."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.description}" for one in violations))
        self.violations = tuple(violations)


class NotFound(InterlockError):
    """There is no such resource."""

    kind = "resource"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no {self.kind} {name!r}", **{f"{self.kind}_id": name})
        self.name = name


class WorkflowNotFound(NotFound):
    """This server has no such workflow, or no such version of it."""

    kind = "workflow"


class RunNotFound(NotFound):
    """There is no such run."""

    kind = "run"


class RequirementNotFound(NotFound):
    """There is no such requirement, or it belongs to another run."""

    kind = "requirement"


class SessionNotFound(NotFound):
    """There is no such session."""

    kind = "session"


class RunNotPaused(InterlockError):
    """The run waits for nothing."""

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(
            f"run {run_id!r} is not paused, it is {state}; only a paused run can be continued",
            run_id=run_id,
            state=state,
        )


class RequirementAlreadyResolved(InterlockError):
    """Somebody decided otherwise before; the first decision stands."""

    def __init__(self, requirement_id: str, resolution: str, by: str, at: str) -> None:
        super().__init__(
            f"requirement {requirement_id!r} was already resolved with {resolution!r} "
            f"by {by or 'an anonymous caller'} at {at}",
            requirement_id=requirement_id,
            resolution=resolution,
            resolved_by=by,
            resolve_time=at,
        )


class RequirementExpired(InterlockError):
    """Nobody answered in time; what was to happen then has happened."""

    def __init__(self, requirement_id: str, on_timeout: str, at: str) -> None:
        super().__init__(
            f"requirement {requirement_id!r} was not answered in time; it expired at {at}, "
            f"which means {on_timeout}",
            requirement_id=requirement_id,
            on_timeout=on_timeout,
            expire_time=at,
        )


class RequirementCancelled(InterlockError):
    """The requirement was cancelled with its run."""

    def __init__(self, requirement_id: str) -> None:
        super().__init__(
            f"requirement {requirement_id!r} was cancelled with its run",
            requirement_id=requirement_id,
        )


class RequirementClaimed(InterlockError):
    """A worker is at work on the call; a result comes from there, with the claim's epoch."""

    def __init__(self, requirement_id: str, worker_id: str, until: str) -> None:
        super().__init__(
            f"requirement {requirement_id!r} is executed by the worker {worker_id!r}, which holds "
            f"it until {until} or longer; let it report, or reject the call",
            requirement_id=requirement_id,
            worker_id=worker_id,
            expire_time=until,
        )


class ClaimLost(InterlockError):
    """The claim was given back, or another worker has the call now."""

    def __init__(self, requirement_id: str, epoch: int) -> None:
        super().__init__(
            f"requirement {requirement_id!r} is not held under epoch {epoch} any more; drop the "
            "work, and claim another call",
            requirement_id=requirement_id,
            claim_epoch=str(epoch),
        )


class ResolutionMismatch(InterlockError):
    """The answer is of another kind than the question."""

    def __init__(self, requirement_id: str, kind: str, resolution: str, accepted: str) -> None:
        super().__init__(
            f"requirement {requirement_id!r} asks for {kind}; it takes {accepted}, "
            f"not {resolution!r}",
            requirement_id=requirement_id,
            kind=kind,
            resolution=resolution,
        )


class SessionInUse(InterlockError):
    """A run of the session has not ended."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"session {session_id!r} has runs that have not ended; cancel them first",
            session_id=session_id,
        )


class ExecutorNotFound(InterlockError):
    """The run's definition names something that this server does not have."""

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(
            f"run {run_id!r} needs {name!r}, which this server does not have; "
            "serve code that defines it, then continue the run",
            run_id=run_id,
            name=name,
        )


class EtagMismatch(InterlockError):
    """The resource has changed since the caller read it."""

    def __init__(self, etag: str) -> None:
        super().__init__("the etag does not match; read again and retry", etag=etag)


class RequestIdReused(InterlockError):
    """The request id was used with another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request id {request_id!r} was used with a different request; use a fresh one",
            request_id=request_id,
        )


class SequenceOutOfRange(InterlockError):
    """The caller asks for events after one that does not exist yet."""

    def __init__(self, last_sequence: int) -> None:
        super().__init__(
            f"after_sequence is past the newest event, which is {last_sequence}",
            last_sequence=str(last_sequence),
        )


class RunLimitExceeded(InterlockError):
    """Too many runs are open, or too many watchers."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"too many {what}; the limit is {limit}", limit=str(limit))


class SizeLimitExceeded(InterlockError):
    """A request, or what it would produce, is too large."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} is too large; the limit is {limit:,}", limit=str(limit))


class ServerShutdown(InterlockError):
    """The server shuts down; the run goes on elsewhere or after the restart."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; resume in a moment")


class StoreUnavailable(InterlockError):
    """The database cannot be reached."""

    def __init__(self) -> None:
        super().__init__("the database cannot be reached; retry in a moment")
