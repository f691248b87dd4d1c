"""Runs: created, claimed, moved forward, and read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Boolean, DateTime, LargeBinary, SmallInteger, Text

from interlock import v1
from interlock_server.store.database import Connection, Database, Row
from interlock_server.store.events import EVENT_PARAMETERS, event_arrays
from interlock_server.store.records import (
    Change,
    Lease,
    Missing,
    Owner,
    Page,
    RequestKey,
    RunRow,
    Tip,
)
from interlock_server.store.requests import request_run
from interlock_server.times import timestamp

OPEN_STATES = (v1.RUN_STATE_PENDING, v1.RUN_STATE_RUNNING, v1.RUN_STATE_PAUSED)

RUN_COLUMNS = """
    runs.run_id, runs.workflow_id, runs.digest, runs.session_id, runs.state, runs.pause_kind,
    runs.started_by, runs.labels, runs.body, runs.session_state, runs.last_sequence, runs.version,
    runs.epoch, runs.is_ready, runs.cancel_requested, runs.cancel_reason, runs.cancelled_by,
    runs.create_time, runs.update_time, runs.end_time, runs.expire_time,
    definitions.version AS workflow_version
"""
RUN_FROM = "FROM runs JOIN definitions USING (digest)"

_CREATE = text("""
    WITH request AS (
        INSERT INTO requests (method, caller, request_id, digest, run_id, sequence, create_time)
        SELECT :method, :caller, :request_id, :request_digest, :run_id, 0, :now
        WHERE :request_id <> ''
        ON CONFLICT DO NOTHING RETURNING run_id
    ), session AS (
        INSERT INTO sessions (session_id, state, version, create_time, update_time)
        SELECT :session_id, '{}', 1, :now, :now
        WHERE :request_id = '' OR EXISTS (SELECT FROM request)
        ON CONFLICT DO NOTHING
    ), run AS (
        INSERT INTO runs (run_id, workflow_id, digest, session_id, state, started_by, labels, body,
            session_state, last_sequence, version, epoch, owner, lease_until, expire_time,
            create_time, update_time)
        SELECT :run_id, :workflow_id, :digest, :session_id, 2, :caller, CAST(:labels AS jsonb),
            :body, coalesce((SELECT state FROM sessions WHERE session_id = :session_id), '{}'),
            :event_count, 1, 1, :owner, :lease_until, :expire_time, :now, :now
        WHERE :request_id = '' OR EXISTS (SELECT FROM request)
        RETURNING run_id, session_state
    ), appended AS (
        INSERT INTO events (run_id, sequence, kind, key, body)
        SELECT run.run_id, event.ordinality, event.kind, event.key, event.body
        FROM run, unnest(:kinds, :keys, :bodies) WITH ORDINALITY AS event (kind, key, body)
    )
    SELECT session_state FROM run
""").bindparams(
    *EVENT_PARAMETERS,
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("expire_time", type_=DateTime(timezone=True)),
)

_CLAIM = text("""
    UPDATE runs SET owner = :owner, lease_until = :lease_until, epoch = epoch + 1, commits = 0
    WHERE run_id IN (
        SELECT run_id FROM runs
        WHERE state = 2 AND (lease_until IS NULL OR lease_until < :now)
        ORDER BY lease_until NULLS FIRST LIMIT :count FOR UPDATE SKIP LOCKED
    )
    RETURNING run_id, epoch
""").bindparams(bindparam("lease_until", type_=DateTime(timezone=True)))

_RENEW = text("""
    UPDATE runs SET lease_until = :lease_until
    WHERE state = 2 AND owner = :owner AND run_id = ANY(:run_ids)
    RETURNING run_id, epoch, cancel_requested
""").bindparams(
    bindparam("run_ids", type_=ARRAY(Text)), bindparam("lease_until", type_=DateTime(timezone=True))
)

_RELEASE = text("""
    UPDATE runs SET owner = NULL, lease_until = NULL
    WHERE state = 2 AND owner = :owner AND run_id = :run_id AND epoch = :epoch
""")

_REOPEN = text("""
    UPDATE runs SET is_ready = false
    WHERE run_id = :run_id AND owner = :owner AND epoch = :epoch RETURNING run_id
