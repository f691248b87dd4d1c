"""The desk: where decisions come in, of people and of the clock; the first one stands.

Each is recorded in the transaction that finds the run as it was when it was decided,
so whoever comes second finds what the first one did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from interlock import v1
from interlock_server.engine.gates import at_timeout, granted, is_answered
from interlock_server.errors import (
    EtagMismatch,
    ExecutorNotFound,
    InterlockError,
    RequirementNotFound,
    RunNotFound,
    RunNotPaused,
    StoreUnavailable,
)
from interlock_server.executors.registry import Registry
from interlock_server.runtime.decisions import (
    check_answer,
    check_claim,
    check_unique,
    is_settled,
)
from interlock_server.runtime.hub import ENDED
from interlock_server.runtime.leg import RUN_TIMED_OUT, Leg
from interlock_server.runtime.recent import Recent
from interlock_server.runtime.views import may_be_claimed
from interlock_server.runtime.world import World
from interlock_server.store.database import Connection, Database
from interlock_server.store.decisions import basis_read, decision_record, row_decided
from interlock_server.store.definitions import definition_get
from interlock_server.store.records import (
    NO_REQUEST,
    Answer,
    Basis,
    Change,
    Memory,
    Opening,
    Owner,
    RequestKey,
    Ruling,
    RunRow,
    Settled,
)
from interlock_server.store.requests import request_add, request_note
from interlock_server.store.requirements import requirements_lock
from interlock_server.store.runs import run_end, run_lock, run_request_cancel
from interlock_server.times import timestamp


@dataclass(frozen=True)
class Decision:
    """Answers to requirements of one run, as one caller gives them.

    Args:
        fields: the path of each resolution in the caller's request, for errors.
        etag: of the run; empty means that any will do.
        hold: keep the run paused even when nothing else waits.
        continues: the caller wants the run to go on, not only to be heard.
        claim_epoch: under which a worker executed the one call that is answered; 0 means none.
    """

    run_id: str
    resolutions: Sequence[v1.RequirementResolution] = ()
    fields: Sequence[str] = ()
    etag: str = ""
    by: str = ""
    request: RequestKey = NO_REQUEST
    hold: bool = False
    continues: bool = True
    claim_epoch: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a decision led to.

    Args:
        before: the run's newest sequence before it: what comes after is new.
        goes_on: the run goes on at once, and this process holds it.
    """

    before: int
    goes_on: bool = False


class GoOn(Protocol):
    """Lets a run go on in this process."""

    def __call__(
        self,
        row: RunRow,
        since: datetime,
        memory: Memory | None = None,
        opening: Opening | None = None,
    ) -> Leg: ...


