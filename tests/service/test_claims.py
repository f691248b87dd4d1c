"""Claims: no two workers execute one call, and a worker that dies or goes holds nothing up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import text
from tests.support.claims import (
    SECONDS,
    away,
    calls_at_once,
    claim,
    claimed,
    one_call,
    release,
    renew,
    report,
    somebody_asks,
)
from tests.support.clock import Clock, fire, requirement_now
from tests.support.service import Served, confirm, external_result, reject, served
from tests.support.workbench import (
    Caller,
    Ledger,
    agent,
    agent_app,
    app_of,
    get,
    kinds,
    only,
    refused,
    resolve_one,
    rest,
    result_of,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, Parallel, Step, Workflow, call
from interlock_server.runtime import claims
from interlock_server.store.claims import claim_take
from interlock_server.store.requirements import requirement_get

FAILED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(params=[1, 3], ids=["one server", "three servers"])
def servers(request: pytest.FixtureRequest) -> int:
    """How many servers there are."""
    count: int = request.param
    return count


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a call is woken, or waits for ever."""
    monkeypatch.setattr(claims, "_POLL_SECONDS", 3_600.0)


async def assert_lost(call_: Any, held: v1.Requirement) -> None:
    problem = await refused(call_)
    assert (problem.code, problem.reason) == (FAILED, "CLAIM_LOST")
    assert problem.metadata == {
        "requirement_id": held.requirement_id,
        "claim_epoch": str(held.claim.epoch),
    }
    assert "PreconditionFailure" in problem.details


# What a worker gets.


async def test_a_worker_gets_the_call_with_all_it_needs(database_url: str, servers: int) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url, servers=servers) as service:
        run = await service.run("Work")
        asked = only(run)
        clock.pass_by(1)
        held = await claimed(service, worker="ann")
        assert held.claim == v1.RequirementClaim(
            worker_id="ann", epoch=1, expire_time=held.claim.expire_time
        )
        assert held.claim.expire_time.ToDatetime(clock.time.tzinfo) == clock.after(SECONDS)
        assert held.tool_execution == asked.tool_execution
        assert (held.requirement_id, held.run_id) == (asked.requirement_id, run.run_id)
        assert await claim(service, worker="bob") is None


async def test_the_oldest_call_comes_first(database_url: str) -> None:
    app = calls_at_once("fetch", "store", "fetch", "store")
    async with served(app, database_url) as service:
        runs = [await service.run("Work") for _ in range(2)]
        got = [await claimed(service, "store", "fetch", worker=f"w{n}") for n in range(8)]
        assert await claim(service, "store", "fetch") is None
    assert [one.run_id for one in got] == [run.run_id for run in runs for _ in range(4)]
    times = [one.create_time.ToNanoseconds() for one in got]
    assert times == sorted(times)
    assert [one.tool_execution.tool_name for one in got] == ["fetch", "store"] * 4


async def test_a_worker_gets_only_what_it_asks_for(database_url: str) -> None:
    ledger = Ledger()
    turn = [call("act"), call("fill"), call("fetch")]
    gated = ledger.gated("act"), ledger.gated("fill", requires_user_input=True)
    workflows = [
        Workflow(
            name=name,
            steps=[Step(name="s", agent=agent([turn, "done"], *gated, away(), name=name))],
        )
        for name in ("One", "Two")
    ]
    async with served(Interlock(workflows), database_url) as service:
        await service.run("One")
        run = await service.run("Two")
        assert await claim(service, "other") is None
        assert await claim(service, "act", "fill") is None
        assert await claim(service, "fetch", workflow_id="Three") is None
        assert (await claimed(service, "fetch", workflow_id="Two")).run_id == run.run_id
        assert await claim(service, "fetch", workflow_id="Two") is None
        held = await claimed(service, "act", "fetch", "fetch", "fill")
        assert held.workflow_id == "One"
        assert await claim(service, "act", "fetch", "fill") is None


@pytest.mark.parametrize("name", ["a b", "'; --", "été", "%_\\", "名前", "$1", ":x", '"q"'])
async def test_a_tool_may_have_any_name(database_url: str, name: str) -> None:
    async with served(agent_app([call(name), "done"], away(name)), database_url) as service:
        await service.run("Work")
        assert await claim(service, "a", "x") is None
        assert (await claimed(service, name)).tool_execution.tool_name == name