""")

_GET = text(f"SELECT {RUN_COLUMNS} {RUN_FROM} WHERE run_id = :run_id")
_GET_LOCKED = text(f"SELECT {RUN_COLUMNS} {RUN_FROM} WHERE run_id = :run_id FOR UPDATE OF runs")
_TIP = text("SELECT state, last_sequence FROM runs WHERE run_id = :run_id")

_LIST = text(f"""
    SELECT {RUN_COLUMNS} {RUN_FROM}
    WHERE (:workflow_id = '' OR runs.workflow_id = :workflow_id)
        AND (:session_id = '' OR runs.session_id = :session_id)
        AND (cardinality(:states) = 0 OR runs.state = ANY(:states))
        AND runs.labels @> CAST(:labels AS jsonb)
        AND (:min_time IS NULL OR runs.create_time >= :min_time)
        AND (:max_time IS NULL OR runs.create_time < :max_time)
        AND (:after_time IS NULL
            OR (runs.create_time, runs.run_id) < (:after_time, CAST(:after_id AS text)))
        AND (NOT :stuck OR (runs.end_time IS NULL AND (runs.digest = ANY(:digests) OR EXISTS (
            SELECT FROM requirements
            JOIN unnest(:agent_names, :tool_names) AS missing (agent_name, tool_name)
                USING (agent_name, tool_name)
            WHERE requirements.run_id = runs.run_id AND (requirements.state = 1
                OR (requirements.grant_digest IS NOT NULL AND requirements.spend_time IS NULL))))))
    ORDER BY runs.create_time DESC, runs.run_id DESC LIMIT :size
""").bindparams(
    bindparam("states", type_=ARRAY(SmallInteger)),
    bindparam("stuck", type_=Boolean),
    bindparam("digests", type_=ARRAY(LargeBinary)),
    bindparam("agent_names", type_=ARRAY(Text)),
    bindparam("tool_names", type_=ARRAY(Text)),
    *(
        bindparam(name, type_=DateTime(timezone=True))
        for name in ("min_time", "max_time", "after_time")
    ),
)

_END = text("""
    WITH ended AS (
        UPDATE runs SET state = :state, pause_kind = 0, end_time = :now, update_time = :now,
            version = version + 1, last_sequence = last_sequence + :event_count,
            body = coalesce(:body, body), open_requirements = 0, is_ready = false,
            owner = NULL, lease_until = NULL
        WHERE run_id = :run_id
        RETURNING run_id, last_sequence
    ), closed AS (
        UPDATE requirements SET state = 4, version = version + 1, update_time = :now,
            resolve_time = :now
        WHERE run_id = :run_id AND state + 0 = 1
    )
    INSERT INTO events (run_id, sequence, kind, key, body)
    SELECT ended.run_id, ended.last_sequence - :event_count + event.ordinality, event.kind,
        event.key, event.body
    FROM ended, unnest(:kinds, :keys, :bodies) WITH ORDINALITY AS event (kind, key, body)
""").bindparams(
    *EVENT_PARAMETERS,
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("body", type_=LargeBinary),
    bindparam("state", type_=SmallInteger),
)

_REQUEST_CANCEL = text("""
    UPDATE runs SET cancel_requested = true, cancel_reason = :reason, cancelled_by = :by,
        version = version + 1
    WHERE run_id = :run_id AND NOT cancel_requested
""")

_HEAR_CANCELS = text("""
    UPDATE runs SET cancel_heard = true
    WHERE state = 2 AND owner = :owner AND run_id = ANY(:run_ids)
        AND cancel_requested AND NOT cancel_heard
    RETURNING run_id
""").bindparams(bindparam("run_ids", type_=ARRAY(Text)))

_UNHEARD = text("""
    SELECT run_id FROM runs
    WHERE run_id = :run_id AND state = 2 AND epoch = :epoch AND lease_until >= :now
        AND NOT cancel_heard
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))


_DUE = text("""
    SELECT run_id FROM runs WHERE state = 3 AND expire_time <= :now
    ORDER BY expire_time LIMIT :count
""")

_OPEN_COUNT = text("SELECT count(*) AS count FROM runs WHERE end_time IS NULL")

