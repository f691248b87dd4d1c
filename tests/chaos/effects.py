"""The world outside: a file in which each line is something that happened, and cannot be undone.

Servers append to it, one write for each line, so it outlives them; people read it when they are
asked what became of a call. The line of a tool is its effect: it is there, or it never happened.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.rules import check_conversation
from tests.oracle.watching import Happening, Log, Probe, Watched, forks_of

from interlock import v1
from interlock_server import jsontext
from interlock_server.authoring.conversation import Message
from interlock_server.engine.context import Context, Effect, Performance, RunContext
from interlock_server.engine.interpreter import Execution
from interlock_server.engine.keys import Key
from interlock_server.engine.places import Place
from interlock_server.engine.values import StepInput, StepOutput
from interlock_server.executors.registry import Registry

SERVER = "INTERLOCK_CHAOS_SERVER"
"""What tells a server its number: pids are used again."""

_SECONDS_MAX = 0.02
_ONCE_SECONDS_MAX = 0.06
"""How long an effect takes at most, before it happens and after."""

_POLL_SECONDS = 0.002

_CALL = re.compile(r":turn\d+:call\d+$")
_here: ContextVar[tuple[str, str]] = ContextVar("_here")
"""The run, and the key of the effect that is being performed."""


@dataclass(frozen=True)
class Line:
    """Something that happened.

    Args:
        run: the run; empty before an effect knows it.
        kind: `decided` of a question; of an effect `starts`, when this is about to be stored for
            one that must not be repeated, `begins`, `happens` and `ends`.
        what: what happened, in words that are the same in every process.
        given: what a tool was given, which is also its result, unless there is an `error`.
    """

    run: str
    key: str
    kind: str
    server: int = 0
    time: float = 0.0
    what: str = ""
    in_order: bool = False
    given: dict[str, Any] | None = None
    error: str = ""

    @property
    def outcome(self) -> v1.ExternalResult | None:
        """What a tool gave; `None` when this is not the effect of a tool."""
        if self.kind != "happens" or self.given is None:
            return None
        if self.error:
            return v1.ExternalResult(error_message=self.error)
        return v1.ExternalResult(result_json=jsontext.dumps(self.given))

    def __str__(self) -> str:
        details = f"{self.what} {self.given or ''} {self.error}".strip()
        return f"{self.time:.3f} {self.server:>4} {self.kind:<8} {self.key} {details[:300]}"


class Outside(Log):
    """The oracle's log as servers have it: what they tell it goes into the file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.told = _Heard()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._noted: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        """Writes no more."""
        os.close(self._file)

    def append(self, line: Line) -> None:
        """Adds a line, with one write. A process may die in the middle even of that: so a line
        begins with a new line too, and what was torn ends before the next."""
        server = int(os.environ.get(SERVER, "0"))
        told = {**vars(line), "server": server, "time": time.time()}
        os.write(self._file, b"\n" + json.dumps(told).encode() + b"\n")

    def performs(self, key: str, run: RunContext) -> None:
        _here.set((run.run_id, key))

    def note(self, what: str, *, in_order: bool = False) -> None:
        run, key = _here.get()
        if _CALL.search(key):  # A tool notes first and acts then; that is one line.
            self._noted[run, key] = what, in_order
        else:
            self.append(Line(run, key, "happens", what=what, in_order=in_order))

    def acts(self, arguments: dict[str, Any], error: str = "") -> None:
        run, key = _here.get()
        what, in_order = self._noted.pop((run, key))
        line = Line(run, key, "happens", what=what, in_order=in_order, given=arguments, error=error)
        self.append(line)


class _Heard(list[tuple[Message, ...]]):
    """Conversations, which are checked when they are told, and not kept."""

    def append(self, messages: tuple[Message, ...]) -> None:
        check_conversation(messages)


