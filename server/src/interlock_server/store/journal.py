"""The journal: what a run has done, and all else that a leg must know to go on."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text

from interlock_server.store.database import Database
from interlock_server.store.records import Answer, Entry, Memory
from interlock_server.store.requirements import REQUIREMENT_COLUMNS, requirements_in
from interlock_server.store.runs import RUN_COLUMNS, RUN_FROM, run_row

# One statement, so that all of it is of one moment.
_LOAD = text(f"""
    SELECT {RUN_COLUMNS},
        ARRAY(SELECT ROW(key, position, value) FROM journal
            WHERE run_id = runs.run_id ORDER BY position) AS entries,
        ARRAY(SELECT ROW({REQUIREMENT_COLUMNS}) FROM requirements
            WHERE run_id = runs.run_id ORDER BY requirements.position) AS asked,
        ARRAY(SELECT key FROM events WHERE run_id = runs.run_id AND key IS NOT NULL) AS event_keys
    {RUN_FROM} WHERE runs.run_id = :run_id
""")


async def memory_load(database: Database, run_id: str) -> Memory:
    """Reads a run for its owner, as it is at one moment."""
    [row] = await database.fetch(_LOAD, {"run_id": run_id})
    return Memory(
        run_row(row),
        [Entry(key, position, value and value.decode()) for key, position, value in row.entries],
        list(_without_claims(requirements_in(row.asked))),
        frozenset(row.event_keys),
    )


def _without_claims(answers: Iterable[Answer]) -> Iterable[Answer]:
    """What a run does and says must not depend on who is at work on its calls."""
    for one in answers:
        one.requirement.ClearField("claim")
        yield one
