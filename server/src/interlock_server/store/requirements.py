"""Requirements: what waits, over all runs; each resolved once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import DateTime, SmallInteger, Text

from interlock import v1
from interlock_server.store.database import Connection, Database
from interlock_server.store.records import Answer, Page
from interlock_server.times import timestamp

REQUIREMENT_COLUMNS = """
    requirement_id, run_id, key, step_key, workflow_id, session_id, state, body, resolution,
    resolved_by, version, create_time, update_time, resolve_time, claimed_by, claim_epoch,
    claim_until
"""
_NAMES = [name.strip() for name in REQUIREMENT_COLUMNS.split(",")]
UNSPENT = "(grant_digest IS NOT NULL AND spend_time IS NULL)"
_GET = text(
    f"SELECT {REQUIREMENT_COLUMNS} FROM requirements WHERE requirement_id = :requirement_id"
)
_OF_RUN = text(
    f"SELECT {REQUIREMENT_COLUMNS} FROM requirements WHERE run_id = :run_id ORDER BY position"
)
_LOCKED = text(f"""
    SELECT {REQUIREMENT_COLUMNS} FROM requirements
    WHERE run_id = :run_id AND state + 0 = 1 ORDER BY position FOR UPDATE
""")
# Behind `state + 0` the planner does not see the index of all open ones, which it would take for
# the smaller one as long as it does not know how many there are.
CURRENT = f"(state + 0 = 1 OR {UNSPENT})"
_CURRENT_OF_RUNS = text(f"""
    SELECT {REQUIREMENT_COLUMNS} FROM requirements
    WHERE run_id = ANY(:run_ids) AND {CURRENT} ORDER BY position
""").bindparams(bindparam("run_ids", type_=ARRAY(Text)))

_MATCHES = """
    (:run_id = '' OR run_id = :run_id)
    AND (:workflow_id = '' OR workflow_id = :workflow_id)
    AND (:session_id = '' OR session_id = :session_id)
    AND (cardinality(:kinds) = 0 OR kind = ANY(:kinds))
    AND (cardinality(:tool_names) = 0 OR tool_name = ANY(:tool_names))
"""
_MATCH_PARAMETERS = (
    bindparam("kinds", type_=ARRAY(SmallInteger)),
    bindparam("tool_names", type_=ARRAY(Text)),
)


def _list_statement(state: str) -> TextClause:
    return text(f"""
        SELECT {REQUIREMENT_COLUMNS} FROM requirements
        WHERE {state} AND {_MATCHES}
            AND (:after_time IS NULL
                OR (create_time, requirement_id) > (:after_time, CAST(:after_id AS text)))
        ORDER BY create_time, requirement_id LIMIT :size
    """).bindparams(*_MATCH_PARAMETERS, bindparam("after_time", type_=DateTime(timezone=True)))


# The open ones have an index of their own, which the planner sees only behind a literal.
_LIST_OPEN = _list_statement("state = 1")
_LIST = _list_statement("state = ANY(:states)").bindparams(
    bindparam("states", type_=ARRAY(SmallInteger))
)
_CHANGED = text(f"""
    SELECT {REQUIREMENT_COLUMNS} FROM requirements
    WHERE update_time >= :since AND {_MATCHES}
        AND (cardinality(:states) = 0 OR state = ANY(:states))
    ORDER BY update_time, requirement_id LIMIT :size
""").bindparams(
    *_MATCH_PARAMETERS,
    bindparam("states", type_=ARRAY(SmallInteger)),
    bindparam("since", type_=DateTime(timezone=True)),
)

_DUE = text(f"""
    SELECT {REQUIREMENT_COLUMNS} FROM requirements
    WHERE state = 1 AND expire_time <= :now AND requirement_id <> ALL(:passed_over)
    ORDER BY expire_time LIMIT :count
""").bindparams(
    bindparam("passed_over", type_=ARRAY(Text)),
    bindparam("now", type_=DateTime(timezone=True)),
)
_CURRENT_TOOLS = text(f"""
    SELECT agent_name, tool_name FROM requirements WHERE state = 1 AND agent_name <> ''
    UNION
    SELECT agent_name, tool_name FROM requirements WHERE {UNSPENT} AND agent_name <> ''
