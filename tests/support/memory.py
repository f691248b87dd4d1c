"""A journal that is a dict: the engine and the executors without a database.

`Memory` outlives its contexts like a database outlives its clients; a context is
one leg. `crash_at` ends a leg like a process that dies, at the n-th moment where
one could: before or after an effect, or between two.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import (
    Effect,
    EffectFailed,
    Performance,
    RunContext,
    Suspended,
)
from interlock_server.engine.interpreter import Executors, Interpreter
from interlock_server.engine.keys import Key
from interlock_server.engine.values import StepOutput

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Answer = Callable[[v1.Requirement], v1.RequirementResolution | None]


class Crash(BaseException):
    """The process died."""


@dataclass
class Memory:
    """What is stored of one run."""

    records: dict[str, str] = field(default_factory=dict)
    asked: dict[str, v1.Requirement] = field(default_factory=dict)
    answers: dict[str, v1.RequirementResolution] = field(default_factory=dict)
    events: dict[str, v1.RunEvent] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def open(self) -> list[v1.Requirement]:
        """What waits, in the order of asking."""
        return [one for key, one in self.asked.items() if key not in self.answers]

    def answer(self, requirement: v1.Requirement, answer: v1.RequirementResolution) -> None:
        """Records a decision."""
        [key] = [key for key, one in self.asked.items() if one is requirement]
        self.answers[key] = answer


class MemoryContext:
    """One leg over a `Memory`.

    With `answer`, a question that has one is answered on the spot: no pause.
    """

    def __init__(
        self, memory: Memory, answer: Answer | None = None, crash_at: int | None = None
    ) -> None:
        self._memory = memory
        self._answer = answer
        self._moments_left = crash_at

    async def call(self, key: Key, effect: Effect) -> Any:
        if key not in self._memory.records:
            self._moment()
            record = await self._perform(key, effect)
            self._moment()
            self._memory.records[key] = jsontext.dumps(record)
        record = jsontext.loads(self._memory.records[key])
        if "error" in record:
            raise EffectFailed(*record["error"])
        return record["value"]

    async def _perform(self, key: Key, effect: Effect) -> dict[str, Any]:
        run = RunContext(
            run_id="run",
            session_id="session",
            workflow_id="workflow",
            session_state=self._memory.state,
            idempotency_key=key,
        )
        try:
            return {"value": await effect.perform(Performance(run, lambda event: None, False))}
        except EffectFailed as failure:
            return {"error": [failure.reason, failure.message]}

    async def ask(self, key: Key, question: v1.Requirement) -> v1.RequirementResolution:
        if key not in self._memory.asked:
            self._moment()
            requirement = v1.Requirement()
            requirement.CopyFrom(question)
            requirement.requirement_id = self.new_id()
            self._memory.asked[key] = requirement
        asked = self._memory.asked[key]
        if self._answer and key not in self._memory.answers and (given := self._answer(asked)):
            self._memory.answers[key] = given
        if key not in self._memory.answers:
            raise Suspended([asked])
        return self._memory.answers[key]

    def emit(self, key: Key, event: v1.RunEvent) -> None:
        self._memory.events.setdefault(f"{key}!{event.WhichOneof('event')}", event)

    def now(self) -> datetime:
        return EPOCH

    def new_id(self) -> str:
        return f"id-{next(self._memory.ids)}"

    def _moment(self) -> None:
        if self._moments_left is not None:
            if self._moments_left == 0:
                raise Crash
            self._moments_left -= 1


async def leg(
    memory: Memory,
    executors: Executors,
    workflow: v1.Workflow,
    run_input: Any,
    answer: Answer | None = None,
    crash_at: int | None = None,
) -> StepOutput | None:
    """One leg; `None` when the run waits."""
    interpreter = Interpreter(MemoryContext(memory, answer, crash_at), executors)
    try:
        return await interpreter.run(workflow, run_input)
    except Suspended:
        return None
