"""Lists: every page follows the one before, whatever happens meanwhile, and filters hold."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.support.service import Served, confirm, open_requirements, reject, served
from tests.support.workbench import Ledger, agent_app, app_of, get, only, start

from interlock import v1
from interlock_server import Agent, Interlock, ScriptedModel, Step, Workflow, call

Page = Callable[[int, str], Awaitable[tuple[Sequence[Any], str]]]


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server's own time zone, which is nobody's business."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def asking(ledger: Ledger) -> Interlock:
    return agent_app([call("act", what="it"), "done"], ledger.gated())


async def pages(fetch: Page, size: int) -> list[list[Any]]:
    """All pages, of `size` each."""
    found, token = [], ""
    while True:
        items, token = await fetch(size, token)
        found.append(list(items))
        assert len(found) < 20, "the pages go round in a circle"
        if not token:
            return found


async def assert_pages(fetch: Page, expected: Sequence[Any]) -> None:
    """Three at a time, seven at a time, and all at once: always the same, without a gap."""
    expected = list(expected)
    assert len(expected) == 7
    assert await pages(fetch, 3) == [expected[:3], expected[3:6], expected[6:]]
    assert await pages(fetch, 7) == [expected]
    assert await pages(fetch, 0) == [expected]
    assert await pages(fetch, 1) == [[one] for one in expected]


def runs_of(service: Served, selected: v1.RunFilter | None = None) -> Page:
    async def fetch(size: int, token: str) -> tuple[Sequence[str], str]:
        request = v1.ListRunsRequest(page_size=size, page_token=token, filter=selected)
        response = await service.runs.ListRuns(request)
        return [one.run_id for one in response.runs], response.next_page_token

    return fetch


async def ids(service: Served, **selected: Any) -> list[str]:
    """The runs that a filter selects, oldest first."""
    [found] = await pages(runs_of(service, v1.RunFilter(**selected)), 0)
    return found[::-1]


# Pages.


@pytest.mark.usefixtures("zone")
async def test_runs_come_newest_first(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        runs = [await service.run("Work") for _ in range(7)]
        await assert_pages(runs_of(service), [one.run_id for one in reversed(runs)])


@pytest.mark.usefixtures("zone")
async def test_requirements_come_oldest_first(database_url: str) -> None:
    async with served(asking(Ledger()), database_url) as service:
        expected = [only(await service.run("Work")) for _ in range(7)]

        async def fetch(size: int, token: str) -> tuple[Sequence[v1.Requirement], str]:
            request = v1.ListRequirementsRequest(page_size=size, page_token=token)
            response = await service.requirements.ListRequirements(request)
            return response.requirements, response.next_page_token

        await assert_pages(fetch, expected)


@pytest.mark.usefixtures("zone")
async def test_sessions_come_newest_first(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        for number in range(7):
            request = v1.UpdateSessionRequest(
                session=v1.Session(session_id=f"s{number}"), allow_missing=True
            )
            await service.sessions.UpdateSession(request)

        async def fetch(size: int, token: str) -> tuple[Sequence[str], str]:
            request = v1.ListSessionsRequest(page_size=size, page_token=token)
            response = await service.sessions.ListSessions(request)
            return [one.session_id for one in response.sessions], response.next_page_token

        await assert_pages(fetch, [f"s{number}" for number in reversed(range(7))])


async def test_workflows_come_by_name_and_executors_by_type_and_name(database_url: str) -> None:
    names = ["b", "a", "\u00e4", "Z", "1", "d", "c"]
    script = ScriptedModel(["done"])
    app = Interlock([Workflow(name=name, steps=[Agent(name=name, model=script)]) for name in names])
    async with served(app, database_url) as service:

        async def workflows(size: int, token: str) -> tuple[Sequence[str], str]:
            request = v1.ListWorkflowsRequest(page_size=size, page_token=token)
            response = await service.workflows.ListWorkflows(request)
            return [one.workflow_id for one in response.workflows], response.next_page_token

        async def executors(size: int, token: str) -> tuple[Sequence[str], str]:
            request = v1.ListExecutorsRequest(page_size=size, page_token=token)
            response = await service.workflows.ListExecutors(request)
            return [one.ref.executor_id for one in response.executors], response.next_page_token

        await assert_pages(workflows, sorted(names))
        await assert_pages(executors, sorted(names))


async def test_events_come_oldest_first(database_url: str) -> None:
    steps = [Step(name=str(number), executor=lambda given: None) for number in range(2)]
    async with served(app_of(*steps), database_url) as service:
        run = await service.run("Work")
        events = await service.events(run)
        assert len(events) == 6

        def after(sequence: int) -> Page:
            async def fetch(size: int, token: str) -> tuple[Sequence[v1.RunEvent], str]:
                request = v1.ListRunEventsRequest(
                    run_id=run.run_id, page_size=size, page_token=token, after_sequence=sequence
                )
                response = await service.runs.ListRunEvents(request)
                return response.events, response.next_page_token

            return fetch

        assert await pages(after(0), 4) == [events[:4], events[4:]]
        assert await pages(after(0), 3) == [events[:3], events[3:]]
        assert await pages(after(2), 3) == [events[2:5], events[5:]]
        assert await pages(after(6), 3) == [[]]


async def test_pages_do_not_shift_when_runs_are_added(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        runs = [(await service.run("Work")).run_id for _ in range(7)][::-1]
        fetch = runs_of(service)
        first, token = await fetch(3, "")
        await service.run("Work")
        second, token = await fetch(3, token)
        await service.run("Work")
        third, token = await fetch(3, token)
        assert [*first, *second, *third] == runs
        assert token == ""


async def test_pages_do_not_shift_when_requirements_are_resolved(database_url: str) -> None:
    """Who works through the inbox page by page misses nothing."""
    async with served(asking(Ledger()), database_url) as service:
        waiting = [only(await service.run("Work")) for _ in range(7)]
        seen: list[str] = []
        token = ""
        while True:
            request = v1.ListRequirementsRequest(page_size=3, page_token=token)
            response = await service.requirements.ListRequirements(request)
            for one in response.requirements:
                seen.append(one.requirement_id)
                resolve = v1.ResolveRequirementRequest(resolution=reject(one))
                await service.requirements.ResolveRequirement(resolve)
            if not (token := response.next_page_token):
                break
        assert seen == [one.requirement_id for one in waiting]


# What runs a list shows, and how.


async def test_a_listed_run_says_what_it_waits_for_and_leaves_out_its_results(
    database_url: str,
) -> None:
    app = app_of(
        Step(name="first", executor=lambda given: "first"),
        Step(
            name="work",
            agent=Agent(
                name="worker",
                model=ScriptedModel([call("act"), "done"]),
                tools=[Ledger().gated()],
            ),
        ),
    )
    async with served(app, database_url) as service:
        paused = await service.run("Work", input_json='{"a":1}', labels={"k": "v"})
        assert len(paused.step_results) == 1
        [listed] = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        assert not listed.step_results
        del paused.step_results[:]
        assert listed == paused


async def test_runs_are_selected_by_state(database_url: str) -> None:
    ledger = Ledger()
    async with served(asking(ledger), database_url) as service:
        paused, completed, cancelled = [await service.run("Work") for _ in range(3)]
        await service.resolve(completed, confirm(only(completed)))
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=cancelled.run_id))
        for state, expected in (
            (v1.RUN_STATE_PAUSED, [paused]),
            (v1.RUN_STATE_COMPLETED, [completed]),
            (v1.RUN_STATE_CANCELLED, [cancelled]),
            (v1.RUN_STATE_FAILED, []),
            (v1.RUN_STATE_RUNNING, []),
        ):
            assert await ids(service, states=[state]) == [one.run_id for one in expected]
        both = [v1.RUN_STATE_PAUSED, v1.RUN_STATE_CANCELLED]
        assert await ids(service, states=both) == [paused.run_id, cancelled.run_id]


async def test_runs_are_selected_by_labels(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        plain = (await service.run("Work")).run_id
        red = (await service.run("Work", labels={"colour": "red"})).run_id
        both = (await service.run("Work", labels={"colour": "red", "size": "\u00e9\u4e2d"})).run_id
        assert await ids(service) == [plain, red, both]
        assert await ids(service, labels={"colour": "red"}) == [red, both]
        assert await ids(service, labels={"colour": "red", "size": "\u00e9\u4e2d"}) == [both]
        assert await ids(service, labels={"colour": "blue"}) == []
        assert await ids(service, labels={"red": "colour"}) == []
        assert await ids(service, labels={"colour": ""}) == []


async def test_runs_are_selected_by_session_and_workflow(database_url: str) -> None:
    script = ScriptedModel(["done"])
    steps = [Agent(name="a", model=script)]
    app = Interlock([Workflow(name="A", steps=steps), Workflow(name="B", steps=steps)])
    async with served(app, database_url) as service:
        first = (await service.run("A", session_id="s")).run_id
        second = (await service.run("B", session_id="s")).run_id
        third = (await service.run("B")).run_id
        assert await ids(service, session_id="s") == [first, second]
        assert await ids(service, workflow_id="B") == [second, third]
        assert await ids(service, workflow_id="B", session_id="s") == [second]
        assert await ids(service, session_id="other") == []


@pytest.mark.usefixtures("zone")
async def test_runs_are_selected_by_time(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        runs = [await service.run("Work") for _ in range(3)]
        first, second, third = [one.run_id for one in runs]
        middle = runs[1].create_time
        assert await ids(service, create_time_min=middle) == [second, third]
        assert await ids(service, create_time_max=middle) == [first]
        assert (
            await ids(service, create_time_min=middle, create_time_max=runs[2].create_time)
        ) == [second]
        future = Timestamp()
        future.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        assert await ids(service, create_time_min=future) == []
        assert await ids(service, create_time_max=future) == [first, second, third]


async def test_the_filter_and_the_page_token_belong_together(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        wanted = []
        for number in range(14):
            run = await service.run("Work", labels={"odd": str(number % 2)})
            if number % 2:
                wanted.append(run.run_id)
        selected = v1.RunFilter(labels={"odd": "1"})
        await assert_pages(runs_of(service, selected), wanted[::-1])


# The inbox.


async def test_requirements_are_selected(database_url: str) -> None:
    ledger = Ledger()
    yes, value = ledger.gated("yes"), ledger.gated("value", requires_user_input=True)
    result = ledger.gated("result", external_execution=True)
    turn = [call("yes"), call("value"), call("result")]
    async with served(agent_app([turn, "done"], yes, value, result), database_url) as service:
        run = await service.run("Work", session_id="s")
        other = await service.run("Work")

        async def found(**selected: Any) -> list[str]:
            request = v1.ListRequirementsRequest(filter=v1.RequirementFilter(**selected))
            response = await service.requirements.ListRequirements(request)
            return [one.requirement_id for one in response.requirements]

        mine = [one.requirement_id for one in open_requirements(run)]
        theirs = [one.requirement_id for one in open_requirements(other)]
        assert await found() == [*mine, *theirs]
        assert await found(run_id=run.run_id) == mine
        assert await found(session_id="s") == mine
        assert await found(workflow_id="Work") == [*mine, *theirs]
        assert await found(workflow_id="Other") == []
        assert await found(kinds=[v1.REQUIREMENT_KIND_USER_INPUT]) == [mine[1], theirs[1]]
        assert await found(tool_names=["yes", "result"], run_id=other.run_id) == [
            theirs[0],
            theirs[2],
        ]
        await service.resolve(run, reject(open_requirements(run)[0]))
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=other.run_id))
        assert await found() == mine[1:]
        assert await found(states=[v1.REQUIREMENT_STATE_RESOLVED]) == mine[:1]
        assert await found(states=[v1.REQUIREMENT_STATE_CANCELLED]) == theirs
        both = [v1.REQUIREMENT_STATE_PENDING, v1.REQUIREMENT_STATE_RESOLVED]
        assert await found(states=both) == mine


async def test_a_listed_requirement_is_what_its_run_shows(database_url: str) -> None:
    """One record, read in three ways (INV-4)."""
    async with served(asking(Ledger()), database_url) as service:
        shown = only(await service.run("Work"))
        [listed] = (
            await service.requirements.ListRequirements(v1.ListRequirementsRequest())
        ).requirements
        got = await service.requirements.GetRequirement(
            v1.GetRequirementRequest(requirement_id=shown.requirement_id)
        )
        assert shown == listed == got.requirement


async def test_an_open_run_is_listed_while_it_runs(database_url: str) -> None:
    async with served(asking(Ledger()), database_url) as service:
        run = await start(service)
        assert await ids(service) == [run.run_id]
        assert (await get(service, run)).run_id == run.run_id
