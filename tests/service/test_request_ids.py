"""A request id makes a retry safe: the repeat joins the first, and a reuse is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from tests.support.service import Served, confirm, open_requirements, reject, served
from tests.support.workbench import (
    Ledger,
    agent_app,
    events_of,
    get,
    kinds,
    only,
    refused,
    resolve_one,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, call

Send = Callable[..., Awaitable[Any]]
SPEC = v1.RunSpec(workflow_id="Work", input_json='"go"', labels={"a": "b", "c": "d"})


def app(ledger: Ledger) -> Interlock:
    turns: list[Any] = [[call("act", what="a"), call("act", what="b")], "done"]
    return agent_app(turns, ledger.gated())


async def count(service: Served) -> int:
    return len((await service.runs.ListRuns(v1.ListRunsRequest())).runs)


async def assert_reused(call_: Awaitable[Any], request_id: str) -> None:
    problem = await refused(call_)
    assert problem.code is grpc.StatusCode.ALREADY_EXISTS
    assert problem.reason == "REQUEST_ID_REUSED"
    assert problem.metadata == {"request_id": request_id}


async def test_a_repeated_run_is_the_first_one(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        request = v1.RunRequest(spec=SPEC, request_id="r1")
        first = (await service.runs.Run(request)).run
        async with untouched(service, first):
            assert (await service.runs.Run(request)).run == first
        assert await count(service) == 1
        assert len((await service.sessions.ListSessions(v1.ListSessionsRequest())).sessions) == 1


async def test_a_repeated_stream_replays_from_the_first_event(database_url: str) -> None:
    """A connection that broke before the first reply never starts a second run."""
    async with served(app(Ledger()), database_url) as service:
        request = v1.RunStreamRequest(spec=SPEC, request_id="r1")
        first = await events_of(service.runs.RunStream(request))
        again = await events_of(service.runs.RunStream(request))
        assert kinds(first)[0] == "workflow_started"
        assert kinds(first)[-1] == "workflow_paused"
        stored = [one for one in first if one.WhichOneof("event") != "content_delta"]
        assert again == stored
        assert await count(service) == 1


async def test_a_unary_repeat_of_a_stream_joins_it_too(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        events = await events_of(
            service.runs.RunStream(v1.RunStreamRequest(spec=SPEC, request_id="r1"))
        )
        run = (await service.runs.Run(v1.RunRequest(spec=SPEC, request_id="r1"))).run
        assert run.run_id == events[0].run_id


async def test_a_hundred_repeats_at_once_start_one_run(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        request = v1.RunRequest(spec=SPEC, request_id="r1")
        runs = await asyncio.gather(*(service.runs.Run(request) for _ in range(100)))
        assert len({one.run.run_id for one in runs}) == 1
        assert await count(service) == 1


@pytest.mark.parametrize(
    "other",
    [
        v1.RunSpec(workflow_id="Work"),
        v1.RunSpec(workflow_id="Work", input_json='"stop"', labels=SPEC.labels),
        v1.RunSpec(workflow_id="Work", input_json='"go"', labels={"a": "b"}),
        v1.RunSpec(
            workflow_id="Work", input_json='"go"', labels=SPEC.labels, session_id="elsewhere"
        ),
    ],
    ids=["nothing", "input", "labels", "session"],
)
async def test_a_run_of_something_else_under_the_same_id_is_refused(
    database_url: str, other: v1.RunSpec
) -> None:
    async with served(app(Ledger()), database_url) as service:
        await service.runs.Run(v1.RunRequest(spec=SPEC, request_id="r1"))
        await assert_reused(service.runs.Run(v1.RunRequest(spec=other, request_id="r1")), "r1")
        stream = service.runs.RunStream(v1.RunStreamRequest(spec=other, request_id="r1"))
        await assert_reused(events_of(stream), "r1")
        assert await count(service) == 1
        assert len((await service.sessions.ListSessions(v1.ListSessionsRequest())).sessions) == 1


async def test_without_an_id_every_run_is_a_new_one(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        for _ in range(2):
            await service.runs.Run(v1.RunRequest(spec=SPEC))
        assert await count(service) == 2


async def test_methods_do_not_share_their_ids(database_url: str) -> None:
    ledger = Ledger()
    async with served(app(ledger), database_url) as service:
        run = (await service.runs.Run(v1.RunRequest(spec=SPEC, request_id="x"))).run
        first, second = open_requirements(run)
        await resolve_one(service, confirm(first), request_id="x")
        request = v1.ContinueRunRequest(
            run_id=run.run_id, resolutions=[confirm(second)], request_id="x"
        )
        ended = (await service.runs.ContinueRun(request)).run
        assert ended.state == v1.RUN_STATE_COMPLETED
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id, request_id="x"))
        assert await get(service, run) == ended
    assert ledger.calls == ["a", "b"]


async def test_a_repeated_continue_joins_the_first(database_url: str) -> None:
    """Also when the run has gone on since, and a bare continue would be refused by now."""
    ledger = Ledger()
    async with served(app(ledger), database_url) as service:
        run = await service.run("Work")
        answers = [confirm(one) for one in open_requirements(run)]
        request = v1.ContinueRunRequest(
            run_id=run.run_id, resolutions=answers, etag=run.etag, request_id="c1"
        )
        ended = (await service.runs.ContinueRun(request)).run
        async with untouched(service, ended):
            assert (await service.runs.ContinueRun(request)).run == ended
            for other in (
                v1.ContinueRunRequest(run_id=run.run_id, request_id="c1"),
                v1.ContinueRunRequest(run_id=run.run_id, resolutions=answers[:1], request_id="c1"),
            ):
                await assert_reused(service.runs.ContinueRun(other), "c1")
    assert ledger.calls == ["a", "b"]


async def test_a_repeated_bare_continue_joins_the_first(database_url: str) -> None:
    ledger = Ledger()
    async with served(app(ledger), database_url) as service:
        run = await service.run("Work")
        for one in open_requirements(run):
            await resolve_one(service, confirm(one), hold_run=True)
        request = v1.ContinueRunRequest(run_id=run.run_id, request_id="c1")
        ended = (await service.runs.ContinueRun(request)).run
        assert ended.state == v1.RUN_STATE_COMPLETED
        assert (await service.runs.ContinueRun(request)).run == ended


async def test_a_repeated_continue_stream_shows_the_same_events(database_url: str) -> None:
    ledger = Ledger()
    async with served(app(ledger), database_url) as service:
        run = await service.run("Work")
        answers = [confirm(one) for one in open_requirements(run)]
        request = v1.ContinueRunStreamRequest(
            run_id=run.run_id, resolutions=answers, request_id="c1"
        )
        first = await events_of(service.runs.ContinueRunStream(request))
        again = await events_of(service.runs.ContinueRunStream(request))
        assert kinds(first)[0] == "requirement_resolved"
        assert kinds(first)[-1] == "workflow_completed"
        assert again == [one for one in first if one.WhichOneof("event") != "content_delta"]
    assert ledger.calls == ["a", "b"]


async def test_a_repeated_answer_joins_the_first(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        run = await service.run("Work")
        first, second = open_requirements(run)
        response = await resolve_one(service, confirm(first), request_id="a1")
        after = await get(service, run)
        async with untouched(service, after):
            assert await resolve_one(service, confirm(first), request_id="a1") == response
            await assert_reused(resolve_one(service, reject(first), request_id="a1"), "a1")
            await assert_reused(resolve_one(service, confirm(second), request_id="a1"), "a1")
            held = resolve_one(service, confirm(first), hold_run=True, request_id="a1")
            await assert_reused(held, "a1")


async def test_a_repeated_cancel_joins_the_first(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        run, other = await service.run("Work"), await service.run("Work")
        request = v1.CancelRunRequest(run_id=run.run_id, reason="enough", request_id="x1")
        cancelled = (await service.runs.CancelRun(request)).run
        async with untouched(service, cancelled), untouched(service, other):
            assert (await service.runs.CancelRun(request)).run == cancelled
            for reuse in (
                v1.CancelRunRequest(run_id=other.run_id, reason="enough", request_id="x1"),
                v1.CancelRunRequest(run_id=run.run_id, reason="a mistake", request_id="x1"),
            ):
                await assert_reused(service.runs.CancelRun(reuse), "x1")


async def test_a_refused_request_does_not_use_up_its_id(database_url: str) -> None:
    """Nothing was recorded, so the mended request may come under the same id."""
    async with served(app(Ledger()), database_url) as service:
        run = await service.run("Work")
        first = open_requirements(run)[0]
        stale = v1.ContinueRunRequest(
            run_id=run.run_id, resolutions=[confirm(first)], etag="0", request_id="c1"
        )
        assert (await refused(service.runs.ContinueRun(stale))).reason == "ETAG_MISMATCH"
        mended = v1.ContinueRunRequest(
            run_id=run.run_id, resolutions=[reject(first)], etag=run.etag, request_id="c1"
        )
        again = (await service.runs.ContinueRun(mended)).run
        assert only(again).requirement_id


async def test_a_request_id_outlives_the_server(database_url: str) -> None:
    ledger = Ledger()
    request = v1.RunRequest(spec=SPEC, request_id="r1")
    async with served(app(ledger), database_url) as service:
        first = (await service.runs.Run(request)).run
    async with served(app(ledger), database_url) as service:
        assert (await service.runs.Run(request)).run == first


async def test_a_repeated_change_of_a_session_is_made_once(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        made = v1.UpdateSessionRequest(
            session=v1.Session(session_id="s", state_json='{"n":1}'),
            allow_missing=True,
            request_id="u1",
        )
        first = (await service.sessions.UpdateSession(made)).session
        assert (await service.sessions.UpdateSession(made)).session == first
        changed = v1.UpdateSessionRequest(
            session=v1.Session(session_id="s", state_json='{"n":2}', etag=first.etag),
            request_id="u2",
        )
        second = (await service.sessions.UpdateSession(changed)).session
        # The etag was right when the request came first; a lost reply does not make it wrong.
        assert (await service.sessions.UpdateSession(changed)).session == second
        assert second.state_json == '{"n":2}'
        changed.session.state_json = '{"n":3}'
        await assert_reused(service.sessions.UpdateSession(changed), "u2")


async def test_a_repeated_deletion_of_a_session_is_no_error(database_url: str) -> None:
    async with served(app(Ledger()), database_url) as service:
        made = v1.UpdateSessionRequest(session=v1.Session(session_id="s"), allow_missing=True)
        await service.sessions.UpdateSession(made)
        request = v1.DeleteSessionRequest(session_id="s", request_id="d1")
        await service.sessions.DeleteSession(request)
        await service.sessions.DeleteSession(request)
        request.request_id = "d2"
        assert (await refused(service.sessions.DeleteSession(request))).reason == (
            "SESSION_NOT_FOUND"
        )
