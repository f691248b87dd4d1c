"""Gates of whole steps through the client, with the names that people port."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.gates import Trail
from tests.support.service import served
from tests.support.workbench import app_of

from interlock import AsyncClient, Client
from interlock.events import OutputEditedEvent, StepPausedEvent, StepRejectedEvent
from interlock_server import Interlock, Loop, Parallel, Router


def everything(trail: Trail) -> Interlock:
    """One step of each kind of gate, one after the other."""
    fields: list[dict[str, Any]] = [{"name": "tone", "allowed_values": ["kind", "brief"]}]
    return app_of(
        trail.step("gated", requires_confirmation=True, confirmation_message="Really?"),
        trail.step("asked", requires_user_input=True, user_input_schema=fields),
        trail.step("judged", requires_output_review=True, on_reject="retry"),
        Router(
            name="routed",
            choices=[trail.step("a"), trail.step("b")],
            requires_user_input=True,
            allow_multiple_selections=True,
        ),
        Loop(name="looped", steps=[trail.step("in")], requires_iteration_review=True),
        trail.failing("broken", 1, on_error="pause"),
        trail.step("last"),
    )


def walk(target: str) -> Any:
    """What an application does that knows nothing of the workflow."""
    edited = False
    with Client(target) as client:
        workflow = client.workflow("Work")
        run = workflow.run("go")
        while run.is_paused:
            for step in run.steps_requiring_confirmation:
                assert step.question.prompt == "Really?"
                step.confirm()
            for step in run.steps_requiring_user_input:
                [field] = step.question.user_input_schema
                assert field.allowed_values == ["kind", "brief"]
                step.set_user_input(tone="kind")
            for step in run.steps_requiring_output_review:
                if step.question.iteration:
                    step.confirm()
                elif step.question.retry_count == 0:
                    assert step.question.content == "judged 1"
                    step.reject("shorter")
                else:
                    step.edit({"better": True})
                    edited = True
            for step in run.steps_requiring_route:
                assert step.question.available_routes == ["a", "b"]
                step.select("b", "a")
            for step in run.steps_with_errors:
                assert run.pause_kind == "error"
                assert step.question.error_message == "broken is broken"
                step.retry("once more")
            run = workflow.continue_run(run)
    assert edited
    return run


async def test_an_application_answers_everything_by_kind(database_url: str) -> None:
    trail = Trail()
    async with served(everything(trail), database_url) as service:
        run = await asyncio.to_thread(walk, service.target)
        assert run.content == "last 1"
        counted = [(one.name, one.content) for one in run.step_results if not one.is_superseded]
        assert ("judged", {"better": True}) in counted
        assert len([name for name, _ in counted if name == "judged"]) == 1
        assert len([one for one in run.step_results if one.name == "judged"]) == 3
    order = ["gated", "asked", "judged", "judged", "b", "a", "in", "broken", "broken", "last"]
    assert trail.done == order
    assert trail.seen("b") == [{"better": True}]


async def test_the_same_in_a_stream_and_for_branches_side_by_side(database_url: str) -> None:
    trail = Trail()
    app = app_of(
        Parallel(
            trail.step("gated", requires_confirmation=True),
            trail.step("judged", requires_output_review=True),
            name="both",
        )
    )
    async with served(app, database_url) as service, AsyncClient(service.target) as client:
        workflow = client.workflow("Work")
        told = [one async for one in workflow.arun("go", stream=True)]
        paused = [one for one in told if isinstance(one, StepPausedEvent)]
        assert {one.step_name for one in paused} == {"gated", "judged"}
        run = await workflow.aget_run(told[0].run_id)
        run.steps_requiring_confirmation[0].reject("not now")
        run.steps_requiring_output_review[0].edit("mine")
        told = [one async for one in workflow.acontinue_run(run, stream=True)]
        [rejected] = [one for one in told if isinstance(one, StepRejectedEvent)]
        assert (rejected.kind, rejected.note, rejected.on_reject) == (
            "STEP_CONFIRMATION",
            "not now",
            "SKIP",
        )
        [edited] = [one for one in told if isinstance(one, OutputEditedEvent)]
        assert edited.output == "mine"
        assert (await workflow.aget_run(run.run_id)).content == {"judged": "mine"}
