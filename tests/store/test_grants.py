"""Decisions that are used up: what starts without one of its own is not stored at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from tests.store.rows import OWNER, a_run, now

from interlock import v1
from interlock_server.store.commits import run_commit
from interlock_server.store.database import Database
from interlock_server.store.decisions import basis_read, decision_record
from interlock_server.store.events import events_after
from interlock_server.store.records import (
    NO_REQUEST,
    Change,
    Committed,
    Entry,
    Lease,
    NewEvent,
    Progress,
    Question,
    Ruling,
    Settled,
    Spent,
)
from interlock_server.store.runs import run_get
from interlock_server.store.sessions import session_get

DIGEST, OTHER_DIGEST = b"d" * 32, b"o" * 32


async def asked(database: Database, run_id: str, *keys: str) -> Lease:
    """A running run with open questions."""
    lease = await a_run(database, run_id)
    questions = []
    for position, key in enumerate(keys, start=1):
        requirement = v1.Requirement(
            requirement_id=f"{run_id}/{key}",
            kind=v1.REQUIREMENT_KIND_CONFIRMATION,
            executor_run_id="step@1",
        )
        requirement.create_time.FromDatetime(now())
        requirement.expire_time.FromDatetime(now(60))
        questions.append(Question(key, position, requirement))
    assert await run_commit(database, lease, Progress(questions=questions), Change(), now(), 1)
    return lease


async def decided(
    database: Database,
    run_id: str,
    key: str,
    grant: bytes | None,
    state: v1.RequirementState.ValueType = v1.REQUIREMENT_STATE_RESOLVED,
) -> None:
    """Stores a decision with what it lets start."""
    answer = v1.RequirementResolution(requirement_id=f"{run_id}/{key}")
    answer.confirm.SetInParent()
    basis = await basis_read(database, run_id, [], NO_REQUEST)
    assert basis is not None
    assert await decision_record(
        database,
        basis.row,
        Ruling(
            [Settled(answer.requirement_id, 1, answer, grant)], state, "me", False, False, now()
        ),
        [],
        OWNER,
    )


def starting(*spent: Spent) -> Progress:
    """The start of an effect, with all that may be stored along with it."""
    event = NewEvent(v1.RunEvent(step_started=v1.StepStarted(attempt=1)), "step@1!step_started")
    return Progress([event], [Entry("call@1", 1, None)], (), {"state": 1}, (), spent)


async def stored(database: Database) -> tuple[Any, ...]:
    """All that a start could have changed."""
    tables = ("journal", "requirements")
    rows = [
        await database.fetch(text(f"SELECT * FROM {one} ORDER BY run_id, key"))  # noqa: S608
        for one in tables
    ]
    return (
        await run_get(database, "r"),
        await events_after(database, "r", 0, 100),
        await session_get(database, "s"),
        rows,
    )


@pytest.mark.parametrize("state", [v1.REQUIREMENT_STATE_RESOLVED, v1.REQUIREMENT_STATE_EXPIRED])
async def test_a_decision_lets_what_it_is_about_start_once(database: Database, state: Any) -> None:
    lease = await asked(database, "r", "gate")
    await decided(database, "r", "gate", DIGEST, state)
    start = starting(Spent("gate", DIGEST))
    committed = await run_commit(database, lease, start, Change(), now(7), 2)
    assert committed == Committed(2, False, 4, now(7))
    [row] = await database.fetch(text("SELECT state, spend_time FROM requirements"))
    assert (row.state, row.spend_time) == (state, now(7))
    [entry] = await database.fetch(text("SELECT key, value FROM journal"))
    assert (entry.key, entry.value) == ("call@1", None)
    before = await stored(database)
    again = Progress(entries=[Entry("call@2", 2, None)], spent=[Spent("gate", DIGEST)])
    assert await run_commit(database, lease, again, Change(), now(8), 3) is None
    assert await stored(database) == before


WITHOUT: dict[str, Sequence[Spent]] = {
    "that_was_never_asked": [Spent("nothing", DIGEST)],
    "that_still_waits": [Spent("open", DIGEST)],
    "that_lets_nothing_start": [Spent("rejected", DIGEST)],
    "about_other_arguments": [Spent("gate", OTHER_DIGEST)],
    "about_nothing": [Spent("gate", b"")],
    "that_is_spent": [Spent("spent", DIGEST)],
    "of_another_run": [Spent("elsewhere", DIGEST)],
    "that_is_one_of_two": [Spent("gate", DIGEST), Spent("open", DIGEST)],
    "that_is_named_twice": [Spent("gate", DIGEST), Spent("gate", DIGEST)],
}


@pytest.mark.parametrize("decision", WITHOUT)
async def test_with_a_decision_like_this_nothing_is_stored(
    database: Database, decision: str
) -> None:
    lease = await asked(database, "r", "gate", "open", "rejected", "spent")
    await asked(database, "other", "elsewhere")
    await decided(database, "r", "gate", DIGEST)
    await decided(database, "r", "rejected", None)
    await decided(database, "r", "spent", DIGEST)
    await decided(database, "other", "elsewhere", DIGEST)
    await database.fetch(text("UPDATE requirements SET spend_time = now() WHERE key = 'spent'"))
    before = await stored(database)
    progress = starting(*WITHOUT[decision])
    assert await run_commit(database, lease, progress, Change(), now(), 2) is None
    assert await stored(database) == before
    # What was refused did not use up the number either.
    right = starting(Spent("gate", DIGEST))
    assert await run_commit(database, lease, right, Change(), now(), 2) is not None


async def test_two_starts_in_one_commit_spend_two_decisions(database: Database) -> None:
    lease = await asked(database, "r", "one", "two", "three")
    for key, digest in (("one", DIGEST), ("two", OTHER_DIGEST), ("three", DIGEST)):
        await decided(database, "r", key, digest)
    progress = starting(Spent("two", OTHER_DIGEST), Spent("one", DIGEST))
    assert await run_commit(database, lease, progress, Change(), now(5), 2) is not None
    rows = await database.fetch(text("SELECT key, spend_time FROM requirements ORDER BY key"))
    assert {row.key: row.spend_time for row in rows} == {
        "one": now(5),
        "two": now(5),
        "three": None,
    }


async def test_of_many_starts_at_once_one_is_stored(database: Database) -> None:
    """Each believes that it is the next commit; the decision is spent once."""
    lease = await asked(database, "r", "gate")
    await decided(database, "r", "gate", DIGEST)
    start = starting(Spent("gate", DIGEST))
    commits = [run_commit(database, lease, start, Change(), now(), 2) for _ in range(20)]
    outcomes = await asyncio.gather(*commits)
    assert sum(one is not None for one in outcomes) == 1


# Commits are numbered.


async def test_a_commit_is_stored_once_and_in_its_turn(database: Database) -> None:
    lease = await a_run(database, "r")
    event = NewEvent(v1.RunEvent(step_started=v1.StepStarted(attempt=1)))
    progress = Progress(events=[event])
    assert await run_commit(database, lease, progress, Change(), now(), 2) is None
    first = await run_commit(database, lease, progress, Change(), now(), 1)
    assert first == Committed(2, False, 2, now())
    assert await run_commit(database, lease, progress, Change(), now(), 1) is None
    assert await run_commit(database, lease, progress, Change(), now(), 3) is None
    second = await run_commit(database, lease, progress, Change(), now(), 2)
    assert second == Committed(3, False, 3, now())
    assert len(await events_after(database, "r", 0, 100)) == 3