_SWEEP = text("""
    WITH swept AS (
        DELETE FROM runs WHERE run_id IN (
            SELECT run_id FROM runs WHERE end_time < :before
            ORDER BY end_time LIMIT :count FOR UPDATE SKIP LOCKED
        )
        RETURNING run_id
    ), forgotten AS (
        DELETE FROM requests WHERE run_id IN (SELECT run_id FROM swept)
    ), outdated AS (
        DELETE FROM requests WHERE create_time < :before
            AND method IN ('UpdateSession', 'DeleteSession')
    )
    SELECT count(*) AS count FROM swept
""").bindparams(bindparam("before", type_=DateTime(timezone=True)))


async def run_create(
    database: Database,
    run: v1.Run,
    digest: bytes,
    events: Sequence[v1.RunEvent],
    request: RequestKey,
    owner: Owner,
    now: datetime,
) -> tuple[str, str | None]:
    """Creates a run that `owner` holds at epoch 1.

    Returns:
        The run's id and its session state; or the id of the run that the same
        request started before, and `None`.

    Raises:
        RequestIdReused: another request has this id.
    """
    body = v1.Run(input_json=run.input_json)
    rows = await database.fetch(
        _CREATE,
        {
            **event_arrays(events, [None] * len(events)),
            "run_id": run.run_id,
            "workflow_id": run.workflow_id,
            "digest": digest,
            "session_id": run.session_id,
            "caller": run.started_by,
            "labels": json.dumps(dict(run.labels)),
            "body": body.SerializeToString(),
            "owner": owner.name,
            "lease_until": now + owner.lease,
            "expire_time": _datetime(run.expire_time) if run.HasField("expire_time") else None,
            "method": request.method,
            "request_id": request.request_id,
            "request_digest": request.digest,
            "now": now,
        },
    )
    if rows:
        return run.run_id, rows[0].session_state
    first = await request_run(database, request)
    assert first is not None, "nothing but a repeat keeps a run from being created"
    return first, None


async def runs_claim(database: Database, owner: Owner, count: int, now: datetime) -> list[Lease]:
    """Claims running runs that nobody holds any more."""
    parameters = {
        "owner": owner.name,
        "lease_until": now + owner.lease,
        "now": now,
        "count": count,
    }
    rows = await database.fetch(_CLAIM, parameters)
    return [Lease(row.run_id, owner.name, row.epoch, now + owner.lease) for row in rows]


async def runs_renew(
    database: Database, owner: Owner, run_ids: Sequence[str], now: datetime
) -> dict[str, tuple[int, bool]]:
    """Renews leases; gives the epoch and whether to cancel of each run that is still held."""
    parameters = {
        "owner": owner.name,
        "lease_until": now + owner.lease,
        "run_ids": list(run_ids),
    }
    rows = await database.fetch(_RENEW, parameters)
    return {row.run_id: (row.epoch, row.cancel_requested) for row in rows}


async def run_release(database: Database, lease: Lease) -> None:
    """Gives a running run back, for anyone to claim at once."""
    await database.fetch(_RELEASE, lease_parameters(lease))


async def run_reopen(database: Database, lease: Lease) -> bool:
    """Takes note of decisions that came in; `False` when the lease is lost."""
    return bool(await database.fetch(_REOPEN, lease_parameters(lease)))


async def run_get(database: Database, run_id: str) -> RunRow | None:
    """A run, without its results and requirements."""
    rows = await database.fetch(_GET, {"run_id": run_id})
    return run_row(rows[0]) if rows else None


async def run_lock(connection: Connection, run_id: str) -> RunRow | None:
    """A run, locked until the transaction ends."""
    rows = await connection.fetch(_GET_LOCKED, {"run_id": run_id})
    return run_row(rows[0]) if rows else None


async def run_tip(database: Database, run_id: str) -> Tip | None:
    """Where a run is now."""
    rows = await database.fetch(_TIP, {"run_id": run_id})
    return Tip(v1.RunState.ValueType(rows[0].state), rows[0].last_sequence) if rows else None


