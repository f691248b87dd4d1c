"""A tally of what generated worlds contain, so that nobody has to hope for the rare cases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.oracle.playing import Playing, Round
from tests.oracle.stories import Story

from interlock import v1
from interlock_server.engine.gates import refusal
from interlock_server.store.records import Answer

_CONTAINERS = {
    "par": "Parallel",
    "loop": "Loop",
    "cond": "Condition",
    "router": "Router",
    "group": "Steps",
    "flow": "nested Workflow",
    "steps_group_": "list of routes",
}
_KINDS = {
    v1.REQUIREMENT_KIND_CONFIRMATION: "confirmation",
    v1.REQUIREMENT_KIND_USER_INPUT: "user input",
    v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION: "external execution",
}
_NODE_KINDS = {
    v1.REQUIREMENT_KIND_STEP_CONFIRMATION: "confirmation of a node",
    v1.REQUIREMENT_KIND_STEP_INPUT: "values for a node",
    v1.REQUIREMENT_KIND_OUTPUT_REVIEW: "output review",
    v1.REQUIREMENT_KIND_ROUTE_SELECTION: "route selection",
    v1.REQUIREMENT_KIND_ITERATION_REVIEW: "iteration review",
    v1.REQUIREMENT_KIND_ERROR_DECISION: "error decision",
}
_REFUSALS = {
    v1.ON_REJECT_SKIP: "skip",
    v1.ON_REJECT_CANCEL: "cancel",
    v1.ON_REJECT_ELSE: "else",
    v1.ON_REJECT_RETRY: "retry",
}
_IN_KEYS = {
    "a second iteration": r"#2",
    "a route taken again": r"/\w+\+2",
    "a second attempt": r"@2",
    "a second visit": r"~2",
    "a third visit": r"~3",
    "a chained call": r"turn[2-9]:call\d+:gate",
    "a team in a team": r"/team\d+:turn\d+:call\d+/\w+:",
    "a node at depth 4": r"^([^/@]+/){4}step\d+@",
}
_IN_STORIES = {
    "an unknown tool": "There is no tool",
    "bad arguments": "Invalid arguments",
    "a broken tool": "is broken",
    "an unknown member": "must name a member",
    "an answer that does not fit": "does not fit its schema",
    "a failed model": "MODEL_FAILED",
    "a failed function": "FUNCTION_FAILED",
    "a failed evaluator": "EVALUATOR_FAILED",
    "an evaluator of the wrong type": "WRONG_TYPE",
    "a failed end condition": "END_CONDITION_FAILED",
    "a failed selector": "SELECTOR_FAILED",
    "a skipped step": "step_skipped",
    "a retry": "will_retry",
    "an early end": "stop: true",
    "an end by a tool": "stop_after_tool_call: true",
    "an edited output": '"edited',
    "a supplied output": '"supplied',
    "values from a person": "'tone': 'kind'",
    "feedback from a person": "feedback='too risky'",
}

FEATURES = frozenset(
    {
        *(f"pause in {container}" for container in _CONTAINERS.values()),
        *(f"{kind} of {who}" for kind in _KINDS.values() for who in ("a step", "a member")),
        # Teams in teams are too rare for every five hundred worlds to have one that pauses.
        *(f"pause in {feature}" for feature in _IN_KEYS if feature != "a team in a team"),
        *_IN_STORIES,
        *_NODE_KINDS.values(),
        *(f"{name} by a rejection" for name in _REFUSALS.values()),
        "rejection",
        "error from outside",
        "several steps wait",
        "several calls wait",
        "a free call beside a gated one",
        "the same member twice in a turn",
        "cancelled run",
        "failed run",
        "completed run",
    }
)
"""What worlds must contain, often enough that a few hundred of them have it all."""


def tally(reference: Story, playing: Playing) -> Counter[str]:
    """What one world contained."""
    asked = [one for each in playing.rounds for one in each.answered]
    found = set[str]()
    for one in asked:
        found.update(_of_question(one))
    for each in playing.rounds:
        found.update(_of_round(each, playing.code.log.performed))
    text = f"{reference.end} {reference.events} {reference.effects}"
    found.update(name for name, sign in _IN_STORIES.items() if sign in text)
    is_cancelled = reference.end[2].startswith("cancelled")
    found.add("failed run" if reference.end[1] else "completed run")
    found.update(["cancelled run"] if is_cancelled else [])
    counts = Counter(found)
    counts.update(worlds=1, pauses=len(playing.rounds), questions=len(asked))
    counts.update({"worlds that pause": bool(asked)})
    return counts


def _of_question(one: Answer) -> Iterator[str]:
    for sign, container in _CONTAINERS.items():
        if re.search(rf"(^|/){sign}\d", one.key):
            yield f"pause in {container}"
    if kind := _NODE_KINDS.get(one.requirement.kind):
        yield kind
        answer = one.requirement.resolution
        is_judgement = one.requirement.kind != v1.REQUIREMENT_KIND_ERROR_DECISION
        if is_judgement and answer.WhichOneof("resolution") in ("reject", "retry"):
            yield f"{_REFUSALS[refusal(one.requirement, answer).leads_to]} by a rejection"
    else:
        who = "a member" if one.requirement.member_path else "a step"
        yield f"{_KINDS[one.requirement.kind]} of {who}"
    for feature, sign in _IN_KEYS.items():
        if re.search(sign, one.key):
            yield f"pause in {feature}"
    if one.requirement.resolution.HasField("reject"):
        yield "rejection"
    if one.requirement.resolution.external_result.error_message:
        yield "error from outside"


def _of_round(each: Round, performed: Sequence[str]) -> Iterator[str]:
    waiting = [one.requirement for one in each.waiting]
    if len({one.executor_run_id for one in waiting}) > 1:
        yield "several steps wait"
    turns = [one.key.rpartition(":call")[0] for one in each.waiting]
    if len(set(turns)) < len(turns):
        yield "several calls wait"
    gated = {one.key.removesuffix(":gate") for one in each.waiting}
    if any(key not in gated and key.rpartition(":call")[0] in turns for key in performed):
        yield "a free call beside a gated one"
    members = [re.match(r"(.*):call\d+/(\w+):turn1:model$", key) for key in performed]
    calls = [(one[1], one[2]) for one in members if one]
    if len(set(calls)) < len(calls):
        yield "the same member twice in a turn"
