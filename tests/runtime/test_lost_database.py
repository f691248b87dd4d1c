"""A database that goes away, and comes back: nothing is lost, and nothing is stored twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import grpc
import pytest
from sqlalchemy import TextClause, text
from tests.support.clock import Clock
from tests.support.service import Served, confirm, reject, served
from tests.support.workbench import (
    LAST_KINDS,
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    get,
    kinds,
    only,
    refused,
    resolve_one,
    rest,
    start,
)

from interlock import v1
from interlock_server import Interlock, Loop, ModelRequest, Step, call
from interlock_server.errors import StoreUnavailable
from interlock_server.runtime.runtime import Timing
from interlock_server.store import decisions, definitions, runs
from interlock_server.store.database import Connection, Database

Loss = Literal["before", "after", ""]
"""Whether a message is lost on its way to the database, or its answer on the way back."""


class Line:
    """The way of one server to its database.

    Args:
        loses: says of each message whether it is lost; a transaction is one message.
    """

    def __init__(self, database: Database) -> None:
        self._fetch, self._transaction = database.fetch, database.transaction
        database.fetch = self.fetch  # type: ignore[method-assign]
        database.transaction = self.transaction  # type: ignore[method-assign]
        self.loses: Callable[[TextClause | None], Loss] = lambda _: ""
        self.lost = asyncio.Event()
        self.commit_lost = asyncio.Event()

    def cut(self) -> None:
        """Nothing comes through any more."""
        self.loses = lambda _: "before"

    def mend(self) -> None:
        """Everything comes through again."""
        self.loses = lambda _: ""

    async def fetch(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        loss = self.loses(statement)
        if loss != "before":
            rows = await self._fetch(statement, parameters)
            if not loss:
                return rows
        self.lost.set()
        if is_commit(statement):
            self.commit_lost.set()
        raise StoreUnavailable

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        loss = self.loses(None)
        if loss != "before":
            async with self._transaction() as connection:
                yield connection
            if not loss:
                return
        self.lost.set()
        raise StoreUnavailable


def lossy(service: Served) -> Line:
    return Line(service.runtime.database)


def is_commit(statement: TextClause | None) -> bool:
    return statement is not None and "commits = :number," in statement.text


def forget(service: Served, run: v1.Run) -> None:
    """Decisions on a run are stored by themselves then, and what they allow is read after that."""
    service.runtime._setting.recent.take(run.run_id, "")


async def never_told(
    service: Served, paused: v1.Run, answer: v1.RequirementResolution, decides: str
) -> None:
    """Somebody answers, in one way or the other, and hears that the database is lost."""
    by_run = decides == "continue"
    given = service.resolve(paused, answer) if by_run else resolve_one(service, answer)
    assert (await refused(given)).reason == "STORE_UNAVAILABLE"


def one_server(app: Interlock, database_url: str) -> Any:
    return served(app, database_url, servers=1)


# Callers.


async def test_callers_are_told_to_come_back(database_url: str) -> None:
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with one_server(app, database_url) as service:
        paused = await service.run("Work")
        line = lossy(service)
        line.cut()
        run_id, asked = paused.run_id, only(paused)
        requests = [
            service.runs.Run(v1.RunRequest(spec=v1.RunSpec(workflow_id="Work"))),
            service.runs.GetRun(v1.GetRunRequest(run_id=run_id)),
            service.runs.WaitRun(v1.WaitRunRequest(run_id=run_id)),
            service.runs.ListRuns(v1.ListRunsRequest()),
            service.runs.CancelRun(v1.CancelRunRequest(run_id=run_id)),
            service.resolve(paused, confirm(asked)),
            resolve_one(service, confirm(asked)),
            service.requirements.ListRequirements(v1.ListRequirementsRequest()),
        ]
        for request in requests:
            problem = await refused(request)
            assert problem.code is grpc.StatusCode.UNAVAILABLE
            assert problem.reason == "STORE_UNAVAILABLE"
            assert "RetryInfo" in problem.details
        line.mend()
        assert await get(service, paused) == paused
        ended = await service.resolve(paused, confirm(asked))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_a_run_whose_caller_was_never_told_is_taken_up_and_found_again(
    database_url: str,
) -> None:
    clock, ledger = Clock(), Ledger()
    app = agent_app([call("look", what="it"), "done"], ledger.free())
    async with clock.serving(app, database_url, Timing(lease=10), servers=1) as service:
        line = lossy(service)
        line.loses = lambda statement: "after" if statement is runs._CREATE else ""
        request = v1.RunRequest(spec=v1.RunSpec(workflow_id="Work"), request_id="once")
        assert (await refused(service.runs.Run(request))).reason == "STORE_UNAVAILABLE"
        line.mend()
        assert ledger.calls == []
        clock.pass_by(11)
        await service.runtime.take_over()
        ended = (await service.runs.Run(request)).run
        listed = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert [one.run_id for one in listed] == [ended.run_id]
    assert ledger.calls == ["it"]


@pytest.mark.parametrize("decides", ["continue", "resolve"])
async def test_a_decision_whose_maker_was_never_told_stands_where_the_run_is_remembered(
    database_url: str, decides: str
) -> None:
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with one_server(app, database_url) as service:
        paused = await service.run("Work")
        line = lossy(service)
        line.loses = lambda statement: _once(line, "after") if is_commit(statement) else ""
        answer = confirm(only(paused))
        await never_told(service, paused, answer, decides)
        ended = await rest(service, paused)
        assert (await resolve_one(service, answer)).requirement.resolution == answer
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert happened.count("workflow_continued") == 1
    assert ledger.calls == ["it"]


@pytest.mark.parametrize("lost", ["the decision", "what it needs"])
async def test_a_decision_that_was_lost_is_not_made_again_by_itself(
    database_url: str, lost: str
) -> None:
    """Its maker was told to come back, and does: with the opposite."""
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with one_server(app, database_url) as service:
        paused = await service.run("Work")
        line, read = lossy(service), list[TextClause]()
        if lost == "the decision":
            line.loses = lambda statement: _once(line, "before") if is_commit(statement) else ""
        else:
            service.runtime._setting.definitions.clear()

            def loses(statement: TextClause | None) -> Loss:
                if statement is definitions._GET:
                    read.append(statement)
                return "before" if statement is definitions._GET and len(read) == 2 else ""

            line.loses = loses
        asked = only(paused)
        problem = await refused(service.resolve(paused, confirm(asked)))
        assert problem.reason == "STORE_UNAVAILABLE"
        assert line.lost.is_set()
        await asyncio.gather(*service.runtime._legs.values())
        assert await get(service, paused) == paused
        ended = await service.resolve(paused, reject(asked))
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert happened.count("workflow_continued") == 1
    assert ledger.calls == []


async def test_nothing_happens_before_the_decision_that_it_rests_on_is_stored(
    database_url: str,
) -> None:
    """Not even what may be repeated, such as to ask a model once more."""
    ledger, asked = Ledger(), list[int]()

    def answer(request: ModelRequest) -> str:
        asked.append(len(request.messages))
        return "done"

    app = agent_app([call("act", what="it"), answer], ledger.gated())
    async with one_server(app, database_url) as service:
        paused = await service.run("Work")
        line = lossy(service)
        line.loses = lambda statement: _once(line, "before") if is_commit(statement) else ""
        no = reject(only(paused))
        assert (await refused(service.resolve(paused, no))).reason == "STORE_UNAVAILABLE"
        await asyncio.gather(*service.runtime._legs.values())
        assert asked == []
        ended = await service.resolve(paused, no)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert len(asked) == 1


@pytest.mark.parametrize("decides", ["continue", "resolve", "clock"])
async def test_a_decision_whose_maker_was_never_told_stands_and_is_acted_on_once(
    database_url: str, decides: str
) -> None:
    clock, ledger = Clock(), Ledger()
    gated = ledger.gated(requires_confirmation=True, timeout=60, on_timeout="approve")
    app = agent_app([call("act", what="it"), "done"], gated)
    async with clock.serving(app, database_url, Timing(lease=10), servers=1) as service:
        paused = await service.run("Work")
        forget(service, paused)
        line = lossy(service)
        line.loses = lambda statement: "after" if statement is decisions._RESOLVE else ""
        answer = confirm(only(paused))
        if decides == "clock":
            clock.pass_by(60)
            # Whoever looks at the clock first loses the answer; that may be the server by itself.
            while not line.lost.is_set():
                try:
                    await service.runtime.fire_timers()
                except StoreUnavailable:
                    break
        else:
            await never_told(service, paused, answer, decides)
        line.mend()
        assert (await get(service, paused)).state == v1.RUN_STATE_RUNNING
        assert ledger.calls == []
        clock.pass_by(11)
        await service.runtime.take_over()
        if decides != "clock":
            await resolve_one(service, answer)  # The same again is the same.
        ended = await rest(service, paused)
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert happened.count("workflow_continued") == 1
    assert ledger.calls == ["it"]


# Runs under way.


async def test_a_run_waits_for_its_database_and_goes_on(database_url: str) -> None:
    point, ledger = Point(), Ledger()
    turns: list[Any] = [call("hold"), call("look", what="then"), "done"]
    app = agent_app(turns, point.tool(), ledger.free())
    async with one_server(app, database_url) as service:
        run = await start(service)
        await point.entered.wait()
        line = lossy(service)
        line.cut()
        point.released.set()
        await line.commit_lost.wait()
        line.mend()
        ended = await rest(service, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert point.passed == 1
    assert ledger.calls == ["then"]


async def test_an_approved_call_does_not_start_before_its_start_is_stored(
    database_url: str,
) -> None:
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with one_server(app, database_url) as service:
        paused = await service.run("Work")
        forget(service, paused)
        line = lossy(service)
        line.loses = lambda statement: "before" if is_commit(statement) else ""
        continuing = asyncio.ensure_future(service.resolve(paused, confirm(only(paused))))
        await line.lost.wait()
        line.lost.clear()
        await line.lost.wait()  # It has tried twice.
        assert ledger.calls == []
        line.mend()
        ended = await continuing
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


async def test_a_start_that_is_stored_late_is_taken_for_what_it_is(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent, the line broke, and it is carried out just before it is sent again."""
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with one_server(app, database_url) as service:
        paused = await service.run("Work")
        forget(service, paused)
        database, held = service.runtime.database, list[Any]()
        fetch = database.fetch

        async def late(statement: TextClause, parameters: Mapping[str, Any] | None = None) -> Any:
            if is_commit(statement):
                held.append(parameters)
                if len(held) == 1:
                    raise StoreUnavailable
                if len(held) == 2:
                    await fetch(statement, held[0])
            return await fetch(statement, parameters)

        monkeypatch.setattr(database, "fetch", late)
        ended = await service.resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]


