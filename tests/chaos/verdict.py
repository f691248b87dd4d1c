"""The verdict: whether all that was promised held, by what is stored and what really happened."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import text
from tests.chaos.diary import Diary
from tests.chaos.effects import Effects, Line, log_of
from tests.chaos.fleet import STUCK_SECONDS, Fleet
from tests.chaos.people import ENDED, Life, People
from tests.oracle.rules import check_gates
from tests.oracle.stored import Stored, check_stream, stored
from tests.oracle.stories import differences, kind_of

from interlock import v1
from interlock_server.engine.gates import Go, verdict
from interlock_server.runtime.hub import ENDED as ENDED_STATES
from interlock_server.store.database import Database

_RUNS = text("SELECT run_id, state, epoch, open_requirements FROM runs")
_LISTENING = text("SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'listen %'")
_PENDING = text("SELECT run_id, count(*) FROM requirements WHERE state = 1 GROUP BY run_id")
_POLL_SECONDS = 0.1
_UNDUE_LEVELS = ("error", "critical")
_LINE_MAX = 200
_OF_LIBRARIES = ("Future exception was never retrieved", "_schedule_rpc_coro")
"""What libraries say that we cannot help: the driver, when a connection breaks while it is made;
gRPC, when a call is cut off at the end of a server's grace."""


class Verdict:
    """Looks into everything, when nobody moves any more; `problems` is what does not hold."""

    def __init__(self, database: Database, effects: Effects, logs: Path, diary: Diary) -> None:
        self.problems: list[str] = []
        self._logs = logs
        self._database = database
        self._effects = effects
        self._diary = diary

    async def on_quiet(self, fleet: Fleet) -> None:
        """Servers that were cut off have come back to all that they do."""
        count = 0
        end = time.monotonic() + STUCK_SECONDS
        while time.monotonic() < end:
            count = (await self._database.fetch(_LISTENING))[0].count
            if count >= len(fleet.alive):
                return
            await asyncio.sleep(_POLL_SECONDS)
        text = f"only {count} of {len(fleet.alive)} servers hear of what others do"
        self.problems.append(text)

    async def on_forgotten(self, lives: Sequence[Life]) -> None:
        """Runs that nobody answers wait, and for something."""
        states = await self._runs()
        for life in lives:
            state, waits_for = states[life.run_id]
            if state != v1.RUN_STATE_PAUSED or not waits_for:
                name = v1.RunState.Name(state)
                self.problems.append(f"run {life.run_id} is {name} and waits for {waits_for}")

    async def on_stuck(self, lives: Sequence[Life]) -> None:
        """Runs that do not come to their end."""
        for life in lives:
            if not life.run_id:
                self.problems.append(f"life {life.number} does not begin")
            elif life.state not in ENDED:
                run = await stored(self._database, life.run_id)
                self._add("it does not come to its end", life, run)

    async def on_runs(self, lives: Sequence[Life]) -> None:
        """Every run that was accepted is there, once, and has ended as it should."""
        states = await self._runs()
        begun = [life for life in lives if life.run_id]
        known = Counter(life.run_id for life in begun)
        if known != Counter(states.keys()):
            strange = {name: states[name] for name in states if name not in known}
            lost = [name for name in known if name not in states]
            self.problems.append(f"there are runs that nobody started {strange}, or lost: {lost}")
        pending = dict(await self._database.fetch(_PENDING))
        for run_id, (state, waits_for) in states.items():
            if state not in ENDED_STATES or waits_for or pending.get(run_id):
                name = v1.RunState.Name(state)
                self.problems.append(f"run {run_id} is {name} and waits for {waits_for}")
        for life in begun:
            await self._on_run(life)

    async def _runs(self) -> dict[str, tuple[v1.RunState.ValueType, int]]:
        rows = await self._database.fetch(_RUNS)
        return {row.run_id: (row.state, row.open_requirements) for row in rows}

    async def _on_run(self, life: Life) -> None:
        run = await stored(self._database, life.run_id)
        lines = self._effects.of(life.run_id)
        self._diary.counts["events"] += len(run.events)
        self._diary.counts["effects"] += sum(line.kind == "happens" for line in lines)
        doubt = v1.REQUIREMENT_KIND_IN_DOUBT
        doubts = sum(one.requirement.kind == doubt for one in run.memory.answers)
        self._diary.counts["doubts asked"] += doubts
        try:
            self._check(life, run, lines)
        except AssertionError as problem:
            self._add(str(problem), life, run)

    def _add(self, problem: str, life: Life, run: Stored) -> None:
        """A problem of a run, with the story of the run, for whoever must understand it."""
        entries = (f"{key} {value or 'started'}" for key, value in run.memory.values.items())
        parts = {
            "events": [f"{event.sequence} {kind_of(event)} {key}" for key, event in run.events],
            "journal": [one[:_LINE_MAX] for one in entries],
            "requirements": [f"{one.key} {_answer(one.requirement)}" for one in run.memory.answers],
            "effects": [str(line) for line in self._effects.of(life.run_id)],
            "servers": sorted(self._logged_of(life.run_id)),
        }
        text = "\n".join("\n  ".join([f"{name}:", *lines]) for name, lines in parts.items())
        self.problems.append(
            f"{problem}\nrun {life.run_id}, life {life.number}, {life.fate}, "
            f"epoch {run.memory.row.epoch}\nworld {life.played.seed}: {life.played.world}\n{text}"
        )

    def _logged_of(self, run_id: str) -> Iterator[str]:
        for log in self._logs.glob("server*.log"):
            for line in _logged(log):
                if line.get("run_id") == run_id:
                    yield f"{line['timestamp']} {log.stem}: {_gist(line)}"

    def _check(self, life: Life, run: Stored, lines: Sequence[Line]) -> None:
        log = log_of(lines)
        _check_sequences(run)
        _check_effects(run, lines)
        if life.is_watched:
            assert life.seen == list(range(1, len(run.events) + 1)), f"a watcher saw {life.seen}"
        is_cancelled = run.run.state == v1.RUN_STATE_CANCELLED
        if is_cancelled and life.fate == "cancelled":
            return
        if not is_cancelled:  # Else people ended it by what they decided, as they do in its world.
            check_stream(run)
        check_gates(run.memory, log)
        parted = differences(life.played.reference, run.story(log))
        assert not parted, parted

    def on_people(self, people: People) -> None:
        """Calls end with an answer, or with an error that says what to do."""
        for surprise, count in people.surprises.items():
            self.problems.append(f"{count} call(s) ended with {surprise}")

    def on_fleet(self, fleet: Fleet) -> None:
        """Servers end when they are told to, and complain of nothing that is not theirs."""
        self.problems.extend(fleet.problems)
        complaints: defaultdict[str, list[str]] = defaultdict(list)
        for server in (one for one in fleet.servers if one.target[1]):
            for line in _logged(server.log):
                if line.get("event") == "run taken over":
                    self._diary.counts["takeovers"] += 1
                if line.get("level") in _UNDUE_LEVELS and not _is_of_libraries(line):
                    complaints[_gist(line)].append(f"{server}: {json.dumps(line)}")
        for gist, texts in complaints.items():
            first = texts[0].replace("\\n", "\n")
            self.problems.append(f"{len(texts)} complaint(s) like: {gist}\n{first}")


