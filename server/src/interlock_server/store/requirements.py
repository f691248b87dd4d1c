"""Requirements: what waits, over all runs; each resolved once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import BigInteger, DateTime, LargeBinary, SmallInteger, Text

from interlock import v1
from interlock_server.store.database import Database
from interlock_server.store.events import EVENT_PARAMETERS, event_arrays
from interlock_server.store.records import Answer, Owner, Page, Settled

REQUIREMENT_COLUMNS = """
    requirement_id, run_id, key, step_key, workflow_id, session_id, state, body, resolution,
    resolved_by, version, create_time, update_time, resolve_time, claimed_by, claim_epoch,
    claim_until
"""
_UNSPENT = "(grant_digest IS NOT NULL AND spend_time IS NULL)"
_GET = text(
    f"SELECT {REQUIREMENT_COLUMNS} FROM requirements WHERE requirement_id = :requirement_id"
)
_OF_RUN = text(
    f"SELECT {REQUIREMENT_COLUMNS} FROM requirements WHERE run_id = :run_id ORDER BY position"
)
_LOCKED = text(f"""
    SELECT {REQUIREMENT_COLUMNS} FROM requirements
    WHERE run_id = :run_id AND (state = 1 OR requirement_id = ANY(:ids) OR {_UNSPENT})
    ORDER BY position FOR UPDATE
""").bindparams(bindparam("ids", type_=ARRAY(Text)))
# Behind `state + 0` the planner does not see the index of all open ones, which it would take for
# the smaller one as long as it does not know how many there are.
_CURRENT_OF_RUNS = text(f"""
    SELECT {REQUIREMENT_COLUMNS} FROM requirements
    WHERE run_id = ANY(:run_ids) AND (state + 0 = 1 OR {_UNSPENT}) ORDER BY position
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

_RESOLVE = text("""
    WITH answered AS (
        UPDATE requirements SET state = :state, resolution = answer.resolution,
            grant_digest = answer.grant_digest, resolved_by = :by, resolve_time = :now,
            update_time = :now, version = version + 1
        FROM unnest(:ids, :resolutions, :grants) AS answer (id, resolution, grant_digest)
        WHERE requirement_id = answer.id
    ), moved AS (
        UPDATE runs SET
            open_requirements = open_requirements - cardinality(:ids),
            last_sequence = last_sequence + :event_count,
            version = version + 1,
            update_time = :now,
            is_ready = CASE WHEN :claims THEN false ELSE is_ready OR :is_ready END,
            state = CASE WHEN :claims THEN 2 ELSE state END,
            pause_kind = CASE WHEN :claims THEN 0 ELSE pause_kind END,
            owner = CASE WHEN :claims THEN :owner ELSE owner END,
            lease_until = CASE WHEN :claims THEN :lease_until ELSE lease_until END,
            epoch = epoch + CASE WHEN :claims THEN 1 ELSE 0 END,
            commits = CASE WHEN :claims THEN 0 ELSE commits END
        WHERE run_id = :run_id
        RETURNING run_id, last_sequence, epoch
    ), appended AS (
        INSERT INTO events (run_id, sequence, kind, key, body)
        SELECT moved.run_id, moved.last_sequence - :event_count + event.ordinality, event.kind,
            event.key, event.body
        FROM moved, unnest(:kinds, :keys, :bodies) WITH ORDINALITY AS event (kind, key, body)
    )
    SELECT epoch FROM moved
""").bindparams(
    *EVENT_PARAMETERS,
    bindparam("ids", type_=ARRAY(Text)),
    bindparam("state", type_=SmallInteger),
    bindparam("resolutions", type_=ARRAY(LargeBinary)),
    bindparam("grants", type_=ARRAY(LargeBinary)),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("lease_until", type_=DateTime(timezone=True)),
    bindparam("event_count", type_=BigInteger),
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
    SELECT agent_name, tool_name FROM requirements WHERE {_UNSPENT} AND agent_name <> ''
""")


async def requirement_get(database: Database, requirement_id: str) -> v1.Requirement | None:
    """A requirement.

    It shows its newest claim that was not given back, as all below do: also one
    whose time is over, or that has its answer.
    """
    rows = await database.fetch(_GET, {"requirement_id": requirement_id})
    return requirement_of(rows[0]) if rows else None


async def requirements_of_run(database: Database, run_id: str) -> list[Answer]:
    """All requirements of a run, in the order of asking, with the keys that asked.

    Without claims: what a run does and says must not depend on who is at work on its calls.
    """
    rows = await database.fetch(_OF_RUN, {"run_id": run_id})
    answers = [Answer(row.key, requirement_of(row)) for row in rows]
    for one in answers:
        one.requirement.ClearField("claim")
    return answers


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


async def requirements_lock(
    connection: AsyncConnection, run_id: str, requirement_ids: Sequence[str]
) -> list[v1.Requirement]:
    """Of a locked run, in the order of asking: what is open, what is named, what may yet start."""
    parameters = {"run_id": run_id, "ids": list(requirement_ids)}
    return [requirement_of(row) for row in await connection.execute(_LOCKED, parameters)]


async def requirements_resolve(
    connection: AsyncConnection,
    run_id: str,
    answers: Sequence[Settled],
    events: Sequence[v1.RunEvent],
    *,
    state: v1.RequirementState.ValueType,
    by: str,
    is_ready: bool,
    claims: bool,
    owner: Owner,
    now: datetime,
) -> int:
    """Records answers to locked, open requirements of a locked run, and gives the run's epoch.

    Args:
        state: resolved by a person, or expired.
        is_ready: a step has everything it waits for.
        claims: the run goes on at once, under `owner`.
    """
    parameters: dict[str, Any] = {
        **event_arrays(events, [None] * len(events)),
        "run_id": run_id,
        "ids": [one.requirement_id for one in answers],
        "resolutions": [one.resolution and one.resolution.SerializeToString() for one in answers],
        "grants": [one.grant for one in answers],
        "state": state,
        "by": by,
        "is_ready": is_ready,
        "claims": claims,
        "owner": owner.name,
        "lease_until": now + owner.lease,
        "now": now,
    }
    epoch: int = (await connection.execute(_RESOLVE, parameters)).one().epoch
    return epoch


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


def requirement_of(row: Row[Any]) -> v1.Requirement:
    """A row as the contract shows it."""
    requirement = v1.Requirement.FromString(row.body)
    requirement.run_id = row.run_id
    requirement.workflow_id = row.workflow_id
    requirement.session_id = row.session_id
    requirement.state = row.state
    requirement.etag = str(row.version)
    requirement.create_time.FromDatetime(row.create_time)
    if row.resolution is not None:
        requirement.resolution.MergeFromString(row.resolution)
        requirement.resolved_by = row.resolved_by
    if row.resolve_time is not None:
        requirement.resolve_time.FromDatetime(row.resolve_time)
    if row.claimed_by is not None:
        requirement.claim.worker_id = row.claimed_by
        requirement.claim.epoch = row.claim_epoch
        requirement.claim.expire_time.FromDatetime(row.claim_until)
    return requirement
