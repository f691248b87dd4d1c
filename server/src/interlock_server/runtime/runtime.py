"""The runtime: starts, continues and cancels runs, and keeps those that it holds alive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from interlock import v1
from interlock_server.errors import (
    EtagMismatch,
    ExecutorNotFound,
    RequirementNotFound,
    RunNotFound,
    RunNotPaused,
    ServerShutdown,
    StoreUnavailable,
    WorkflowNotFound,
)
from interlock_server.executors.registry import Registry
from interlock_server.runtime.decisions import check_answer, check_unique, is_settled
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.leg import Leg, Setting
from interlock_server.runtime.tail import ENDED
from interlock_server.runtime.world import World, timestamp
from interlock_server.store.database import Database
from interlock_server.store.definitions import (
    definition_add,
    definition_find,
    definition_read,
    digest_of,
)
from interlock_server.store.notify import Announcer, listen
from interlock_server.store.records import Lease, Memory, Owner, RequestKey, RunRow
from interlock_server.store.requests import request_add
from interlock_server.store.requirements import (
    requirement_get,
    requirements_lock,
    requirements_resolve,
)
from interlock_server.store.runs import (
    run_create,
    run_end_cancelled,
    run_lock,
    run_request_cancel,
    runs_claim,
    runs_renew,
)

_CLAIM_COUNT = 100
_log = structlog.get_logger()


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds.

    Args:
        lease: how long a claim on a run holds without a heartbeat; another
            process takes over after that.
        commit_delay: how long progress may wait for company before it is
            committed, where nothing depends on it.
    """

    lease: float = 10.0
    commit_delay: float = 0.02


@dataclass(frozen=True)
class Decision:
    """Answers to requirements of one run, as one caller gives them.

    Args:
        fields: the path of each resolution in the caller's request, for errors.
        etag: of the run; empty means that any will do.
        hold: keep the run paused even when nothing else waits.
        continues: the caller wants the run to go on, not only to be heard.
    """

    run_id: str
    resolutions: Sequence[v1.RequirementResolution] = ()
    fields: Sequence[str] = ()
    etag: str = ""
    by: str = ""
    request: RequestKey = field(default_factory=lambda: RequestKey("", "", "", b""))
    hold: bool = False
    continues: bool = True


