"""Runs in the store: leases, fences, sequences, and the race at the edge of a pause."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text
from tests.store.rows import OTHER, OWNER, WORKFLOW, a_run, now

from interlock import v1
from interlock_server.errors import RequestIdReused
from interlock_server.store.commits import run_commit
from interlock_server.store.database import Database
from interlock_server.store.definitions import definition_add, definition_find, digest_of
from interlock_server.store.events import events_after
from interlock_server.store.records import (
    Change,
    Committed,
    Entry,
    Lease,
    NewEvent,
    Page,
    Progress,
    Question,
    RequestKey,
)
from interlock_server.store.requirements import requirements_current, requirements_list
from interlock_server.store.runs import (
    run_create,
    run_get,
    run_release,
    runs_claim,
    runs_renew,
)
from interlock_server.store.sessions import session_get


def event(key: str | None = None) -> NewEvent:
    return NewEvent(v1.RunEvent(run_id="r", step_started=v1.StepStarted(attempt=1)), key)


def question(name: str = "q", seconds: float = 0) -> Question:
    requirement = v1.Requirement(
        requirement_id=name, kind=v1.REQUIREMENT_KIND_CONFIRMATION, executor_run_id="step@1"
    )
    requirement.create_time.FromDatetime(now(seconds))
    return Question(name, 1, requirement)


PAUSE = Change(v1.RUN_STATE_PAUSED, v1.PAUSE_KIND_EXECUTOR, waiting=1)


async def test_sequences_are_dense_over_commits(database: Database) -> None:
    lease = await a_run(database, "r")
    for number in range(3):
        progress = Progress(events=[event(f"a{number}"), event(f"b{number}")])
        committed = await run_commit(database, lease, progress, Change(), now(), number + 1)
        assert committed == Committed(3 + 2 * number, False, number + 2, now())
    events = await events_after(database, "r", 0, 100)
    assert [one.sequence for one in events] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "stale",
    [
        Lease("r", OWNER.name, 0, now(10)),
        Lease("r", OTHER.name, 1, now(10)),
        Lease("other", OWNER.name, 1, now(10)),
    ],
)
async def test_whoever_does_not_hold_the_run_writes_nothing(
    database: Database, stale: Lease
) -> None:
    await a_run(database, "r")
    before = await run_get(database, "r")
    progress = Progress([event("x")], [Entry("k", 1, "1")], [question()], {"state": 1})
    assert await run_commit(database, stale, progress, Change(), now(), 1) is None
    assert await run_get(database, "r") == before
    session = await session_get(database, "s")
    assert session is not None
    assert session.state_json == "{}"
    assert await requirements_current(database, ["r"]) == {}


async def test_a_claim_takes_only_what_nobody_holds_and_fences_the_one_before(
    database: Database,
) -> None:
    lease = await a_run(database, "r")
    assert await runs_claim(database, OTHER, 10, now(9)) == []
    [taken] = await runs_claim(database, OTHER, 10, now(11))
    assert taken == Lease("r", OTHER.name, 2, now(21))
    assert await run_commit(database, lease, Progress([event()]), Change(), now(12), 1) is None
    assert await run_commit(database, taken, Progress([event()]), Change(), now(12), 1) is not None


async def test_a_renewed_lease_is_not_taken(database: Database) -> None:
    await a_run(database, "r")
    assert await runs_renew(database, OWNER, ["r"], now(8)) == {"r": (1, False)}
    assert await runs_claim(database, OTHER, 10, now(11)) == []
    assert await runs_renew(database, OTHER, ["r"], now(11)) == {}


async def test_a_released_run_is_taken_at_once(database: Database) -> None:
    lease = await a_run(database, "r")
    await run_release(database, lease)
    assert [one.epoch for one in await runs_claim(database, OTHER, 10, now())] == [2]


async def test_one_run_is_claimed_by_one_of_many(database: Database) -> None:
    await a_run(database, "r")
    owners = [replace(OTHER, name=f"other {number}") for number in range(8)]
    claims = await asyncio.gather(*(runs_claim(database, one, 10, now(11)) for one in owners))
    assert sum(len(claim) for claim in claims) == 1


@pytest.mark.parametrize("column", ["is_ready", "cancel_requested"])
async def test_a_run_does_not_pause_when_something_has_come_in(
    database: Database, column: str
) -> None:
    lease = await a_run(database, "r")
    await database.fetch(text(f"UPDATE runs SET {column} = true"))  # noqa: S608
    progress = Progress(questions=[question()])
    assert await run_commit(database, lease, progress, PAUSE, now(), 1) is None
    row = await run_get(database, "r")
    assert row is not None
    assert row.run.state == v1.RUN_STATE_RUNNING


async def test_a_pause_names_all_that_waits_and_nothing_else(database: Database) -> None:
    lease = await a_run(database, "r")
    for waiting in (0, 2):
        pause = replace(PAUSE, waiting=waiting)
        progress = Progress(questions=[question()])
        assert await run_commit(database, lease, progress, pause, now(), 1) is None
    assert await run_commit(database, lease, Progress(questions=[question()]), PAUSE, now(), 1)


async def test_a_paused_run_is_owned_by_nobody_and_never_claimed(database: Database) -> None:
    lease = await a_run(database, "r")
    assert await run_commit(database, lease, Progress(questions=[question()]), PAUSE, now(), 1)
    [row] = await database.fetch(text("SELECT owner, lease_until, open_requirements FROM runs"))
    assert tuple(row) == (None, None, 1)
    assert await runs_claim(database, OTHER, 10, now(1_000)) == []
    [waiting] = (await requirements_current(database, ["r"]))["r"]
    assert waiting.state == v1.REQUIREMENT_STATE_PENDING


async def test_two_runs_of_a_session_change_its_state_entry_by_entry(database: Database) -> None:
    one, two = await a_run(database, "one"), await a_run(database, "two")
    first = Progress(entries=[Entry("k", 1, "1")], session_changes={"a": 1, "shared": "one"})
    second = Progress(entries=[Entry("k", 1, "1")], session_changes={"b": 2, "shared": "two"})
    third = Progress(entries=[Entry("l", 2, "1")], session_removals=["a"])
    await run_commit(database, one, first, Change(), now(), 1)
    await run_commit(database, two, second, Change(), now(), 1)
    await run_commit(database, one, third, Change(), now(), 2)
    session = await session_get(database, "s")
    assert session is not None
    assert session.state_json == '{"shared":"two","b":2}'


async def test_the_same_request_gives_the_same_run_and_another_is_refused(
    database: Database,
) -> None:
    await definition_add(database, WORKFLOW, now())
    request = RequestKey("Run", "", "id", b"hash")

    async def create(run_id: str, key: RequestKey) -> tuple[str, str | None]:
        run = v1.Run(run_id=run_id, workflow_id="W", session_id=f"session of {run_id}")
        return await run_create(database, run, digest_of(WORKFLOW), [], key, OWNER, now())

    results = await asyncio.gather(*(create(f"r{number}", request) for number in range(10)))
    assert len({run_id for run_id, _ in results}) == 1
    assert sum(state is not None for _, state in results) == 1
    with pytest.raises(RequestIdReused):
        await create("other", replace(request, digest=b"another"))
    [[sessions]] = await database.fetch(text("SELECT count(*) FROM sessions"))
    assert sessions == 1


async def test_a_definition_has_one_version_however_often_it_is_served(
    database: Database,
) -> None:
    changed = v1.Workflow(workflow_id="W", description="changed")
    assert (await definition_add(database, WORKFLOW, now())).version == 1
    assert (await definition_add(database, changed, now())).version == 2
    assert (await definition_add(database, WORKFLOW, now())).version == 1
    found = await definition_find(database, "W", 2)
    assert found is not None
    assert found.description == "changed"


async def test_servers_that_start_at_once_agree_on_versions(database: Database) -> None:
    workflows = [v1.Workflow(workflow_id="W", description=str(number % 3)) for number in range(9)]
    stored = await asyncio.gather(*(definition_add(database, one, now()) for one in workflows))
    assert sorted({one.version for one in stored}) == [1, 2, 3]


async def test_the_inbox_of_many_runs_is_one_page_after_another(database: Database) -> None:
    for number in range(3):
        lease = await a_run(database, f"r{number}")
        progress = Progress(questions=[question(f"q{number}", number)])
        await run_commit(database, lease, progress, PAUSE, now(number), 1)
    everything = v1.RequirementFilter()
    first = await requirements_list(database, everything, Page(2))
    assert [one.requirement_id for one in first] == ["q0", "q1", "q2"]
    rest = await requirements_list(database, everything, Page(2, now(1), "q1"))
    assert [one.requirement_id for one in rest] == ["q2"]
