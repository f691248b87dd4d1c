"""Rules that hold in every run, however it was played: each returns nothing or raises."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from tests.oracle.stories import kind_of
from tests.oracle.watching import Log

from interlock import v1
from interlock_server import jsontext
from interlock_server.authoring.conversation import Message, ModelTurn, ToolResults
from interlock_server.engine.gates import Go, refusal, verdict
from interlock_server.store.records import Memory

_CALL = re.compile(r"(.*:turn\d+):call\d+$")
_CALL_OF_GATE = re.compile(r"(.*:turn\d+):call\d+(?=:gate$)")


def check_rules(memory: Memory, log: Log) -> None:
    """What must be true of a run that has ended, by what is stored and by what happened."""
    assert len(set(log.performed)) == len(log.performed), "an effect was performed twice"
    check_gates(memory, log)


def check_free_calls(memory: Memory, log: Log) -> None:
    """Free calls do not wait for the gated ones of their response.

    This is so when nobody decides before the run pauses.
    """
    gates = [one.key for one in memory.answers]
    for key, number in log.timeline.items():
        turn = _CALL.match(key)
        for gate in gates if turn and f"{key}:gate" not in gates else ():
            if turn and gate.startswith(f"{turn[1]}:call"):
                assert number < log.timeline[gate], f"{key} ran after {gate} was decided"


def check_pauses(events: Iterable[v1.RunEvent]) -> None:
    """A step that waits says so, and then that it goes on, and so on."""
    told: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        paused, continued = event.step_executor_paused, event.step_executor_continued
        if step := paused.step_requirement.executor_run_id or continued.executor_run_id:
            told[step].append(kind_of(event))
        node = event.step_paused.step_requirement.step_requirements
        if asked := event.step_continued.requirement_id or (node and node[0].requirement_id):
            told[asked].append(kind_of(event))
    for step, kinds in told.items():
        who = "step" if kinds[0] == "step_paused" else "step_executor"
        expected = [f"{who}_paused", f"{who}_continued"] * (len(kinds) // 2)
        assert kinds == expected, f"{step} tells {kinds}"


def check_gates(memory: Memory, log: Log) -> None:
    """What must be true of gated calls and conversations, even after a crash."""
    ids = [one.requirement.requirement_id for one in memory.answers]
    assert len(set(ids)) == len(ids), "requirement ids are unique"
    questions = {
        one.key: one.requirement
        for one in memory.answers
        if one.requirement.kind != v1.REQUIREMENT_KIND_IN_DOUBT
        and one.requirement.HasField("tool_execution")
    }
    _check_asked(memory, questions)
    for key, question in questions.items():
        _check_outcome(key.removesuffix(":gate"), question, log)
        _check_order(key, questions, log)
    _check_nodes(memory, log)
    for messages in log.told:
        check_conversation(messages)
    assert len(log.runs) <= 1, "effects are told of different runs"


def _check_nodes(memory: Memory, log: Log) -> None:
    """A node that waits for a yes does nothing before it, and nothing without it."""
    for one in memory.answers:
        if one.requirement.kind != v1.REQUIREMENT_KIND_STEP_CONFIRMATION:
            continue
        node, answer = one.key.removesuffix(":confirm"), one.requirement.resolution
        is_yes = answer.HasField("confirm")
        runs = is_yes or refusal(one.requirement, answer).leads_to == v1.ON_REJECT_ELSE
        for key, number in log.timeline.items():
            if key.startswith((f"{node}@", f"{node}/", f"{node}#")):
                assert runs, f"{key} ran without a yes"
                assert number > log.timeline[one.key], f"{key} ran before {one.key} was decided"


def _check_asked(memory: Memory, questions: dict[str, v1.Requirement]) -> None:
    """Each gated call of each response was asked about, once, and nothing else was."""
    gates: list[tuple[str, int]] = []
    for recorded, value in memory.values.items():
        if not recorded.endswith(":model") or not value:
            continue
        for number, call in enumerate(jsontext.loads(value).get("value", _NONE)["checked"], 1):
            if call["gate"]:
                key = f"{recorded.removesuffix(':model')}:call{number}:gate"
                gates.append((key, call["gate"]))
    assert sorted(gates) == sorted((key, one.kind) for key, one in questions.items())


_NONE: dict[str, Any] = {"checked": []}


def _check_outcome(key: str, question: v1.Requirement, log: Log) -> None:
    """An approved call runs once at most, with what was approved; another never runs."""
    assert question.state == v1.REQUIREMENT_STATE_RESOLVED, f"{key} was never answered"
    match verdict(question, question.resolution):
        case Go(args_json):
            given = log.arguments.get(key, {})
            expected = jsontext.loads(args_json)
            assert not given or expected.items() <= given.items(), f"{key} ran with {given}"
        case _:
            assert key not in log.timeline, f"{key} ran without a yes"


def _check_order(key: str, questions: dict[str, v1.Requirement], log: Log) -> None:
    """Nothing gated runs before every gated call of its response is decided."""
    performed = log.timeline.get(key.removesuffix(":gate"))
    if performed is None:
        return
    turn = _turn_of(key)
    for other in questions:
        if _turn_of(other) == turn:
            assert log.timeline[other] < performed, f"{key} ran before {other} was decided"


def _turn_of(gate: str) -> str:
    match = _CALL_OF_GATE.match(gate)
    assert match, f"{gate} is not the key of a gate"
    return match[1]


def check_conversation(messages: Sequence[Message]) -> None:
    """Each call of each turn has one answer, in call order, right after the turn."""
    for message, following in zip(messages, [*messages[1:], None], strict=True):
        if isinstance(message, ModelTurn) and message.tool_calls:
            assert isinstance(following, ToolResults), "calls without their results"
            asked = [(one.tool_call_id, one.tool_name) for one in message.tool_calls]
            told = [(one.tool_call_id, one.tool_name) for one in following.results]
            assert asked == told
        elif isinstance(following, ToolResults):
            raise AssertionError("results of no calls")
