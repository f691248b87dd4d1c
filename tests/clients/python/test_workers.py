"""Workers against the real service: each call is executed once, and nothing holds it up."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from tests.clients.python import samples
from tests.clients.python.hands import working
from tests.clients.python.scripted import UNAVAILABLE, Abort, Hang, ScriptedServer
from tests.support.claims import calls_at_once, claim, claimed, one_call, somebody_asks
from tests.support.clock import Clock, requirement_now
from tests.support.service import Served, open_requirements, reject, served
from tests.support.workbench import Point, get, only, resolve_one, rest, result_of, start

from interlock import (
    AsyncClient,
    AsyncWorker,
    Call,
    Client,
    InvalidArgumentError,
    UnimplementedError,
    Worker,
    _tasks,
    _threads,
    v1,
)
from interlock._core import work
from interlock._core.inbox import Inbox
from interlock_server import Interlock
from interlock_server.runtime import claims
from interlock_server.runtime.claims import Claims
from interlock_server.service.server import Server
from interlock_server.store.claims import claim_take

KINDS = ("blocking", "async")
each = pytest.mark.parametrize("kind", KINDS)


async def echo(call: Call) -> Any:
    return call.args


async def end(service: Served, run: v1.Run) -> None:
    """Waits until a run completes, however often it pauses."""
    async with asyncio.timeout(60):
        async for _ in service.runs.WatchRun(v1.WatchRunRequest(run_id=run.run_id)):
            pass
    assert (await get(service, run)).state == v1.RUN_STATE_COMPLETED


def held_at(point: Point) -> Callable[[Call], Awaitable[str]]:
    """A handler that is held."""

    async def handle(call: Call) -> str:
        await point.pass_through()
        return "done"

    return handle


# Executing.


@each
async def test_a_call_is_executed_and_reported(database_url: str, kind: str) -> None:
    calls: list[Call] = []

    async def handle(call: Call) -> Any:
        calls.append(call)
        return {"n": 9007199254740993, "big": 10**30}

    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": handle}) as one,
    ):
        run = await start(service)
        assert await one.seen.outcomes(1) == ["reported"]
        ended = await rest(service, run)
    [made] = result_of(ended, "work").tool_executions
    assert made.result_json == '{"n":9007199254740993,"big":1000000000000000000000000000000}'
    [call] = calls
    assert (call.tool_name, call.args, call.run_id, call.epoch) == ("fetch", {}, run.run_id, 1)
    assert call.requirement_id == call.requirement.id
    assert call.requirement.claim is not None
    assert call.requirement.claim.worker_id == one.worker.worker_id
    assert not call.is_cancelled
    assert call.error is None


async def raises(call: Call) -> Any:
    raise KeyError("no such table")


async def raises_nothing_readable(call: Call) -> Any:
    raise LookupError


async def raises_too_much(call: Call) -> Any:
    raise ValueError("\ud800" + "x" * 10_000)


async def gives_no_json(call: Call) -> Any:
    return object()


async def gives_too_much(call: Call) -> Any:
    return "x" * 1_000_001


@each
@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (raises, "'no such table'"),
        (raises_nothing_readable, "LookupError"),
        (raises_too_much, "?" + "x" * 3_999),
        (gives_no_json, "The result is not JSON: Object of type object is not JSON serializable"),
        (gives_too_much, "The result was refused: resolution.external_result.result_json: "),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
async def test_the_agent_reads_why_a_call_failed(
    database_url: str, kind: str, handler: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work._log, "disabled", True)  # Test runners cannot pass such text on.
    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": handler}) as one,
    ):
        run = await start(service)
        assert await one.seen.outcomes(1) == ["failed"]
        ended = await rest(service, run)
    [made] = result_of(ended, "work").tool_executions
    assert made.error_message.startswith(told)
    assert one.seen.ended[0].error is not None


@each
async def test_no_more_calls_at_once_than_it_is_told(database_url: str, kind: str) -> None:
    point, at_once, most = Point(), 0, 0

    async def handle(call: Call) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 3:
            point.released.set()
        await point.released.wait()
        at_once -= 1
        return 1

    async with (
        served(calls_at_once(*["fetch"] * 9), database_url) as service,
        working(kind, service.target, {"fetch": handle}, concurrency=3) as one,
    ):
        run = await start(service)
        assert await one.seen.outcomes(9) == ["reported"] * 9
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED
    assert most == 3


@each
async def test_two_workers_share_calls_and_none_is_executed_twice(
    database_url: str, kind: str
) -> None:
    executed: Counter[str] = Counter()

    async def handle(call: Call) -> str:
        executed[call.requirement_id] += 1
        return call.tool_name

    app = calls_at_once(*["fetch", "store"] * 10)
    handlers = {"fetch": handle, "store": handle}
    async with served(app, database_url, servers=3) as service:
        one, other, third = (
            working(kind, replica.target, handlers, concurrency=4) for replica in service.replicas
        )
        async with one, other, third:
            for run in [await start(service) for _ in range(3)]:
                await end(service, run)
    assert len(executed) == 60
    assert set(executed.values()) == {1}


@each
async def test_calls_of_other_tools_and_workflows_are_left_alone(
    database_url: str, kind: str
) -> None:
    async with served(calls_at_once("fetch", "store"), database_url) as service:
        options = {"workflow_id": "Other"}
        async with (
            working(kind, service.target, {"store": echo}) as one,
            working(kind, service.target, {"fetch": echo}, **options) as other,
        ):
            run = await service.run("Work")
            await one.seen.outcomes(1)
            assert other.seen.ended == []
        [left] = open_requirements(await get(service, run))
        assert left.tool_execution.tool_name == "fetch"
        assert not left.HasField("claim")


# Keeping a claim, and losing it.


class Renewals:
    """Counts the renewals that a service takes."""

    def __init__(self, service: Served) -> None:
        self._claims = service.runtime.claims
        self._count = 0
        self._changed = asyncio.Event()
        self._renew = self._claims.renew
        self._claims.renew = self._counted  # type: ignore[method-assign, assignment]

    async def _counted(self, *given: Any) -> v1.Requirement:
        renewed = await self._renew(*given)
        self._count += 1
        self._changed.set()
        return renewed

    async def happen(self, count: int) -> None:
        """Comes back after so many."""
        async with asyncio.timeout(30):
            while self._count < count:
                self._changed.clear()
                await self._changed.wait()


@each
async def test_a_claim_is_kept_for_as_long_as_the_handler_takes(
    database_url: str, kind: str
) -> None:
    clock, point = Clock(), Point()
    async with clock.serving(one_call(), database_url, servers=1) as service:
        renewals = Renewals(service)
        handlers = {"fetch": held_at(point)}
        async with working(kind, service.target, handlers, lease=1) as one:
            run = await start(service)
            await point.entered.wait()
            for turn in range(1, 4):
                clock.pass_by(0.9)
                await renewals.happen(2 * turn)
                assert await claim(service, worker="other") is None
            point.released.set()
            assert await one.seen.outcomes(1) == ["reported"]
            assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED


@each
async def test_a_worker_that_lost_its_claim_drops_the_work_and_goes_on(
    database_url: str, kind: str
) -> None:
    clock, point, told = Clock(), Point(), asyncio.Event()

    async def handle(call: Call) -> str:
        if point.entered.is_set():
            return "second"
        try:
            await point.pass_through()
        except asyncio.CancelledError:
            told.set()
            raise
        return "first"

    async with (
        clock.serving(calls_at_once("fetch", "fetch"), database_url) as service,
        working(kind, service.target, {"fetch": handle}, lease=1) as one,
    ):
        run = await start(service)
        await point.entered.wait()
        await rest(service, run)
        clock.pass_by(1)
        while (taken := await claimed(service, worker="other")).claim.epoch < 2:
            await reject_it(service, taken)
        assert await one.seen.outcomes(1) == ["lost"]
        await told.wait()
        assert one.seen.ended[0].is_cancelled
        assert (await requirement_now(service, taken)).claim == taken.claim
        await start(service)
        assert (await one.seen.outcomes(3))[1:] == ["reported"] * 2


async def reject_it(service: Served, requirement: v1.Requirement) -> object:
    return await resolve_one(service, reject(requirement))


async def cancel_its_run(service: Served, requirement: v1.Requirement) -> object:
    return await service.runs.CancelRun(v1.CancelRunRequest(run_id=requirement.run_id))


@each
@pytest.mark.parametrize("ending", [reject_it, cancel_its_run])
async def test_a_person_wins_over_the_handler(database_url: str, kind: str, ending: Any) -> None:
    point = Point()
    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": held_at(point)}, lease=1) as one,
    ):
        run = await start(service)
        await point.entered.wait()
        await ending(service, only(await rest(service, run)))
        assert await one.seen.outcomes(1) == ["lost"]
        assert point.passed == 0
        point.released.set()
        await start(service)
        assert await one.seen.outcomes(2) == ["lost", "reported"]


@each
async def test_a_late_result_is_refused_and_not_repeated(database_url: str, kind: str) -> None:
    """Of a worker that hears of the loss only with its report."""
    clock, point = Clock(), Point()
    async with clock.serving(one_call(), database_url) as service:
        async with working(kind, service.target, {"fetch": held_at(point)}, lease=600) as one:
            run = await start(service)
            await point.entered.wait()
            await rest(service, run)
            clock.pass_by(600)
            taken = await claimed(service, worker="other")
            point.released.set()
            assert await one.seen.outcomes(1) == ["lost"]
        assert (await requirement_now(service, taken)).claim == taken.claim


# Stopping.


@each
async def test_a_worker_that_stops_takes_nothing_new(database_url: str, kind: str) -> None:
    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": echo}) as one,
    ):
        await somebody_asks(service)
        await one.stopped()
        await somebody_asks(service, 0)
        run = await service.run("Work")
        assert not only(run).HasField("claim")
        assert one.seen.ended == []


@each
async def test_a_worker_that_stops_lets_its_handlers_end(database_url: str, kind: str) -> None:
    point = Point()
    async with served(calls_at_once("fetch", "fetch"), database_url) as service:
        async with working(kind, service.target, {"fetch": held_at(point)}) as one:
            run = await start(service)
            await point.entered.wait()
            one.stop()
            assert not one.running.done()
            point.released.set()
            assert await one.seen.outcomes(1) == ["reported"]
            await one.stopped()
        left = only(await rest(service, run))
        assert not left.HasField("claim")


@each
async def test_handlers_that_take_too_long_are_told_and_their_calls_given_back(
    database_url: str, kind: str
) -> None:
    point = Point()
    async with served(one_call(), database_url) as service:
        async with working(kind, service.target, {"fetch": held_at(point)}) as one:
            await start(service)
            await point.entered.wait()
            one.stop(600)
            await one.stopped(0.01)
            assert await one.seen.outcomes(1) == ["released"]
            assert one.seen.ended[0].is_cancelled
        assert (await claimed(service)).claim.epoch == 2


@each
async def test_a_call_whose_handler_does_not_end_is_not_given_back(
    database_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or another worker would execute it at the same time."""
    monkeypatch.setattr(_threads, "MOMENT_SECONDS", 0.05)
    monkeypatch.setattr(_tasks, "MOMENT_SECONDS", 0.05)
    point = Point()

    async def handle(call: Call) -> str:
        passing = asyncio.ensure_future(point.pass_through())
        while not passing.done():
            try:
                await asyncio.shield(passing)
            except asyncio.CancelledError:
                continue
        return "too late"

    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": handle}) as one,
    ):
        run = await start(service)
        await point.entered.wait()
        await one.stopped(0)
        assert await one.seen.outcomes(1) == ["lost"]
        held = only(await rest(service, run))
        assert held.claim.worker_id == one.worker.worker_id
        point.released.set()