def busy(ledger: Ledger) -> Interlock:
    """A workflow that writes in many ways: calls, questions, repeats, failures, an end."""
    turn = [call("act", what="a"), call("look", what="b")]
    worker = agent([turn, call("act", what="c"), "done"], ledger.gated(), ledger.free())

    def note(given: Any) -> str:
        ledger.calls.append("note")
        if ledger.calls.count("note") == 1:
            raise RuntimeError("not yet")
        return "noted"

    loop = Loop(name="loop", steps=[Step(name="note", executor=note, max_retries=1)])
    return app_of(Step(name="work", agent=worker), loop)


async def played(service: Served) -> tuple[v1.Run, list[str]]:
    """A run with a yes to everything, and what happened in it."""
    run = await start(service)
    while (run := await rest(service, run)).state == v1.RUN_STATE_PAUSED:
        request = v1.ContinueRunRequest(run_id=run.run_id, resolutions=[confirm(only(run))])
        try:
            await service.runs.ContinueRun(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise  # Else it is told to come back, and does.
    return run, kinds(await service.events(run))


@pytest.mark.parametrize("loss", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2])
async def test_whichever_commit_is_lost_the_run_is_the_same(
    database_url: str, loss: Loss, times: int
) -> None:
    ledger = Ledger()
    eager = Timing(commit_delay=0)
    async with served(busy(ledger), database_url, eager, servers=1) as service:
        reference, expected = await played(service)
        did = list(ledger.calls)
        line = lossy(service)
        for lost in itertools.count():
            ledger.calls.clear()
            numbers = itertools.count()

            def loses(statement: TextClause | None, lost: int = lost) -> Loss:
                if not is_commit(statement):
                    return ""
                return loss if lost <= next(numbers) < lost + times else ""  # noqa: B023

            line.loses = loses
            run, happened = await played(service)
            assert sorted(happened) == sorted(expected)
            assert [one for one in happened if one in LAST_KINDS] == happened[-1:]
            assert run.output_json == reference.output_json
            assert ledger.calls == did
            if next(numbers) <= lost:
                break
    assert lost > 5


