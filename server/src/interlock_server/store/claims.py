"""Claims: which worker executes a call that waits for one, each call one worker at a time.

A claim touches the row of its requirement and nothing else, and waits for no
other row while it holds that; so it cannot be part of a deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, DateTime, LargeBinary, Text

from interlock import v1
from interlock_server.errors import RequestIdReused
from interlock_server.store.database import Database
from interlock_server.store.records import Taken, Wanted
from interlock_server.store.requirements import REQUIREMENT_COLUMNS, requirement_of

_DEPTH = 20
"""How many of the oldest calls are looked at: others may be taking the first of them just now."""

_NOW = bindparam("now", type_=DateTime(timezone=True))
_UNTIL = bindparam("until", type_=DateTime(timezone=True))
_EPOCH = bindparam("epoch", type_=BigInteger)

# The oldest of each tool are at the front of an index, however many wait behind them. Those are
# gathered first, without locks, and then the oldest is locked that nobody else has locked.
_TAKE = text(f"""
    WITH unclaimed AS (
        SELECT oldest.requirement_id, oldest.create_time
        FROM unnest(:tool_names) AS tool (name), LATERAL (
            SELECT requirement_id, create_time FROM requirements
            WHERE kind = 3 AND resolve_time IS NULL AND claimed_by IS NULL
                AND tool_name = tool.name
                AND (:workflow_id = '' OR workflow_id = :workflow_id)
            ORDER BY create_time, requirement_id LIMIT {_DEPTH}
        ) AS oldest
    ), abandoned AS (
        SELECT requirement_id, create_time FROM requirements
        WHERE resolve_time IS NULL AND claimed_by IS NOT NULL AND claim_until <= :now
            AND tool_name = ANY(:tool_names)
            AND (:workflow_id = '' OR workflow_id = :workflow_id)
        ORDER BY create_time, requirement_id LIMIT {_DEPTH}
    ), free AS (
        SELECT requirement_id, create_time FROM unclaimed UNION ALL
        SELECT requirement_id, create_time FROM abandoned
    ), taken AS (
        SELECT requirements.requirement_id
        FROM free JOIN requirements USING (requirement_id)
        WHERE resolve_time IS NULL AND (claimed_by IS NULL OR claim_until <= :now)
        ORDER BY free.create_time, free.requirement_id LIMIT 1
        FOR UPDATE OF requirements SKIP LOCKED
    ), claimed AS (
        UPDATE requirements SET claimed_by = :worker_id, claim_epoch = claim_epoch + 1,
            claim_until = :until, claim_request = :request_id, claim_digest = :digest,
            version = version + 1, update_time = :now
        WHERE requirement_id IN (SELECT requirement_id FROM taken)
        RETURNING {REQUIREMENT_COLUMNS}
    )
    SELECT claimed.*, (SELECT count(*) FROM free) AS free_count
    FROM (VALUES (1)) AS always LEFT JOIN claimed ON true
""").bindparams(
    bindparam("tool_names", type_=ARRAY(Text)),
    bindparam("request_id", type_=Text),
    bindparam("digest", type_=LargeBinary),
    _NOW,
    _UNTIL,
)
# It always ends later than before, so that whoever took it knows it from one asked for again.
_TAKE_AGAIN = text(f"""
    UPDATE requirements
    SET claim_until = CASE WHEN claim_digest = :digest
        THEN greatest(:until, claim_until + interval '1 microsecond') ELSE claim_until END
    WHERE claim_request = :request_id AND resolve_time IS NULL
    RETURNING {REQUIREMENT_COLUMNS}, claim_digest
""").bindparams(bindparam("digest", type_=LargeBinary), _UNTIL)
_RENEW = text(f"""
    UPDATE requirements SET claim_until = :until
    WHERE requirement_id = :requirement_id AND claim_epoch = :epoch AND claimed_by IS NOT NULL
        AND resolve_time IS NULL
    RETURNING {REQUIREMENT_COLUMNS}
""").bindparams(_UNTIL, _EPOCH)
_RELEASE = text("""
    UPDATE requirements SET claimed_by = NULL, claim_until = NULL, claim_request = NULL,
        claim_digest = NULL, version = version + 1, update_time = :now
    WHERE requirement_id = :requirement_id AND claim_epoch = :epoch AND claimed_by IS NOT NULL
        AND resolve_time IS NULL AND (:until IS NULL OR claim_until = :until)
    RETURNING run_id
""").bindparams(_NOW, _UNTIL, _EPOCH)


async def claim_take(database: Database, wanted: Wanted, now: datetime) -> Taken:
    """Claims the oldest call that a worker can execute and nobody holds.

    A repeat of a request gets what the first one got, and holds it from now on.

    Raises:
        RequestIdReused: another request has the id.
    """
    while True:
        if again := await _take_again(database, wanted, now):
            return Taken(again)
        try:
            [row] = await database.fetch(_TAKE, _wanted(wanted, now))
        except asyncpg.UniqueViolationError:
            continue  # The same request, at the same time, got another call: that is the one.
        if row.requirement_id is None:
            return Taken(None, is_contested=row.free_count > 0)
        return Taken(requirement_of(row))


async def claim_renew(
    database: Database, requirement_id: str, epoch: int, until: datetime
) -> v1.Requirement | None:
    """Keeps a claim for longer, also one that is over if nobody took it; `None` when it is lost."""
    parameters = {"requirement_id": requirement_id, "epoch": epoch, "until": until}
    rows = await database.fetch(_RENEW, parameters)
    return requirement_of(rows[0]) if rows else None


async def claim_release(
    database: Database,
    requirement_id: str,
    epoch: int,
    now: datetime,
    until: datetime | None = None,
) -> str | None:
    """Gives a claim back; gives its run, or `None` when it was not held.

    Args:
        until: give it back only if it still ends then: nobody has renewed it, nor asked again.
    """
    parameters = {"requirement_id": requirement_id, "epoch": epoch, "now": now, "until": until}
    rows = await database.fetch(_RELEASE, parameters)
    run_id: str | None = rows[0].run_id if rows else None
    return run_id


async def _take_again(database: Database, wanted: Wanted, now: datetime) -> v1.Requirement | None:
    if not wanted.request.request_id:
        return None
    rows = await database.fetch(_TAKE_AGAIN, _wanted(wanted, now))
    if not rows:
        return None
    if rows[0].claim_digest != wanted.request.digest:
        raise RequestIdReused(wanted.request.request_id)
    return requirement_of(rows[0])


def _wanted(wanted: Wanted, now: datetime) -> Mapping[str, Any]:
    request = wanted.request
    return {
        "worker_id": wanted.worker_id,
        "tool_names": list(wanted.tool_names),
        "workflow_id": wanted.workflow_id,
        "request_id": request.request_id or None,
        "digest": request.digest if request.request_id else None,
        "until": now + wanted.lease,
        "now": now,
    }
