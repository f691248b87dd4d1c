"""The journal: what a run has done, and all else that a leg must know to go on."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import TextClause, text

from interlock_server.store.database import Database
from interlock_server.store.records import Answer, Memory
from interlock_server.store.requirements import REQUIREMENT_COLUMNS, requirements_in
from interlock_server.store.runs import RUN_COLUMNS, RUN_FROM, run_row

STATE_MARKS = ('"set":', '"removed":')
"""One of these is in each entry that changes the session state; others may have them too."""

_FINISHED = ":finished"
"""How keys of entries end that stand for all that happened inside of a container, which the keys
of that tell: inside of `a` are `a/...` and `a#...`."""

_INSIDE = "EXISTS (SELECT FROM finished WHERE starts_with(key, finished.inside))"
_CHANGES_STATE = " OR ".join(
    f"position(decode('{mark.encode().hex()}', 'hex') IN value) > 0" for mark in STATE_MARKS
)


def _load_statement(entries: str, event_keys: str) -> TextClause:
    """One statement, so that all of it is of one moment."""
    return text(f"""
        WITH finished AS MATERIALIZED (
            SELECT left(key, -{len(_FINISHED)}) || mark AS inside
            FROM journal, (VALUES ('#'), ('/')) AS marks (mark)
            WHERE run_id = :run_id AND right(key, {len(_FINISHED)}) = '\\{_FINISHED}'
        )
        SELECT {RUN_COLUMNS},
            ARRAY(SELECT ROW(key, value) FROM journal
                WHERE run_id = runs.run_id AND {entries} ORDER BY position) AS entries,
            (SELECT max(position) FROM journal WHERE run_id = runs.run_id) AS position,
            ARRAY(SELECT ROW({REQUIREMENT_COLUMNS}) FROM requirements
                WHERE run_id = runs.run_id ORDER BY requirements.position) AS asked,
            ARRAY(SELECT key FROM events
                WHERE run_id = runs.run_id AND key IS NOT NULL AND {event_keys}) AS event_keys
        {RUN_FROM} WHERE runs.run_id = :run_id
    """)


_LOAD = _load_statement(f"(NOT {_INSIDE} OR {_CHANGES_STATE})", f"NOT {_INSIDE}")
_LOAD_ALL = _load_statement("true", "true")


async def memory_load(database: Database, run_id: str, *, is_whole: bool = False) -> Memory:
    """Reads a run for its owner, as it is at one moment.

    Args:
        is_whole: with what happened inside of containers that are recorded as finished, which
            no leg goes through again.
    """
    [row] = await database.fetch(_LOAD_ALL if is_whole else _LOAD, {"run_id": run_id})
    return Memory(
        run_row(row),
        {key: value and value.decode() for key, value in row.entries},
        row.position or 0,
        list(_without_claims(requirements_in(row.asked))),
        frozenset(row.event_keys),
    )


def _without_claims(answers: Iterable[Answer]) -> Iterable[Answer]:
    """What a run does and says must not depend on who is at work on its calls."""
    for one in answers:
        one.requirement.ClearField("claim")
        yield one