@pytest.mark.parametrize("loss", ["before", "after"])
async def test_a_change_of_the_session_whose_commit_is_lost_is_made_once(
    database_url: str, loss: Loss
) -> None:
    point = Point()

    async def count(given: Any, session_state: dict[str, Any]) -> int:
        await point.pass_through()
        session_state["count"] = session_state.get("count", 0) + 1
        return int(session_state["count"])

    app = app_of(Step(name="count", executor=count))
    async with one_server(app, database_url) as service:
        run = await start(service, session_id="s")
        await point.entered.wait()
        line = lossy(service)
        line.loses = lambda statement: _once(line, loss) if statement is None else ""
        point.released.set()
        ended = await rest(service, run)
        assert line.lost.is_set()
        session = (await service.sessions.GetSession(v1.GetSessionRequest(session_id="s"))).session
        happened = kinds(await service.events(ended))
    assert session.state_json == '{"count":1}'
    assert ended.output_json == "1"
    assert happened.count("step_completed") == happened.count("workflow_completed") == 1
    assert point.passed == 1


@pytest.mark.parametrize("loss", ["before", "after"])
async def test_the_end_of_a_cancelled_run_is_stored_once(database_url: str, loss: Loss) -> None:
    point = Point()
    app = agent_app([call("hold"), "done"], point.tool())
    async with one_server(app, database_url) as service:
        run = await start(service)
        await point.entered.wait()
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=run.run_id, reason="enough"))
        line = lossy(service)
        line.loses = lambda statement: _once(line, loss) if statement is None else ""
        point.released.set()
        ended = await rest(service, run)
        assert line.lost.is_set()
        await asyncio.gather(*service.runtime._legs.values())
        happened = kinds(await service.events(ended))
        assert await get(service, run) == ended
    assert ended.state == v1.RUN_STATE_CANCELLED
    assert [one for one in happened if one in LAST_KINDS] == ["workflow_cancelled"]


