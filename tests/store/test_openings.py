"""The first commit of a leg carries the decision that it begins with: both are stored or none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from tests.store.rows import OTHER, OWNER, now
from tests.store.test_grants import DIGEST, OTHER_DIGEST, asked, decided, starting, stored

from interlock import v1
from interlock_server.store.commits import run_commit, run_committed
from interlock_server.store.database import Database
from interlock_server.store.decisions import basis_read, decision_record
from interlock_server.store.records import (
    NO_REQUEST,
    Change,
    Committed,
    Lease,
    Opening,
    Owner,
    Progress,
    RequestKey,
    Ruling,
    Settled,
    Spent,
)

PAUSE = Change(v1.RUN_STATE_PAUSED, v1.PAUSE_KIND_EXECUTOR, waiting=2)
GO_ON = Change()
VERSION = 3
"""Of a run that was created, asked, and paused."""


async def paused(database: Database) -> None:
    """A paused run with two open questions, and one that lets something start."""
    lease = await asked(database, "r", "gate", "open")
    assert await run_commit(database, lease, Progress(), PAUSE, now(1), 2)


def epoch(owner: Owner = OWNER) -> Lease:
    """What the run is claimed with next."""
    return Lease("r", owner.name, 2, now(2) + owner.lease)


def opening(*, version: int = VERSION, of: int = 1, request: RequestKey = NO_REQUEST) -> Opening:
    """A yes to the gate, which lets one thing start."""
    answer = v1.RequirementResolution(requirement_id="r/gate")
    answer.confirm.SetInParent()
    settled = Settled("r/gate", of, answer, DIGEST)
    ruling = Ruling([settled], v1.REQUIREMENT_STATE_RESOLVED, "me", True, True, now(2), request)
    told = v1.RunEvent(workflow_continued=v1.WorkflowContinued(continued_by="me"))
    return Opening(version, ruling, [told], {"gate": "r/gate"})


START = starting(Spent("gate", DIGEST))


async def test_a_decision_and_the_start_that_it_allows_are_stored_at_once(
    database: Database,
) -> None:
    await paused(database)
    committed = await run_commit(database, epoch(), START, GO_ON, now(3), 1, opening())
    assert committed == Committed(3, False, VERSION + 1, now(3))
    run, events, _, (journal, requirements) = await stored(database)
    assert (run.run.state, run.epoch) == (v1.RUN_STATE_RUNNING, 2)
    assert [one.WhichOneof("event") for one in events] == [
        "workflow_started",
        "workflow_continued",
        "step_started",
    ]
    assert [row.key for row in journal] == ["call@1"]
    gate, other = requirements
    assert (gate.state, gate.resolved_by, gate.version) == (2, "me", 2)
    assert gate.resolve_time == gate.spend_time == now(2)
    assert (other.state, other.spend_time) == (1, None)
    [row] = await database.fetch(text("SELECT owner, open_requirements, commits FROM runs"))
    assert (row.owner, row.open_requirements, row.commits) == (OWNER.name, 1, 1)
    # From here on it is a run like any other that is held.
    again = starting(Spent("gate", DIGEST))
    assert await run_commit(database, epoch(), again, GO_ON, now(4), 2) is None
    assert await run_commit(database, epoch(), Progress(), GO_ON, now(4), 2) is not None


async def test_what_does_not_start_at_once_may_start_later(database: Database) -> None:
    await paused(database)
    assert await run_commit(database, epoch(), Progress(), GO_ON, now(3), 1, opening())
    assert await run_commit(database, epoch(), START, GO_ON, now(4), 2) is not None
    assert await run_commit(database, epoch(), START, GO_ON, now(5), 3) is None


async def test_it_may_leave_the_run_paused_again(database: Database) -> None:
    await paused(database)
    change = replace(PAUSE, waiting=1)
    assert await run_commit(database, epoch(), Progress(), change, now(3), 1, opening())
    [row] = await database.fetch(
        text("SELECT state, owner, lease_until, open_requirements, epoch FROM runs")
    )
    assert tuple(row) == (3, None, None, 1, 2)


async def test_an_earlier_decision_may_be_spent_along_with_it(database: Database) -> None:
    await paused(database)
    await decided(database, "r", "open", OTHER_DIGEST)
    start = starting(Spent("open", OTHER_DIGEST), Spent("gate", DIGEST))
    given = opening(version=VERSION + 1)
    assert await run_commit(database, epoch(), start, GO_ON, now(3), 1, given) is not None
    rows = await database.fetch(text("SELECT spend_time FROM requirements ORDER BY key"))
    assert [row.spend_time for row in rows] == [now(2), now(3)]


MOVED = "UPDATE runs SET version = version + 1"
REFUSED: dict[str, dict[str, Any]] = {
    "of_a_run_that_has_moved": {"before": MOVED},
    "of_a_run_that_was_claimed_meanwhile": {"before": "UPDATE runs SET epoch = epoch + 1"},
    "of_a_run_that_is_cancelled": {"before": f"{MOVED}, cancel_requested = true"},
    "of_a_run_that_is_due_to_go_on": {"before": "UPDATE runs SET is_ready = true"},
    "of_a_run_that_is_held": {
        "before": "UPDATE runs SET state = 2, pause_kind = 0, owner = 'x', lease_until = now()"
    },
    "of_a_requirement_that_has_changed": {
        "before": "UPDATE requirements SET version = 7 WHERE key = 'gate'"
    },
    "on_an_older_requirement": {"opening": opening(of=2)},
    "that_starts_something_else": {"progress": starting(Spent("gate", OTHER_DIGEST))},
    "that_starts_one_thing_twice": {
        "progress": starting(Spent("gate", DIGEST), Spent("gate", DIGEST))
    },
    "that_starts_what_still_waits": {"progress": starting(Spent("open", DIGEST))},
    "that_starts_what_was_never_asked": {"progress": starting(Spent("nothing", DIGEST))},
}


@pytest.mark.parametrize("decision", REFUSED)
async def test_of_a_decision_like_this_nothing_is_stored(database: Database, decision: str) -> None:
    await paused(database)
    case = {"before": "", "progress": START, "opening": opening(), **REFUSED[decision]}
    if case["before"]:
        await database.fetch(text(case["before"]))
    before = await stored(database)
    given = (case["progress"], GO_ON, now(3), 1, case["opening"])
    assert await run_commit(database, epoch(), *given) is None
    assert await stored(database) == before


async def test_the_same_request_is_carried_out_once(database: Database) -> None:
    request = RequestKey("ContinueRun", "me", "once", b"digest")
    await paused(database)
    given = opening(request=request)
    commits = [
        run_commit(database, epoch(owner), START, GO_ON, now(3), 1, given)
        for owner in (OWNER, OTHER) * 5
    ]
    outcomes = await asyncio.gather(*commits)
    assert sum(one is not None for one in outcomes) == 1
    [row] = await database.fetch(text("SELECT request_id, sequence FROM requests"))
    assert tuple(row) == ("once", 1)


async def test_it_is_known_again_by_whoever_made_it_and_by_nobody_else(
    database: Database,
) -> None:
    """Two processes take the same epoch for theirs, until one of them stores something."""
    await paused(database)
    given = opening()
    assert await run_committed(database, epoch(), 1, given) is None
    stored_one = await run_commit(database, epoch(), START, GO_ON, now(3), 1, given)
    assert stored_one is not None
    known = await run_committed(database, epoch(), 1, given)
    assert known is not None
    assert known.last_sequence == stored_one.last_sequence
    assert await run_committed(database, epoch(OTHER), 1, given) is None
    assert await run_committed(database, epoch(), 1, opening(version=VERSION - 1)) is None


async def test_what_a_decision_by_itself_let_go_on_is_not_taken_for_an_opening(
    database: Database,
) -> None:
    """The same process may lose an opening, and then decide again in the way of those who read."""
    await paused(database)
    basis = await basis_read(database, "r", [], NO_REQUEST)
    assert basis is not None
    ruling = opening().ruling
    assert await decision_record(database, basis.row, ruling, [], OWNER)
    assert await run_committed(database, epoch(), 1, opening()) is None
    assert await run_commit(database, epoch(), START, GO_ON, now(3), 1)
    assert await run_committed(database, epoch(), 1) is not None
    assert await run_committed(database, epoch(), 1, opening()) is None
