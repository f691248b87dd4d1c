"""Requests: what was asked before under the same id."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.types import DateTime

from interlock_server.errors import RequestIdReused
from interlock_server.store.database import Connection, Database
from interlock_server.store.records import RequestKey

_FIND = text("""
    SELECT digest, run_id, sequence FROM requests
    WHERE method = :method AND caller = :caller AND request_id = :request_id
""")
_ADD = text("""
    INSERT INTO requests (method, caller, request_id, digest, run_id, sequence, create_time)
    VALUES (:method, :caller, :request_id, :digest, :run_id, :sequence, :now)
    ON CONFLICT DO NOTHING RETURNING run_id
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))


async def request_run(database: Database, request: RequestKey) -> str | None:
    """The run that an earlier request of this id was about; `None` when there was none.

    Raises:
        RequestIdReused: it was another request.
    """
    rows = await database.fetch(_FIND, request_parameters(request)) if request.request_id else []
    if not rows:
        return None
    if rows[0].digest != request.digest:
        raise RequestIdReused(request.request_id)
    run_id: str = rows[0].run_id
    return run_id


async def request_note(
    database: Database, request: RequestKey, run_id: str, sequence: int, now: datetime
) -> None:
    """Notes a request that found nothing left to do; one that is known stays as it was."""
    if request.request_id:
        noted = {"digest": request.digest, "run_id": run_id, "sequence": sequence, "now": now}
        await database.fetch(_ADD, {**request_parameters(request), **noted})


async def request_add(
    connection: Connection, request: RequestKey, run_id: str, sequence: int, now: datetime
) -> int | None:
    """Notes a request in the transaction that carries it out.

    Args:
        sequence: the run's newest event before the request.

    Returns:
        `None` when the request is new; else the sequence noted with the first.

    Raises:
        RequestIdReused: another request has this id.
    """
    if not request.request_id:
        return None
    noted = {"digest": request.digest, "run_id": run_id, "sequence": sequence, "now": now}
    parameters = request_parameters(request)
    if await connection.fetch(_ADD, {**parameters, **noted}):
        return None
    [first] = await connection.fetch(_FIND, parameters)
    if first.digest != request.digest:
        raise RequestIdReused(request.request_id)
    sequence_of_first: int = first.sequence
    return sequence_of_first


def request_parameters(request: RequestKey) -> dict[str, str]:
    """What identifies a request, as parameters of a statement."""
    return {
        "method": request.method,
        "caller": request.caller,
        "request_id": request.request_id,
    }