async def test_a_call_that_was_answered_is_nobodys(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        for answer in (reject, lambda asked: external_result(asked, "1")):
            run = await service.run("Work")
            await service.resolve(run, answer(only(run)))
        run = await service.run("Work")
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id))
        assert await claim(service) is None


# Waiting.


async def test_who_waits_gets_the_next_call_at_once(
    database_url: str, servers: int, no_polls: None
) -> None:
    async with served(one_call(), database_url, servers=servers) as service:
        waiting = [asyncio.ensure_future(claimed(service, wait=60)) for _ in range(6)]
        await somebody_asks(service, 6)
        async with asyncio.timeout(20):
            runs = [await service.run("Work") for _ in range(6)]
            got = await asyncio.gather(*waiting)
    assert {one.run_id for one in got} == {run.run_id for run in runs}


async def test_who_waits_without_a_bound_gets_a_call_too(database_url: str, no_polls: None) -> None:
    async with served(one_call(), database_url) as service:
        waiting = asyncio.ensure_future(claimed(service, wait=None))
        await somebody_asks(service)
        async with asyncio.timeout(20):
            run = await service.run("Work")
            assert (await waiting).run_id == run.run_id


async def test_who_waits_is_woken_by_a_release(
    database_url: str, servers: int, no_polls: None
) -> None:
    async with served(one_call(), database_url, servers=servers) as service:
        await service.run("Work")
        held = await claimed(service)
        waiting = [asyncio.ensure_future(claimed(service, wait=60)) for _ in range(servers)]
        await somebody_asks(service, servers)
        for _ in range(servers):
            await release(service, held)
            async with asyncio.timeout(20):
                done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting = list(left)
            [got] = [one.result() for one in done]
            assert got.requirement_id == held.requirement_id
            assert got.claim.epoch == held.claim.epoch + 1
            held = got


async def test_who_waits_gets_a_call_whose_claim_runs_out(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url) as service:
        await service.run("Work")
        held = await claimed(service)
        waiting = asyncio.ensure_future(claimed(service, wait=60))
        await somebody_asks(service)
        clock.pass_by(SECONDS)
        async with asyncio.timeout(20):
            assert (await waiting).claim.epoch == held.claim.epoch + 1


