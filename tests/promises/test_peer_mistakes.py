"""Mistakes that users of a peer met, each with the number it has in the list of them (D-n).

Those about gates of whole steps, reviews, edits, routes chosen by people, error
decisions and timeouts (D-5 to D-8, D-11 to D-13, D-19, D-20, D-22, D-24) come with
these features.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel
from tests.support.service import (
    confirm,
    external_result,
    open_requirements,
    reject,
    served,
    user_input,
)
from tests.support.workbench import (
    LAST_KINDS,
    Caller,
    Ledger,
    agent,
    agent_app,
    app_of,
    get,
    kinds,
    only,
    refused,
    result_of,
    start,
)

from interlock import v1
from interlock_server import (
    Agent,
    Condition,
    DefinitionError,
    Interlock,
    Loop,
    Parallel,
    Router,
    RunContext,
    ScriptedModel,
    Step,
    StepInput,
    Steps,
    Team,
    Workflow,
    call,
    tool,
)


def gated_step(ledger: Ledger, name: str = "gated") -> Step:
    """A step whose agent waits for a yes, and is named after the step."""
    turns: list[Any] = [call("act", what=name), f"{name} done"]
    return Step(name=name, agent=agent(turns, ledger.gated(), name=f"agent of {name}"))


def echo(name: str) -> Step:
    """A step that says its name and what came before."""
    return Step(name=name, executor=lambda given: f"{name} after {given.message}")


def containers(inside: list[Any]) -> dict[str, Any]:
    """Every container around the same steps."""
    return {
        "steps": Steps(name="box", steps=inside),
        "condition": Condition(name="box", evaluator=True, steps=inside),
        "else": Condition(name="box", evaluator=False, steps=[echo("no")], else_steps=inside),
        "loop": Loop(name="box", steps=inside, max_iterations=1),
        "router": Router(
            name="box",
            selector=lambda given: "group",
            choices=[
                Steps(name="group", steps=inside),
                echo("other"),
            ],
        ),
        "parallel": Parallel(Steps(name="group", steps=inside), name="box"),
        "workflow": Workflow(name="box", steps=inside),
    }


@pytest.mark.parametrize(
    "kind", ["steps", "condition", "else", "loop", "router", "parallel", "workflow"]
)
async def test_a_container_goes_on_after_the_pause_inside_it(
    database_url: str, streams: bool, kind: str
) -> None:
    """D-1: the rest of the container was skipped, its output and its completed event lost."""
    ledger = Ledger()
    inside = [echo("before"), gated_step(ledger), echo("after")]
    app = app_of(containers(inside)[kind], echo("last"))
    async with served(app, database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run(input_json='"in"')
        assert [one.step.name for one in paused.step_results if one.step.name == "before"]
        ended = await caller.resolve(paused, confirm(only(paused)))
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert result_of(ended, "after").output_json == '"after after gated done"'
    assert "after gated done" in result_of(ended, "box").output_json
    assert "last after" in ended.output_json
    assert happened.count("step_completed") == 4
    assert ledger.calls == ["gated"]


async def test_paused_calls_are_objects_with_verbs(database_url: str) -> None:
    """D-2: the items were dicts, and `executor_req.confirm()` failed."""
    from interlock import Client

    ledger = Ledger()
    app = agent_app([call("act", what="x"), "done"], ledger.gated())
    async with served(app, database_url) as service:

        def use() -> str:
            with Client(service.target) as client:
                run = client.workflow("Work").run("hello")
                for step_req in run.step_requirements:
                    for executor_req in step_req.executor_requirements:
                        executor_req.confirm()
                return str(client.workflow("Work").continue_run(run).content)

        assert await asyncio.to_thread(use) == "done"
    assert ledger.calls == ["x"]


def two_members(ledger: Ledger) -> Interlock:
    """A team whose leader sets two members to work at once, each of which waits for a yes."""

    def member(name: str) -> Agent:
        return agent([call("act", what=name), f"{name} done"], ledger.gated(), name=name)

    turn = [call("delegate_task_to_member", member_name=name, task="go") for name in "ab"]
    team = Team(
        name="crew", model=ScriptedModel([turn, "all done"]), members=[member("a"), member("b")]
    )
    return app_of(Step(name="work", team=team))


async def test_the_first_yes_to_a_team_is_kept_when_the_second_comes_later(
    database_url: str, streams: bool
) -> None:
    """D-3: the approval given first was dropped, and its tool never ran."""
    ledger = Ledger()
    async with served(two_members(ledger), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        first, second = open_requirements(paused)
        waiting = await caller.resolve(paused, confirm(first))
        assert [one.requirement_id for one in open_requirements(waiting)] == [second.requirement_id]
        assert ledger.calls == []
        ended = await caller.resolve(waiting, confirm(second))
    assert ended.output_json == '"all done"'
    assert sorted(ledger.calls) == ["a", "b"]


@pytest.mark.parametrize(
    "gates",
    [
        {"requires_confirmation": True},
        {"requires_user_input": True, "user_input_fields": ["what"]},
        {"external_execution": True},
    ],
)
async def test_what_nobody_decided_is_neither_a_yes_nor_a_no_nor_an_empty_value(
    database_url: str, streams: bool, gates: dict[str, Any]
) -> None:
    """D-4: undecided meant rejected, or run with None, or an error for ever."""
    ledger = Ledger()
    app = agent_app([call("act"), "done"], ledger.gated(**gates))
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        requirement = only(paused)
        await service.resolve(paused)
        assert only(await get(service, paused)).requirement_id == requirement.requirement_id
        assert ledger.calls == []
        answers = {
            v1.REQUIREMENT_KIND_CONFIRMATION: confirm(requirement),
            v1.REQUIREMENT_KIND_USER_INPUT: user_input(requirement, '{"what": "x"}'),
            v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION: external_result(requirement, '"x"'),
        }
        ended = await Caller(service, streams).resolve(paused, answers[requirement.kind])
    assert ended.state == v1.RUN_STATE_COMPLETED


async def test_a_condition_that_is_not_met_is_the_same_however_it_is_called(
    database_url: str,
) -> None:
    """D-9: the step after it was given another thing when streaming."""
    condition = Condition(name="c", evaluator=lambda given: False, steps=[echo("never")])
    async with served(app_of(echo("a"), condition, echo("b")), database_url) as service:
        runs = [await Caller(service, streams).run() for streams in (False, True)]
    unary, streamed = [
        [(one.step.step_id, one.outcome, one.output_json) for one in run.step_results]
        for run in runs
    ]
    assert unary == streamed
    assert [outcome for name, outcome, _ in unary if name == "c"] == [v1.STEP_OUTCOME_SKIPPED]


async def test_functions_and_agents_see_all_branches_of_a_parallel(database_url: str) -> None:
    """D-10: a function saw the last branch only."""
    seen: list[Any] = []

    def look(given: StepInput) -> Any:
        seen.append(given.previous_step_content)
        return given.previous_step_content

    reader = agent([lambda request: request.messages[0].text])
    branches = Parallel(echo("a"), echo("b"), name="both")
    app = app_of(branches, Step(name="look", executor=look), Step(name="read", agent=reader))
    async with served(app, database_url) as service:
        run = await service.run("Work", input_json='"in"')
    everything = {"a": "a after in", "b": "b after in"}
    assert seen == [everything]
    assert "a after in" in run.output_json
    assert "b after in" in run.output_json


async def test_an_optional_value_that_is_left_out_keeps_its_default(
    database_url: str, streams: bool
) -> None:
    """D-14: it was overwritten with None."""
    sent: list[Any] = []

    @tool(requires_user_input=True, user_input_fields=["to", "note"])
    def send(to: str, note: str | None = "hello") -> str:
        sent.append((to, note))
        return "sent"

    async with served(agent_app([call("send"), "done"], send), database_url) as service:
        caller = Caller(service, streams)
        for values in ('{"to": "Ada"}', '{"to": "Ada", "note": null}'):
            paused = await caller.run()
            await caller.resolve(paused, user_input(only(paused), values))
    assert sent == [("Ada", "hello"), ("Ada", None)]


async def test_a_later_step_of_an_iteration_sees_the_one_before_it_and_no_stale_one(
    database_url: str,
) -> None:
    """D-15: from the second iteration on it saw its own output of the iteration before."""
    seen: list[Any] = []

    def second(given: StepInput) -> str:
        seen.append(given.previous_step_content)
        return "second"

    numbers = iter("123")
    loop = Loop(
        name="l",
        steps=[
            Step(name="first", executor=lambda given: f"first {next(numbers)}"),
            Step(name="second", executor=second),
        ],
        max_iterations=3,
        forward_iteration_output=True,
    )
    async with served(app_of(loop), database_url) as service:
        await service.run("Work")
    assert seen == ["first 1", "first 2", "first 3"]


async def test_an_unknown_route_is_an_error_and_not_an_empty_success(database_url: str) -> None:
    """D-16: it was accepted with a warning, and nothing ran."""
    router = Router(name="r", selector=lambda given: "nowhere", choices=[echo("a")])
    async with served(app_of(router), database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_FAILED
    assert "nowhere" in run.error.message


async def test_the_pause_of_a_nested_workflow_is_the_pause_of_the_run(
    database_url: str, streams: bool
) -> None:
    """D-17: it was swallowed; the parent completed without it, and the child was orphaned."""
    ledger = Ledger()
    inner = Workflow(name="inner", steps=[Workflow(name="core", steps=[gated_step(ledger)])])
    async with served(app_of(inner, echo("last")), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        assert list(only(paused).step.path) == ["inner", "core", "gated"]
        ended = await caller.resolve(paused, confirm(only(paused)))
    assert ended.output_json == '"last after gated done"'


@pytest.mark.parametrize("turns", [[], [call("act", what="x")]], ids=["at once", "after the pause"])
async def test_a_model_that_fails_fails_the_run_and_feeds_no_step(
    database_url: str, streams: bool, turns: list[Any]
) -> None:
    """D-18: the error text became the step's content, and the run completed."""
    ledger = Ledger()
    fed: list[Any] = []
    step = Step(name="work", agent=agent(turns, ledger.gated()))
    app = app_of(step, Step(name="next", executor=lambda given: fed.append(given)))
    async with served(app, database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        if turns:
            run = await caller.resolve(run, confirm(only(run)))
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == "MODEL_FAILED"
    assert result_of(run, "work").outcome == v1.STEP_OUTCOME_FAILED
    assert fed == []


async def test_a_pause_in_a_parallel_inside_steps_is_a_pause(
    database_url: str, streams: bool
) -> None:
    """D-21: it failed after the side effects of the others, or was swallowed."""
    ledger = Ledger()
    both = Parallel(gated_step(ledger, "one"), gated_step(ledger, "two"), echo("free"), name="both")
    app = app_of(Steps(name="group", steps=[both, echo("after")]))
    async with served(app, database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        assert len(paused.step_requirements) == 2
        ended = await caller.resolve(paused, *map(confirm, open_requirements(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert sorted(ledger.calls) == ["one", "two"]


async def test_the_agent_that_paused_is_the_one_that_is_shown_and_resumed(
    database_url: str, streams: bool
) -> None:
    """D-23: the first agent of the container was shown and resumed."""
    ledger = Ledger()
    first = Step(name="first", agent=agent(["nothing to ask"], name="first agent"))
    box = Condition(
        name="box",
        evaluator=False,
        steps=[gated_step(ledger, "never")],
        else_steps=[first, gated_step(ledger, "second")],
    )
    async with served(app_of(box), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run()
        [step] = paused.step_requirements
        assert (step.step.name, step.executor_name) == ("second", "agent of second")
        ended = await caller.resolve(paused, confirm(only(paused)))
    assert ended.output_json == '"second done"'


async def test_who_comes_late_sees_the_pause(database_url: str) -> None:
    """D-25: the pause was neither stored nor buffered."""
    ledger = Ledger()
    async with served(agent_app([call("act"), "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")
    async with served(agent_app([call("act"), "done"], ledger.gated()), database_url) as service:
        events = await service.events(paused)
        late = await get(service, paused)
    assert kinds(events)[-2:] == ["step_executor_paused", "workflow_paused"]
    told = events[-1].workflow_paused.step_requirements[0].executor_requirements[0]
    assert told.requirement_id == only(late).requirement_id == only(paused).requirement_id


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_a_run_has_one_end(database_url: str, streams: bool, end: str) -> None:
    """D-26: a cancelled run was cancelled, and then completed."""
    ledger = Ledger()
    turns: list[Any] = [call("act")] if end == "fail" else [call("act"), "done"]
    async with served(agent_app(turns, ledger.gated()), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        if end == "cancel":
            await service.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id))
        else:
            await caller.resolve(run, confirm(only(run)))
        happened = kinds(await service.events(run))
    assert [kind for kind in happened if kind in LAST_KINDS] == [happened[-1]]


async def test_two_calls_of_one_input_tool_have_values_of_their_own(
    database_url: str, streams: bool
) -> None:
    """D-27: the second call's values became the first's as well."""
    sent: list[float] = []

    @tool(requires_user_input=True, user_input_fields=["amount"])
    def pay(amount: float) -> str:
        sent.append(amount)
        return "paid"

    async with served(
        agent_app([[call("pay"), call("pay")], "done"], pay), database_url
    ) as served_:
        caller = Caller(served_, streams)
        paused = await caller.run()
        first, second = open_requirements(paused)
        answers = user_input(second, '{"amount": 2.0}'), user_input(first, '{"amount": 1.0}')
        await caller.resolve(paused, *answers)
    assert sent == [1.0, 2.0]


async def test_a_client_decides_and_cannot_say_what_is_executed(database_url: str) -> None:
    """D-28: arguments, tool and step came from the client's copy; an empty list rejected all."""
    ledger = Ledger()
    async with served(
        agent_app([call("act", what="x"), "ok"], ledger.gated()), database_url
    ) as one:
        paused, other = await one.run("Work"), await one.run("Work")
        forged = v1.RequirementResolution(requirement_id=only(other).requirement_id)
        forged.confirm.SetInParent()
        refusal = await refused(one.resolve(paused, forged))
        assert refusal.reason == "REQUIREMENT_NOT_FOUND"
        edited = confirm(only(paused))
        edited.confirm.edited_args_json = '{"what": "everything"}'
        refusal = await refused(one.resolve(paused, edited))
        assert "resolutions[0].confirm.edited_args_json" in refusal.fields
        assert ledger.calls == []
        await one.resolve(paused, confirm(only(paused)))
    assert ledger.calls == ["x"]


async def test_every_gated_call_has_its_requirement_with_the_pause(database_url: str) -> None:
    """D-29: one row described the first of two calls, and could be missing altogether."""
    ledger = Ledger()
    turn = [call("act", what="1"), call("act", what="2")]
    async with served(agent_app([turn, "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        listed = await service.requirements.ListRequirements(v1.ListRequirementsRequest())
    inbox = [one.requirement_id for one in listed.requirements]
    assert inbox == [one.requirement_id for one in open_requirements(paused)]
    assert [one.tool_execution.tool_args_json for one in listed.requirements] == [
        '{"what":"1"}',
        '{"what":"2"}',
    ]
    assert {one.workflow_id for one in listed.requirements} == {"Work"}


async def test_two_copies_of_a_paused_run_run_its_tool_once(
    database_url: str, streams: bool
) -> None:
    """D-30: each stale copy executed it."""
    ledger = Ledger()
    app = agent_app([call("act", what="x"), "done"], ledger.gated())
    async with served(app, database_url) as here, served(app, database_url) as there:
        paused = await here.run("Work")
        answer = confirm(only(paused))
        callers = [Caller(one, streams) for one in (here, there, here, there)]
        ended = await asyncio.gather(*(one.resolve(paused, answer) for one in callers))
    assert {run.run_id for run in ended} == {paused.run_id}
    assert ledger.calls == ["x"]


def test_two_steps_of_one_name_are_refused_before_anything_runs() -> None:
    """D-31: the second overwrote the output of the first."""
    with pytest.raises(DefinitionError, match="2 of the name 'a'"):
        app_of(echo("a"), echo("a"))


async def test_who_and_what_a_run_is_about_is_the_same_after_the_pause(
    database_url: str, streams: bool
) -> None:
    """D-32: input, metadata and identity were dropped on continue."""
    seen: list[Any] = []

    def note(run_context: RunContext) -> None:
        state = run_context.session_state
        state["visits"] = state.get("visits", 0) + 1
        seen.append((run_context.run_id, run_context.session_id, run_context.labels))

    @tool(requires_confirmation=True)
    def act(run_context: RunContext) -> str:
        note(run_context)
        return "acted"

    def before(given: StepInput, run_context: RunContext) -> str:
        note(run_context)
        return "before"

    def after(given: StepInput, run_context: RunContext) -> Any:
        note(run_context)
        return [given.input, run_context.session_state["visits"]]

    worker = agent([call("act"), "done"], act)
    steps = Step(name="b", executor=before), Step(name="w", agent=worker)
    async with served(app_of(*steps, Step(name="a", executor=after)), database_url) as service:
        caller = Caller(service, streams)
        paused = await caller.run(session_id="s", labels={"k": "v"}, input_json='{"big": 1}')
        ended = await caller.resolve(paused, confirm(only(paused)))
    assert ended.output_json == '[{"big":1},3]'
    assert seen == [(paused.run_id, "s", {"k": "v"})] * 3


async def test_a_step_that_is_inserted_while_a_run_waits_changes_nothing_for_it(
    database_url: str, streams: bool
) -> None:
    """D-33: the run was resumed by an index into the new definition."""
    ledger = Ledger()
    old = app_of(echo("first"), gated_step(ledger), echo("last"))
    new = app_of(echo("inserted"), echo("first"), gated_step(ledger), echo("last"))
    async with served(old, database_url) as service:
        paused = await Caller(service, streams).run()
    async with served(new, database_url) as service:
        ended = await Caller(service, streams).resolve(paused, confirm(only(paused)))
        fresh = await Caller(service, streams).run()
    assert [one.step.name for one in ended.step_results] == ["first", "gated", "last"]
    assert (ended.workflow_version, fresh.workflow_version) == (1, 2)
    assert ledger.calls == ["gated"]


async def test_a_function_that_gives_a_run_is_not_taken_for_done(database_url: str) -> None:
    """D-34: a paused run that a function gave back counted as finished text."""

    def paused_elsewhere(given: StepInput) -> Any:
        return v1.Run(state=v1.RUN_STATE_PAUSED)

    app = app_of(Step(name="work", executor=paused_elsewhere))
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_FAILED
    assert "cannot be JSON" in run.error.message


class Report(BaseModel):
    """Structured content."""

    title: str


async def test_structured_content_is_the_same_before_and_after_a_pause(
    database_url: str, streams: bool
) -> None:
    """D-35: it was an object before the pause, and a dict after it."""
    seen: list[Any] = []

    def look(given: StepInput) -> str:
        output = given.get_step_output("write")
        seen.append(output.content if output else None)
        return "looked"

    ledger = Ledger()
    write = Step(name="write", executor=lambda given: Report(title="x"))
    steps = [write, Step(name="look 1", executor=look), gated_step(ledger)]
    async with served(app_of(*steps, Step(name="look 2", executor=look)), database_url) as one:
        caller = Caller(one, streams)
        paused = await caller.run()
        await caller.resolve(paused, confirm(only(paused)))
    assert seen == [{"title": "x"}, {"title": "x"}]


async def test_a_step_that_paused_has_one_result(database_url: str, streams: bool) -> None:
    """D-36: a second entry was appended on continue."""
    ledger = Ledger()
    turns: list[Any] = [call("act", what="1"), call("act", what="2"), "done"]
    async with served(agent_app(turns, ledger.gated()), database_url) as service:
        caller = Caller(service, streams)
        run = await caller.run()
        for _ in range(2):
            run = await caller.resolve(run, confirm(only(run)))
    [result] = run.step_results
    assert [one.tool_args_json for one in result.tool_executions] == [
        '{"what":"1"}',
        '{"what":"2"}',
    ]


async def test_a_failing_function_runs_once_and_fails_the_run(database_url: str) -> None:
    """D-37: it ran four times in silence, and was then skipped."""
    calls: list[int] = []

    def fail(given: StepInput) -> str:
        calls.append(1)
        raise RuntimeError("no luck")

    async with served(app_of(Step(name="work", executor=fail)), database_url) as service:
        run = await service.run("Work")
    assert (run.state, calls) == (v1.RUN_STATE_FAILED, [1])


async def test_a_paused_run_is_cancelled_at_once(database_url: str) -> None:
    """D-38: nothing happened until somebody continued it."""
    ledger = Ledger()
    async with served(agent_app([call("act"), "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")
        request = v1.CancelRunRequest(run_id=paused.run_id, reason="changed my mind")
        cancelled = (await service.runs.CancelRun(request)).run
        assert cancelled.state == v1.RUN_STATE_CANCELLED
        refusal = await refused(service.resolve(paused, reject(only(paused))))
        assert refusal.reason == "REQUIREMENT_CANCELLED"
        fresh = await start(service)
    assert fresh.run_id != paused.run_id
