"""Containers and retries around a pause, as far as a peer got them wrong (D-8, D-19, D-22)."""

from __future__ import annotations

from typing import Any

from tests.support.service import confirm, open_requirements, reject, served
from tests.support.workbench import (
    Caller,
    Ledger,
    agent,
    app_of,
    kind_of,
    only,
    result_of,
)

from interlock import v1
from interlock_server import (
    Condition,
    Loop,
    Parallel,
    Router,
    ScriptedModel,
    Step,
    Steps,
    Team,
    Workflow,
    call,
)


def noted(ledger: Ledger, name: str) -> Step:
    """A step that notes that it ran."""

    def note(given: Any) -> str:
        ledger.calls.append(name)
        return name

    return Step(name=name, executor=note)


async def test_a_loop_goes_through_all_its_iterations_however_often_it_pauses(
    database_url: str, streams: bool
) -> None:
    """D-8: streaming it began again at 1, and else it went from 1 to 3."""
    ledger = Ledger()
    asks = Step(name="asks", agent=agent([call("act", what="it"), "done"], ledger.gated()))
    loop = Loop(
        name="loop", steps=[noted(ledger, "before"), asks, noted(ledger, "after")], max_iterations=3
    )
    async with served(app_of(loop, noted(ledger, "last")), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        paths = []
        while run.state == v1.RUN_STATE_PAUSED:
            paths.append(list(only(run).step.path))
            run = await caller.resolve(run, confirm(only(run)))
        events = await service.events(run)
    assert paths == [["loop", str(number), "asks"] for number in (1, 2, 3)]
    assert ledger.calls == [*["before", "it", "after"] * 3, "last"]
    for kind in ("loop_iteration_started", "loop_iteration_completed"):
        numbers = [getattr(one, kind).iteration for one in events if kind_of(one) == kind]
        assert numbers == [1, 2, 3]
    [ended] = [one.loop_completed for one in events if kind_of(one) == "loop_completed"]
    assert ended.iteration_count == 3


async def test_a_step_that_is_tried_again_repeats_no_step_before_it(
    database_url: str, streams: bool
) -> None:
    """D-19: the branch began again at its first step, and the second failure was the end."""
    ledger = Ledger()

    def flaky(given: Any) -> str:
        ledger.calls.append("flaky")
        if ledger.calls.count("flaky") < 3:
            raise ValueError("not yet")
        return "well"

    asks = Step(name="asks", agent=agent([call("act", what="it"), "done"], ledger.gated()))
    branch = [
        noted(ledger, "before"),
        asks,
        Step(name="flaky", executor=flaky, max_retries=2),
        noted(ledger, "after"),
    ]
    async with served(app_of(Condition(name="if", steps=branch)), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        run = await caller.resolve(paused, confirm(only(paused)))
    assert run.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["before", "it", "flaky", "flaky", "flaky", "after"]
    assert result_of(run, "flaky").output_json == '"well"'


async def test_a_gate_is_asked_at_any_depth(database_url: str, streams: bool) -> None:
    """D-22: inside of containers gates were passed in silence, and the guarded thing ran."""
    ledger = Ledger()
    member = agent([call("act", what="deep"), "done"], ledger.gated(), name="member")
    leader = ScriptedModel([call("delegate_task_to_member", member_name="member", task="do"), "ok"])
    inner: Any = Step(name="step", team=Team(name="crew", model=leader, members=[member]))
    inner = Workflow(name="nested", steps=[inner])
    inner = Parallel(inner, noted(ledger, "beside"), name="parallel")
    inner = Router(name="router", choices=[inner], selector=lambda given: "parallel")
    inner = Loop(name="loop", steps=[inner], max_iterations=1)
    inner = Condition(
        name="condition", evaluator=False, steps=[noted(ledger, "x")], else_steps=[inner]
    )
    outer = Steps(name="steps", steps=[inner])
    async with served(app_of(outer, noted(ledger, "last")), database_url) as service:
        caller = Caller(service, streams)
        for answer in (confirm, reject):
            ledger.calls.clear()
            paused = await caller.run()
            [asked] = open_requirements(paused)
            assert list(asked.step.path) == [
                "steps",
                "condition",
                "loop",
                "1",
                "router",
                "parallel",
                "nested",
                "step",
            ]
            assert list(asked.member_path) == ["member"]
            assert asked.executor_name == "crew"
            assert ledger.calls == ["beside"]
            run = await caller.resolve(paused, answer(asked))
            assert run.state == v1.RUN_STATE_COMPLETED
            assert ledger.calls == ["beside", *(["deep"] if answer is confirm else []), "last"]
