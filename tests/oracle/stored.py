"""Runs on the real store: read in full, and checked by the rules that only a store can keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from tests.oracle.stories import Story, kind_of, shown, story
from tests.oracle.watching import Log
from tests.support.memory import End

from interlock import v1
from interlock_server import StepOutput, jsontext
from interlock_server.store.database import Database
from interlock_server.store.journal import memory_load
from interlock_server.store.records import Memory
from interlock_server.store.sessions import session_get
from interlock_server.store.views import view_get

_EVENTS = text("SELECT sequence, key, body FROM events WHERE run_id = :run_id ORDER BY sequence")
_ENDS = ("workflow_completed", "workflow_failed", "workflow_cancelled")


@dataclass(frozen=True)
class Stored:
    """All that the store has of a run."""

    memory: Memory
    events: list[tuple[str, v1.RunEvent]]
    results: list[v1.StepResult]
    session: v1.Session

    @property
    def run(self) -> v1.Run:
        """The run itself."""
        return self.memory.row.run

    def story(self, log: Log) -> Story:
        """What is told of it."""
        failed = self.run.HasField("error")
        text = self.run.output_json
        output = StepOutput(content=jsontext.loads(text)) if text else None
        end = End(output, self.run.error if failed else None, self.run.usage)
        if self.run.state == v1.RUN_STATE_CANCELLED:
            end = End(None, None, v1.Usage(), self.events[-1][1].workflow_cancelled.reason)
        questions = {one.key: one.requirement for one in self.memory.answers}
        session = jsontext.loads(self.session.state_json)
        told = story(end, log, questions, self.events, session)
        assert told.results == sorted(shown(one) for one in self.results)
        return told


async def stored(database: Database, run_id: str) -> Stored:
    """Reads a run."""
    memory = await memory_load(database, run_id, is_whole=True)
    events = []
    for row in await database.fetch(_EVENTS, {"run_id": run_id}):
        event = v1.RunEvent.FromString(row.body)
        event.sequence = row.sequence
        events.append(((row.key or "").rpartition("!")[0], event))
    session = await session_get(database, memory.row.run.session_id)
    assert session is not None
    view = await view_get(database, run_id)
    assert view is not None
    return Stored(memory, events, list(view.row.run.step_results), session)


def check_stream(one: Stored) -> None:
    """What readers of a run that has ended may rely on."""
    kinds = [kind_of(event) for _, event in one.events]
    assert [event.sequence for _, event in one.events] == list(range(1, len(kinds) + 1))
    assert one.run.last_sequence == len(kinds)
    assert kinds[0] == "workflow_started"
    assert [kind for kind in kinds if kind in _ENDS] == kinds[-1:], "one end, and it comes last"
    _check_end(one.run, one.events[-1][1])
    _check_pauses(event for _, event in one.events)
    resolved = [event.requirement_resolved.resolution for _, event in one.events]
    ids = [resolution.requirement_id for resolution in resolved if resolution.requirement_id]
    answered = [
        each.requirement.requirement_id
        for each in one.memory.answers
        if each.requirement.state == v1.REQUIREMENT_STATE_RESOLVED
    ]
    assert sorted(ids) == sorted(answered)
    pending = v1.REQUIREMENT_STATE_PENDING
    assert all(each.requirement.state != pending for each in one.memory.answers)


def _check_end(run: v1.Run, last: v1.RunEvent) -> None:
    if run.state == v1.RUN_STATE_COMPLETED:
        assert last.workflow_completed.output_json == run.output_json
        assert last.workflow_completed.usage == run.usage
    elif run.state == v1.RUN_STATE_CANCELLED:
        assert last.workflow_cancelled.reason
        assert last.workflow_cancelled.cancelled_by == "somebody"
    else:
        assert run.state == v1.RUN_STATE_FAILED
        assert last.workflow_failed.error == run.error
        assert last.workflow_failed.usage == run.usage


def _check_pauses(events: Iterable[v1.RunEvent]) -> None:
    """A pause is the last event of its leg; it lists what waits, and then there are decisions."""
    asked, resolved = set[str](), set[str]()
    is_paused = False
    for event in events:
        kind = kind_of(event)
        decides = kind in ("requirement_resolved", "workflow_continued")
        assert decides or not is_paused, f"{kind} in a pause"
        resolved.add(event.requirement_resolved.resolution.requirement_id)
        asked.update(_waiting([event.step_executor_paused.step_requirement]))
        asked.update(_waiting([event.step_paused.step_requirement]))
        if kind == "workflow_paused":
            listed = _waiting(event.workflow_paused.step_requirements)
            assert not listed & resolved, "what has been decided is said to wait"
            assert listed == asked - resolved, "not all that waits is said to wait"
        assert kind != "workflow_continued" or is_paused
        is_paused = kind == "workflow_paused" or (is_paused and kind != "workflow_continued")
    assert not is_paused


def _waiting(steps: Iterable[v1.StepRequirement]) -> set[str]:
    return {
        one.requirement_id
        for step in steps
        for one in (*step.executor_requirements, *step.step_requirements)
    }
