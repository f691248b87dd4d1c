"""Decisions: what they are made on, and how they are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, DateTime, LargeBinary, SmallInteger, Text

from interlock import v1
from interlock_server.errors import RequestIdReused
from interlock_server.store.database import Connection, Database
from interlock_server.store.events import EVENT_PARAMETERS, event_arrays
from interlock_server.store.records import Basis, Owner, RequestKey, Ruling, RunRow
from interlock_server.store.requests import request_parameters
from interlock_server.store.requirements import (
    REQUIREMENT_COLUMNS,
    UNSPENT,
    requirements_in,
)
from interlock_server.store.runs import RUN_COLUMNS, RUN_FROM, run_row

_BASIS = text(f"""
    SELECT {RUN_COLUMNS},
        ARRAY(SELECT ROW({REQUIREMENT_COLUMNS}) FROM requirements
            WHERE run_id = runs.run_id
                AND (state + 0 = 1 OR requirement_id = ANY(:ids) OR {UNSPENT})
            ORDER BY requirements.position) AS known,
        ARRAY(SELECT ROW(requests.digest, requests.sequence) FROM requests
            WHERE method = :method AND caller = :caller AND request_id = :request_id) AS seen
    {RUN_FROM} WHERE runs.run_id = :run_id
""").bindparams(bindparam("ids", type_=ARRAY(Text)))

# What was decided on is as it was read, run and requirements, or nothing is written: a run that
# moved gives no row, and a requirement that changed by itself, as with a claim, an error.
_RESOLVE = text("""
    WITH moved AS (
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
        WHERE run_id = :run_id AND version = :version
        RETURNING run_id, last_sequence, epoch
    ), answered AS (
        UPDATE requirements SET state = :state, resolution = answer.resolution,
            grant_digest = answer.grant_digest, resolved_by = :by, resolve_time = :now,
            update_time = :now, version = requirements.version + 1
        FROM moved, unnest(:ids, :versions, :resolutions, :grants)
            AS answer (id, version, resolution, grant_digest)
        WHERE requirements.run_id = :run_id AND requirement_id = ANY(:ids)
            AND requirement_id = answer.id AND requirements.version = answer.version
        RETURNING requirement_id
    ), noted AS (
        INSERT INTO requests (method, caller, request_id, digest, run_id, sequence, create_time)
        SELECT :method, :caller, :request_id, :request_digest, moved.run_id,
            moved.last_sequence - :event_count, :now
        FROM moved WHERE :request_id <> ''
    ), appended AS (
        INSERT INTO events (run_id, sequence, kind, key, body)
        SELECT moved.run_id, moved.last_sequence - :event_count + event.ordinality, event.kind,
            event.key, event.body
        FROM moved, unnest(:kinds, :keys, :bodies) WITH ORDINALITY AS event (kind, key, body)
    )
    SELECT epoch, 1 / (CASE WHEN (SELECT count(*) FROM answered) = cardinality(:ids)
        THEN 1 ELSE 0 END) AS all_or_none
    FROM moved
""").bindparams(
    *EVENT_PARAMETERS,
    bindparam("ids", type_=ARRAY(Text)),
    bindparam("versions", type_=ARRAY(BigInteger)),
    bindparam("version", type_=BigInteger),
    bindparam("state", type_=SmallInteger),
    bindparam("resolutions", type_=ARRAY(LargeBinary)),
    bindparam("grants", type_=ARRAY(LargeBinary)),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("lease_until", type_=DateTime(timezone=True)),
    bindparam("event_count", type_=BigInteger),
)


async def basis_read(
    database: Database, run_id: str, requirement_ids: Sequence[str], request: RequestKey
) -> Basis | None:
    """What a decision is made on, of one moment: the run and what is open, named or may yet start.

    Raises:
        RequestIdReused: another request has the id.
    """
    parameters = {
        **request_parameters(request),
        "run_id": run_id,
        "ids": list(requirement_ids),
    }
    rows = await database.fetch(_BASIS, parameters)
    if not rows:
        return None
    digest, first = rows[0].seen[0] if rows[0].seen else (request.digest, None)
    if digest != request.digest:
        raise RequestIdReused(request.request_id)
    known = [one.requirement for one in requirements_in(rows[0].known)]
    return Basis(run_row(rows[0]), known, first)


async def decision_record(
    store: Database | Connection,
    row: RunRow,
    known: Sequence[v1.Requirement],
    ruling: Ruling,
    events: Sequence[v1.RunEvent],
    owner: Owner,
) -> RunRow | None:
    """Records answers to open requirements, all or none, and gives the run as it is then.

    Args:
        store: a connection when there is more to do in its transaction.
        row: the run as it was when it was decided.
        known: the requirements as they were then.
        owner: who holds the run when it goes on at once.

    Returns:
        `None` when something has changed since: nothing was recorded.
    """
    versions = {one.requirement_id: int(one.etag) for one in known}
    answers, now = ruling.answers, ruling.now
    version = int(row.run.etag)
    parameters: dict[str, Any] = {
        **event_arrays(events, [None] * len(events)),
        **request_parameters(ruling.request),
        "request_digest": ruling.request.digest,
        "run_id": row.run.run_id,
        "version": version,
        "ids": [one.requirement_id for one in answers],
        "versions": [versions[one.requirement_id] for one in answers],
        "resolutions": [one.resolution and one.resolution.SerializeToString() for one in answers],
        "grants": [one.grant for one in answers],
        "state": ruling.state,
        "by": ruling.by,
        "is_ready": ruling.is_ready,
        "claims": ruling.claims,
        "owner": owner.name,
        "lease_until": now + owner.lease,
        "now": now,
    }
    try:
        rows = await store.fetch(_RESOLVE, parameters)
    except (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError):
        return None  # The same request came twice at once; or a requirement has changed.
    if not rows:
        return None
    run = v1.Run()
    run.CopyFrom(row.run)
    run.last_sequence += len(events)
    run.etag = str(version + 1)
    return replace(row, run=run, epoch=rows[0].epoch)