""")


async def requirement_get(database: Database, requirement_id: str) -> v1.Requirement | None:
    """A requirement.

    It shows its newest claim that was not given back, as all below do: also one
    whose time is over, or that has its answer.
    """
    rows = await database.fetch(_GET, {"requirement_id": requirement_id})
    return requirement_of(rows[0]) if rows else None


async def requirements_of_run(database: Database, run_id: str) -> list[Answer]:
    """All requirements of a run, in the order of asking, with the keys that asked."""
    rows = await database.fetch(_OF_RUN, {"run_id": run_id})
    return [Answer(row.key, requirement_of(row)) for row in rows]


async def requirements_current(
    database: Database, run_ids: Sequence[str]
) -> dict[str, list[v1.Requirement]]:
    """What runs wait for, and what was allowed in them and has not started, in the order of asking.

    Only runs that have something like that are in it.
    """
    current: dict[str, list[v1.Requirement]] = {}
    for row in await database.fetch(_CURRENT_OF_RUNS, {"run_ids": list(run_ids)}):
        current.setdefault(row.run_id, []).append(requirement_of(row))
    return current


async def requirements_lock(connection: Connection, run_id: str) -> list[v1.Requirement]:
    """What is open in a locked run, in the order of asking."""
    return [requirement_of(row) for row in await connection.fetch(_LOCKED, {"run_id": run_id})]


async def requirements_due(
    database: Database, passed_over: Sequence[str], count: int, now: datetime
) -> list[v1.Requirement]:
    """Open requirements whose time is over, but for those passed over."""
    parameters = {"passed_over": list(passed_over), "count": count, "now": now}
    return [requirement_of(row) for row in await database.fetch(_DUE, parameters)]


async def requirements_current_tools(database: Database) -> list[tuple[str, str]]:
    """The tools, by agent and name, of all calls that wait, or that may start."""
    return [(row.agent_name, row.tool_name) for row in await database.fetch(_CURRENT_TOOLS)]


async def requirements_list(
    database: Database, selected: v1.RequirementFilter, page: Page
) -> list[v1.Requirement]:
    """A page of requirements, oldest first, and one more when there are more."""
    states = list(selected.states) or [v1.REQUIREMENT_STATE_PENDING]
    parameters = {
        **_matching(selected),
        "after_time": page.after_time,
        "after_id": page.after_id,
        "size": page.size + 1,
    }
    if states == [v1.REQUIREMENT_STATE_PENDING]:
        rows = await database.fetch(_LIST_OPEN, parameters)
    else:
        rows = await database.fetch(_LIST, {**parameters, "states": states})
    return [requirement_of(row) for row in rows]


async def requirements_changed(
    database: Database, selected: v1.RequirementFilter, since: datetime, limit: int
) -> list[tuple[v1.Requirement, datetime]]:
    """Requirements that appeared or changed at or after a time, with that time, oldest first."""
    parameters = {
        **_matching(selected),
        "states": list(selected.states),
        "since": since,
        "size": limit,
    }
    rows = await database.fetch(_CHANGED, parameters)
    return [(requirement_of(row), row.update_time) for row in rows]


def _matching(selected: v1.RequirementFilter) -> dict[str, Any]:
    return {
        "run_id": selected.run_id,
        "workflow_id": selected.workflow_id,
        "session_id": selected.session_id,
        "kinds": list(selected.kinds),
        "tool_names": list(selected.tool_names),
    }


def requirements_in(rows: Iterable[Sequence[Any]]) -> list[Answer]:
    """Requirements that were read with their run: rows of `REQUIREMENT_COLUMNS`."""
    named = (SimpleNamespace(**dict(zip(_NAMES, row, strict=True))) for row in rows)
    return [Answer(row.key, requirement_of(row)) for row in named]


def requirement_of(row: Any) -> v1.Requirement:
    """A row as the contract shows it."""
    requirement = v1.Requirement.FromString(row.body)
    requirement.run_id = row.run_id
    requirement.workflow_id = row.workflow_id
    requirement.session_id = row.session_id
    requirement.state = row.state
    requirement.etag = str(row.version)
    requirement.create_time.CopyFrom(timestamp(row.create_time))
    if row.resolution is not None:
        requirement.resolution.MergeFromString(row.resolution)
        requirement.resolved_by = row.resolved_by
    if row.resolve_time is not None:
        requirement.resolve_time.CopyFrom(timestamp(row.resolve_time))
    if row.claimed_by is not None:
        requirement.claim.worker_id = row.claimed_by
        requirement.claim.epoch = row.claim_epoch
        requirement.claim.expire_time.CopyFrom(timestamp(row.claim_until))
    return requirement