def _check_sequences(run: Stored) -> None:
    """Events and journal are dense, and a run that has ended has one end, which comes last."""
    sequences = [event.sequence for _, event in run.events]
    assert sequences == list(range(1, run.run.last_sequence + 1)), "events are missing"
    # No two have the same position.
    assert run.memory.position == len(run.memory.values), "journal entries are missing"
    ends = [kind_of(event) in _ENDS for _, event in run.events]
    assert [number for number, is_end in enumerate(ends, 1) if is_end] == sequences[-1:]


_ENDS = ("workflow_completed", "workflow_failed", "workflow_cancelled")


def _check_effects(run: Stored, lines: Sequence[Line]) -> None:
    """What is gated happened once at most, and once where its result is recorded."""
    happened = Counter(line.key for line in lines if line.kind == "happens")
    recorded = {key for key, value in run.memory.values.items() if value is not None}
    for asked in run.memory.answers:
        question = asked.requirement
        if not asked.key.endswith(":gate"):
            continue
        key = asked.key.removesuffix(":gate")
        count = happened[key]
        assert count <= 1, f"{key} happened {count} times"
        may = question.state == v1.REQUIREMENT_STATE_RESOLVED and isinstance(
            verdict(question, question.resolution), Go
        )
        assert may or not count, f"{key} happened without a yes"
        if may and key in recorded:
            assert count == 1, f"{key} is recorded, and never happened"


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a server's log; what is no JSON was not meant to be there."""
    for is_json, lines in groupby(path.read_text().splitlines(), lambda one: one.startswith("{")):
        if not is_json:
            yield {"event": "\n".join(lines), "level": "error"}
        for line in lines if is_json else ():
            with suppress(ValueError):  # The server may have been killed while it wrote.
                yield json.loads(line)


def _is_of_libraries(line: dict[str, Any]) -> bool:
    return any(sign in line["event"] for sign in _OF_LIBRARIES)


def _gist(line: dict[str, Any]) -> str:
    """What lines that say the same of different runs have in common."""
    return f"{line['event']} {line.get('exception', '').rpartition(chr(10))[2]}"


def _answer(requirement: v1.Requirement) -> str:
    state = v1.RequirementState.Name(requirement.state)
    answer = requirement.resolution.WhichOneof("resolution")
    return f"{state} {answer} {requirement.resolve_time.ToJsonString()}"