@each
async def test_what_was_given_in_the_moment_of_the_stop_is_given_back(
    database_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the claim in hand when the worker goes."""
    has_it, opens = asyncio.Event(), asyncio.Event()

    async def take(*given: Any) -> Any:
        taken = await claim_take(*given)
        if taken.requirement is not None and not has_it.is_set():
            has_it.set()
            await opens.wait()
        return taken

    monkeypatch.setattr(claims, "claim_take", take)
    async with served(one_call(), database_url) as service:
        async with working(kind, service.target, {"fetch": echo}) as one:
            run = await start(service)
            await has_it.wait()
            await one.stopped()
            opens.set()
            for replica in service.replicas:
                await replica.runtime.claims.close()
        assert not only(await rest(service, run)).HasField("claim")
        assert one.seen.ended == []


@each
async def test_what_is_given_to_a_worker_that_has_just_stopped_is_given_back(
    database_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Inbox.claim_once

    async def stopping(self: Inbox, *given: Any) -> Any:
        claimed = await ask(self, *given)
        if claimed is not None:
            one.stop()
        return claimed

    monkeypatch.setattr(Inbox, "claim_once", stopping)
    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": echo}) as one,
    ):
        run = await start(service)
        async with asyncio.timeout(30):
            await one.running
        assert not only(await rest(service, run)).HasField("claim")
        assert one.seen.ended == []
        assert (await claimed(service)).claim.epoch == 2


@each
async def test_what_was_given_in_a_reply_that_nobody_hears_is_given_back(
    database_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stops while the reply is on its way: it asks once more, and gives that back."""
    is_given, ask = asyncio.Event(), Claims.claim

    async def lost(self: Claims, *given: Any) -> Any:
        claimed = await ask(self, *given)
        if claimed is not None and not is_given.is_set():
            is_given.set()
            await asyncio.Event().wait()
        return claimed

    monkeypatch.setattr(Claims, "claim", lost)
    async with served(one_call(), database_url) as service:
        async with working(kind, service.target, {"fetch": echo}) as one:
            run = await start(service)
            await is_given.wait()
            await one.stopped()
        left = only(await rest(service, run))
        assert not left.HasField("claim")
        assert (await claimed(service)).claim.epoch == 2


@each
async def test_leaving_the_context_stops(database_url: str, kind: str) -> None:
    async with served(one_call(), database_url) as service:
        if kind == "async":
            async with (
                AsyncClient(service.target) as client,
                AsyncWorker(client, {"fetch": echo}),
            ):
                await end(service, await start(service))
        else:
            await asyncio.to_thread(_work_in_a_context, service.target)
        await somebody_asks(service, 0)


def _work_in_a_context(target: str) -> None:
    with Client(target) as client:
        workflow = client.workflow("Work")
        with Worker(client, {"fetch": lambda call: call.args}):
            run = workflow.run("go", wait_timeout=0)
            for event in client.watch_run(run):
                if event.case == "workflow_completed":
                    return
    raise AssertionError("the run did not end")


async def test_cancelling_a_worker_gives_its_calls_back(database_url: str) -> None:
    point = Point()
    async with served(one_call(), database_url) as service:
        async with working("async", service.target, {"fetch": held_at(point)}) as one:
            await start(service)
            await point.entered.wait()
            one.running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one.running
            assert await one.seen.outcomes(1) == ["released"]
        assert (await claimed(service)).claim.epoch == 2


WORKING_PROGRAM = """
import sys, time
from interlock import Client, Worker

def handle(call):
    print("at work", flush=True)
    sys.stdin.readline()
    return "done"

worker = Worker(Client(sys.argv[1]), {"fetch": handle}, on_end=lambda call: print(call.outcome))
print("ready", flush=True)
try:
    worker.run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


async def test_ctrl_c_ends_a_worker_that_waits(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKING_PROGRAM, service.target), stdout=subprocess.PIPE
        )
        async with asyncio.timeout(60):
            await somebody_asks(service)
            program.send_signal(signal.SIGINT)
            printed, _ = await program.communicate()
        assert printed.decode().split() == ["ready", "interrupted"]
        await somebody_asks(service, 0)
        assert not only(await service.run("Work")).HasField("claim")


async def test_ctrl_c_lets_the_handlers_end(database_url: str) -> None:
    async with served(one_call(), database_url) as service:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKING_PROGRAM, service.target),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert program.stdin
        assert program.stdout
        async with asyncio.timeout(60):
            run = await start(service)
            assert await program.stdout.readuntil(b"at work\n")
            program.send_signal(signal.SIGINT)
            program.stdin.write(b"go on\n")
            rest_of_it, _ = await program.communicate()
        assert rest_of_it.decode().split() == ["reported", "interrupted"]
        assert (await rest(service, run)).state == v1.RUN_STATE_COMPLETED


# What goes wrong with the server.


@each
async def test_a_worker_lives_through_a_restart_of_the_server(database_url: str, kind: str) -> None:
    point, app = Point(), one_call()
    async with (
        served(app, database_url, servers=1) as service,
        working(kind, service.target, {"fetch": held_at(point)}) as one,
    ):
        run = await start(service)
        await point.entered.wait()
        await rest(service, run)
        await service.server.stop(0)
        async with _again(app, service) as server:
            point.released.set()
            assert await one.seen.outcomes(1) == ["reported"]
            assert one.seen.ended[0].epoch == 1
            async with grpc.aio.insecure_channel(service.target) as channel:
                other = Served(service.target, service.runtime, server, channel)
                assert (await rest(other, run)).state == v1.RUN_STATE_COMPLETED
                await start(other)
                assert await one.seen.outcomes(2) == ["reported"] * 2
                await one.stopped()


class _again:  # noqa: N801 # used like a function
    """The same app on the same address, from a server that has started since."""

    def __init__(self, app: Interlock, service: Served) -> None:
        self._runtime = app.runtime(service.runtime.database)
        self._server = Server(self._runtime)
        self._target = service.target

    async def __aenter__(self) -> Server:
        await self._runtime.start()
        await self._server.start(self._target)
        return self._server

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(5)


@each
async def test_a_refused_claim_ends_the_worker_after_its_calls(
    database_url: str, kind: str
) -> None:
    async with served(one_call(), database_url) as service:
        options = {"worker_id": "x" * 65}
        async with working(kind, service.target, {"fetch": echo}, **options) as one:
            with pytest.raises(InvalidArgumentError, match="worker_id"):
                await one.running


@each
async def test_what_on_end_raises_ends_the_worker(database_url: str, kind: str) -> None:
    def on_end(call: Call) -> None:
        raise LookupError(call.outcome)

    async with (
        served(one_call(), database_url) as service,
        working(kind, service.target, {"fetch": echo}, on_end=on_end) as one,
    ):
        await start(service)
        with pytest.raises(LookupError, match="reported"):
            async with asyncio.timeout(30):
                await one.running


# What is asked of the server.


@each
async def test_what_is_sent(server: ScriptedServer, kind: str) -> None:
    asked = samples.requirement("EXTERNAL_EXECUTION")
    asked.claim.epoch = 7
    server.script("ClaimRequirement", UNAVAILABLE)
    server.script("ClaimRequirement", v1.ClaimRequirementResponse())
    server.script("ClaimRequirement", v1.ClaimRequirementResponse(requirement=asked))
    server.script("ClaimRequirement", Hang())
    server.answer("ClaimRequirement", lambda _: iter([v1.ClaimRequirementResponse()]))
    server.script("ResolveRequirement", UNAVAILABLE)
    server.script("ResolveRequirement", v1.ResolveRequirementResponse(requirement=asked))
    options: dict[str, Any] = {"worker_id": "me", "lease": 60, "workflow_id": "greet"}
    async with working(kind, server.target, {"send_money": echo}, **options) as one:
        assert await one.seen.outcomes(1) == ["reported"]
        async with asyncio.timeout(10):
            while len(server.requests("ClaimRequirement")) < 4:
                await asyncio.sleep(0.001)
        await one.stopped()
    again, idle, given, *waiting = server.requests("ClaimRequirement")
    assert again == idle
    request = v1.ClaimRequirementRequest(
        worker_id="me", tool_names=["send_money"], workflow_id="greet", request_id=idle.request_id
    )
    request.lease_duration.FromSeconds(60)
    request.wait_timeout.FromSeconds(20)
    assert idle == request
    ids = {one.request_id for one in (idle, given, waiting[0])}
    assert len(ids) == 3
    assert all(len(one) == 36 for one in ids)
    first, second = server.requests("ResolveRequirement")
    assert first == second
    assert first == v1.ResolveRequirementRequest(
        resolution=v1.RequirementResolution(
            requirement_id="req-1",
            external_result=v1.ExternalResult(result_json='{"amount":9007199254740993}'),
        ),
        request_id=first.request_id,
        claim_epoch=7,
    )


@each
async def test_a_server_that_has_no_claims_is_said_so(server: ScriptedServer, kind: str) -> None:
    server.script("ClaimRequirement", Abort(grpc.StatusCode.UNIMPLEMENTED))
    async with working(kind, server.target, {"fetch": echo}) as one:
        with pytest.raises(UnimplementedError):
            await one.running


@each
async def test_a_worker_waits_for_a_server_and_can_be_stopped_meanwhile(kind: str) -> None:
    async with working(kind, "127.0.0.1:1", {"fetch": echo}) as one:
        done, _ = await asyncio.wait((one.running,), timeout=0.5)
        assert not done
        await one.stopped()


# Mistakes.


def test_a_worker_needs_a_handler_of_its_kind() -> None:
    with Client("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="at least one tool"):
            Worker(client, {})
        with pytest.raises(ValueError, match="at least 1"):
            Worker(client, {"fetch": str}, concurrency=0)
        with pytest.raises(TypeError, match="'fetch' is async: use AsyncWorker"):
            Worker(client, {"fetch": echo})
    aclient = AsyncClient("127.0.0.1:1")
    with pytest.raises(TypeError, match="'fetch' is not async: use Worker"):
        AsyncWorker(aclient, {"fetch": str})  # type: ignore[dict-item]


def test_workers_have_names_of_their_own() -> None:
    with Client("127.0.0.1:1") as client:
        names = {Worker(client, {"fetch": str}).worker_id for _ in range(2)}
        assert len(names) == 2
        assert Worker(client, {"fetch": str}, worker_id="me").worker_id == "me"