async def test_a_wait_ends_without_a_call(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert await claim(service, wait=0.3) is None
        assert loop.time() - begun >= 0.3


async def test_calls_that_others_have_in_hand_are_waited_for_a_moment(database_url: str) -> None:
    """A decision holds the lock, or a claim of another server; or a server froze with it."""
    async with served(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        async with service.runtime.database.transaction() as connection:
            await connection.fetch(text("SELECT FROM requirements FOR UPDATE"))
            async with asyncio.timeout(10):
                assert await claim(service) is None
            waiting = asyncio.ensure_future(claimed(service, wait=60))
            await somebody_asks(service)
        async with asyncio.timeout(10):
            await waiting
        assert await claim(service) is not None


async def test_many_who_wait_for_the_same_look_as_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch, no_polls: None
) -> None:
    looks = 0

    async def counted(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        return await claim_take(*given)

    async with served(one_call(), database_url, servers=1) as service:
        waiting = [asyncio.ensure_future(claimed(service, wait=60)) for _ in range(50)]
        await somebody_asks(service, 50)
        monkeypatch.setattr(claims, "claim_take", counted)
        await service.run("Work")
        async with asyncio.timeout(20):
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            # The others come through the same door, one by one, while this one does.
            async with asyncio.timeout(10):
                while any(line.turn.locked() for line in service.runtime.claims._lines.values()):
                    await asyncio.sleep(0.001)
        assert looks <= 4
        for one in waiting:
            one.cancel()


async def test_a_server_that_stops_sends_workers_elsewhere(database_url: str) -> None:
    async with served(one_call(), database_url, servers=1) as service:
        waiting = asyncio.ensure_future(claim(service, wait=60))
        await somebody_asks(service)
        stopping = asyncio.ensure_future(service.server.stop(10))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await waiting
        await stopping
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    details = {one.TypeName().rpartition(".")[2]: one for one in status.details}
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert details["ErrorInfo"].Unpack(info)
    assert details["RetryInfo"].Unpack(retry)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert info.reason == "SERVER_SHUTDOWN"
    assert retry.retry_delay.ToTimedelta() > timedelta()


async def test_a_server_that_stops_gives_no_call_away(database_url: str) -> None:
    async with served(one_call(), database_url, servers=1) as service:
        await service.run("Work")
        service.runtime.close()
        problem = await refused(claim(service))
        assert (problem.code, problem.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "SERVER_SHUTDOWN",
        )


# Whoever goes.


async def test_who_went_while_waiting_gets_nothing(database_url: str, servers: int) -> None:
    async with served(one_call(), database_url, servers=servers) as service:
        going = [asyncio.ensure_future(claim(service, wait=60)) for _ in range(servers)]
        await somebody_asks(service, servers)
        for one in going:
            one.cancel()
        await somebody_asks(service, 0)
        await service.run("Work")
        assert (await claimed(service)).claim.epoch == 1


async def test_who_let_the_deadline_pass_gets_nothing(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        request = v1.ClaimRequirementRequest(worker_id="w", tool_names=["fetch"])
        problem = await refused(service.requirements.ClaimRequirement(request, timeout=0.2))
        assert problem.code is grpc.StatusCode.DEADLINE_EXCEEDED
        await somebody_asks(service, 0)
        await service.run("Work")
        assert (await claimed(service)).claim.epoch == 1


class Hand:
    """Holds what was just taken, before whoever asked for it knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_it, self.opens = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(claims, "claim_take", self._take)

    async def _take(self, *given: Any) -> Any:
        taken = await claim_take(*given)
        if taken.requirement is not None and not self.has_it.is_set():
            self.has_it.set()
            await self.opens.wait()
        return taken


async def test_what_was_taken_for_somebody_who_went_is_given_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch, no_polls: None
) -> None:
    hand = Hand(monkeypatch)
    async with served(one_call(), database_url) as service:
        going = asyncio.ensure_future(claim(service, wait=60, request_id="r"))
        await somebody_asks(service)
        await service.run("Work")
        await hand.has_it.wait()
        going.cancel()
        await somebody_asks(service, 0)
        waiting = asyncio.ensure_future(claimed(service, wait=60))
        await somebody_asks(service)
        hand.opens.set()
        async with asyncio.timeout(20):
            got = await waiting
        assert got.claim.epoch == 2
        await report(service, got)


async def test_who_went_and_asks_again_holds_what_was_taken(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is not pulled from under whoever came back in time."""
    hand = Hand(monkeypatch)
    clock = Clock()
    async with clock.serving(one_call(), database_url) as service:
        await service.run("Work")
        going = asyncio.ensure_future(claim(service, request_id="r"))
        await hand.has_it.wait()
        going.cancel()
        await somebody_asks(service, 0)
        held = await claimed(service, request_id="r")
        hand.opens.set()
        for one in service.replicas:
            await one.runtime.claims.close()
        assert held.claim.epoch == 1
        assert (await requirement_now(service, held)).claim == held.claim
        await report(service, held)


# Requests that are repeated.


async def test_a_repeat_gets_the_same_claim(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        first = await claimed(service, request_id="r")
        clock.pass_by(10)
        again = await claimed(service, request_id="r", wait=5)
        assert again.requirement_id == first.requirement_id
        assert again.claim.epoch == 1
        # Whoever hears of it only now, has all the time from now.
        assert again.claim.expire_time.ToDatetime(clock.time.tzinfo) == clock.after(SECONDS)
        assert again.etag == first.etag
        other = await claimed(service, request_id="s")
        assert other.requirement_id != first.requirement_id
        assert await claim(service, request_id="t") is None


async def test_equal_requests_at_once_get_one_claim(database_url: str, servers: int) -> None:
    app = calls_at_once(*["fetch"] * 10)
    async with served(app, database_url, servers=servers) as service:
        run = await service.run("Work")
        got = await asyncio.gather(*(claimed(service, request_id="r") for _ in range(60)))
        assert len({one.requirement_id for one in got}) == 1
        assert {one.claim.epoch for one in got} == {1}
        assert [one.HasField("claim") for one in await waiting_of(service, run)].count(True) == 1


async def test_equal_requests_that_wait_get_one_claim(
    database_url: str, servers: int, no_polls: None
) -> None:
    app = calls_at_once(*["fetch"] * 10)
    async with served(app, database_url, servers=servers) as service:
        waiting = [
            asyncio.ensure_future(claimed(service, request_id="r", wait=60)) for _ in range(6)
        ]
        await somebody_asks(service, 6)
        async with asyncio.timeout(20):
            run = await service.run("Work")
            got = await asyncio.gather(*waiting)
        assert len({one.requirement_id for one in got}) == 1
        assert [one.HasField("claim") for one in await waiting_of(service, run)].count(True) == 1


async def test_a_request_that_waits_in_vain_hears_what_it_was_given_elsewhere(
    database_url: str, no_polls: None
) -> None:
    """Its first attempt got a call from another server, whose reply was lost."""
    async with served(one_call(), database_url, servers=2) as service:
        server, other = service.replicas
        waiting = asyncio.ensure_future(claimed(server, request_id="r", wait=1))
        await somebody_asks(service)
        server.runtime.hub._calls.clear()  # It will not be woken.
        await service.run("Work")
        given = await claimed(other, request_id="r")
        async with asyncio.timeout(20):
            heard = await waiting
        assert (heard.requirement_id, heard.claim.epoch) == (given.requirement_id, 1)


async def test_without_an_id_every_request_gets_a_call_of_its_own(database_url: str) -> None:
    async with served(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        got = [await claimed(service) for _ in range(2)]
        assert len({one.requirement_id for one in got}) == 2


@pytest.mark.parametrize(
    "other",
    [{"worker": "other"}, {"seconds": 31}, {"workflow_id": "Work"}, {"tools": ["fetch", "store"]}],
    ids=lambda one: next(iter(one)),
)
async def test_another_request_under_the_same_id_is_refused(
    database_url: str, other: dict[str, Any]
) -> None:
    async with served(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        held = await claimed(service, request_id="r")
        tools = other.pop("tools", ["fetch"])
        problem = await refused(claim(service, *tools, request_id="r", **other))
        assert (problem.code, problem.reason) == (
            grpc.StatusCode.ALREADY_EXISTS,
            "REQUEST_ID_REUSED",
        )
        assert problem.metadata == {"request_id": "r"}
        assert (await requirement_now(service, held)).claim == held.claim


async def test_a_repeat_may_wait_differently(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        await service.run("Work")
        first = await claimed(service, request_id="r", wait=20)
        assert (await claimed(service, request_id="r", wait=None)).claim.epoch == first.claim.epoch


async def test_a_repeat_after_the_claim_is_over_gets_it_unless_somebody_else_has(
    database_url: str,
) -> None:
    clock = Clock()
    async with clock.serving(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        first = await claimed(service, request_id="r")
        clock.pass_by(SECONDS + 1)
        again = await claimed(service, request_id="r")
        assert (again.requirement_id, again.claim.epoch) == (first.requirement_id, 1)
        assert again.claim.expire_time.ToDatetime(clock.time.tzinfo) == clock.after(SECONDS)
        clock.pass_by(SECONDS + 1)
        taken = await claimed(service, worker="other", request_id="s")
        assert (taken.requirement_id, taken.claim.epoch) == (first.requirement_id, 2)
        fresh = await claimed(service, request_id="r")
        assert fresh.requirement_id != first.requirement_id


async def test_a_repeat_after_the_call_was_answered_gets_another(database_url: str) -> None:
    async with served(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        first = await claimed(service, request_id="r")
        await report(service, first)
        again = await claimed(service, request_id="r")
        assert again.requirement_id != first.requirement_id


# Time.


async def test_a_claim_holds_until_its_time_and_not_longer(database_url: str, servers: int) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url, servers=servers) as service:
        await service.run("Work")
        for seconds in (1, 3_600):
            held = await claimed(service, seconds=seconds)
            clock.pass_by(seconds - 0.000_001)
            assert await claim(service) is None
            clock.pass_by(0.000_001)
            taken = await claimed(service, seconds=1, worker="other")
            assert taken.requirement_id == held.requirement_id
            assert taken.claim.epoch == held.claim.epoch + 1
            await assert_lost(renew(service, held), held)
            await assert_lost(report(service, held), held)
            await release(service, taken)


async def test_a_lease_that_is_not_said_is_thirty_seconds(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url) as service:
        await service.run("Work")
        request = v1.ClaimRequirementRequest(worker_id="w", tool_names=["fetch"])
        held = (await service.requirements.ClaimRequirement(request)).requirement
        assert held.claim.expire_time.ToDatetime(clock.time.tzinfo) == clock.after(30)
        clock.pass_by(5)
        again = v1.RenewClaimRequest(requirement_id=held.requirement_id, claim_epoch=1)
        renewed = (await service.requirements.RenewClaim(again)).claim
        assert renewed.expire_time.ToDatetime(clock.time.tzinfo) == clock.after(30)


async def test_a_renewal_holds_the_claim_for_longer(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url) as service:
        await service.run("Work")
        held = await claimed(service)
        before, renewed = await requirement_now(service, held), held.claim
        for _ in range(5):
            clock.pass_by(SECONDS / 3)
            renewed = await renew(service, held)
            assert (renewed.worker_id, renewed.epoch) == ("w", 1)
            assert renewed.expire_time.ToDatetime(clock.time.tzinfo) == clock.after(SECONDS)
        after = await requirement_now(service, held)
        assert after.claim == renewed
        assert after.etag == before.etag
        assert await claim(service) is None


async def test_a_claim_that_is_over_is_as_good_as_one_that_holds_until_somebody_takes_it(
    database_url: str,
) -> None:
    clock = Clock()
    async with clock.serving(calls_at_once("fetch", "fetch"), database_url) as service:
        await service.run("Work")
        late, later = await claimed(service), await claimed(service)
        clock.pass_by(1_000)
        await renew(service, late)
        got = await claimed(service, worker="other")
        assert got.requirement_id == later.requirement_id
        await release(service, got)
        last = await claimed(service, worker="last")
        clock.pass_by(1_000)
        assert (await report(service, last)).requirement.state == v1.REQUIREMENT_STATE_RESOLVED
        assert (await report(service, late)).requirement.state == v1.REQUIREMENT_STATE_RESOLVED


# Results.


async def test_a_result_under_the_claim_lets_the_run_go_on(database_url: str, servers: int) -> None:
    async with served(one_call(), database_url, servers=servers) as service:
        run = await service.run("Work")
        held = await claimed(service)
        response = await report(service, held, '{"n": 9007199254740993}')
        assert response.requirement.resolution.external_result.result_json == (
            '{"n":9007199254740993}'
        )
        assert not response.requirement.HasField("claim")
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED


async def test_an_error_under_the_claim_is_a_result_too(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        run = await service.run("Work")
        held = await claimed(service)
        answer = v1.RequirementResolution(
            requirement_id=held.requirement_id,
            external_result=v1.ExternalResult(error_message="no such table"),
        )
        await resolve_one(service, answer, claim_epoch=1)
        [made] = result_of(await rest(service, run), "work").tool_executions
        assert made.error_message == "no such table"


async def test_a_result_is_reported_twice_and_recorded_once(database_url: str) -> None:
    """The reply was lost; the worker says it again, with and without a request id."""
    async with served(one_call(), database_url) as service:
        run = await service.run("Work")
        held = await claimed(service)
        first = await report(service, held, request_id="a")
        ended = await rest(service, run)
        async with untouched(service, ended):
            for more in ({}, {"request_id": "a"}, {"request_id": "b"}):
                again = await report(service, held, **more)
                assert again.requirement == first.requirement
            problem = await refused(report(service, held, '"another"'))
            assert problem.reason == "REQUIREMENT_ALREADY_RESOLVED"
        assert kinds(await service.events(ended)).count("requirement_resolved") == 1


async def test_the_claim_is_part_of_a_request(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        await service.run("Work")
        held = await claimed(service)
        await report(service, held, request_id="a")
        answer = external_result(held, '"out"')
        for other in ({}, {"claim_epoch": 2}):
            problem = await refused(resolve_one(service, answer, request_id="a", **other))
            assert problem.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("is_answered", [False, True], ids=["open", "answered"])
async def test_a_result_under_an_older_claim_is_refused(
    database_url: str, servers: int, is_answered: bool
) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url, servers=servers) as service:
        run = await service.run("Work")
        old = await claimed(service)
        clock.pass_by(SECONDS)
        new = await claimed(service, worker="other")
        if is_answered:
            await report(service, new)
            await rest(service, run)
        async with untouched(service, await get(service, run)):
            await assert_lost(report(service, old), old)
            unheard_of = v1.Requirement(
                requirement_id=old.requirement_id, claim=v1.RequirementClaim(epoch=3)
            )
            await assert_lost(report(service, unheard_of), unheard_of)
        await report(service, new)


async def test_an_epoch_means_nothing_where_nobody_claimed(database_url: str) -> None:
    ledger = Ledger()
    app = agent_app([call("act"), "done"], ledger.gated())
    async with served(app, database_url) as service:
        run = await service.run("Work")
        async with untouched(service, run):
            problem = await refused(resolve_one(service, confirm(only(run)), claim_epoch=1))
        assert problem.reason == "CLAIM_LOST"
    assert ledger.calls == []


@pytest.mark.parametrize("streams", [None, False, True], ids=["inbox", "unary", "stream"])
async def test_nobody_else_reports_while_a_worker_is_at_work(
    database_url: str, streams: bool | None
) -> None:
    clock = Clock()
    async with clock.serving(calls_at_once("fetch", "fetch"), database_url) as service:
        run = await service.run("Work")
        held = await claimed(service)
        [free] = [
            one
            for one in await waiting_of(service, run)
            if one.requirement_id != held.requirement_id
        ]

        async def pass_over() -> Any:
            answers = [external_result(one, "1") for one in (free, held)]
            if streams is None:
                return await resolve_one(service, answers[1])
            return await Caller(service, streams).resolve(run, *answers)

        async with untouched(service, await get(service, run)):
            problem = await refused(pass_over())
        assert (problem.code, problem.reason) == (FAILED, "REQUIREMENT_CLAIMED")
        assert problem.metadata == {
            "requirement_id": held.requirement_id,
            "worker_id": "w",
            "expire_time": held.claim.expire_time.ToJsonString(),
        }
        assert "PreconditionFailure" in problem.details
        clock.pass_by(SECONDS)
        await pass_over()
        problem = await refused(report(service, held, '"mine"'))
        assert problem.reason == "REQUIREMENT_ALREADY_RESOLVED"


async def test_a_call_that_was_given_back_takes_a_result_of_anybody(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        run = await service.run("Work")
        held = await claimed(service)
        await release(service, held)
        await assert_lost(report(service, held), held)
        await assert_lost(renew(service, held), held)
        ended = await service.resolve(run, external_result(only(run), "1"))
        assert ended.state == v1.RUN_STATE_COMPLETED


# What wins over every claim.

Ending = Callable[[Served, Clock, v1.Run], Coroutine[Any, Any, object]]


async def _reject(service: Served, clock: Clock, run: v1.Run) -> object:
    return await resolve_one(service, reject(only(run), "no"))


async def _reject_on_the_run(service: Served, clock: Clock, run: v1.Run) -> object:
    return await service.resolve(run, reject(only(run), "no"))


async def _cancel(service: Served, clock: Clock, run: v1.Run) -> object:
    return await service.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id))


async def _let_pass(service: Served, clock: Clock, run: v1.Run) -> object:
    clock.pass_by(600)
    await fire(service)
    return None


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (_reject, "REQUIREMENT_ALREADY_RESOLVED"),
        (_reject_on_the_run, "REQUIREMENT_ALREADY_RESOLVED"),
        (_cancel, "REQUIREMENT_CANCELLED"),
        (_let_pass, "REQUIREMENT_EXPIRED"),
    ],
    ids=["reject", "reject on the run", "cancel", "timeout"],
)
async def test_a_person_and_the_clock_win_over_a_claim(
    database_url: str, servers: int, ending: Ending, reason: str
) -> None:
    clock = Clock()
    timed = away(timeout=600, on_timeout="reject")
    app = agent_app([call("fetch"), "done"], timed)
    async with clock.serving(app, database_url, servers=servers) as service:
        run = await service.run("Work")
        held = await claimed(service, seconds=3_600)
        await ending(service, clock, run)
        ended = await rest(service, run)
        async with untouched(service, ended):
            for told in (renew(service, held), report(service, held)):
                problem = await refused(told)
                assert (problem.code, problem.reason) == (FAILED, reason)
            await release(service, held)
            assert await claim(service) is None


# Giving back.


async def test_a_call_that_was_given_back_is_the_next_workers(
    database_url: str, servers: int
) -> None:
    async with served(one_call(), database_url, servers=servers) as service:
        await service.run("Work")
        held = await claimed(service, request_id="r")
        await release(service, held)
        assert not (await requirement_now(service, held)).HasField("claim")
        again = await claimed(service, worker="other", request_id="r")
        assert (again.requirement_id, again.claim.epoch) == (held.requirement_id, 2)


async def test_giving_back_what_is_not_held_changes_nothing(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url) as service:
        await service.run("Work")
        held = await claimed(service)
        await release(service, held)
        after = await requirement_now(service, held)
        await release(service, held)
        assert await requirement_now(service, held) == after
        taken = await claimed(service, worker="other")
        await release(service, held)
        assert (await requirement_now(service, held)).claim == taken.claim


# What others see.


async def test_a_claim_is_shown_wherever_the_requirement_is(database_url: str) -> None:
    clock = Clock()
    async with clock.serving(one_call(), database_url) as service:
        run = await service.run("Work")

        async def shown() -> list[v1.RequirementClaim | None]:
            listed = await service.requirements.ListRequirements(v1.ListRequirementsRequest())
            watch = service.requirements.WatchRequirements(v1.WatchRequirementsRequest())
            first = await anext(aiter(watch))
            watch.cancel()
            snapshot = service.runs.WatchRun(v1.WatchRunRequest(run_id=run.run_id))
            begin = await anext(aiter(snapshot))
            snapshot.cancel()
            runs = await service.runs.ListRuns(v1.ListRunsRequest())
            every = [
                await requirement_now(service, only(run)),
                *listed.requirements,
                first.requirement,
                only(begin.snapshot),
                only(await get(service, run)),
                only(runs.runs[0]),
            ]
            assert len(every) == 6
            return [one.claim if one.HasField("claim") else None for one in every]

        assert await shown() == [None] * 6
        held = await claimed(service)
        assert await shown() == [held.claim] * 6
        clock.pass_by(SECONDS)
        assert await shown() == [None] * 6
        held = await claimed(service)
        assert await shown() == [held.claim] * 6
        await release(service, held)
        assert await shown() == [None] * 6


async def test_watchers_see_claims_come_and_go_but_not_renewals(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        await service.run("Work")
        stream = service.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        messages = aiter(stream)

        async def next_seen() -> v1.Requirement:
            async with asyncio.timeout(20):
                while True:
                    one = await anext(messages)
                    if one.HasField("requirement"):
                        return one.requirement

        fresh = await next_seen()
        held = await claimed(service)
        seen = await next_seen()
        assert seen.claim == held.claim
        await renew(service, held, 3_600)
        await release(service, held)
        freed = await next_seen()
        assert not freed.HasField("claim")
        assert len({one.etag for one in (fresh, seen, freed)}) == 3
        assert seen.etag == held.etag
        stream.cancel()


async def test_a_decision_on_what_was_seen_before_the_claim_is_refused(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        run = await service.run("Work")
        answer = reject(only(run))
        answer.etag = only(run).etag
        await claimed(service)
        assert (await refused(resolve_one(service, answer))).reason == "ETAG_MISMATCH"


async def test_events_do_not_tell_who_was_at_work(database_url: str) -> None:
    """What a run says follows from what it is, not from who had it in hand when it said so."""
    ledger = Ledger()
    gated = agent([call("act"), call("act"), "done"], ledger.gated(), name="gated")
    steps = [
        Step(name="one", agent=agent([call("fetch"), "done"], away())),
        Step(name="two", agent=gated),
    ]
    async with served(app_of(Parallel(*steps, name="p")), database_url) as service:
        run = await service.run("Work")
        held = await claimed(service)
        [gate] = [
            one
            for one in await waiting_of(service, run)
            if one.requirement_id != held.requirement_id
        ]
        again = await service.resolve(run, confirm(gate))
        last = (await service.events(again))[-1].workflow_paused
        shown = [one for step in last.step_requirements for one in step.executor_requirements]
        assert held.requirement_id in [one.requirement_id for one in shown]
        assert not any(one.HasField("claim") for one in shown)


async def test_who_executed_a_call_is_kept_with_its_answer(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        await service.run("Work")
        held = await claimed(service, worker="ann")
        await report(service, held)
        stored = await requirement_get(service.runtime.database, held.requirement_id)
        assert stored is not None
        assert stored.claim.worker_id == "ann"


async def waiting_of(service: Served, run: v1.Run) -> list[v1.Requirement]:
    """What a run waits for, as it is now."""
    request = v1.ListRequirementsRequest(filter=v1.RequirementFilter(run_id=run.run_id))
    return list((await service.requirements.ListRequirements(request)).requirements)
