"""Views: what readers see of runs besides their rows, such as what they wait for or lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from cachetools import LRUCache

from interlock import v1
from interlock_server import limits
from interlock_server.engine.pauses import by_step
from interlock_server.errors import RunNotFound
from interlock_server.executors.registry import Registry
from interlock_server.runtime.decisions import holds
from interlock_server.runtime.world import World
from interlock_server.store.database import Database
from interlock_server.store.definitions import definitions_list
from interlock_server.store.records import Change, Committed, Memory, Missing, RunRow, View
from interlock_server.store.requirements import (
    requirements_current,
    requirements_current_tools,
)
from interlock_server.store.views import view_get
from interlock_server.times import timestamp

_OPEN = (v1.RUN_STATE_PAUSED, v1.RUN_STATE_RUNNING)
_BYTES_EACH = 200
"""What a run that is kept takes in memory besides itself, or a little more."""


class Views:
    """Completes what is stored with what this process knows of its own code."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        definitions: Mapping[bytes, v1.Workflow],
        world: World,
    ) -> None:
        self._database = database
        self._registry = registry
        self._definitions = definitions
        self._world = world
        self._lacking: dict[bytes, str] = {}
        self._shown: LRUCache[str, tuple[int, bytes]] = LRUCache(limits.shown_bytes_max, _size)

    async def complete(self, rows: Sequence[RunRow]) -> list[v1.Run]:
        """Runs with what they wait for, also in branches of running ones, and what they lack."""
        open_runs = {one.run.run_id: one for one in rows if one.run.state in _OPEN}
        if open_runs:
            found = await requirements_current(self._database, list(open_runs))
            for run_id, row in open_runs.items():
                await self._complete(View(row, found.get(run_id, [])))
        return [one.run for one in rows]

    async def run(self, run_id: str) -> v1.Run:
        """A run with its results, what it waits for, and what it lacks.

        Raises:
            RunNotFound: there is no such run.
        """
        after, known = self._shown.get(run_id, (0, b""))
        view = await view_get(self._database, run_id, after)
        if view is None:
            raise RunNotFound(run_id)
        if view.row.run.state in _OPEN:
            await self._complete(view)
        return self._with_results(known, view.row.run)

    def _with_results(self, known: bytes, run: v1.Run) -> v1.Run:
        """A run with all its results: stored ones never change, so many are not read again.

        Args:
            known: the run as it was shown before, if it is kept.
            run: as it is, with the results that are new since then.
        """
        is_new = bool(run.step_results)
        if known:
            whole = v1.Run.FromString(known)
            for field, _ in whole.ListFields():
                if field.name != "step_results":
                    whole.ClearField(field.name)  # type: ignore[arg-type]
            whole.MergeFrom(run)
            run = whole
        if is_new and len(run.step_results) >= limits.kept_results_min:
            with suppress(ValueError):  # It is larger than all that is kept.
                self._shown[run.run_id] = (run.last_sequence, run.SerializeToString())
        return run

    def at_rest(self, memory: Memory) -> v1.Run | None:
        """A run as its leg has just left it, and as it would be read.

        Args:
            memory: of the run as it paused or ended.

        Returns:
            `None` where only the store knows: what somebody else does to its calls meanwhile,
            what it may lack, and long results.
        """
        if memory.results is None:
            return None
        asked = [one.requirement for one in memory.answers]
        waiting = [one for one in asked if one.state == v1.REQUIREMENT_STATE_PENDING]
        is_paused = memory.row.run.state == v1.RUN_STATE_PAUSED
        is_claimed = any(map(may_be_claimed, waiting))
        if is_paused and (is_claimed or self._may_lack(memory.row.digest, asked)):
            return None
        run = v1.Run()
        run.CopyFrom(memory.row.run)
        if is_paused:
            run.step_requirements.extend(by_step(waiting))
        run.step_results.extend(memory.results)
        return run

    def _may_lack(self, digest: bytes, requirements: Sequence[v1.Requirement]) -> bool:
        """Whether a run may need something that is not here: yes where that is not known."""
        return self._lacking.get(digest) != "" or bool(self._missing_tool(requirements))

    async def _complete(self, view: View) -> None:
        run, current = view.row.run, self.shown(view.current)
        waiting = [one for one in current if one.state == v1.REQUIREMENT_STATE_PENDING]
        run.step_requirements.extend(by_step(waiting))
        run.missing_executor = await self._missing_of(view.row.digest, current)

    def shown(self, requirements: Sequence[v1.Requirement]) -> Sequence[v1.Requirement]:
        """Requirements as readers see them: with a claim only as long as it holds."""
        now = self._world.now()
        for one in requirements:
            if not holds(one, now):
                one.ClearField("claim")
        return requirements

    async def missing(self) -> Missing:
        """All that open runs may need, and that is not here."""
        for digest, workflow in (await definitions_list(self._database)).items():
            self._learn(digest, workflow)
        definitions = {digest: name for digest, name in self._lacking.items() if name}
        tools = {
            (agent, tool): missing
            for agent, tool in await requirements_current_tools(self._database)
            if (missing := self._registry.missing_tool(agent, tool))
        }
        return Missing(definitions, tools)

    async def _missing_of(self, digest: bytes, requirements: Sequence[v1.Requirement]) -> str:
        if digest not in self._lacking:
            if digest in self._definitions:
                self._learn(digest, self._definitions[digest])
            else:
                await self.missing()
        return self._lacking[digest] or self._missing_tool(requirements)

    def _missing_tool(self, requirements: Sequence[v1.Requirement]) -> str:
        calls = [one.tool_execution for one in requirements if one.HasField("tool_execution")]
        names = (self._registry.missing_tool(one.agent_name, one.tool_name) for one in calls)
        return next(filter(None, names), "")

    def _learn(self, digest: bytes, workflow: v1.Workflow) -> None:
        if digest not in self._lacking:
            self._lacking[digest] = self._registry.missing(workflow.nodes)


def as_committed(run: v1.Run, change: Change, committed: Committed) -> v1.Run:
    """A run as the commit left it that paused or ended it."""
    assert committed.time is not None, "it is known when that was"
    left = v1.Run()
    left.CopyFrom(run)
    if change.body is not None:
        left.MergeFrom(change.body)
    left.state, left.pause_kind = change.state, change.pause_kind
    left.last_sequence, left.etag = committed.last_sequence, str(committed.version)
    left.update_time.CopyFrom(timestamp(committed.time))
    if change.state != v1.RUN_STATE_PAUSED:
        left.end_time.CopyFrom(left.update_time)
    return left


def may_be_claimed(requirement: v1.Requirement) -> bool:
    """Whether workers may be at work on it, which no leg knows of."""
    is_open = requirement.state == v1.REQUIREMENT_STATE_PENDING
    return is_open and requirement.kind == v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION


def _size(shown: tuple[int, bytes]) -> int:
    _, encoded = shown
    return _BYTES_EACH + len(encoded)
