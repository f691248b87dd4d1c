"""What is read of a run whose long containers have ended, and that nothing else is needed."""

from __future__ import annotations

import pytest
from tests.support.service import confirm, open_requirements, served
from tests.support.workbench import app_of

from interlock import v1
from interlock_server import Loop, Step, StepInput, limits
from interlock_server.store.database import Database
from interlock_server.store.journal import memory_load

_ITERATIONS = 3


async def test_what_is_inside_is_not_read_but_for_the_session(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "finished_steps_min", _ITERATIONS)
    done: list[str] = []

    def count(step_input: StepInput, session_state: dict[str, int]) -> str:
        session_state["count"] = session_state.get("count", 0) + 1
        done.append("count")
        return "counted"

    def idle(step_input: StepInput) -> str:
        done.append("idle")
        return "nothing"

    def look(step_input: StepInput, session_state: dict[str, int]) -> list[object]:
        return [session_state["count"], step_input.get_step_content("idle")]

    # The name of the second loop begins like that of the first, which says nothing.
    app = app_of(
        Loop(name="loop", steps=[Step(name="count", executor=count)], max_iterations=_ITERATIONS),
        Loop(name="loops", steps=[Step(name="idle", executor=idle)], max_iterations=2),
        Step(name="wait", executor=idle, requires_confirmation=True),
        Step(name="look", executor=look),
    )
    async with served(app, database_url, servers=2) as service:
        here, there = service.replicas
        paused = await here.run("Work")
        database = Database(database_url)
        read = await memory_load(database, paused.run_id)
        whole = await memory_load(database, paused.run_id, is_whole=True)
        await database.close()
        ended = await there.resolve(paused, confirm(open_requirements(paused)[0]))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ended.output_json == '[3,"nothing"]'
    assert done == ["count"] * _ITERATIONS + ["idle"] * 3

    left_out = {key for key in whole.event_keys if key.startswith(("loop#", "loop/"))}
    assert read.event_keys == whole.event_keys - left_out
    assert len(left_out) == 4 * _ITERATIONS
    assert read.values == whole.values, "each entry of the first loop changes the session"
    assert read.position == len(whole.values)


async def test_entries_that_change_no_session_are_left_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "finished_steps_min", 1)
    app = app_of(
        Loop(name="loop", steps=[Step(name="a", executor=lambda _: "b")], max_iterations=2),
        Step(name="wait", executor=lambda _: "c", requires_confirmation=True),
    )
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        database = Database(database_url)
        read = await memory_load(database, paused.run_id)
        whole = await memory_load(database, paused.run_id, is_whole=True)
        await database.close()
    inside = {key for key in whole.values if key.startswith("loop#")}
    assert len(inside) == 2
    assert set(read.values) == set(whole.values) - inside == {"loop:finished"}
    assert read.position == whole.position == 3
