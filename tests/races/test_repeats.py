"""The same request from many callers at once, over several servers, is carried out once."""

from __future__ import annotations

import asyncio

import grpc
from tests.races.replicas import assert_ended_once, replicas, seen_everywhere, told
from tests.support.service import Refusal, Served, confirm
from tests.support.workbench import (
    Ledger,
    agent_app,
    events_of,
    kind_of,
    only,
    rest,
)

from interlock import v1
from interlock_server import Interlock, call

CALLERS = 100
SPEC = v1.RunSpec(workflow_id="Work", input_json='"go"')
OTHER = v1.RunSpec(workflow_id="Work", input_json='"stop"')


def asking(ledger: Ledger) -> Interlock:
    return agent_app([call("act", what="it"), "done"], ledger.gated())


async def run(service: Served, spec: v1.RunSpec = SPEC) -> v1.Run:
    request = v1.RunRequest(spec=spec, request_id="r1")
    return (await service.runs.Run(request)).run


async def stream(service: Served, spec: v1.RunSpec = SPEC) -> list[v1.RunEvent]:
    request = v1.RunStreamRequest(spec=spec, request_id="r1")
    return stored(await events_of(service.runs.RunStream(request)))


def stored(events: list[v1.RunEvent]) -> list[v1.RunEvent]:
    return [one for one in events if kind_of(one) != "content_delta"]


async def runs_of(service: Served) -> list[v1.Run]:
    return list((await service.runs.ListRuns(v1.ListRunsRequest())).runs)


async def test_a_hundred_callers_start_one_run(database_url: str) -> None:
    async with replicas(asking(Ledger()), database_url) as service:
        runs, streams = await asyncio.gather(
            asyncio.gather(*(run(service) for _ in range(CALLERS // 2))),
            asyncio.gather(*(stream(service) for _ in range(CALLERS // 2))),
        )
        [started] = await runs_of(service)
        paused, events = await seen_everywhere(service, started)
        assert paused.state == v1.RUN_STATE_PAUSED
        assert all(one == paused for one in runs)
        # Whoever comes second is shown all of it, from the first event.
        assert all(one == events for one in streams)
        # However much later.
        assert [await run(service), await stream(service)] == [paused, events]


async def test_of_two_requests_under_one_id_one_is_carried_out(database_url: str) -> None:
    async with replicas(asking(Ledger()), database_url) as service:
        specs = [SPEC, OTHER] * (CALLERS // 2)
        ways = [run, run, stream, stream] * (CALLERS // 4)
        outcomes = await asyncio.gather(
            *(told(way(service, spec)) for way, spec in zip(ways, specs, strict=True))
        )
        [started] = await runs_of(service)
        for spec, outcome in zip(specs, outcomes, strict=True):
            if spec.input_json == started.input_json:
                assert not isinstance(outcome, Refusal), outcome
                continue
            assert isinstance(outcome, Refusal)
            assert outcome.code is grpc.StatusCode.ALREADY_EXISTS
            assert outcome.reason == "REQUEST_ID_REUSED"
            assert outcome.metadata == {"request_id": "r1"}


async def test_a_hundred_callers_continue_a_run_once(database_url: str) -> None:
    ledger = Ledger()
    async with replicas(asking(ledger), database_url) as service:
        paused = await service.run("Work")
        answers = [confirm(only(paused))]

        async def resume() -> v1.Run:
            request = v1.ContinueRunRequest(
                run_id=paused.run_id, resolutions=answers, request_id="c1"
            )
            return (await service.runs.ContinueRun(request)).run

        async def resume_stream() -> list[v1.RunEvent]:
            streamed = v1.ContinueRunStreamRequest(
                run_id=paused.run_id, resolutions=answers, request_id="c1"
            )
            return stored(await events_of(service.runs.ContinueRunStream(streamed)))

        runs, streams = await asyncio.gather(
            asyncio.gather(*(resume() for _ in range(CALLERS // 2))),
            asyncio.gather(*(resume_stream() for _ in range(CALLERS // 2))),
        )
        await rest(service, paused)
        ended, events = await seen_everywhere(service, paused)
        assert_ended_once(ended, events)
        assert all(one == ended for one in runs)
        # A repeat begins where the first one did: with the decision.
        assert all(one == events[paused.last_sequence :] for one in streams)
    assert ledger.calls == ["it"]
