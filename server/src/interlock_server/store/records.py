"""What the store is given and gives back besides the contract's own messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from interlock import v1


@dataclass(frozen=True)
class Lease:
    """The right to write one run: only the newest epoch has it.

    Args:
        until: when it runs out unless it is renewed; nobody takes it before.
    """

    run_id: str
    owner: str
    epoch: int
    until: datetime = field(compare=False)


@dataclass(frozen=True)
class Owner:
    """Who claims runs, and for how long a claim holds."""

    name: str
    lease: timedelta


@dataclass(frozen=True)
class NewEvent:
    """An event to append; `key` makes sure that it is appended once."""

    event: v1.RunEvent
    key: str | None = None


@dataclass(frozen=True)
class Entry:
    """A journal entry; without a value it says that an effect was started."""

    key: str
    position: int
    value: str | None


@dataclass(frozen=True)
class Question:
    """A requirement to open, in the order of asking."""

    key: str
    position: int
    requirement: v1.Requirement


@dataclass(frozen=True)
class Spent:
    """A decision that is used up by the start of what it let start.

    Args:
        key: of the question.
        digest: of what starts; the decision must have been about just that.
    """

    key: str
    digest: bytes


@dataclass(frozen=True)
class Progress:
    """What a run has done since its last commit.

    Args:
        spent: decisions that are used up with it; all of them, or nothing is stored.
    """

    events: Sequence[NewEvent] = ()
    entries: Sequence[Entry] = ()
    questions: Sequence[Question] = ()
    session_changes: Mapping[str, object] = field(default_factory=dict)
    session_removals: Sequence[str] = ()
    spent: Sequence[Spent] = ()


@dataclass(frozen=True)
class Change:
    """Where a commit leaves the run; unset parts stay as they are.

    Args:
        waiting: how many requirements are open when the run pauses; with another
            number, a decision has come in that the run does not know of.
    """

    state: v1.RunState.ValueType = v1.RUN_STATE_RUNNING
    pause_kind: v1.PauseKind.ValueType = v1.PAUSE_KIND_UNSPECIFIED
    body: v1.Run | None = None
    waiting: int | None = None


@dataclass(frozen=True)
class Committed:
    """Where a commit left its run.

    Args:
        version, time: of the run, and of its change; unset where it may have changed since.
    """

    last_sequence: int
    cancel_requested: bool
    version: int | None = None
    time: datetime | None = None


@dataclass(frozen=True)
class Tip:
    """The newest of a run: what a reader must know before it waits."""

    state: v1.RunState.ValueType
    last_sequence: int


@dataclass(frozen=True)
class RunRow:
    """A run as stored, with what only the runtime needs."""

    run: v1.Run
    digest: bytes
    session_state: str
    epoch: int
    is_ready: bool = False
    cancel_requested: bool = False
    cancel_reason: str = ""
    cancelled_by: str = ""


@dataclass(frozen=True)
class View:
    """What readers see of a run: with its results, what it waits for, and what may yet start."""

    row: RunRow
    current: Sequence[v1.Requirement]


@dataclass(frozen=True)
class Answer:
    """A requirement with the key that asked for it."""

    key: str
    requirement: v1.Requirement


@dataclass(frozen=True)
class Memory:
    """All that a leg needs to go on: the run, its journal, its questions, its events' keys.

    Args:
        values: of the journal by key, in the order of recording.
        position: of the newest entry.
        results: of the nodes that have finished; unset where they were not read, or are many.
    """

    row: RunRow
    values: Mapping[str, str | None] = field(default_factory=dict)
    position: int = 0
    answers: Sequence[Answer] = ()
    event_keys: frozenset[str] = frozenset()
    results: Sequence[v1.StepResult] | None = None


@dataclass(frozen=True)
class RequestKey:
    """Identifies a request of one caller; empty `request_id` means that it is not identified."""

    method: str
    caller: str
    request_id: str
    digest: bytes


NO_REQUEST = RequestKey("", "", "", b"")
"""What nobody asked for under an id."""


@dataclass(frozen=True)
class Basis:
    """What a decision is made on.

    Args:
        known: requirements that are open, that it names, or that may yet start something.
        first: the newest sequence before the same request, when it was made before.
    """

    row: RunRow
    known: Sequence[v1.Requirement]
    first: int | None


@dataclass(frozen=True)
class Settled:
    """An answer to record.

    Args:
        version: of the requirement as it was when it was answered; with another one, nothing
            is recorded.
        resolution: unset where time ran out and the run is cancelled for it.
        grant: the digest of what the answer lets start; unset when that is nothing.
    """

    requirement_id: str
    version: int
    resolution: v1.RequirementResolution | None
    grant: bytes | None = None


@dataclass(frozen=True)
class Ruling:
    """Answers that a person or the clock gave, and what follows from them.

    Args:
        answers: recorded all or none.
        state: of what they answer: resolved by a person, or expired.
        is_ready: a step has everything it waits for.
        claims: the run goes on at once.
    """

    answers: Sequence[Settled]
    state: v1.RequirementState.ValueType
    by: str
    is_ready: bool
    claims: bool
    now: datetime
    request: RequestKey = NO_REQUEST


@dataclass(frozen=True)
class Opening:
    """A decision that a leg begins with, and that its first commit carries.

    Args:
        version: of the paused run as it was when it was decided; with another one, nothing is
            stored.
        events: that say what was decided, before all others of the leg.
        keys: of the questions that it answers, with their requirements' ids.
    """

    version: int
    ruling: Ruling
    events: Sequence[v1.RunEvent]
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """What a worker asks for: a call that it can execute, for itself and for so long.

    Args:
        workflow_id: empty means of any.
    """

    worker_id: str
    tool_names: tuple[str, ...]
    workflow_id: str
    lease: timedelta
    request: RequestKey


@dataclass(frozen=True)
class Taken:
    """What a worker was given.

    Args:
        requirement: with its claim; unset when there was none.
        is_contested: there were some, and others had their hands on all of them.
    """

    requirement: v1.Requirement | None
    is_contested: bool = False


@dataclass(frozen=True)
class Missing:
    """What a server does not have, by what needs it, each with the first name that is missing.

    Args:
        definitions: digests of stored definitions.
        tools: names of agents and of their tools.
    """

    definitions: Mapping[bytes, str] = field(default_factory=dict)
    tools: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """How many rows, and after which one: the time and id of the last row of the page before."""

    size: int
    after_time: datetime | None = None
    after_id: str = ""
