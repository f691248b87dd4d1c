"""The runtime: starts, continues and cancels runs, and keeps those that it holds alive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from interlock import v1
from interlock_server import limits
from interlock_server.errors import (
    ExecutorNotFound,
    RunLimitExceeded,
    ServerShutdown,
    StoreUnavailable,
    WorkflowNotFound,
)
from interlock_server.executors.registry import Registry
from interlock_server.runtime.capacity import Capacity
from interlock_server.runtime.claims import Claims
from interlock_server.runtime.desk import Decision, Desk, Outcome
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.leg import Leg, Setting
from interlock_server.runtime.views import Views
from interlock_server.runtime.world import World
from interlock_server.store.database import Database
from interlock_server.store.definitions import definition_add, definition_find, digest_of
from interlock_server.store.notify import Announcer, listen
from interlock_server.store.records import Lease, Memory, Opening, Owner, RequestKey, RunRow, Tip
from interlock_server.store.requests import request_run
from interlock_server.store.requirements import requirements_due
from interlock_server.store.runs import (
    run_cancel_is_unheard,
    run_create,
    runs_claim,
    runs_due,
    runs_hear_cancels,
    runs_renew,
    runs_sweep,
)
from interlock_server.times import timestamp

_CHORE_COUNT = 100
"""How many rows a chore takes at once."""

_PASSED_OVER_MAX = 1_000
_WAITING_SHARE = 0.7
"""For this much of the grace calls may wait for their runs."""

_POLL_SECONDS = 1.0
_TIMER_SECONDS = 0.5
_COUNT_SECONDS = 10.0
_SWEEP_SECONDS = 60.0
_log = structlog.get_logger()


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds.

    Args:
        lease: how long a claim on a run holds without a heartbeat; another
            process takes over after that.
        commit_delay: how long progress may wait for company before it is
            committed, where nothing depends on it.
        retention: how long a run is kept after its end; `None` means for ever.
    """

    lease: float = 10.0
    commit_delay: float = 0.02
    retention: float | None = None