async def runs_list(
    database: Database, selected: v1.RunFilter, page: Page, missing: Missing
) -> list[RunRow]:
    """A page of runs, newest first, and one more when there are more.

    Args:
        missing: what runs must need to count as stuck.
    """
    has_min = selected.HasField("create_time_min")
    has_max = selected.HasField("create_time_max")
    parameters = {
        "workflow_id": selected.workflow_id,
        "session_id": selected.session_id,
        "states": list(selected.states),
        "labels": json.dumps(dict(selected.labels)),
        "min_time": _datetime(selected.create_time_min) if has_min else None,
        "max_time": _datetime(selected.create_time_max) if has_max else None,
        "after_time": page.after_time,
        "after_id": page.after_id,
        "size": page.size + 1,
        "stuck": selected.stuck,
        "digests": list(missing.definitions),
        "agent_names": [agent for agent, _ in missing.tools],
        "tool_names": [tool for _, tool in missing.tools],
    }
    return [run_row(row) for row in await database.fetch(_LIST, parameters)]


async def run_end(
    connection: Connection,
    run_id: str,
    change: Change,
    last: v1.RunEvent,
    now: datetime,
) -> None:
    """Ends a locked run, whoever holds it, and cancels what it waits for."""
    parameters = {
        **event_arrays([last], [None]),
        "run_id": run_id,
        "state": change.state,
        "body": change.body.SerializeToString() if change.body else None,
        "now": now,
    }
    await connection.fetch(_END, parameters)


async def runs_hear_cancels(database: Database, owner: Owner, run_ids: Sequence[str]) -> list[str]:
    """The owner starts nothing more in these runs; gives those where nobody knew that so far."""
    parameters = {"owner": owner.name, "run_ids": list(run_ids)}
    return [row.run_id for row in await database.fetch(_HEAR_CANCELS, parameters)]


async def run_cancel_is_unheard(database: Database, run_id: str, epoch: int, now: datetime) -> bool:
    """Whether a run is still held as it was when its cancel was stored, unknown to its owner."""
    parameters = {"run_id": run_id, "epoch": epoch, "now": now}
    return bool(await database.fetch(_UNHEARD, parameters))


async def runs_due(database: Database, count: int, now: datetime) -> list[str]:
    """Paused runs whose time is over."""
    rows = await database.fetch(_DUE, {"count": count, "now": now})
    return [row.run_id for row in rows]


async def runs_count_open(database: Database) -> int:
    """How many runs have not ended."""
    count: int = (await database.fetch(_OPEN_COUNT))[0].count
    return count


async def runs_sweep(database: Database, count: int, before: datetime) -> int:
    """Deletes runs that ended before a time, with all that was stored of them; gives how many."""
    swept: int = (await database.fetch(_SWEEP, {"count": count, "before": before}))[0].count
    return swept


async def run_request_cancel(connection: Connection, run_id: str, reason: str, by: str) -> None:
    """Asks the owner of a locked run to cancel it before its next effect."""
    await connection.fetch(_REQUEST_CANCEL, {"run_id": run_id, "reason": reason, "by": by})


def lease_parameters(lease: Lease) -> dict[str, Any]:
    """A lease as parameters of the statements that only its holder may make."""
    return {"run_id": lease.run_id, "owner": lease.owner, "epoch": lease.epoch}


def run_row(row: Row) -> RunRow:
    """A row as the contract shows it, with what only the runtime needs."""
    run = v1.Run.FromString(row.body)
    run.run_id = row.run_id
    run.workflow_id = row.workflow_id
    run.workflow_version = row.workflow_version
    run.session_id = row.session_id
    run.started_by = row.started_by
    run.state = row.state
    run.pause_kind = row.pause_kind
    run.labels.update(json.loads(row.labels))
    run.last_sequence = row.last_sequence
    run.etag = str(row.version)
    run.create_time.CopyFrom(timestamp(row.create_time))
    run.update_time.CopyFrom(timestamp(row.update_time))
    if row.end_time is not None:
        run.end_time.CopyFrom(timestamp(row.end_time))
    if row.expire_time is not None:
        run.expire_time.CopyFrom(timestamp(row.expire_time))
    return RunRow(
        run,
        row.digest,
        row.session_state,
        row.epoch,
        row.is_ready,
        row.cancel_requested,
        row.cancel_reason,
        row.cancelled_by,
    )


def _datetime(timestamp: Any) -> datetime:
    value: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return value
