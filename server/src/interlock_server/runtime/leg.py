"""A leg: interprets a claimed run until it ends or waits, and commits where that leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

import structlog

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import Cancelled, CodeMissing, LimitExceeded, Suspended
from interlock_server.engine.interpreter import Executors, Interpreter, StepFailure
from interlock_server.engine.pauses import by_step, pause_kind
from interlock_server.errors import StoreUnavailable
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.recent import Recent
from interlock_server.runtime.recorder import HandOver, Recorder, check_event
from interlock_server.runtime.views import Views, as_committed
from interlock_server.runtime.world import World
from interlock_server.store.commits import run_commit, run_committed
from interlock_server.store.database import Database
from interlock_server.store.definitions import definition_get
from interlock_server.store.journal import memory_load
from interlock_server.store.notify import Announcer
from interlock_server.store.records import (
    Change,
    Committed,
    Lease,
    Memory,
    NewEvent,
    Opening,
    Owner,
    Progress,
    Tip,
)
from interlock_server.store.runs import (
    run_end,
    run_lock,
    run_release,
    run_reopen,
    runs_renew,
)
from interlock_server.times import timestamp

T = TypeVar("T")
_RETRY_SECONDS_MAX = 1.0
_EXTERNAL = v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION
_log = structlog.get_logger()


class LeaseLost(BaseException):
    """Another process owns the run now; this one must not write it any more."""


class TimedOut(BaseException):
    """The run has taken longer than it may."""


@dataclass(frozen=True)
class Setting:
    """What every leg of a runtime works with."""

    database: Database
    executors: Executors
    hub: Hub
    announcer: Announcer
    views: Views
    world: World
    owner: Owner
    commit_delay: float
    definitions: dict[bytes, v1.Workflow]
    recent: Recent = field(default_factory=Recent)


class Leg:
    """A run on its way to its next rest: paused, ended, or handed over.

    `opened` comes to be whether the decision stands that it begins with; `None` means that
    nobody knows, as the database was lost meanwhile.
    """

    def __init__(
        self,
        setting: Setting,
        lease: Lease,
        memory: Memory | None = None,
        opening: Opening | None = None,
    ) -> None:
        """Takes a run that is claimed, or that its first commit will claim.

        Args:
            memory: what is stored of the run, where that is known already.
            opening: the decision that it begins with, which its first commit carries; `memory`
                is of the run as it will be then.
        """
        self.lease = lease
        self.opened: asyncio.Future[bool | None] = asyncio.Future()
        self.expires: datetime | None = None
        self._setting = setting
        self._memory = memory
        self._opening = opening
        self._recorder: Recorder | None = None
        self._stop: BaseException | None = None
        self._commits = 0
        if opening is None:
            self.opened.set_result(True)

    @property
    def holds(self) -> bool:
        """Whether the run is claimed, as far as this leg knows."""
        return self._opening is None

    def cancel(self) -> None:
        """Ends the run as cancelled, before its next effect."""
        self._interrupt(Cancelled())

    def time_out(self) -> None:
        """Ends the run as failed, before its next effect: its time is over."""
        if not isinstance(self._stop, Cancelled):
            self._interrupt(TimedOut())

    def hand_over(self) -> None:
        """Gives the run back before its next effect, for another process to go on."""
        self._interrupt(HandOver())

    def lose(self) -> None:
        """The lease is lost: stops before the next effect and writes nothing."""
        self._interrupt(LeaseLost())

    def renewed(self, until: datetime) -> None:
        """The lease holds longer."""
        self.lease = replace(self.lease, until=until)

    def _interrupt(self, stop: BaseException) -> None:
        self._stop = stop
        if self._recorder is not None:
            self._recorder.stop = stop

    async def run(self) -> None:
        """Interprets the run, again and again while decisions come in."""
        log = _log.bind(run_id=self.lease.run_id, epoch=self.lease.epoch)
        try:
            while not await self._once():
                pass
        except LeaseLost:
            if self.holds:
                log.info("lease lost")
            self._opened(stands=False)
        except (HandOver, asyncio.CancelledError):
            if not isinstance(self._stop, LeaseLost):
                await self._give_back()
                log.info("run handed over")
        except CodeMissing as missing:
            # The lease runs out by itself, and with it the time until somebody tries again.
            log.error("run needs code that is not here", name=missing.name)
        except StoreUnavailable:
            log.warning("database lost; the run will be taken up again")

    def left(self) -> None:
        """It has ended, whether or not it ever began."""
        self._opened(stands=None)

    def _opened(self, *, stands: bool | None) -> None:
        if not self.opened.done():
            self.opened.set_result(stands)

    async def _give_back(self) -> None:
        with suppress(LeaseLost, StoreUnavailable):
            if self._recorder is not None:
                await self._recorder.flush()
            await run_release(self._setting.database, self.lease)
            self._setting.announcer.announce_free()

    async def _once(self) -> bool:
        """One pass over the journal; `False` when there is reason for another at once."""
        memory, self._memory = self._memory, None
        if memory is None:
            memory = await self._reaching(self._recall)
        if memory.row.epoch != self.lease.epoch:
            raise LeaseLost
        self._take_orders(memory.row.run, cancels=memory.row.cancel_requested)
        recorder = Recorder(
            memory,
            self._save,
            self._setting.hub,
            self._setting.world,
            self._setting.commit_delay,
            is_stored=self.holds,
        )
        recorder.stop = self._stop
        self._recorder = recorder
        try:
            return await self._pass(recorder, memory)
        except StoreUnavailable:
            raise
        except LimitExceeded as limit:
            error = v1.RunError(reason=limit.reason, message=limit.message)
            return await self._end(await recorder.close(), memory, v1.Run(error=error))
        except Exception as bug:  # noqa: BLE001 - else the run would fail like this for ever
            # What is not stored yet may be what cannot be stored, so it is left out.
            await recorder.abandon()
            return await self._end(Progress(), memory, v1.Run(error=self._internal(bug)))

    async def _recall(self) -> Memory:
        return await memory_load(self._setting.database, self.lease.run_id)

    def _take_orders(self, run: v1.Run, *, cancels: bool) -> None:
        """What was asked of the run while nobody held it."""
        if run.HasField("expire_time"):
            self.expires = run.expire_time.ToDatetime(self._now().tzinfo)
            if self.expires <= self._now():
                self._stop = TimedOut()
        if cancels:
            self._stop = Cancelled()

    async def _pass(self, recorder: Recorder, memory: Memory) -> bool:
        interpreter = Interpreter(recorder, self._setting.executors)
        try:
            if self._stop is not None:
                raise self._stop
            workflow = await self._definition(memory)
            run_input = memory.row.run.input_json
            output = await interpreter.run(
                workflow, jsontext.loads(run_input) if run_input else None
            )
        except Suspended as suspended:
            return await self._pause(recorder, suspended)
        except Cancelled as cancelled:
            by = recorder.decided_by(cancelled.key) if cancelled.key else ""
            return await self._end_cancelled(await recorder.close(), cancelled.reason, by)
        except CodeMissing:
            await recorder.flush()
            raise
        except TimedOut:
            ended = v1.Run(usage=interpreter.usage, error=RUN_TIMED_OUT)
        except StepFailure as failure:
            ended = v1.Run(usage=interpreter.usage, error=failure.error)
        else:
            ended = v1.Run(usage=interpreter.usage, output_json=jsontext.dumps(output.content))
        return await self._end(await recorder.close(), memory, ended)

    async def _definition(self, memory: Memory) -> v1.Workflow:
        digest = memory.row.digest
        if digest not in self._setting.definitions:
            stored = await self._reaching(lambda: definition_get(self._setting.database, digest))
            assert stored is not None, "a run's definition is kept with it"
            self._setting.definitions[digest] = stored
        return self._setting.definitions[digest]

    # Where a pass leaves the run.

    async def _pause(self, recorder: Recorder, suspended: Suspended) -> bool:
        waiting = [
            one for one in suspended.requirements if one.state == v1.REQUIREMENT_STATE_PENDING
        ]
        steps = by_step(waiting)
        kind = pause_kind(steps)
        paused = self._event(
            workflow_paused=v1.WorkflowPaused(pause_kind=kind, step_requirements=steps)
        )
        check_event(paused.event)
        progress = await recorder.close()
        events = (*progress.events, paused)
        change = Change(v1.RUN_STATE_PAUSED, kind, waiting=recorder.open_count)
        if waiting and await self._close(replace(progress, events=events), change):
            return True
        return await self._look_again(progress)

    async def _look_again(self, progress: Progress) -> bool:
        """A decision or a cancel came in while the run was about to rest: go on with it."""
        await self._close_or_lose(progress, Change())
        if not await self._reaching(lambda: run_reopen(self._setting.database, self.lease)):
            raise LeaseLost
        return False

    async def _end(self, progress: Progress, memory: Memory, ended: v1.Run) -> bool:
        if progress.questions or not self.holds:
            # Stored first, so that the end of the run finds all questions, and closes them.
            await self._close_or_lose(progress, Change())
            progress = Progress()
        ended.input_json = memory.row.run.input_json
        if ended.HasField("error"):
            state = v1.RUN_STATE_FAILED
            last = self._event(
                workflow_failed=v1.WorkflowFailed(error=ended.error, usage=ended.usage)
            )
        else:
            state = v1.RUN_STATE_COMPLETED
            completed = v1.WorkflowCompleted(output_json=ended.output_json, usage=ended.usage)
            last = self._event(workflow_completed=completed)
        events = (*progress.events, last)
        if await self._close(replace(progress, events=events), Change(state=state, body=ended)):
            return True
        return await self._look_again(progress)

    async def _end_cancelled(self, progress: Progress, reason: str, by: str) -> bool:
        """Ends the run as cancelled: as its row says, or by a decision of the run itself."""
        await self._close_or_lose(progress, Change())
        await self._reaching(lambda: self._store_cancelled(reason, by))
        self._moved()
        return True

    async def _store_cancelled(self, reason: str, by: str) -> None:
        async with self._setting.database.transaction() as connection:
            row = await run_lock(connection, self.lease.run_id)
            if row is None or row.epoch != self.lease.epoch:
                raise LeaseLost
            if row.run.state == v1.RUN_STATE_CANCELLED:
                return  # It is stored; only the reply was lost.
            cancelled = v1.WorkflowCancelled(
                reason=row.cancel_reason if row.cancel_requested else reason,
                cancelled_by=row.cancelled_by if row.cancel_requested else by,
            )
            last = self._event(workflow_cancelled=cancelled).event
            change = Change(v1.RUN_STATE_CANCELLED)
            await run_end(connection, self.lease.run_id, change, last, self._now())

    def _internal(self, bug: Exception) -> v1.RunError:
        error_id = self._setting.world.new_id()
        _log.exception("run failed inside", run_id=self.lease.run_id, error_id=error_id)
        message = "something went wrong inside the service"
        return v1.RunError(reason="INTERNAL", message=message, metadata={"error_id": error_id})

    # Commits.

    async def _save(self, progress: Progress) -> int:
        committed = await self._commit(progress, Change())
        if committed is None:
            if self.holds:
                await self._explain_refusal(progress)
            raise LeaseLost
        await self._hold()
        return committed.last_sequence

    async def _explain_refusal(self, progress: Progress) -> None:
        """Tells a lost lease from a start that no decision allows, which must never happen."""
        if progress.spent and await self._is_ours():
            raise AssertionError("an effect was about to start without a decision that allows it")

    async def _close(self, progress: Progress, change: Change) -> Committed | None:
        """The last commit of a pass."""
        committed = await self._commit(progress, change)
        if committed is not None and self._recorder is not None:
            self._recorder.committed(committed.last_sequence, len(progress.events))
        return committed

    async def _close_or_lose(self, progress: Progress, change: Change) -> None:
        if await self._close(progress, change) is None:
            raise LeaseLost

    async def _commit(self, progress: Progress, change: Change) -> Committed | None:
        """Commits, and gives where that left the run, or `None` when the store did not take it."""
        number, is_sent = self._commits + 1, False

        async def commit() -> Committed | None:
            nonlocal is_sent
            lease = self.lease
            if is_sent and (stored := await run_committed(database, lease, number, opening)):
                return stored  # It was stored before; only the reply was lost.
            if opening is not None and self.opened.done():
                return None  # Whoever decided was told to come back, and may think otherwise.
            was_sent, is_sent = is_sent, True
            now = self._now()
            new = await run_commit(database, lease, progress, change, now, number, opening)
            if new is None and was_sent:
                # What was sent before may be carried out late, and just before this.
                return await run_committed(database, lease, number, opening)
            return new

        database, opening = self._setting.database, self._opening
        committed = await self._reaching(commit)
        if committed is None:
            return None
        self._commits, self._opening = number, None
        self._opened(stands=True)
        if committed.cancel_requested:
            self.cancel()
        self._rested(change, committed)
        self._moved(Tip(change.state, committed.last_sequence))
        if any(one.requirement.kind == _EXTERNAL for one in progress.questions):
            self._setting.hub.called()
            self._setting.announcer.announce_call()
        return committed

    async def _reaching(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does something with the database, as often as it takes to reach it.

        What this leg knows is worth the wait: nobody else knows how its effects
        ended, and as long as nobody takes the run over, it can still be stored.

        Raises:
            StoreUnavailable: the process shuts down, or the lease is lost.
        """
        pause = 0.05
        while True:
            try:
                return await work()
            except StoreUnavailable:
                self._opened(stands=None)
                if isinstance(self._stop, HandOver | LeaseLost):
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_SECONDS_MAX)

    async def _hold(self) -> None:
        """Makes sure, by our own clock, that nobody can have taken the run over.

        A process that was frozen after a commit finds out here, before it does
        anything: the commit itself could not tell it.

        Raises:
            LeaseLost: somebody has.
        """
        while self._now() >= self.lease.until:
            if not await self._is_ours():
                raise LeaseLost

    async def _is_ours(self) -> bool:
        """Renews the lease at once; `False` when it is lost."""
        owner, now = self._setting.owner, self._now()
        renewed = await self._reaching(
            lambda: runs_renew(self._setting.database, owner, [self.lease.run_id], now)
        )
        epoch, _ = renewed.get(self.lease.run_id, (0, False))
        if epoch == self.lease.epoch:
            self.renewed(now + owner.lease)
        return epoch == self.lease.epoch

    def _rested(self, change: Change, committed: Committed) -> None:
        """Keeps what is known of a run that paused; shows one at rest to whoever waits for it."""
        is_running = change.state == v1.RUN_STATE_RUNNING
        if is_running or self._recorder is None or committed.time is None:
            return
        memory = self._recorder.memory()
        run = as_committed(memory.row.run, change, committed)
        memory = replace(memory, row=replace(memory.row, run=run))
        if change.state == v1.RUN_STATE_PAUSED:
            self._setting.recent.keep(memory)
        if self._setting.hub.awaits_rest(self.lease.run_id):
            shown = self._setting.views.at_rest(memory)
            self._setting.hub.rested(self.lease.run_id, committed.last_sequence, shown)

    def _moved(self, tip: Tip | None = None) -> None:
        self._setting.hub.moved(self.lease.run_id, tip)
        self._setting.announcer.announce(self.lease.run_id, tip)

    def _event(self, **happened: object) -> NewEvent:
        event = v1.RunEvent(
            run_id=self.lease.run_id,
            event_time=timestamp(self._now()),
            **happened,  # type: ignore[arg-type]
        )
        return NewEvent(event)

    def _now(self) -> datetime:
        return self._setting.world.now()


RUN_TIMED_OUT = v1.RunError(
    reason="RUN_TIMED_OUT", message="the run did not end within the time that it was given"
)
"""How a run ends whose time is over."""
