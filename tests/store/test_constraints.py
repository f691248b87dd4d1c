"""What the database itself refuses, whatever the code above it does."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import text
from tests.store.rows import OWNER, a_requirement, a_run, now

from interlock_server.store.database import Database


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 3, pause_kind = 1, owner = NULL, lease_until = NULL", "paused_runs_wait"),
        ("state = 3, owner = NULL, lease_until = NULL, is_ready = true", "paused_runs_say_why"),
        ("pause_kind = 1", "paused_runs_say_why"),
        ("state = 4, owner = NULL, lease_until = NULL", "ended_runs_have_an_end"),
        ("end_time = now()", "ended_runs_have_an_end"),
        ("state = 4, end_time = now()", "only_running_runs_are_owned"),
        ("lease_until = NULL", "an_owner_has_a_lease"),
        ("owner = NULL", "an_owner_has_a_lease"),
        ("open_requirements = -1", "open_requirements_are_counted"),
        (
            "state = 4, end_time = now(), owner = NULL, lease_until = NULL, open_requirements = 1",
            "ended_runs_wait_for_nothing",
        ),
    ],
)
async def test_a_run_that_contradicts_itself_is_refused(
    database: Database, change: str, constraint: str
) -> None:
    await a_run(database, "r")
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await database.fetch(text(f"UPDATE runs SET {change} WHERE run_id = 'r'"))  # noqa: S608


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO events VALUES ('r', 1, 10, NULL, '')",
        "INSERT INTO events VALUES ('r', 2, 20, 'once', ''), ('r', 3, 20, 'once', '')",
        "INSERT INTO journal VALUES ('r', 'key', 1, ''), ('r', 'key', 2, '')",
        "INSERT INTO journal VALUES ('r', 'one', 1, ''), ('r', 'two', 1, '')",
    ],
)
async def test_nothing_is_stored_twice(database: Database, insert: str) -> None:
    await a_run(database, "r")
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.fetch(text(insert))


async def test_an_event_before_the_first_is_refused(database: Database) -> None:
    await a_run(database, "r")
    with pytest.raises(asyncpg.CheckViolationError, match="sequences_begin_at_one"):
        await database.fetch(text("INSERT INTO events VALUES ('r', 0, 10, NULL, '')"))


async def test_a_run_has_one_owner(database: Database) -> None:
    await a_run(database, "r")
    [row] = await database.fetch(text("SELECT owner, epoch, lease_until FROM runs"))
    assert (row.owner, row.epoch) == (OWNER.name, 1)
    assert row.lease_until == now() + OWNER.lease


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 2, resolve_time = now()", "resolved_means_answered"),
        ("resolution = ''", "resolved_means_answered"),
        ("state = 4, resolution = '', resolve_time = now()", "resolved_means_answered"),
        ("state = 3, expire_time = now()", "only_pending_ones_wait"),
        ("resolve_time = now()", "only_pending_ones_wait"),
        ("state = 3, resolve_time = now()", "only_due_ones_expire"),
        ("grant_digest = 'x'", "only_answers_let_something_start"),
        (
            "state = 2, resolution = '', resolve_time = now(), spend_time = now()",
            "only_what_was_granted_is_spent",
        ),
        (
            "claimed_by = 'w', claim_epoch = 1, claim_until = now()",
            "only_external_calls_are_claimed",
        ),
        ("kind = 3, claimed_by = 'w', claim_until = now()", "only_external_calls_are_claimed"),
        ("kind = 3, claimed_by = 'w', claim_epoch = 1", "a_claim_has_an_end"),
        ("claim_until = now()", "a_claim_has_an_end"),
        ("claim_request = 'r', claim_digest = ''", "only_claims_are_requested"),
        (
            "kind = 3, claimed_by = 'w', claim_epoch = 1, claim_until = now(), claim_request = 'r'",
            "a_request_is_known_by_its_content",
        ),
        ("claim_digest = ''", "a_request_is_known_by_its_content"),
        ("claim_epoch = -1", "claims_are_counted"),
    ],
)
async def test_a_requirement_that_contradicts_itself_is_refused(
    database: Database, change: str, constraint: str
) -> None:
    await a_run(database, "r")
    await a_requirement(database, "q")
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await database.fetch(text(f"UPDATE requirements SET {change}"))  # noqa: S608


async def test_two_calls_are_not_claimed_by_one_request(database: Database) -> None:
    """But an id is free again once the call has its answer."""
    await a_run(database, "r")
    held = (
        "kind = 3, claimed_by = 'w', claim_epoch = 1, claim_until = now(), claim_request = 'c', "
        "claim_digest = ''"
    )
    one, other = (text(f"UPDATE requirements SET {held} WHERE key = '{key}'") for key in "qp")  # noqa: S608
    for name in "qp":
        await a_requirement(database, name)
    await database.fetch(one)
    with pytest.raises(asyncpg.UniqueViolationError, match="requirements_claim_requests"):
        await database.fetch(other)
    answered = "state = 2, resolution = '', resolve_time = now()"
    await database.fetch(text(f"UPDATE requirements SET {answered} WHERE key = 'q'"))  # noqa: S608
    await database.fetch(other)
