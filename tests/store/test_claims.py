"""Claims in the store: they wait for nobody, and find their call however many there are."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.store.rows import a_requirement, a_run

from interlock_server.store import claims
from interlock_server.store.claims import claim_release, claim_renew, claim_take
from interlock_server.store.database import Database
from interlock_server.store.records import RequestKey, Taken, Wanted
from interlock_server.store.requirements import requirement_get

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)


def wanted(*tool_names: str, request_id: str = "", workflow_id: str = "") -> Wanted:
    request = RequestKey("ClaimRequirement", "", request_id, b"asked")
    return Wanted("w", tool_names or ("t",), workflow_id, LEASE, request)


async def name_of(taking: Any) -> str | None:
    taken: Taken = await taking
    return taken.requirement.requirement_id if taken.requirement else None


async def lock(connection: Any, *names: str) -> None:
    """As a decision does."""
    statement = text("SELECT FROM requirements WHERE requirement_id = ANY(:names) FOR UPDATE")
    await connection.fetch(statement, {"names": list(names)})


async def test_a_call_in_other_hands_is_passed_over(database: Database) -> None:
    await a_run(database, "r")
    for name in "abc":
        await a_requirement(database, name, is_call=True)
    async with database.transaction() as connection:
        await lock(connection, "a", "c")
        async with asyncio.timeout(10):
            assert await name_of(claim_take(database, wanted(), NOW)) == "b"
            nothing = await claim_take(database, wanted(), NOW)
        assert nothing == Taken(None, is_contested=True)
    assert await name_of(claim_take(database, wanted(), NOW)) == "a"
    assert await name_of(claim_take(database, wanted(), NOW)) == "c"
    assert await claim_take(database, wanted(), NOW) == Taken(None)


async def test_a_claim_that_waits_for_a_decision_finds_what_it_did(database: Database) -> None:
    await a_run(database, "r")
    await a_requirement(database, "a", is_call=True)
    held = (await claim_take(database, wanted(), NOW)).requirement
    assert held is not None
    answered = text("UPDATE requirements SET state = 4, resolve_time = now()")
    async with database.transaction() as connection:
        await lock(connection, "a")
        renewing = asyncio.ensure_future(claim_renew(database, "a", 1, NOW + 2 * LEASE))
        releasing = asyncio.ensure_future(claim_release(database, "a", 1, NOW))
        waiting = text("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        async with asyncio.timeout(10):
            while len(await database.fetch(waiting)) < 2:
                await asyncio.sleep(0.005)
        await connection.fetch(answered)
    assert await renewing is None
    assert await releasing is None
    stored = await requirement_get(database, "a")
    assert stored is not None
    assert stored.claim == held.claim


async def test_a_claim_is_given_back_only_if_nobody_asked_again(database: Database) -> None:
    """Also when no time has passed at all."""
    await a_run(database, "r")
    await a_requirement(database, "a", is_call=True)
    taken = (await claim_take(database, wanted(request_id="x"), NOW)).requirement
    assert taken is not None
    until = taken.claim.expire_time.ToDatetime(UTC)
    again = (await claim_take(database, wanted(request_id="x"), NOW)).requirement
    assert again is not None
    assert again.claim.epoch == 1
    assert await claim_release(database, "a", 1, NOW, until) is None
    until = again.claim.expire_time.ToDatetime(UTC)
    assert await claim_release(database, "a", 1, NOW, until) == "r"


_MANY = text("""
    INSERT INTO requirements (requirement_id, run_id, key, position, step_key, workflow_id,
        session_id, kind, tool_name, state, body, version, create_time, update_time)
    SELECT 'q' || n, 'r', 'k' || n, n, 's', 'W', 's', 3, CASE WHEN n % 2 = 0 THEN 't' ELSE 'u' END,
        1, '', 1, now() + n * interval '1 ms', now()
    FROM generate_series(1, 50000) AS n
""")


@pytest.mark.parametrize("is_analyzed", [False, True], ids=["fresh", "analyzed"])
async def test_a_claim_reads_a_few_rows_of_many(database: Database, is_analyzed: bool) -> None:
    await a_run(database, "r")
    await database.fetch(_MANY)
    if is_analyzed:
        await database.fetch(text("ANALYZE requirements"))
    for names in (("t",), ("t", "u"), ("nobody's",), tuple(f"n{n}" for n in range(100))):
        assert await _rows_read(database, wanted(*names)) < 20 * claims._DEPTH


async def _rows_read(database: Database, given: Wanted) -> int:
    """How many rows the statement handles in all its parts."""
    explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {claims._TAKE.text}").bindparams(
        *claims._TAKE._bindparams.values()
    )
    [[plan]] = await database.fetch(explained, claims._wanted(given, NOW))

    def total(node: Any) -> int:
        rows = node["Actual Rows"] * node["Actual Loops"]
        rows += node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        return int(rows) + sum(map(total, node.get("Plans", ())))

    return total(json.loads(plan)[0]["Plan"])
