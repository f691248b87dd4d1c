"""The journal: what a run has done, and all else that a leg must know to go on."""

from __future__ import annotations

from sqlalchemy import text

from interlock_server.store.database import Database
from interlock_server.store.records import Answer, Entry, Memory
from interlock_server.store.requirements import requirements_of_run
from interlock_server.store.runs import run_get

_ENTRIES = text("SELECT key, position, value FROM journal WHERE run_id = :run_id ORDER BY position")
_KEYS = text("SELECT key FROM events WHERE run_id = :run_id AND key IS NOT NULL")


async def memory_load(database: Database, run_id: str) -> Memory:
    """Reads a run for its owner."""
    row = await run_get(database, run_id)
    assert row is not None, "an owned run exists"
    entries = await database.fetch(_ENTRIES, {"run_id": run_id})
    keys = await database.fetch(_KEYS, {"run_id": run_id})
    answers: list[Answer] = await requirements_of_run(database, run_id)
    return Memory(
        row,
        [Entry(one.key, one.position, one.value and one.value.decode()) for one in entries],
        answers,
        frozenset(one.key for one in keys),
    )
