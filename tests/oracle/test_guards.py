"""The oracle can fail: every rule that is broken here on purpose is found out.

Each mutation is a mistake that somebody made before, in Interlock's engine or in
a project like it. The reference is played on the sound engine, the runs with
pauses on the broken one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.oracle.building import build
from tests.oracle.playing import Playing, play_straight, some_of_them
from tests.oracle.smaller import smaller
from tests.oracle.stories import differences
from tests.oracle.watching import Log
from tests.oracle.worlds import Dice, World, world_of

from interlock import v1
from interlock_server.authoring.conversation import ToolResults
from interlock_server.engine.context import Effect, Once, Performance, gather_all
from interlock_server.engine.gates import Answered, Go, verdict
from interlock_server.engine.interpreter import Interpreter, StepFailure
from interlock_server.engine.keys import Key
from interlock_server.engine.places import Place
from interlock_server.engine.reviews import Reviews, Visit
from interlock_server.engine.values import StepInput, StepOutput
from interlock_server.executors import conversations
from interlock_server.executors.conversations import Conversation, Invocation
from interlock_server.executors.registry import Registry
from interlock_server.runtime.recorder import Recorder
from interlock_server.store.records import Memory

_WORLDS = 150


def the_rest_of_a_container_is_skipped_after_a_pause(patch: pytest.MonkeyPatch) -> None:
    asked: set[Any] = set()
    ask, node = Recorder.ask, Interpreter._node

    async def asking(self: Recorder, key: Key, question: v1.Requirement) -> Any:
        answer = await ask(self, key, question)
        asked.add(self)
        return answer

    async def sequence(
        self: Interpreter, nodes: Iterable[v1.WorkflowNode], given: StepInput, at: Place
    ) -> list[StepOutput]:
        outputs: list[StepOutput] = []
        for one in nodes:
            asked.discard(self.context)
            outputs.append(await node(self, one, given, at.child(one)))
            given = given.after(outputs[-1])
            if outputs[-1].stop or (at.path and self.context in asked):
                break
        return outputs

    patch.setattr(Recorder, "ask", asking)
    patch.setattr(Interpreter, "_sequence", sequence)


def an_approved_call_runs_twice(patch: pytest.MonkeyPatch) -> None:
    perform_once = Recorder._perform_once

    async def twice(self: Recorder, key: Key, once: Once, effect: Effect) -> Any:
        async def perform(performance: Performance) -> Any:
            await effect.perform(performance)
            return await effect.perform(performance)

        return await perform_once(self, key, once, replace(effect, perform=perform))

    patch.setattr(Recorder, "_perform_once", twice)


def an_answer_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    start = Recorder.__init__

    def forgetful(self: Recorder, memory: Memory, *args: Any) -> None:
        start(self, replace(memory, answers=memory.answers[:-1]), *args)

    patch.setattr(Recorder, "__init__", forgetful)


def what_was_decided_once_is_decided_again(patch: pytest.MonkeyPatch) -> None:
    call = Recorder.call

    async def again(self: Recorder, key: Key, effect: Effect) -> Any:
        if key.endswith((":evaluator", ":selector", ":end_condition")):
            self._values.pop(key, None)
        return await call(self, key, effect)

    patch.setattr(Recorder, "call", again)


def a_rejected_call_runs(patch: pytest.MonkeyPatch) -> None:
    def yes(question: v1.Requirement, answer: v1.RequirementResolution) -> Go:
        return Go(question.tool_execution.tool_args_json)

    patch.setattr(conversations, "verdict", yes)


def the_note_of_a_rejection_is_lost(patch: pytest.MonkeyPatch) -> None:
    def noteless(question: v1.Requirement, answer: v1.RequirementResolution) -> Go | Answered:
        answer.reject.note = ""
        return verdict(question, answer)

    patch.setattr(conversations, "verdict", noteless)


def a_decided_call_does_not_wait_for_the_others(patch: pytest.MonkeyPatch) -> None:
    async def eager(self: Conversation, invocations: Sequence[Invocation]) -> None:
        async def gate(one: Invocation) -> None:
            await self._decide(one)
            await self._settle(one)

        free = [one for one in invocations if not one.checked.gate and not one.is_answered]
        gated = [gate(one) for one in invocations if one.checked.gate]
        await gather_all(*(self._call(one) for one in free), *gated)
        for one in invocations:
            self.executions.extend((one.execution, *one.inside))

    patch.setattr(Conversation, "_answer_calls", eager)


def free_calls_wait_for_the_gated_ones(patch: pytest.MonkeyPatch) -> None:
    async def slow(self: Conversation, invocations: Sequence[Invocation]) -> None:
        for one in invocations:
            if one.checked.gate:
                await self._decide(one)
                await self._settle(one)
        for one in invocations:
            if not one.checked.gate and not one.is_answered:
                await self._call(one)
        for one in invocations:
            self.executions.extend((one.execution, *one.inside))

    patch.setattr(Conversation, "_answer_calls", slow)


def results_are_told_in_the_order_of_resolution(patch: pytest.MonkeyPatch) -> None:
    def sorted_results(told: tuple[Any, ...]) -> Any:
        return ToolResults(tuple(reversed(told)))

    patch.setattr(conversations, "ToolResults", sorted_results)


def changes_of_the_session_state_are_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recorder, "_apply_changes", lambda self, record: None)


def a_call_that_ends_the_conversation_does_not_after_a_yes(patch: pytest.MonkeyPatch) -> None:
    ends: Any = vars(Invocation)["ends_conversation"].fget
    patch.setattr(
        Invocation, "ends_conversation", property(lambda one: not one.checked.gate and ends(one))
    )


def iterations_share_their_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Place, "iteration", lambda self, number: self)


def a_failure_ends_the_run_while_siblings_wait(patch: pytest.MonkeyPatch) -> None:
    async def hasty(*branches: Awaitable[Any]) -> list[Any]:
        results = await asyncio.gather(*branches, return_exceptions=True)
        problems = [one for one in results if isinstance(one, BaseException)]
        for problem in sorted(problems, key=lambda one: not isinstance(one, Exception)):
            raise problem
        return results

    patch.setattr("interlock_server.engine.interpreter.gather_all", hasty)


def the_end_of_a_step_is_not_told_after_a_pause(patch: pytest.MonkeyPatch) -> None:
    emit = Recorder.emit

    def silent(self: Recorder, key: Key, event: v1.RunEvent) -> None:
        if not (event.HasField("step_completed") and self._asked):
            emit(self, key, event)

    patch.setattr(Recorder, "emit", silent)


def values_of_people_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("interlock_server.engine.gates.with_values", lambda args, values: args)


def gates_inside_containers_are_ignored(patch: pytest.MonkeyPatch) -> None:
    admit = Reviews.admit

    async def shallow(self: Reviews, node: v1.WorkflowNode, visit: Visit) -> Visit:
        return await admit(self, node, visit) if len(visit.at.path) == 1 else visit

    patch.setattr(Reviews, "admit", shallow)


def a_node_that_is_sent_back_runs_without_being_asked_about(patch: pytest.MonkeyPatch) -> None:
    again = Visit.again

    def admitted(self: Visit, feedback: str, previous: StepOutput | None = None) -> Visit:
        return replace(again(self, feedback, previous), is_confirmed=True)

    patch.setattr(Visit, "again", admitted)


def an_edit_is_shown_and_not_used(patch: pytest.MonkeyPatch) -> None:
    edited = Reviews._edited

    def shown(
        self: Reviews, node: v1.WorkflowNode, at: Place, text: v1.EditedOutput, output: StepOutput
    ) -> StepOutput:
        edited(self, node, at, text, output)
        return output

    patch.setattr(Reviews, "_edited", shown)


def retries_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("interlock_server.engine.gates.may_retry", lambda options: True)


def a_predicate_that_fails_means_no_review(patch: pytest.MonkeyPatch) -> None:
    async def lenient(
        self: Registry, context: Any, place: Place, function: str, output: StepOutput
    ) -> bool:
        try:
            answer = await self._call(context, place, "review_predicate", function, output, bool)
            return bool(answer)
        except StepFailure:
            return False

    patch.setattr(Registry, "needs_review", lenient)


def what_a_rejected_output_was_is_seen_by_the_next_step(patch: pytest.MonkeyPatch) -> None:
    skipped = Interpreter._skipped

    def visible(self: Interpreter, *args: Any) -> StepOutput:
        return replace(skipped(self, *args), skipped=False, content="left behind")

    patch.setattr(Interpreter, "_skipped", visible)


def a_visit_has_the_keys_of_the_one_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Place, "visit", lambda self, number: replace(self, visited=number))


def a_confirmed_condition_asks_its_evaluator(patch: pytest.MonkeyPatch) -> None:
    admit = Reviews.admit

    async def forgetful(self: Reviews, node: v1.WorkflowNode, visit: Visit) -> Visit:
        return replace(await admit(self, node, visit), branch=None)

    patch.setattr(Reviews, "admit", forgetful)


MUTATIONS: list[Callable[[pytest.MonkeyPatch], None]] = [
    the_rest_of_a_container_is_skipped_after_a_pause,
    an_approved_call_runs_twice,
    an_answer_is_forgotten,
    what_was_decided_once_is_decided_again,
    a_rejected_call_runs,
    the_note_of_a_rejection_is_lost,
    a_decided_call_does_not_wait_for_the_others,
    free_calls_wait_for_the_gated_ones,
    results_are_told_in_the_order_of_resolution,
    changes_of_the_session_state_are_lost,
    a_call_that_ends_the_conversation_does_not_after_a_yes,
    iterations_share_their_keys,
    a_failure_ends_the_run_while_siblings_wait,
    the_end_of_a_step_is_not_told_after_a_pause,
    values_of_people_are_ignored,
    gates_inside_containers_are_ignored,
    a_node_that_is_sent_back_runs_without_being_asked_about,
    an_edit_is_shown_and_not_used,
    retries_are_not_counted,
    a_predicate_that_fails_means_no_review,
    what_a_rejected_output_was_is_seen_by_the_next_step,
    a_visit_has_the_keys_of_the_one_before,
    a_confirmed_condition_asks_its_evaluator,
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_a_broken_rule_is_found(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with asyncio.Runner() as runner:
        for seed in range(_WORLDS):
            world = world_of(Dice(seed))
            if runner.run(_is_found(world, mutate, monkeypatch)):
                return
    pytest.fail(f"nobody notices in {_WORLDS} worlds")


async def _is_found(
    world: World, mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> bool:
    code = build(world, Log())
    reference = await play_straight(world, code)
    with monkeypatch.context() as patch:
        mutate(patch)
        try:
            played = await Playing(world, code, some_of_them(world.order)).play()
        except AssertionError:
            return True
    return bool(differences(reference, played))


def test_a_world_that_fails_becomes_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    with asyncio.Runner() as runner:

        def fails(throws: Sequence[int]) -> bool:
            world = world_of(Dice(given=throws))
            return runner.run(_is_found(world, an_approved_call_runs_twice, monkeypatch))

        throws = next(one for one in map(_throws, range(_WORLDS)) if fails(one))
        world = world_of(Dice(given=smaller(throws, fails)))
    assert len(world.nodes) == 1
    assert world.nodes[0].nodes == ()


def _throws(seed: int) -> list[int]:
    dice = Dice(seed)
    world_of(dice)
    return dice.thrown