class Slow(Watched):
    """A registry whose effects take a while, so that much can come between."""

    def __init__(self, loaded: Registry, outside: Outside) -> None:
        super().__init__(loaded, outside)
        self._outside = outside

    async def execute(
        self, context: Context, place: Place, node: v1.WorkflowNode, given: StepInput
    ) -> Execution:
        return await super().execute(self._slow(context), place, node, given)

    async def evaluate(
        self, context: Context, place: Place, function: str, given: StepInput
    ) -> bool:
        return await super().evaluate(self._slow(context), place, function, given)

    async def select(
        self,
        context: Context,
        place: Place,
        function: str,
        given: StepInput,
        routes: Sequence[str],
    ) -> list[str]:
        return await super().select(self._slow(context), place, function, given, routes)

    async def ends(
        self, context: Context, place: Place, function: str, outputs: Sequence[StepOutput]
    ) -> bool:
        return await super().ends(self._slow(context), place, function, outputs)

    async def needs_review(
        self, context: Context, place: Place, function: str, output: StepOutput
    ) -> bool:
        return await super().needs_review(self._slow(context), place, function, output)

    def _slow(self, context: Context) -> _SlowContext:
        return _SlowContext(context, self._outside)


class _SlowContext(Probe):
    def __init__(self, context: Context, outside: Outside) -> None:
        super().__init__(context, outside)
        self._outside = outside
        self._random = Random()

    async def call(self, key: Key, effect: Effect) -> Any:
        seconds = _ONCE_SECONDS_MAX if effect.once else _SECONDS_MAX

        def check() -> object:
            if effect.once:
                self._outside.append(Line("", key, "starts"))
            return effect.check()

        async def perform(performance: Performance) -> Any:
            run = performance.run
            same = (run.run_id, run.session_id, run.workflow_id, run.started_by, run.labels)
            self._outside.append(Line(run.run_id, key, "begins", what=str(same)))
            try:
                await asyncio.sleep(self._random.uniform(0, seconds))
                try:
                    return await effect.perform(performance)
                finally:
                    await asyncio.sleep(self._random.uniform(0, seconds))
            finally:
                self._outside.append(Line(run.run_id, key, "ends"))

        return await self._context.call(key, replace(effect, perform=perform, check=check))


class Effects:
    """The file as people read it: always to its end as it is now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.happened = 0
        self._writer = Outside(path)
        self._file = path.open("rb")
        self._rest = b""
        self._lines: list[Line] = []
        self._by_run: defaultdict[str, list[Line]] = defaultdict(list)

    def close(self) -> None:
        """Reads and writes no more."""
        self._file.close()
        self._writer.close()

    def decided(self, run: str, key: str) -> None:
        """Notes that a question is being answered, before it is."""
        self._writer.append(Line(run, key, "decided"))

    def of(self, run: str) -> list[Line]:
        """All that happened in a run."""
        self.read()
        return self._by_run[run]

    async def coming(self, kind: str, seconds: float) -> Line | None:
        """Waits for the next line of a kind, at most so long."""
        end = time.monotonic() + seconds
        self.read()
        position = len(self._lines)
        while time.monotonic() < end:
            await asyncio.sleep(_POLL_SECONDS)
            self.read()
            for line in self._lines[position:]:
                if line.kind == kind:
                    return line
            position = len(self._lines)
        return None

    def read(self) -> None:
        """Takes in what is new; `happened` counts the effects among it."""
        # What comes after the last line end is still being written, or was torn.
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        for part in filter(None, whole):
            if line := _parsed(part):
                self._lines.append(line)
                self._by_run[line.run].append(line)
                self.happened += line.kind == "happens"


def _parsed(part: bytes) -> Line | None:
    """A line; `None` when its server was killed while it wrote."""
    try:
        return Line(**json.loads(part))
    except (ValueError, TypeError):
        return None


def log_of(lines: Iterable[Line]) -> Log:
    """What a run did, as the oracle reads it: what nobody had recorded may have been repeated."""
    log = Log()
    first: dict[str, Happening] = {}
    for line in lines:
        match line.kind:
            case "begins":
                log.performed.append(line.key)
                log.runs.add(line.what)
                log.timeline[line.key] = len(log.timeline)
            case "happens":
                forks = forks_of(line.key, in_order=line.in_order)
                happening = Happening(line.key, forks, line.what)
                known = first.setdefault(line.key, happening)
                assert known == happening, f"an effect is given something else again: {line}"
                if line.given is not None:
                    log.arguments[line.key] = line.given
            case "decided":
                log.timeline.setdefault(line.key, len(log.timeline))
    log.happenings = list(first.values())
    return log