class Runtime:
    """Everything that moves runs in one process."""

    def __init__(
        self,
        database: Database,
        workflows: dict[str, v1.Workflow],
        registry: Registry,
        world: World | None = None,
        timing: Timing | None = None,
        open_runs_max: int = limits.open_runs_max,
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
        definitions: dict[bytes, v1.Workflow] = {}
        self.views = Views(database, registry, definitions, self.world)
        self._setting = Setting(
            database,
            registry,
            self.hub,
            self._announcer,
            self.views,
            self.world,
            self._owner,
            self._timing.commit_delay,
            definitions,
        )
        self._desk = Desk(
            database,
            registry,
            self.world,
            self._owner,
            definitions,
            self._setting.recent,
            self._go_on,
        )
        self.claims = Claims(
            database, self.hub, self._announcer, self.world, lambda: self.is_closing
        )
        self._capacity = Capacity(database, open_runs_max)
        self._passed_over: set[str] = set()
        self._digests: dict[tuple[str, int], bytes] = {}
        self._legs: dict[Leg, asyncio.Task[None]] = {}
        self._newest: dict[str, Leg] = {}
        self._is_called = asyncio.Event()
        self._is_freed = asyncio.Event()
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
            listen(
                self.database, self._owner.name, self._heard, self._is_freed.set, self.hub.called
            ),
            _forever(self.keep_leases, self._timing.lease / 3, self._is_called),
            _forever(self.take_over, self._timing.lease / 4, self._is_freed),
            _forever(self.fire_timers, _TIMER_SECONDS),
            _forever(self._capacity.count, _COUNT_SECONDS),
            _forever(self.sweep, _SWEEP_SECONDS),
        ]
        self._chores = [asyncio.create_task(chore) for chore in chores]

    def close(self, grace: float = 0.0) -> None:
        """Takes no new work, and tells watchers to resume elsewhere.

        Args:
            grace: seconds for waiting calls to see their runs settle.
        """
        self.is_closing = True
        # A little less, so that a call that waits in vain can still say why.
        self._closes_at = asyncio.get_running_loop().time() + grace * _WAITING_SHARE
        self.hub.wake_all()

    def seconds_left(self) -> float:
        """How long a call may still wait here."""
        return self._closes_at - asyncio.get_running_loop().time()

    async def stop(self, grace: float = 10.0) -> None:
        """Hands all runs over, after the effects under way, but at most `grace` seconds later."""
        if not self.is_closing:
            self.close()
        for leg in self._legs:
            leg.hand_over()
        if self._legs:
            _, late = await asyncio.wait(list(self._legs.values()), timeout=grace)
            await _cancel(late)
        await self.claims.close()
        await self._announcer.send()
        await _cancel(self._chores)

    def crash(self) -> None:
        """Stops like a process that dies: nothing is finished and nothing is said. For tests."""
        for leg, task in self._legs.items():
            leg.lose()
            task.cancel()
        for chore in self._chores:
            chore.cancel()

    # Runs.

    async def start_run(self, run: v1.Run, version: int | None, request: RequestKey) -> str:
        """Starts a run here, and gives its id; or the id of the one that this request started.

        Raises:
            WorkflowNotFound: this server does not serve it.
            RequestIdReused: another request has the id.
            RunLimitExceeded: too many runs are open.
        """
        self._check_open()
        workflow = await self._workflow(run.workflow_id, version)
        started = v1.WorkflowStarted(
            workflow_id=workflow.workflow_id,
            workflow_version=workflow.version,
            session_id=run.session_id,
            input_json=run.input_json,
        )
        try:
            await self._capacity.admit()
        except RunLimitExceeded:
            if first := await request_run(self.database, request):
                return first  # A repeat starts nothing.
            raise
        now = self.world.now()
        _set_deadline(run, workflow, now)
        event = v1.RunEvent(run_id=run.run_id, event_time=timestamp(now), workflow_started=started)
        digest = self._digest_of(workflow)
        run_id, state = await run_create(
            self.database, run, digest, [event], request, self._owner, now
        )
        if state is not None:
            run.workflow_version = workflow.version
            run.last_sequence = 1
            run.create_time.CopyFrom(timestamp(now))
            memory = Memory(RunRow(run, digest, state, epoch=1), results=())
            self._drive(self._lease(memory.row, now), memory)
        return run_id

    async def decide(self, decision: Decision) -> Outcome:
        """Records answers, all or none, and lets the run go on where nothing else waits.

        Raises:
            RunNotFound, RequirementNotFound, RunNotPaused, RequirementAlreadyResolved,
            RequirementExpired, RequirementCancelled, RequirementClaimed, ClaimLost,
            ResolutionMismatch, InvalidField, EtagMismatch, RequestIdReused, ExecutorNotFound:
            nothing was recorded.
        """
        self._check_open()
        outcome = await self._desk.decide(decision)
        if not outcome.goes_on:
            self._moved(decision.run_id)
        return outcome

    async def cancel_run(self, run_id: str, reason: str, by: str, request: RequestKey) -> None:
        """Cancels a run: at once when it is paused, else before its next effect.

        Comes back when whoever holds the run knows, so that no effect starts after that.

        Raises:
            RunNotFound: there is no such run.
            RequestIdReused: another request has the id.
            ServerShutdown: the cancel is stored, and nobody here can wait for its owner.
        """
        epoch = await self._desk.cancel(run_id, reason, by, request)
        self._stop_leg(run_id, Leg.cancel)
        if epoch is not None:
            await self._cancel_is_heard(run_id, epoch)

    async def _cancel_is_heard(self, run_id: str, epoch: int) -> None:
        """Waits for the owner to hear of a cancel, to lose the run, or to end it."""
        leg = self._newest.get(run_id)
        if leg is not None and leg.holds and leg.lease.epoch == epoch:
            return
        with self.hub.subscribe(run_id) as subscription:
            while await run_cancel_is_unheard(self.database, run_id, epoch, self.world.now()):
                if (left := self.seconds_left()) <= 0:
                    raise ServerShutdown
                await subscription.wait(min(_POLL_SECONDS, left))

    # Legs.

    def _go_on(
        self,
        row: RunRow,
        since: datetime,
        memory: Memory | None = None,
        opening: Opening | None = None,
    ) -> Leg:
        if opening is None:
            self._moved(row.run.run_id, Tip(v1.RUN_STATE_RUNNING, row.run.last_sequence))
        return self._drive(self._lease(row, since), memory, opening)

    def _lease(self, row: RunRow, since: datetime) -> Lease:
        """With what this process holds a run since then."""
        owner = self._owner
        return Lease(row.run.run_id, owner.name, row.epoch, since + owner.lease)

    def _stop_leg(self, run_id: str, stop: Callable[[Leg], None]) -> None:
        if leg := self._newest.get(run_id):
            stop(leg)
        self._moved(run_id)

    def _heard(self, run_id: str, tip: Tip | None) -> None:
        """Another server did something to a run: it may have been cancelled."""
        self.hub.moved(run_id, tip)
        if run_id in self._newest:
            self._is_called.set()

    def _drive(
        self, lease: Lease, memory: Memory | None = None, opening: Opening | None = None
    ) -> Leg:
        leg = Leg(self._setting, lease, memory, opening)
        task = self._legs[leg] = asyncio.create_task(leg.run())
        self._newest[lease.run_id] = leg
        task.add_done_callback(lambda done: self._left(leg, done))
        return leg

    def _left(self, leg: Leg, task: asyncio.Task[None]) -> None:
        leg.left()
        self._legs.pop(leg, None)
        run_id = leg.lease.run_id
        if self._newest.get(run_id) is leg:
            del self._newest[run_id]
        if not task.cancelled() and (problem := task.exception()):
            _log.error("leg failed", run_id=run_id, exc_info=problem)

    def _moved(self, run_id: str, tip: Tip | None = None) -> None:
        self.hub.moved(run_id, tip)
        self._announcer.announce(run_id, tip)

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
        legs = list(self._legs)
        if not legs:
            return
        now = self.world.now()
        held = {leg.lease.run_id for leg in legs}
        renewed = await runs_renew(self.database, self._owner, list(held), now)
        cancelled = []
        for leg in legs:
            epoch, is_cancelled = renewed.get(leg.lease.run_id, (0, False))
            if is_cancelled:
                leg.cancel()
                cancelled.append(leg.lease.run_id)
            if epoch == leg.lease.epoch:
                leg.renewed(now + self._owner.lease)
            if epoch > leg.lease.epoch:
                leg.lose()
        if cancelled:
            for run_id in await runs_hear_cancels(self.database, self._owner, cancelled):
                self._moved(run_id)

    async def take_over(self) -> None:
        """Claims runs whose process died, or handed them over."""
        if self.is_closing:
            return
        leases = await runs_claim(self.database, self._owner, _CHORE_COUNT, self.world.now())
        for lease in leases:
            _log.info("run taken over", run_id=lease.run_id, epoch=lease.epoch)
            self._moved(lease.run_id)
            self._drive(lease)

    async def fire_timers(self) -> None:
        """Lets requirements expire and runs end whose time is over, with nobody connected."""
        if self.is_closing:
            return
        now = self.world.now()
        for leg in list(self._legs):
            if leg.expires is not None and leg.expires <= now:
                leg.time_out()
        for run_id in await runs_due(self.database, _CHORE_COUNT, now):
            await self._desk.time_out(run_id)
            self._moved(run_id)
        due = await requirements_due(self.database, list(self._passed_over), _CHORE_COUNT, now)
        for requirement in due:
            await self._expire(requirement)

    async def _expire(self, requirement: v1.Requirement) -> None:
        try:
            outcome = await self._desk.expire(requirement)
        except ExecutorNotFound as missing:
            # Another server may have the code; here it would only keep others from their turn.
            _log.error(
                "requirement cannot expire here",
                requirement_id=requirement.requirement_id,
                **missing.metadata,
            )
            if len(self._passed_over) >= _PASSED_OVER_MAX:
                self._passed_over.clear()
            self._passed_over.add(requirement.requirement_id)
            return
        if outcome is not None:
            if not outcome.goes_on:
                self._moved(requirement.run_id)
            if requirement.on_timeout == v1.ON_TIMEOUT_CANCEL:
                self._stop_leg(requirement.run_id, Leg.cancel)

    async def sweep(self) -> None:
        """Deletes runs that ended longer ago than they are kept."""
        retention = self._timing.retention
        if retention is None:
            return
        before = self.world.now() - timedelta(seconds=retention)
        while swept := await runs_sweep(self.database, _CHORE_COUNT, before):
            _log.info("runs swept", count=swept)


def _set_deadline(run: v1.Run, workflow: v1.Workflow, now: datetime) -> None:
    """Turns how long a run may take into the time at which it ends."""
    if run.HasField("expire_time"):
        return
    if workflow.HasField("run_timeout"):
        run.expire_time.CopyFrom(timestamp(now + workflow.run_timeout.ToTimedelta()))


async def _forever(
    chore: Callable[[], Awaitable[None]], seconds: float, is_due: asyncio.Event | None = None
) -> None:
    """Does a chore again and again; nothing that goes wrong with it once ends it.

    Args:
        seconds: how often.
        is_due: set when it shall be done at once.
    """
    is_due = is_due or asyncio.Event()
    while True:
        is_due.clear()
        try:
            await chore()
        except StoreUnavailable:
            _log.warning("database lost", chore=chore.__name__)
        except Exception:  # noqa: BLE001 - a chore that ended would strand runs for ever
            _log.exception("chore failed", chore=chore.__name__)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await is_due.wait()


async def _cancel(tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