def _once(line: Line, loss: Loss) -> Loss:
    return "" if line.lost.is_set() else loss


# Other owners.


ALL = "SELECT to_jsonb(one) AS row FROM {} AS one ORDER BY to_jsonb(one)::text"


async def stored(database: Database) -> list[Any]:
    """All rows about runs."""
    tables = ("runs", "events", "journal", "requirements", "sessions")
    found = [await database.fetch(text(ALL.format(one))) for one in tables]
    return [[row.row for row in rows] for rows in found]


@pytest.mark.parametrize("loss", ["before", "after"])
async def test_what_comes_back_to_a_run_that_was_taken_over_writes_nothing(
    database_url: str, loss: Loss
) -> None:
    """The effect happened, and whoever took over does not know; that is a person's to say."""
    clock, point, quick = Clock(), Point(), Timing(lease=10, commit_delay=0)
    hold = point.tool(requires_confirmation=True)
    app = agent_app([call("hold"), "done"], hold)
    async with clock.serving(app, database_url, quick, servers=2) as service:
        owner, other = service.replicas
        run = await start(owner)
        await resolve_one(owner, confirm(only(await rest(owner, run))))
        await point.entered.wait()
        [task] = owner.runtime._legs.values()
        line = lossy(owner)
        line.cut()
        if loss == "after":
            line.loses = lambda statement: "after" if is_commit(statement) else "before"
        point.released.set()
        await line.commit_lost.wait()
        clock.pass_by(11)
        await other.runtime.take_over()
        rested = await rest(other, run)
        before = await stored(other.runtime.database)
        line.mend()
        async with asyncio.timeout(60):
            await task
        assert await stored(other.runtime.database) == before
        if loss == "before":
            assert only(rested).kind == v1.REQUIREMENT_KIND_IN_DOUBT
        else:
            # The result was stored, so there is no doubt.
            assert rested.state == v1.RUN_STATE_COMPLETED
    assert point.passed == 1


async def test_a_server_that_stops_does_not_wait_for_a_database_that_is_gone(
    database_url: str,
) -> None:
    clock, point, quick = Clock(), Point(), Timing(lease=10)
    app = agent_app([call("hold"), "done"], point.tool(requires_confirmation=True))
    async with clock.serving(app, database_url, quick, servers=1) as service:
        run = await start(service)
        await resolve_one(service, confirm(only(await rest(service, run))))
        await point.entered.wait()
        line = lossy(service)
        line.cut()
        point.released.set()
        await line.commit_lost.wait()
        async with asyncio.timeout(10):
            await service.server.stop(0.5)
    clock.pass_by(11)
    async with clock.serving(app, database_url, quick) as service:
        paused = await rest(service, run)
        assert only(paused).kind == v1.REQUIREMENT_KIND_IN_DOUBT
    assert point.passed == 1
