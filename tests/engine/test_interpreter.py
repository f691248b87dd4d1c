"""The constructs: what runs, in which order, and what each is given."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.played import Played, RunFailed, agent_step, gated, paths, yes

from interlock_server import (
    Agent,
    Condition,
    Loop,
    Parallel,
    Router,
    ScriptedModel,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)


def say(name: str) -> Step:
    """A step that says its name, and what came before."""

    def function(given: StepInput) -> str:
        return f"{name}({given.message})"

    return Step(name=name, executor=function)


def stop(name: str) -> Step:
    return Step(name=name, executor=lambda given: StepOutput(content=name, stop=True))


async def ended(run: Played, run_input: Any = "in") -> Any:
    output = await run.go(run_input)
    while output is None:
        output = await run.decide(yes, run_input)
    return output.content


async def test_steps_hand_on_what_they_give() -> None:
    run = Played.of(Steps(name="group", steps=[say("a"), say("b")]), say("c"))
    assert await ended(run) == "c(b(a(in)))"
    assert run.kinds == [
        "steps_started",
        *["step_started", "step_completed"] * 2,
        "steps_completed",
        "step_started",
        "step_completed",
    ]


@pytest.mark.parametrize(("answer", "content"), [(True, "then(in)"), (False, "else(in)")])
async def test_a_condition_runs_the_branch_that_its_evaluator_names(
    answer: bool, content: str
) -> None:
    condition = Condition(
        name="c",
        evaluator=lambda given: answer,
        steps=[say("then")],
        else_steps=[say("else")],
    )
    assert await ended(Played.of(condition)) == content


async def test_a_condition_without_its_branch_is_skipped_and_leaves_no_content() -> None:
    condition = Condition(name="c", evaluator=False, steps=[say("then")])
    run = Played.of(say("a"), condition, say("b"))
    assert await ended(run) == "b(a(in))"
    assert run.happened("condition_completed")[0].executed_count == 0


async def test_an_evaluator_is_asked_once_however_often_the_run_goes_on() -> None:
    asked: list[int] = []

    def evaluator(given: StepInput) -> bool:
        asked.append(1)
        return len(asked) == 1

    condition = Condition(name="c", evaluator=evaluator, steps=[gated("a"), gated("b")])
    assert await ended(Played.of(condition)) == "b done"
    assert len(asked) == 1


async def test_a_loop_pauses_on_every_iteration_and_runs_what_follows() -> None:
    loop = Loop(name="l", steps=[gated("a"), say("b")], max_iterations=3)
    run = Played.of(loop, say("after"))
    assert await ended(run) == "after(b(a done))"
    assert run.asked == 3
    started = [one.iteration for one in run.happened("loop_iteration_started")]
    assert started == [1, 2, 3]
    continues = [one.will_continue for one in run.happened("loop_iteration_completed")]
    assert continues == [True, True, False]


async def test_a_loop_ends_when_its_condition_says_so() -> None:
    seen: list[list[str]] = []

    def enough(outputs: list[StepOutput]) -> bool:
        seen.append([one.step_name for one in outputs])
        return len(seen) == 2

    loop = Loop(name="l", steps=[say("a"), say("b")], max_iterations=5, end_condition=enough)
    run = Played.of(loop)
    await ended(run)
    assert seen == [["a", "b"], ["a", "b"]]
    assert run.happened("loop_completed")[0].iteration_count == 2


@pytest.mark.parametrize(("forward", "content"), [(False, "a(in)"), (True, "a(a(a(in)))")])
async def test_iterations_begin_with_the_loops_input_or_with_the_last_output(
    forward: bool, content: str
) -> None:
    loop = Loop(name="l", steps=[say("a")], max_iterations=3, forward_iteration_output=forward)
    assert await ended(Played.of(loop)) == content


async def test_a_router_runs_one_route() -> None:
    router = Router(name="r", selector=lambda given: "b", choices=[say("a"), say("b")])
    assert await ended(Played.of(router, say("after"))) == "after(b(in))"


async def test_a_router_runs_several_routes_in_the_order_chosen() -> None:
    a, b = say("a"), say("b")

    def selector(given: StepInput, step_choices: list[str]) -> list[Any]:
        assert step_choices == ["a", "b", "steps_group_2"]
        return ["b", [a, "steps_group_2"]]

    router = Router(name="r", selector=selector, choices=[a, b, [say("x"), say("y")]])
    run = Played.of(router)
    assert await ended(run) == "y(x(a(b(in))))"
    assert list(run.happened("router_started")[0].selected_routes) == ["b", "a", "steps_group_2"]


async def test_the_same_route_twice_runs_twice() -> None:
    router = Router(name="r", selector=lambda given: ["a", "a"], choices=[gated("a")])
    run = Played.of(router)
    assert await ended(run) == "a done"
    assert run.asked == 2


@pytest.mark.parametrize("chosen", [None, []])
async def test_a_router_that_selects_nothing_is_skipped(chosen: Any) -> None:
    router = Router(name="r", selector=lambda given: chosen, choices=[say("a")])
    assert await ended(Played.of(say("before"), router, say("after"))) == "after(before(in))"


async def test_parallel_gives_all_branches_by_name_and_pauses_in_all_at_once() -> None:
    parallel = Parallel(gated("a"), Steps(name="s", steps=[say("x"), gated("b")]), name="p")

    def after(given: StepInput) -> Any:
        return given.previous_step_content

    run = Played.of(parallel, Step(name="after", executor=after))
    assert await run.go() is None
    assert [list(one.step.path) for one in run.waiting] == [["p", "a"], ["p", "s", "b"]]
    assert await ended(run) == {"a": "a done", "s": "b done"}


async def test_a_branch_goes_on_while_another_waits() -> None:
    parallel = Parallel(gated("a"), Steps(name="s", steps=[gated("b"), say("c")]), name="p")
    run = Played.of(parallel)
    await run.go()
    run.answer(1, yes)
    assert await run.go() is None
    completed = [one.result.step.name for one in run.happened("step_completed")]
    assert completed == ["b", "c"]


async def test_a_branch_that_fails_lets_the_others_finish_first() -> None:
    def fail(given: StepInput) -> str:
        raise RuntimeError("no")

    parallel = Parallel(Step(name="bad", executor=fail), gated("good"), name="p")
    run = Played.of(parallel)
    assert await run.go() is None
    with pytest.raises(RunFailed, match="no"):
        await run.decide(yes)
    assert [one.result.step.name for one in run.happened("step_completed")] == ["good"]


async def test_a_workflow_in_a_workflow_pauses_like_everything_else() -> None:
    inner = Workflow(name="inner", steps=[gated("a"), say("b")])
    run = Played.of(say("before"), Step(name="nested", workflow=inner), say("after"))
    await run.go()
    assert list(run.waiting[0].step.path) == ["nested", "a"]
    assert await ended(run) == "after(b(a done))"


async def test_a_nested_workflow_sees_what_it_would_see_alone() -> None:
    seen: list[StepInput] = []

    def look(given: StepInput) -> str:
        seen.append(given)
        return "seen"

    inner = Workflow(name="inner", steps=[Step(name="look", executor=look)])
    await ended(Played.of(say("before"), inner))
    assert seen[0].input == "before(in)"
    assert seen[0].previous_step_content is None
    assert seen[0].previous_step_outputs == {}


@pytest.mark.parametrize(
    "construct",
    [
        lambda inside: Steps(name="x", steps=inside),
        lambda inside: Condition(name="x", evaluator=True, steps=inside),
        lambda inside: Loop(name="x", steps=inside, max_iterations=3),
        lambda inside: Router(
            name="x", selector=lambda given: "s", choices=[Steps(name="s", steps=inside)]
        ),
        lambda inside: Parallel(Steps(name="s", steps=inside), say("other"), name="x"),
        lambda inside: Workflow(name="x", steps=inside),
    ],
)
async def test_stop_ends_the_whole_run_as_completed_from_any_depth(construct: Any) -> None:
    ran: list[str] = []

    def never(given: StepInput) -> str:
        ran.append("never")
        return "never"

    inside = [stop("halt"), Step(name="next", executor=never)]
    output = await Played.of(construct(inside), Step(name="last", executor=never)).go()
    assert output is not None
    assert output.stop
    assert ran == []


async def test_earlier_steps_are_found_by_name_inside_containers_too() -> None:
    def look(given: StepInput) -> Any:
        return [
            given.get_step_content("a"),
            given.get_step_content("deep"),
            given.get_step_content("nowhere"),
            sorted(given.previous_step_outputs),
        ]

    group = Steps(name="group", steps=[say("deep"), say("b")])
    run = Played.of(say("a"), group, Step(name="look", executor=look))
    assert await ended(run) == ["a(in)", "deep(a(in))", None, ["a", "group"]]


async def test_an_agent_is_asked_the_content_before_or_the_runs_input() -> None:
    def echo(request: Any) -> str:
        return f"<{request.messages[0].text}>"

    model = ScriptedModel([echo])
    first, second = agent_step(model), Agent(name="second", model=model)
    assert await ended(Played.of(first, second), {"a": [1]}) == '<<{"a":[1]}>>'


async def test_outputs_form_a_tree() -> None:
    run = Played.of(Steps(name="g", steps=[say("a"), Steps(name="h", steps=[say("b")])]))
    output = await run.go("in")
    assert output is not None
    assert [name for name, _ in paths(output)] == ["", "g", "a", "h", "b"]