class Runtime:
    """Everything that moves runs in one process."""

    def __init__(
        self,
        database: Database,
        workflows: dict[str, v1.Workflow],
        registry: Registry,
        world: World | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.database = database
        self.registry = registry
        self.workflows = workflows
        self.hub = Hub()
        self.world = world or World()
        self.is_closing = False
        self._closes_at = math.inf
        self._timing = timing or Timing()
        self._owner = Owner(self.world.new_id(), timedelta(seconds=self._timing.lease))
        self._announcer = Announcer(database, self._owner.name)
        self._setting = Setting(
            database,
            registry,
            self.hub,
            self._announcer,
            self.world,
            self._timing.commit_delay,
        )
        self._digests: dict[tuple[str, int], bytes] = {}
        self._legs: dict[Lease, tuple[Leg, asyncio.Task[None]]] = {}
        self._chores: list[asyncio.Task[None]] = []

    # Life.

    async def start(self) -> None:
        """Stores the definitions it serves, and begins to look after runs."""
        for name, workflow in self.workflows.items():
            stored = await definition_add(self.database, workflow, self.world.now())
            self.workflows[name] = stored
            digest = digest_of(stored)
            self._setting.definitions[digest] = stored
            self._digests[name, stored.version] = digest
        chores: list[Coroutine[Any, Any, None]] = [
            self._announcer.run(),
            listen(self.database, self._owner.name, self.hub.moved),
            _forever(self.keep_leases, self._timing.lease / 3),
            _forever(self.take_over, self._timing.lease / 4),
        ]
        self._chores = [asyncio.create_task(chore) for chore in chores]

    def close(self, grace: float = 0.0) -> None:
        """Takes no new work, and tells watchers to resume elsewhere.

        Args:
            grace: seconds for waiting calls to see their runs settle.
        """
        self.is_closing = True
        # A little less, so that a call that waits in vain can still say why.
        self._closes_at = asyncio.get_running_loop().time() + grace * 0.8
        self.hub.wake_all()

    def seconds_left(self) -> float:
        """How long a call may still wait here."""
        return self._closes_at - asyncio.get_running_loop().time()

    async def stop(self, grace: float = 10.0) -> None:
        """Hands all runs over, after the effects under way, but at most `grace` seconds later."""
        if not self.is_closing:
            self.close()
        for leg, _ in self._legs.values():
            leg.hand_over()
        tasks = [task for _, task in self._legs.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            await _cancel(late)
        await _cancel(self._chores)

    def crash(self) -> None:
        """Stops like a process that dies: nothing is finished and nothing is said. For tests."""
        for leg, task in self._legs.values():
            leg.lose()
            task.cancel()
        for chore in self._chores:
            chore.cancel()

    # Runs.

    async def start_run(self, run: v1.Run, version: int | None, request: RequestKey) -> str:
        """Starts a run, and gives its id; or the id of the one that the same request started.

        Raises:
            WorkflowNotFound: this server does not serve it.
            RequestIdReused: another request has the id.
        """
        self._check_open()
        workflow = await self._workflow(run.workflow_id, version)
        started = v1.WorkflowStarted(
            workflow_id=workflow.workflow_id,
            workflow_version=workflow.version,
            session_id=run.session_id,
            input_json=run.input_json,
        )
        now = self.world.now()
        event = v1.RunEvent(run_id=run.run_id, event_time=timestamp(now), workflow_started=started)
        digest = self._digest_of(workflow)
        run_id, state = await run_create(
            self.database, run, digest, [event], request, self._owner, now
        )
        if state is not None:
            run.last_sequence = 1
            row = RunRow(run, digest, state, epoch=1)
            self._drive(Lease(run_id, self._owner.name, row.epoch), Memory(row))
        return run_id

    async def decide(self, decision: Decision) -> int:
        """Records answers, all or none, and lets the run go on where nothing else waits.

        Returns:
            The newest sequence before the decision: what comes after it is new.

        Raises:
            RunNotFound, RequirementNotFound, RunNotPaused, RequirementAlreadyResolved,
            RequirementCancelled, ResolutionMismatch, InvalidField, EtagMismatch,
            RequestIdReused, ExecutorNotFound: nothing was recorded.
        """
        self._check_open()
        recorded = await self._checked(decision)
        async with self.database.transaction() as connection:
            row = await run_lock(connection, decision.run_id)
            if row is None:
                raise RunNotFound(decision.run_id)
            before = row.run.last_sequence
            now = self.world.now()
            first = await request_add(connection, decision.request, decision.run_id, before, now)
            if first is not None:
                return first
            if decision.etag and decision.etag != row.run.etag:
                raise EtagMismatch(row.run.etag)
            ids = [one.requirement_id for one in decision.resolutions]
            known = await requirements_lock(connection, decision.run_id, ids)
            fresh = _fresh(decision, recorded, known)
            self._check_state(decision, row, fresh)
            is_ready = row.is_ready or _completes_a_step(fresh, known)
            claims = is_ready and not decision.hold and row.run.state == v1.RUN_STATE_PAUSED
            if claims:
                workflow = self._setting.definitions.get(row.digest)
                workflow = workflow or await definition_read(connection, row.digest)
                self._check_code(row, workflow, fresh, known)
            if not fresh and not claims:
                return before
            epoch, _ = await requirements_resolve(
                connection,
                decision.run_id,
                fresh,
                self._decided(decision, fresh, known, claims),
                by=decision.by,
                is_ready=is_ready,
                claims=claims,
                owner=self._owner,
                now=now,
            )
        self._moved(decision.run_id)
        if claims:
            self._drive(Lease(decision.run_id, self._owner.name, epoch))
        return before

    async def cancel_run(self, run_id: str, reason: str, by: str, request: RequestKey) -> None:
        """Cancels a run: at once when it is paused, else before its next effect.

        Raises:
            RunNotFound: there is no such run.
            RequestIdReused: another request has the id.
        """
        async with self.database.transaction() as connection:
            row = await run_lock(connection, run_id)
            if row is None:
                raise RunNotFound(run_id)
            now = self.world.now()
            sequence = row.run.last_sequence
            first = await request_add(connection, request, run_id, sequence, now)
            if first is not None or row.run.state in ENDED:
                return
            await run_request_cancel(connection, run_id, reason, by)
            if row.run.state == v1.RUN_STATE_PAUSED:
                cancelled = v1.WorkflowCancelled(reason=reason, cancelled_by=by)
                event = v1.RunEvent(
                    run_id=run_id, event_time=timestamp(now), workflow_cancelled=cancelled
                )
                await run_end_cancelled(connection, run_id, [event], now)
        for lease, (leg, _) in self._legs.items():
            if lease.run_id == run_id:
                leg.cancel()
        self._moved(run_id)

    # Decisions.

    async def _checked(self, decision: Decision) -> list[v1.RequirementResolution]:
        check_unique([one.requirement_id for one in decision.resolutions], decision.fields)
        recorded = []
        for resolution, path in zip(decision.resolutions, decision.fields, strict=True):
            requirement = await requirement_get(self.database, resolution.requirement_id)
            if requirement is None or requirement.run_id != decision.run_id:
                raise RequirementNotFound(resolution.requirement_id)
            recorded.append(check_answer(self.registry, requirement, resolution, path))
        return recorded

    def _check_state(
        self, decision: Decision, row: RunRow, fresh: Sequence[v1.RequirementResolution]
    ) -> None:
        """An answer is welcome as long as its question is open; a bare continue needs a pause."""
        is_repeat = bool(decision.resolutions) and not fresh
        if fresh or is_repeat or row.run.state == v1.RUN_STATE_PAUSED:
            return
        state = v1.RunState.Name(row.run.state).removeprefix("RUN_STATE_")
        raise RunNotPaused(decision.run_id, state)

    def _check_code(
        self,
        row: RunRow,
        workflow: v1.Workflow,
        fresh: Sequence[v1.RequirementResolution],
        known: Sequence[v1.Requirement],
    ) -> None:
        missing = self.registry.missing(workflow.nodes)
        by_id = {one.requirement_id: one for one in known}
        for one in fresh:
            missing = missing or self.registry.missing_for(by_id[one.requirement_id], one)
        if missing:
            raise ExecutorNotFound(row.run.run_id, missing)

    def _decided(
        self,
        decision: Decision,
        fresh: Sequence[v1.RequirementResolution],
        known: Sequence[v1.Requirement],
        claims: bool,
    ) -> list[v1.RunEvent]:
        time = timestamp(self.world.now())
        steps = {one.requirement_id: one.step for one in known}
        events = [
            v1.RunEvent(
                run_id=decision.run_id,
                event_time=time,
                step=steps[one.requirement_id],
                requirement_resolved=v1.RequirementResolved(
                    resolution=one, resolved_by=decision.by
                ),
            )
            for one in fresh
        ]
        if claims:
            continued = v1.WorkflowContinued(continued_by=decision.by)
            event = v1.RunEvent(
                run_id=decision.run_id, event_time=time, workflow_continued=continued
            )
            events.append(event)
        return events

    # Legs.

    def _drive(self, lease: Lease, memory: Memory | None = None) -> None:
        leg = Leg(self._setting, lease, memory)
        task = asyncio.create_task(leg.run())
        self._legs[lease] = (leg, task)
        task.add_done_callback(lambda done: self._left(lease, done))

    def _left(self, lease: Lease, task: asyncio.Task[None]) -> None:
        self._legs.pop(lease, None)
        if not task.cancelled() and (problem := task.exception()):
            _log.error("leg failed", run_id=lease.run_id, exc_info=problem)

    def _moved(self, run_id: str) -> None:
        self.hub.moved(run_id)
        self._announcer.announce(run_id)

    def _digest_of(self, workflow: v1.Workflow) -> bytes:
        known = self._digests.get((workflow.workflow_id, workflow.version))
        return known or digest_of(workflow)

    def _check_open(self) -> None:
        if self.is_closing:
            raise ServerShutdown

    async def _workflow(self, name: str, version: int | None) -> v1.Workflow:
        served = self.workflows.get(name)
        if served is None:
            raise WorkflowNotFound(name)
        if version is None or version == served.version:
            return served
        stored = await definition_find(self.database, name, version)
        if stored is None:
            raise WorkflowNotFound(f"{name}@{version}")
        if missing := self.registry.missing(stored.nodes):
            raise ExecutorNotFound("", missing)
        return stored

    # Chores.

    async def keep_leases(self) -> None:
        """Renews the leases of this process, whether or not their runs make progress."""
        held = {lease.run_id: (lease, leg) for lease, (leg, _) in self._legs.items()}
        if not held:
            return
        renewed = await runs_renew(self.database, self._owner, list(held), self.world.now())
        for run_id, (lease, leg) in held.items():
            epoch, is_cancelled = renewed.get(run_id, (0, False))
            if is_cancelled:
                leg.cancel()
            if epoch > lease.epoch:
                leg.lose()

    async def take_over(self) -> None:
        """Claims runs whose process died, or handed them over."""
        if self.is_closing:
            return
        leases = await runs_claim(self.database, self._owner, _CLAIM_COUNT, self.world.now())
        for lease in leases:
            _log.info("run taken over", run_id=lease.run_id, epoch=lease.epoch)
            self._moved(lease.run_id)
            self._drive(lease)


async def _forever(chore: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Does a chore again and again; nothing that goes wrong with it once ends it."""
    while True:
        try:
            await chore()
        except StoreUnavailable:
            _log.warning("database lost", chore=chore.__name__)
        except Exception:  # noqa: BLE001 - a chore that ended would strand runs for ever
            _log.exception("chore failed", chore=chore.__name__)
        await asyncio.sleep(seconds)


def _fresh(
    decision: Decision,
    recorded: Sequence[v1.RequirementResolution],
    known: Sequence[v1.Requirement],
) -> list[v1.RequirementResolution]:
    """The answers that are still to be recorded."""
    by_id = {one.requirement_id: one for one in known}
    return [
        record
        for record, sent in zip(recorded, decision.resolutions, strict=True)
        if not is_settled(by_id[sent.requirement_id], sent, record)
    ]


def _completes_a_step(
    fresh: Sequence[v1.RequirementResolution], known: Sequence[v1.Requirement]
) -> bool:
    """Whether a step has every answer it waits for, now that these have come."""
    answered = {one.requirement_id for one in fresh}
    steps = {one.executor_run_id for one in known if one.requirement_id in answered}
    waiting = {
        one.executor_run_id
        for one in known
        if one.state == v1.REQUIREMENT_STATE_PENDING and one.requirement_id not in answered
    }
    return bool(steps - waiting)


async def _cancel(tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
