"""Runs without a database: one that never pauses, and ones that pause over lists in memory.

`Straight` is the plainest context there is: it keeps no journal, and every
question is answered on the spot. `Shelf` holds what a database would hold of one
run, as bytes; the runtime's own recorder writes it, so there are no second rules
about journals, rounds and answers here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import (
    Cancelled,
    Effect,
    Performance,
    RunContext,
    Suspended,
)
from interlock_server.engine.interpreter import Executors, Interpreter, StepFailure
from interlock_server.engine.keys import Key
from interlock_server.engine.values import StepOutput
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.recorder import Recorder
from interlock_server.runtime.world import World
from interlock_server.store.records import Answer, Entry, Memory, NewEvent, Progress, RunRow

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Answers = Callable[[str, v1.Requirement], v1.RequirementResolution]
"""Answers a question, by its key."""


@dataclass
class Straight:
    """A run in one go: what it does is done, and nothing is looked up."""

    answers: Answers
    session_state: dict[str, Any] = field(default_factory=dict)
    events: dict[str, v1.RunEvent] = field(default_factory=dict)
    questions: dict[str, v1.Requirement] = field(default_factory=dict)
    _called: set[str] = field(default_factory=set)

    async def call(self, key: Key, effect: Effect) -> Any:
        assert key not in self._called, f"{key} happens twice"
        self._called.add(key)
        run = RunContext("run", "session", "workflow", session_state=self.session_state)
        run.idempotency_key = f"run/{effect.identity or key}"
        return await effect.perform(Performance(run, lambda event: None, False))

    async def ask(self, key: Key, question: v1.Requirement) -> v1.RequirementResolution:
        if key not in self.questions:
            self.questions[key] = v1.Requirement()
            self.questions[key].CopyFrom(question)
        return self.answers(key, question)

    def recorded(self, key: Key) -> Any:
        return None

    def record(self, key: Key, value: Any) -> None:
        raise AssertionError("a run in one go never pauses")

    def emit(self, key: Key, event: v1.RunEvent) -> None:
        name = f"{key}!{event.WhichOneof('event')}"
        assert name not in self.events, f"{name} happens twice"
        self.events[name] = event

    def now(self) -> datetime:
        return EPOCH

    def new_id(self) -> str:
        raise AssertionError("nothing in a run needs one")


@dataclass
class Shelf:
    """What is stored of one run, between its legs."""

    run_input: Any = None
    session: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    events: dict[str, bytes] = field(default_factory=dict)
    _position: int = 0
    _questions: dict[str, bytes] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def memory(self) -> Memory:
        """What a new leg, in whatever process, finds."""
        run = v1.Run(run_id="run", session_id="session", workflow_id="workflow")
        run.last_sequence = len(self.events)
        row = RunRow(run, b"", "{}", 1, False, False, "", "")
        values = {one.key: one.value for one in self.entries}
        return Memory(row, values, self._position, self.answers(), frozenset(self.events))

    def answers(self) -> list[Answer]:
        """All questions, with the answers that they have."""
        return [
            Answer(key, v1.Requirement.FromString(body)) for key, body in self._questions.items()
        ]

    def open(self) -> list[Answer]:
        """What waits, in the order of asking."""
        pending = v1.REQUIREMENT_STATE_PENDING
        return [one for one in self.answers() if one.requirement.state == pending]

    def answer(self, asked: Answer, resolution: v1.RequirementResolution) -> None:
        """Stores a decision."""
        asked.requirement.state = v1.REQUIREMENT_STATE_RESOLVED
        asked.requirement.resolution.CopyFrom(resolution)
        self._questions[asked.key] = asked.requirement.SerializeToString()

    async def save(self, progress: Progress) -> int:
        """Stores progress, and checks what the constraints of a database would check."""
        for entry in progress.entries:
            self._position += 1
            assert entry.position == self._position
            self.entries.append(entry)
        assert len({one.key for one in self.entries}) == len(self.entries)
        for event in progress.events:
            self._append(event)
        for question in progress.questions:
            assert question.key not in self._questions, f"{question.key} is asked twice"
            assert question.position == len(self._questions) + 1
            self._questions[question.key] = question.requirement.SerializeToString()
        self.session |= progress.session_changes
        for name in progress.session_removals:
            self.session.pop(name, None)
        return len(self.events)

    def new_id(self) -> str:
        """An identifier that no question has."""
        return f"id-{next(self._ids)}"

    def _append(self, event: NewEvent) -> None:
        assert event.key is not None
        assert event.key not in self.events, f"{event.key} is stored twice"
        self.events[event.key] = event.event.SerializeToString()


@dataclass(frozen=True)
class End:
    """How a run ended: with an output, with an error, or cancelled by a decision."""

    output: StepOutput | None
    error: v1.RunError | None
    usage: v1.Usage
    cancelled: str = ""


async def straight(
    context: Straight, executors: Executors, workflow: v1.Workflow, run_input: Any
) -> End:
    """A run in one go."""
    interpreter = Interpreter(context, executors)
    try:
        output = await interpreter.run(workflow, run_input)
    except StepFailure as failure:
        return End(None, failure.error, interpreter.usage)
    except Cancelled as cancelled:
        return End(None, None, interpreter.usage, cancelled.reason)
    return End(output, None, interpreter.usage)


async def leg(
    shelf: Shelf, executors: Executors, workflow: v1.Workflow, commit_delay: float = 0
) -> End | None:
    """One leg, as `runtime.leg` goes over a database; `None` when the run waits."""
    world = World(lambda: EPOCH, shelf.new_id)
    recorder = Recorder(shelf.memory(), shelf.save, Hub(), world, commit_delay)
    interpreter = Interpreter(recorder, executors)
    end: End | None = None
    waiting: list[v1.Requirement] = []
    try:
        output = await interpreter.run(workflow, jsontext.loads(jsontext.dumps(shelf.run_input)))
        end = End(output, None, interpreter.usage)
    except StepFailure as failure:
        end = End(None, failure.error, interpreter.usage)
    except Cancelled as cancelled:
        end = End(None, None, interpreter.usage, cancelled.reason)
    except Suspended as suspended:
        pending = v1.REQUIREMENT_STATE_PENDING
        waiting = [one for one in suspended.requirements if one.state == pending]
        assert waiting, "the run waits for nothing"
    await shelf.save(await recorder.close())
    if end is not None and end.cancelled:
        return end
    assert _ids(waiting) == _ids(one.requirement for one in shelf.open())
    return end


def _ids(requirements: Iterable[v1.Requirement]) -> list[str]:
    return sorted(one.requirement_id for one in requirements)
