"""Decisions: what they are made on, and how they are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

ANSWERED = """, answered AS (
        UPDATE requirements SET state = :answer_state, resolution = answer.resolution,
            grant_digest = answer.grant_digest,
            spend_time = CASE WHEN answer.start_digest IS NOT NULL THEN :decide_time END,
            resolved_by = :by, resolve_time = :decide_time, update_time = :decide_time,
            version = requirements.version + 1
        FROM moved, unnest(:answer_ids, :answer_versions, :resolutions, :grants, :starts)
            AS answer (id, version, resolution, grant_digest, start_digest)
        WHERE requirements.run_id = :run_id AND requirement_id = ANY(:answer_ids)
            AND requirement_id = answer.id AND requirements.version = answer.version
            AND (answer.start_digest IS NULL OR answer.start_digest = answer.grant_digest)
        RETURNING requirement_id
    ), noted AS (
        INSERT INTO requests (method, caller, request_id, digest, run_id, sequence, create_time)
        SELECT :method, :caller, :request_id, :request_digest, moved.run_id,
            moved.last_sequence - :event_count, :decide_time
        FROM moved WHERE :request_id <> ''
    )"""
"""The part of a statement that records answers, and the request that brought them.

What was decided on is as it was read, run and requirements, or nothing is written: a run that
moved gives no row, and a requirement that changed by itself, as with a claim, the error of
`ALL_OR_NONE`. What starts at once must be just what its answer lets start.
"""
ALL_OR_NONE = """1 / (CASE WHEN (SELECT count(*) FROM answered) = cardinality(:answer_ids)
        THEN 1 ELSE 0 END) AS all_or_none"""
ANSWER_PARAMETERS = (
    bindparam("answer_ids", type_=ARRAY(Text)),
    bindparam("answer_versions", type_=ARRAY(BigInteger)),
    bindparam("answer_state", type_=SmallInteger),
    bindparam("resolutions", type_=ARRAY(LargeBinary)),
    bindparam("grants", type_=ARRAY(LargeBinary)),
    bindparam("starts", type_=ARRAY(LargeBinary)),
    bindparam("decide_time", type_=DateTime(timezone=True)),
    bindparam("version", type_=BigInteger),
)
REFUSED = (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError)
"""What it is when the same request came twice at once, or when a requirement has changed."""

_RESOLVE = text(f"""
    WITH moved AS (
        UPDATE runs SET
            open_requirements = open_requirements - cardinality(:answer_ids),
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
    ){ANSWERED}, appended AS (
        INSERT INTO events (run_id, sequence, kind, key, body)
        SELECT moved.run_id, moved.last_sequence - :event_count + event.ordinality, event.kind,
            event.key, event.body
        FROM moved, unnest(:kinds, :keys, :bodies) WITH ORDINALITY AS event (kind, key, body)
    )
    SELECT epoch, {ALL_OR_NONE} FROM moved
""").bindparams(
    *EVENT_PARAMETERS,
    *ANSWER_PARAMETERS,
    bindparam("lease_until", type_=DateTime(timezone=True)),
    bindparam("now", type_=DateTime(timezone=True)),
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
    ruling: Ruling,
    events: Sequence[v1.RunEvent],
    owner: Owner,
) -> RunRow | None:
    """Records answers to open requirements, all or none, and gives the run as it is then.

    Args:
        store: a connection when there is more to do in its transaction.
        row: the run as it was when it was decided.
        owner: who holds the run when it goes on at once.

    Returns:
        `None` when something has changed since: nothing was recorded.
    """
    parameters: dict[str, Any] = {
        **event_arrays(events, [None] * len(events)),
        **answer_parameters(ruling, {}),
        "run_id": row.run.run_id,
        "version": int(row.run.etag),
        "is_ready": ruling.is_ready,
        "claims": ruling.claims,
        "owner": owner.name,
        "lease_until": ruling.now + owner.lease,
        "now": ruling.now,
    }
    try:
        rows = await store.fetch(_RESOLVE, parameters)
    except REFUSED:
        return None
    return row_decided(row, rows[0].epoch, len(events)) if rows else None


def answer_parameters(ruling: Ruling, starts: Mapping[str, bytes]) -> dict[str, Any]:
    """Answers as parameters of a statement that records them.

    Args:
        starts: the digests of what starts at once, by the requirements that let it.
    """
    answers = ruling.answers
    return {
        **request_parameters(ruling.request),
        "request_digest": ruling.request.digest,
        "answer_ids": [one.requirement_id for one in answers],
        "answer_versions": [one.version for one in answers],
        "resolutions": [one.resolution and one.resolution.SerializeToString() for one in answers],
        "grants": [one.grant for one in answers],
        "starts": [starts.get(one.requirement_id) for one in answers],
        "answer_state": ruling.state,
        "by": ruling.by,
        "decide_time": ruling.now,
    }


def row_decided(row: RunRow, epoch: int, event_count: int) -> RunRow:
    """A run as it is after a decision on it, which was told in so many events."""
    run = v1.Run()
    run.CopyFrom(row.run)
    run.last_sequence += event_count
    run.etag = str(int(run.etag) + 1)
    return replace(row, run=run, epoch=epoch)
