"""Watching: what was done where, to whom it was told, and in what order.

Some things happen side by side: the branches of a `Parallel`, and the free calls
of one model response. Their order among each other is nobody's promise, so
things are arranged by where the run forks before they are compared.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from interlock import v1
from interlock_server import jsontext
from interlock_server.authoring.conversation import Message
from interlock_server.engine.context import Context, Effect, Performance, RunContext
from interlock_server.engine.interpreter import Execution
from interlock_server.engine.keys import Key
from interlock_server.engine.places import Place
from interlock_server.engine.values import StepInput, StepOutput
from interlock_server.executors.registry import Registry

_place: ContextVar[str] = ContextVar("_place")
_CALL = re.compile(r"(.*:turn\d+):(call\d+)$")

Fork = tuple[str, str]
"""Where a run forks, and which of the branches."""
Observer = Callable[[str, str], Awaitable[None]]
"""Is told `before` and `after` each performance of an effect, with its key."""


def forks_of(key: str, *, in_order: bool = False) -> tuple[Fork, ...]:
    """The branches that a key lies in, outermost first.

    Args:
        in_order: the key is of a gated call, which waits for its turn.
    """
    forks: list[Fork] = []
    walked = ""
    parts = key.split("/")
    for number, part in enumerate(parts):
        if walked.rpartition("/")[2].startswith("par"):
            forks.append((walked, re.split("[#@+:~]", part)[0]))
        walked = f"{walked}/{part}" if walked else part
        if (call := _CALL.match(walked)) and not (in_order and number == len(parts) - 1):
            forks.append((call[1], call[2]))
    return tuple(forks)


@dataclass(frozen=True)
class Happening:
    """Something that happened at a place, and in which branches of the run that was."""

    key: str
    forks: tuple[Fork, ...]
    what: str


@dataclass
class Group:
    """Things that happened side by side."""

    fork: str
    branches: dict[str, list[Happening]] = field(default_factory=dict)


def arranged(happenings: Iterable[Happening], depth: int = 0) -> list[Any]:
    """Happenings in their order, but those of branches by branch."""
    line: list[str | Group] = []
    for one in happenings:
        if len(one.forks) <= depth:
            line.append(f"{one.key} {one.what}")
            continue
        fork, branch = one.forks[depth]
        last = line[-1] if line else ""
        if not isinstance(last, Group) or last.fork != fork:
            last = Group(fork)
            line.append(last)
        last.branches.setdefault(branch, []).append(one)
    return [
        {name: arranged(inside, depth + 1) for name, inside in sorted(one.branches.items())}
        if isinstance(one, Group)
        else one
        for one in line
    ]


@dataclass
class Log:
    """The world outside: what really happened, over all legs and processes of a run."""

    happenings: list[Happening] = field(default_factory=list)
    performed: list[str] = field(default_factory=list)
    timeline: dict[str, int] = field(default_factory=dict)
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, v1.ExternalResult] = field(default_factory=dict)
    told: list[tuple[Message, ...]] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    observe: Observer | None = None

    def wipe(self) -> None:
        """Forgets everything, for another run of the same code."""
        self.__init__()  # type: ignore[misc]

    def note(self, what: str, *, in_order: bool = False) -> None:
        """Something happens where the run is now."""
        key = _place.get()
        self.happenings.append(Happening(key, forks_of(key, in_order=in_order), what))

    def acts(self, arguments: dict[str, Any], error: str = "") -> None:
        """A tool runs, with these arguments, which are also its result, if there is no error."""
        self.arguments[_place.get()] = arguments
        outcome = v1.ExternalResult(result_json=jsontext.dumps(arguments))
        self.outcomes[_place.get()] = v1.ExternalResult(error_message=error) if error else outcome

    def performs(self, key: str, run: RunContext) -> None:
        """An effect is performed, for a run."""
        same = (run.run_id, run.session_id, run.workflow_id, run.started_by, run.labels)
        self.runs.add(str(same))
        self.performed.append(key)
        self.timeline[key] = len(self.timeline)

    def decides(self, key: str) -> None:
        """A question is answered."""
        self.timeline[key] = len(self.timeline)

    def lane(self, *, in_order: bool = False) -> str:
        """The branch that the run is in now, as one name."""
        return "|".join(
            f"{fork}>{branch}" for fork, branch in forks_of(_place.get(), in_order=in_order)
        )

    def attempt_of_step(self) -> int:
        """The attempt that the innermost step is in now."""
        return int(re.findall(r"@(\d+)", _place.get())[-1])


def seen(state: dict[str, Any], lane: str) -> dict[str, Any]:
    """The entries of a session state that nobody writes at the same time."""
    return {name: state[name] for name in sorted(state) if _is_in_line(name, lane)}


def _is_in_line(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return not short or short == long or long.startswith(f"{short}|")


class Probe:
    """A context that tells a log what is performed, and where."""

    def __init__(self, context: Context, log: Log) -> None:
        self._context = context
        self._log = log

    async def call(self, key: Key, effect: Effect) -> Any:
        async def perform(performance: Performance) -> Any:
            identity = effect.identity or key
            assert performance.run.idempotency_key == f"{performance.run.run_id}/{identity}"
            if self._log.observe:
                await self._log.observe("before", key)
            self._log.performs(key, performance.run)
            token = _place.set(key)
            try:
                return await effect.perform(performance)
            finally:
                _place.reset(token)
                if self._log.observe:
                    await self._log.observe("after", key)

        return await self._context.call(key, replace(effect, perform=perform))

    async def ask(self, key: Key, question: v1.Requirement) -> v1.RequirementResolution:
        return await self._context.ask(key, question)

    def recorded(self, key: Key) -> Any:
        return self._context.recorded(key)

    def record(self, key: Key, value: Any) -> None:
        self._context.record(key, value)

    def emit(self, key: Key, event: v1.RunEvent) -> None:
        self._context.emit(key, event)

    def now(self) -> datetime:
        return self._context.now()

    def new_id(self) -> str:
        return self._context.new_id()


class Watched(Registry):
    """A registry whose every effect is told to a log."""

    def __init__(self, loaded: Registry, log: Log) -> None:
        super().__init__(loaded.speakers, loaded.functions)
        self.log = log

    async def execute(
        self, context: Context, place: Place, node: v1.WorkflowNode, given: StepInput
    ) -> Execution:
        return await super().execute(Probe(context, self.log), place, node, given)

    async def evaluate(
        self, context: Context, place: Place, function: str, given: StepInput
    ) -> bool:
        return await super().evaluate(Probe(context, self.log), place, function, given)

    async def select(
        self,
        context: Context,
        place: Place,
        function: str,
        given: StepInput,
        routes: Sequence[str],
    ) -> list[str]:
        return await super().select(Probe(context, self.log), place, function, given, routes)

    async def ends(
        self, context: Context, place: Place, function: str, outputs: Sequence[StepOutput]
    ) -> bool:
        return await super().ends(Probe(context, self.log), place, function, outputs)

    async def needs_review(
        self, context: Context, place: Place, function: str, output: StepOutput
    ) -> bool:
        return await super().needs_review(Probe(context, self.log), place, function, output)
