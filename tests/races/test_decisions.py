"""A thousand people decide on one call through several servers: one decision stands."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from random import Random

import grpc
import pytest
from tests.races.replicas import assert_ended_once, replicas, seen_everywhere, told
from tests.support.service import Refusal, Served, confirm, reject, user_input
from tests.support.workbench import Ledger, agent_app, events_of, kinds, only, resolve_one, rest

from interlock import v1
from interlock_server import call

CALLERS = 1_000
WAYS = ("ResolveRequirement", "ContinueRun", "ContinueRunStream")


async def decide(
    service: Served, run: v1.Run, answer: v1.RequirementResolution, way: str
) -> object:
    if way == "ResolveRequirement":
        return await resolve_one(service, answer)
    if way == "ContinueRun":
        return await service.resolve(run, answer)
    request = v1.ContinueRunStreamRequest(run_id=run.run_id, resolutions=[answer])
    return await events_of(service.runs.ContinueRunStream(request))


Choice = Callable[[v1.Requirement], list[v1.RequirementResolution]]


def yes_or_no(asked: v1.Requirement) -> list[v1.RequirementResolution]:
    return [confirm(asked, "go"), reject(asked, "no")]


def this_or_that(asked: v1.Requirement) -> list[v1.RequirementResolution]:
    return [user_input(asked, '{"what":"this"}'), user_input(asked, '{"what":"that"}')]


def calls_of(answer: v1.RequirementResolution) -> list[str]:
    """What the tool is called with after an answer."""
    if answer.HasField("user_input"):
        return [json.loads(answer.user_input.values_json)["what"]]
    return ["it"] if answer.HasField("confirm") else []


@pytest.mark.parametrize(
    ("gate", "choice"),
    [("requires_confirmation", yes_or_no), ("requires_user_input", this_or_that)],
    ids=["confirmation", "values"],
)
async def test_of_a_thousand_contrary_decisions_one_stands(
    database_url: str, gate: str, choice: Choice
) -> None:
    ledger, random = Ledger(), Random(1)
    app = agent_app([call("act", what="it"), "done"], ledger.gated("act", **{gate: True}))
    async with replicas(app, database_url) as service:
        paused = await service.run("Work")
        asked = only(paused)
        answers = choice(asked) * (CALLERS // 2)
        random.shuffle(answers)
        callers = [told(decide(service, paused, answer, random.choice(WAYS))) for answer in answers]
        outcomes = await asyncio.gather(*callers)
        await rest(service, paused)
        run, events = await seen_everywhere(service, paused)
        get = v1.GetRequirementRequest(requirement_id=asked.requirement_id)
        stands = (await service.requirements.GetRequirement(get)).requirement

    for answer, outcome in zip(answers, outcomes, strict=True):
        if answer == stands.resolution:
            assert not isinstance(outcome, Refusal), outcome
            continue
        assert isinstance(outcome, Refusal)
        assert outcome.code is grpc.StatusCode.FAILED_PRECONDITION
        assert outcome.reason == "REQUIREMENT_ALREADY_RESOLVED"
        assert outcome.metadata == {
            "requirement_id": asked.requirement_id,
            "resolution": stands.resolution.WhichOneof("resolution"),
            "resolved_by": stands.resolved_by,
            "resolve_time": stands.resolve_time.ToJsonString(),
        }
    assert ledger.calls == calls_of(stands.resolution)
    assert run.state == v1.RUN_STATE_COMPLETED
    assert_ended_once(run, events)
    happened = Counter(kinds(events))
    assert happened["requirement_resolved"] == happened["workflow_continued"] == 1
