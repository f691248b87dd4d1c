"""A leg: interprets a claimed run until it ends or waits, and commits where that leaves it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import Cancelled, CodeMissing, Suspended
from interlock_server.engine.interpreter import Executors, Interpreter, StepFailure
from interlock_server.engine.pauses import by_step, pause_kind
from interlock_server.errors import StoreUnavailable
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.recorder import HandOver, Recorder
from interlock_server.runtime.world import World, timestamp
from interlock_server.store.database import Database
from interlock_server.store.definitions import definition_get
from interlock_server.store.journal import memory_load
from interlock_server.store.notify import Announcer
from interlock_server.store.records import Change, Lease, Memory, NewEvent, Progress
from interlock_server.store.runs import (
    run_commit,
    run_end_cancelled,
    run_lock,
    run_release,
    run_reopen,
    run_request_cancel,
)

_log = structlog.get_logger()


class LeaseLost(BaseException):
    """Another process owns the run now; this one must not write it any more."""


@dataclass(frozen=True)
class Setting:
    """What every leg of a runtime works with."""

    database: Database
    executors: Executors
    hub: Hub
    announcer: Announcer
    world: World
    commit_delay: float
    definitions: dict[bytes, v1.Workflow] = field(default_factory=dict)


class Leg:
    """A claimed run on its way to its next rest: paused, ended, or handed over."""

    def __init__(self, setting: Setting, lease: Lease, memory: Memory | None = None) -> None:
        """Takes a claimed run; `memory` is what is stored of it, where that is known already."""
        self.lease = lease
        self._setting = setting
        self._memory = memory
        self._recorder: Recorder | None = None
        self._stop: BaseException | None = None

    def cancel(self) -> None:
        """Ends the run as cancelled, before its next effect."""
        self._interrupt(Cancelled())

    def hand_over(self) -> None:
        """Gives the run back before its next effect, for another process to go on."""
        self._interrupt(HandOver())

    def lose(self) -> None:
        """The lease is lost: stops before the next effect and writes nothing."""
        self._interrupt(LeaseLost())

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
            log.info("lease lost")
        except (HandOver, asyncio.CancelledError):
            if not isinstance(self._stop, LeaseLost):
                await self._give_back()
                log.info("run handed over")
        except CodeMissing as missing:
            # The lease runs out by itself, and with it the time until somebody tries again.
            log.error("run needs code that is not here", name=missing.name)
        except StoreUnavailable:
            log.warning("database lost; the run will be taken up again")
        finally:
            self._moved()

    async def _give_back(self) -> None:
        with suppress(LeaseLost, StoreUnavailable):
            if self._recorder is not None:
                await self._recorder.flush()
            await run_release(self._setting.database, self.lease)

    async def _once(self) -> bool:
        """One pass over the journal; `False` when there is reason for another at once."""
        memory = self._memory or await memory_load(self._setting.database, self.lease.run_id)
        self._memory = None
        if memory.row.epoch != self.lease.epoch:
            raise LeaseLost
        if memory.row.cancel_requested:
            self._stop = Cancelled()
        recorder = Recorder(
            memory, self._save, self._setting.hub, self._setting.world, self._setting.commit_delay
        )
        recorder.stop = self._stop
        self._recorder = recorder
        try:
            return await self._pass(recorder, memory)
        except StoreUnavailable:
            raise
        except Exception as bug:  # noqa: BLE001 - else the run would fail like this for ever
            # What is not stored yet may be what cannot be stored, so it is left out.
            return await self._end(Progress(), memory, v1.Run(error=self._internal(bug)))

    async def _pass(self, recorder: Recorder, memory: Memory) -> bool:
        interpreter = Interpreter(recorder, self._setting.executors)
        try:
            if isinstance(self._stop, Cancelled):
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
        except StepFailure as failure:
            ended = v1.Run(usage=interpreter.usage, error=failure.error)
        else:
            ended = v1.Run(usage=interpreter.usage, output_json=jsontext.dumps(output.content))
        return await self._end(await recorder.close(), memory, ended)

    async def _definition(self, memory: Memory) -> v1.Workflow:
        digest = memory.row.digest
        if digest not in self._setting.definitions:
            stored = await definition_get(self._setting.database, digest)
            assert stored is not None, "a run's definition is kept with it"
            self._setting.definitions[digest] = stored
        return self._setting.definitions[digest]

    # Where a pass leaves the run.

    async def _pause(self, recorder: Recorder, suspended: Suspended) -> bool:
        progress = await recorder.close()
        waiting = [
            one for one in suspended.requirements if one.state == v1.REQUIREMENT_STATE_PENDING
        ]
        steps = by_step(waiting)
        kind = pause_kind(steps)
        paused = v1.WorkflowPaused(pause_kind=kind, step_requirements=steps)
        events = (*progress.events, self._event(workflow_paused=paused))
        change = Change(v1.RUN_STATE_PAUSED, kind, waiting=recorder.open_count)
        if waiting and await self._close(_with_events(progress, events), change):
            return True
        return await self._look_again(progress)

    async def _look_again(self, progress: Progress) -> bool:
        """A decision or a cancel came in while the run was about to pause: go on with it."""
        if await self._close(progress, Change()) is None:
            raise LeaseLost
        if not await run_reopen(self._setting.database, self.lease):
            raise LeaseLost
        return False

    async def _end(self, progress: Progress, memory: Memory, ended: v1.Run) -> bool:
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
        change = Change(state=state, body=ended)
        if await self._close(_with_events(progress, events), change) is None:
            raise LeaseLost
        return True

    async def _end_cancelled(self, progress: Progress, reason: str, by: str) -> bool:
        """Ends the run as cancelled: as its row says, or by a decision of the run itself."""
        database = self._setting.database
        if await self._close(progress, Change()) is None:
            raise LeaseLost
        async with database.transaction() as connection:
            row = await run_lock(connection, self.lease.run_id)
            if row is None or row.epoch != self.lease.epoch:
                raise LeaseLost
            if not row.cancel_requested:
                await run_request_cancel(connection, self.lease.run_id, reason, by)
            cancelled = v1.WorkflowCancelled(
                reason=row.cancel_reason if row.cancel_requested else reason,
                cancelled_by=row.cancelled_by if row.cancel_requested else by,
            )
            event = self._event(workflow_cancelled=cancelled).event
            await run_end_cancelled(connection, self.lease.run_id, [event], self._now())
        return True

    def _internal(self, bug: Exception) -> v1.RunError:
        error_id = self._setting.world.new_id()
        _log.exception("run failed inside", run_id=self.lease.run_id, error_id=error_id)
        message = "something went wrong inside the service"
        return v1.RunError(reason="INTERNAL", message=message, metadata={"error_id": error_id})

    # Commits.

    async def _save(self, progress: Progress) -> int:
        committed = await self._commit(progress, Change())
        if committed is None:
            raise LeaseLost
        return committed

    async def _close(self, progress: Progress, change: Change) -> int | None:
        """The last commit of a pass."""
        committed = await self._commit(progress, change)
        if committed is not None and self._recorder is not None:
            self._recorder.committed(committed, len(progress.events))
        return committed

    async def _commit(self, progress: Progress, change: Change) -> int | None:
        """Commits, and gives the newest sequence, or `None` when the store did not take it."""
        committed = await run_commit(
            self._setting.database, self.lease, progress, change, self._now()
        )
        if committed is None:
            return None
        sequence, cancel_requested = committed
        if cancel_requested:
            self.cancel()
        self._moved(change.state)
        return sequence

    def _moved(self, state: v1.RunState.ValueType | None = None) -> None:
        self._setting.hub.moved(self.lease.run_id, state)
        self._setting.announcer.announce(self.lease.run_id)

    def _event(self, **happened: object) -> NewEvent:
        event = v1.RunEvent(
            run_id=self.lease.run_id,
            event_time=timestamp(self._now()),
            **happened,  # type: ignore[arg-type]
        )
        return NewEvent(event)

    def _now(self) -> datetime:
        return self._setting.world.now()


def _with_events(progress: Progress, events: tuple[NewEvent, ...]) -> Progress:
    return Progress(
        events,
        progress.entries,
        progress.questions,
        progress.session_changes,
        progress.session_removals,
    )
