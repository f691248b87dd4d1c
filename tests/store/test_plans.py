"""How statements are carried out: what a run does costs the same among few runs and among many.

PostgreSQL plans a statement a few times and keeps the plan. One that was made when
the tables were young must not go through all rows once they are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import TextClause
from tests.conftest import _TEMPLATE, database_on, execute
from tests.support.service import confirm, reject, served, user_input
from tests.support.workbench import Ledger, agent_app, get, only

from interlock import v1
from interlock_server import call
from interlock_server.store.database import Connection, _compiled

_LARGE = ("runs", "events", "journal", "requirements", "requests", "sessions")
_BY_ITSELF = re.compile(
    r"(?:Index|Index Only|Bitmap Heap) Scan using (\w+) on (\w+)(?: \w+)? .*\n"
    r"(?! *Index Cond:)"
)
_CHORES = ("ORDER BY lease_until", "ORDER BY expire_time", "ORDER BY end_time", "count(*) AS count")
"""Words of the statements that look for what is due in all runs, and have an index for that."""


async def test_no_statement_of_a_run_goes_through_those_of_others(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database_url = await young(postgres_url)
    taken: set[TextClause] = set()
    fetch = Connection.fetch

    async def noting(
        self: Connection, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        taken.add(statement)
        return await fetch(self, statement, parameters)

    monkeypatch.setattr(Connection, "fetch", noting)
    ledger = Ledger()
    app = agent_app(
        [call("act", what="a"), call("ask"), call("act", what="b"), "done"],
        ledger.gated(),
        ledger.gated("ask", requires_user_input=True),
    )
    async with served(app, database_url, servers=2) as service:
        for answer in (confirm, reject):
            run = await service.run("Work")
            run = await service.resolve(run, answer(only(run)))
            run = await service.resolve(run, user_input(only(run), '{"what": "x"}'))
            await get(service, run)
            ended = await service.resolve(run, answer(only(run)))
            assert ended.state == v1.RUN_STATE_COMPLETED
            await service.events(ended)
        cancelled = await service.run("Work")
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=cancelled.run_id))
    assert len(taken) > 12
    for statement, plan in (await _plans(database_url, taken)).items():
        if any(word in statement for word in _CHORES):
            continue
        for table in _LARGE:
            assert f"Seq Scan on {table}" not in plan, f"{statement}\n{plan}"
        assert not _BY_ITSELF.search(plan), f"{statement}\n{plan}"


async def young(postgres_url: str) -> str:
    """A database of which nothing is known, as of one that was just made, and that stays so."""
    await execute(postgres_url, f"CREATE DATABASE young TEMPLATE {_TEMPLATE}")
    url = database_on(postgres_url, "young")
    for table in _LARGE:
        await execute(url, f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    return url


async def _plans(database_url: str, statements: Iterable[TextClause]) -> dict[str, str]:
    """The plans that are kept of statements, as they are made while the tables are young."""
    connection = await asyncpg.connect(database_url)
    plans = {}
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for number, statement in enumerate(statements):
            sql, names = _compiled(statement)
            if sql.lstrip().startswith("LOCK"):
                continue  # It has no plan.
            await connection.execute(f"PREPARE one_{number} AS {sql}")
            given = f"({', '.join(['NULL'] * len(names))})" if names else ""
            rows = await connection.fetch(f"EXPLAIN EXECUTE one_{number}{given}")
            plans[sql] = "\n".join(row[0] for row in rows)
    finally:
        await connection.close()
    return plans