class Desk:
    """Records decisions, and claims the runs that go on with them."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        world: World,
        owner: Owner,
        definitions: dict[bytes, v1.Workflow],
        recent: Recent,
        go_on: GoOn,
    ) -> None:
        self._database = database
        self._registry = registry
        self._world = world
        self._owner = owner
        self._definitions = definitions
        self._recent = recent
        self._go_on = go_on
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def decide(self, decision: Decision) -> Outcome:
        """Records a person's answers, all or none.

        Raises:
            RunNotFound, RequirementNotFound, RunNotPaused, RequirementAlreadyResolved,
            RequirementExpired, RequirementCancelled, RequirementClaimed, ClaimLost,
            ResolutionMismatch, InvalidField, EtagMismatch, RequestIdReused, ExecutorNotFound:
            nothing was recorded.
        """
        check_unique([one.requirement_id for one in decision.resolutions], decision.fields)
        # One at a time in this process, so that many decisions on a run do not chase each other.
        async with self._turns.setdefault(decision.run_id, asyncio.Lock()):
            outcome = await self._try_remembered(decision)
            while outcome is None:  # The run has moved meanwhile.
                outcome = await self._try(decision, await self._read(decision))
        return outcome

    async def _try_remembered(self, decision: Decision) -> Outcome | None:
        """Decides on a run as it paused here; `None` when only what is stored can tell.

        To record a decision is to find out whether the run is still so. What is
        remembered cannot refuse one, since it may be old.
        """
        memory = self._recent.look(decision.run_id)
        if memory is None:
            return None
        known = [one.requirement for one in memory.answers]
        named = {one.requirement_id for one in decision.resolutions}
        if not named or not named <= _open(known) or any(map(may_be_claimed, known)):
            return None
        try:
            outcome = await self._try(decision, Basis(memory.row, known, None), memory)
        except StoreUnavailable:
            raise
        except InterlockError:
            return None
        if outcome is None:
            self._recent.take(decision.run_id, "")
        return outcome

    async def _read(self, decision: Decision) -> Basis:
        ids = [one.requirement_id for one in decision.resolutions]
        basis = await basis_read(self._database, decision.run_id, ids, decision.request)
        if basis is None:
            raise RunNotFound(decision.run_id)
        return basis

    async def _try(
        self, decision: Decision, basis: Basis, memory: Memory | None = None
    ) -> Outcome | None:
        """Decides on a run as it was; `None` when it is not so any more.

        Args:
            memory: of the run as it was, where that is known.
        """
        if basis.first is not None:
            return Outcome(basis.first)
        row, known = basis.row, basis.known
        before, now = row.run.last_sequence, self._world.now()
        recorded = self._checked(decision, known)
        if decision.etag and decision.etag != row.run.etag:
            raise EtagMismatch(row.run.etag)
        fresh = _fresh(decision, recorded, known, now)
        _check_state(decision, row, fresh)
        answers = _settled(fresh, known)
        is_ready = row.is_ready or _completes_a_step(answers, known)
        claims = is_ready and not decision.hold and row.run.state == v1.RUN_STATE_PAUSED
        if not fresh and not claims:
            await request_note(self._database, decision.request, decision.run_id, before, now)
            return Outcome(before)
        state = v1.REQUIREMENT_STATE_RESOLVED
        ruling = Ruling(answers, state, decision.by, is_ready, claims, now, decision.request)
        events = await self._events(row, known, ruling, _resolved(fresh, known, decision.by))
        if memory is not None and claims and not row.is_ready:
            return await self._open(memory, known, ruling, events)
        decided = await decision_record(self._database, row, ruling, events, self._owner)
        return None if decided is None else self._outcome(basis, ruling, decided)

    async def _open(
        self,
        memory: Memory,
        known: Sequence[v1.Requirement],
        ruling: Ruling,
        events: Sequence[v1.RunEvent],
    ) -> Outcome | None:
        """Lets a run go on with a decision that is stored along with the first that it allows.

        Raises:
            StoreUnavailable: nobody knows whether it is stored.
        """
        row = memory.row
        run_id, before = row.run.run_id, row.run.last_sequence
        # One memory opens one leg: two that begin at the same version could each take what the
        # other has stored for its own.
        self._recent.take(run_id, row.run.etag)
        ids = {one.requirement_id for one in ruling.answers}
        asked = [(one.key, one.requirement.requirement_id) for one in memory.answers]
        keys = {key: requirement_id for key, requirement_id in asked if requirement_id in ids}
        opening = Opening(int(row.run.etag), ruling, events, keys)
        decided = row_decided(row, row.epoch + 1, len(events))
        memory = _going_on(memory, known, ruling, decided)
        leg = self._go_on(decided, ruling.now, memory, opening)
        stands = await asyncio.shield(leg.opened)
        if stands is None:
            raise StoreUnavailable
        return Outcome(before, goes_on=True) if stands else None

    async def expire(self, requirement: v1.Requirement) -> Outcome | None:
        """Lets a requirement expire whose time is over; `None` when it was answered before.

        Raises:
            ExecutorNotFound: the run cannot go on here; nothing was recorded.
        """
        answer = at_timeout(requirement)
        if answer is None:
            return await self._expire_run(requirement)
        while True:
            basis = await basis_read(self._database, requirement.run_id, [], NO_REQUEST)
            if basis is None or requirement.requirement_id not in _open(basis.known):
                return None
            row, known, now = basis.row, basis.known, self._world.now()
            answers = _settled([answer], known)
            is_ready = row.is_ready or _completes_a_step(answers, known)
            claims = is_ready and row.run.state == v1.RUN_STATE_PAUSED
            ruling = Ruling(answers, v1.REQUIREMENT_STATE_EXPIRED, "", is_ready, claims, now)
            events = await self._events(row, known, ruling, [_expired(requirement, answer)])
            decided = await decision_record(self._database, row, ruling, events, self._owner)
            if decided is not None:
                return self._outcome(basis, ruling, decided)

    async def _expire_run(self, requirement: v1.Requirement) -> Outcome | None:
        """Cancels a run for a requirement that nobody answered in time."""
        async with self._database.transaction() as connection:
            row = await run_lock(connection, requirement.run_id)
            if row is None:
                return None
            known = await requirements_lock(connection, requirement.run_id)
            if requirement.requirement_id not in _open(known):
                return None
            now = self._world.now()
            answers = [Settled(requirement.requirement_id, int(requirement.etag), None)]
            is_ready = row.is_ready or _completes_a_step(answers, known)
            ruling = Ruling(answers, v1.REQUIREMENT_STATE_EXPIRED, "", is_ready, False, now)
            events = await self._events(row, known, ruling, [_expired(requirement, None)])
            await decision_record(connection, row, ruling, events, self._owner)
            text = f"nobody answered {_subject(requirement)} in time"
            await self._cancel(connection, row, text, "", now)
        return Outcome(row.run.last_sequence)

    async def cancel(self, run_id: str, reason: str, by: str, request: RequestKey) -> int | None:
        """Cancels a run: at once when it is paused, else before its next effect.

        Returns:
            The epoch of whoever has yet to hear of it; `None` when nobody has.

        Raises:
            RunNotFound: there is no such run.
            RequestIdReused: another request has the id.
        """
        async with self._database.transaction() as connection:
            row = await run_lock(connection, run_id)
            if row is None:
                raise RunNotFound(run_id)
            now = self._world.now()
            first = await request_add(connection, request, run_id, row.run.last_sequence, now)
            if first is None and row.run.state not in ENDED:
                await self._cancel(connection, row, reason, by, now)
        return row.epoch if row.run.state == v1.RUN_STATE_RUNNING else None

    async def time_out(self, run_id: str) -> None:
        """Ends a paused run as failed whose time is over."""
        async with self._database.transaction() as connection:
            row = await run_lock(connection, run_id)
            if row is None or row.run.state != v1.RUN_STATE_PAUSED:
                return
            now = self._world.now()
            body = v1.Run(input_json=row.run.input_json, error=RUN_TIMED_OUT)
            failed = v1.WorkflowFailed(error=RUN_TIMED_OUT)
            last = v1.RunEvent(run_id=run_id, event_time=timestamp(now), workflow_failed=failed)
            await run_end(connection, run_id, Change(v1.RUN_STATE_FAILED, body=body), last, now)

    # A person's answers.

    def _checked(
        self, decision: Decision, known: Sequence[v1.Requirement]
    ) -> list[v1.RequirementResolution]:
        by_id = {one.requirement_id: one for one in known}
        recorded = []
        for resolution, path in zip(decision.resolutions, decision.fields, strict=True):
            requirement = by_id.get(resolution.requirement_id)
            if requirement is None:
                raise RequirementNotFound(resolution.requirement_id)
            recorded.append(check_answer(self._registry, requirement, resolution, path))
        return recorded

    # What every decision does.

    async def _events(
        self,
        row: RunRow,
        known: Sequence[v1.Requirement],
        ruling: Ruling,
        events: list[v1.RunEvent],
    ) -> list[v1.RunEvent]:
        """What a decision adds to the run's events, if the run can go on here where it does.

        Raises:
            ExecutorNotFound: it cannot.
        """
        if ruling.claims:
            workflow = self._definitions.get(row.digest)
            workflow = workflow or await definition_get(self._database, row.digest)
            assert workflow is not None, "a run's definition is kept with it"
            self._check_code(row, workflow, ruling.answers, known)
            continued = v1.WorkflowContinued(continued_by=ruling.by)
            events = [*events, v1.RunEvent(workflow_continued=continued)]
        for event in events:
            event.run_id = row.run.run_id
            event.event_time.CopyFrom(timestamp(ruling.now))
        return events

    def _outcome(self, basis: Basis, ruling: Ruling, decided: RunRow) -> Outcome:
        before, run_id = basis.row.run.last_sequence, basis.row.run.run_id
        memory = self._recent.take(run_id, basis.row.run.etag)
        if ruling.claims:
            memory = memory and _going_on(memory, basis.known, ruling, decided)
            self._go_on(decided, ruling.now, memory)
        return Outcome(before, ruling.claims)

    def _check_code(
        self,
        row: RunRow,
        workflow: v1.Workflow,
        answers: Sequence[Settled],
        known: Sequence[v1.Requirement],
    ) -> None:
        """Refuses to go on where the code is missing that the answers call for."""
        missing = self._registry.missing(workflow.nodes)
        fresh = {one.requirement_id: one.resolution for one in answers}
        for one in known:
            answer = fresh.get(one.requirement_id) or (one.resolution if is_answered(one) else None)
            if not missing and answer is not None:
                missing = self._registry.missing_for(one, answer)
        if missing:
            raise ExecutorNotFound(row.run.run_id, missing)

    async def _cancel(
        self, connection: Connection, row: RunRow, reason: str, by: str, now: datetime
    ) -> None:
        run_id = row.run.run_id
        await run_request_cancel(connection, run_id, reason, by)
        if row.run.state == v1.RUN_STATE_PAUSED:
            cancelled = v1.WorkflowCancelled(reason=reason, cancelled_by=by)
            last = v1.RunEvent(
                run_id=run_id, event_time=timestamp(now), workflow_cancelled=cancelled
            )
            await run_end(connection, run_id, Change(v1.RUN_STATE_CANCELLED), last, now)


def _fresh(
    decision: Decision,
    recorded: Sequence[v1.RequirementResolution],
    known: Sequence[v1.Requirement],
    now: datetime,
) -> list[v1.RequirementResolution]:
    """The answers that are still to be recorded."""
    by_id = {one.requirement_id: one for one in known}
    fresh = []
    for record, sent in zip(recorded, decision.resolutions, strict=True):
        requirement = by_id[sent.requirement_id]
        if not is_settled(requirement, sent, record):
            fresh.append(record)
        check_claim(requirement, sent, decision.claim_epoch, now)
    return fresh


def _check_state(
    decision: Decision, row: RunRow, fresh: Sequence[v1.RequirementResolution]
) -> None:
    """An answer is welcome as long as its question is open; a bare continue needs a pause."""
    is_repeat = bool(decision.resolutions) and not fresh
    if fresh or is_repeat or row.run.state == v1.RUN_STATE_PAUSED:
        return
    state = v1.RunState.Name(row.run.state).removeprefix("RUN_STATE_")
    raise RunNotPaused(decision.run_id, state)


def _settled(
    resolutions: Sequence[v1.RequirementResolution], known: Sequence[v1.Requirement]
) -> list[Settled]:
    """Answers with what they let start."""
    by_id = {one.requirement_id: one for one in known}
    answers = []
    for one in resolutions:
        requirement = by_id[one.requirement_id]
        grant = granted(requirement, one)
        answers.append(Settled(one.requirement_id, int(requirement.etag), one, grant))
    return answers


def _going_on(
    memory: Memory, known: Sequence[v1.Requirement], ruling: Ruling, decided: RunRow
) -> Memory:
    """What is stored of a run, as it would be read, after a decision on it."""
    by_id = {one.requirement_id: one for one in known}
    for requirement in known:
        requirement.ClearField("claim")  # As a leg reads it.
    answers = []
    for one in memory.answers:
        requirement_id = one.requirement.requirement_id
        answers.append(Answer(one.key, by_id.get(requirement_id, one.requirement)))
    for given in ruling.answers:
        requirement = by_id[given.requirement_id]
        requirement.state = ruling.state
        requirement.etag = str(int(requirement.etag) + 1)
        requirement.resolve_time.CopyFrom(timestamp(ruling.now))
        if given.resolution is not None:
            requirement.resolution.CopyFrom(given.resolution)
            requirement.resolved_by = ruling.by
    return replace(memory, row=decided, answers=answers)


def _open(known: Sequence[v1.Requirement]) -> set[str]:
    return {one.requirement_id for one in known if one.state == v1.REQUIREMENT_STATE_PENDING}


def _completes_a_step(answers: Sequence[Settled], known: Sequence[v1.Requirement]) -> bool:
    """Whether a step has every answer it waits for, now that these have come."""
    answered = {one.requirement_id for one in answers}
    steps = {one.executor_run_id for one in known if one.requirement_id in answered}
    waiting = {
        one.executor_run_id for one in known if one.requirement_id in _open(known) - answered
    }
    return bool(steps - waiting)


def _resolved(
    resolutions: Sequence[v1.RequirementResolution], known: Sequence[v1.Requirement], by: str
) -> list[v1.RunEvent]:
    steps = {one.requirement_id: one.step for one in known}
    return [
        v1.RunEvent(
            step=steps[one.requirement_id],
            requirement_resolved=v1.RequirementResolved(resolution=one, resolved_by=by),
        )
        for one in resolutions
    ]


def _expired(requirement: v1.Requirement, answer: v1.RequirementResolution | None) -> v1.RunEvent:
    expired = v1.RequirementExpired(
        requirement_id=requirement.requirement_id,
        on_timeout=requirement.on_timeout,
        resolution=answer,
    )
    return v1.RunEvent(step=requirement.step, requirement_expired=expired)


def _subject(requirement: v1.Requirement) -> str:
    """What a question is about, for the people who run the workflow."""
    tool_name = requirement.tool_execution.tool_name
    what = f"about the tool {tool_name!r} of" if tool_name else "of"
    return f"the question {what} step {requirement.step.name!r}"
