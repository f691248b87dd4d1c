"""Sessions: state that runs share."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.types import DateTime

from interlock import v1
from interlock_server import jsontext
from interlock_server.errors import EtagMismatch, SessionInUse, SessionNotFound
from interlock_server.store.database import Connection, Database, Row
from interlock_server.store.records import Page, Progress, RequestKey
from interlock_server.store.requests import request_add
from interlock_server.times import timestamp

_NOW = bindparam("now", type_=DateTime(timezone=True))
_COLUMNS = "session_id, user_id, state, version, create_time, update_time"
_GET = text(f"SELECT {_COLUMNS} FROM sessions WHERE session_id = :session_id")
_GET_LOCKED = text(f"SELECT {_COLUMNS} FROM sessions WHERE session_id = :session_id FOR UPDATE")
_LIST = text(f"""
    SELECT {_COLUMNS} FROM sessions
    WHERE :after_time IS NULL
        OR (create_time, session_id) < (:after_time, CAST(:after_id AS text))
    ORDER BY create_time DESC, session_id DESC LIMIT :size
""").bindparams(bindparam("after_time", type_=DateTime(timezone=True)))
_LOCK_OF_RUN = text("""
    SELECT session_id, state FROM sessions
    WHERE session_id = (SELECT session_id FROM runs WHERE run_id = :run_id) FOR UPDATE
""")
_SET = text("""
    UPDATE sessions SET state = :state, version = version + 1, update_time = :now
    WHERE session_id = :session_id
""").bindparams(_NOW)
_CREATE = text("""
    INSERT INTO sessions (session_id, user_id, state, version, create_time, update_time)
    VALUES (:session_id, :user_id, :state, 1, :now, :now) ON CONFLICT DO NOTHING
""").bindparams(_NOW)
_OPEN_RUNS = text("""
    SELECT 1 FROM runs WHERE session_id = :session_id AND state IN (1, 2, 3) LIMIT 1
""")
_DELETE_RUNS = text("DELETE FROM runs WHERE session_id = :session_id")
_DELETE = text("DELETE FROM sessions WHERE session_id = :session_id")


async def session_get(database: Database, session_id: str) -> v1.Session | None:
    """A session."""
    rows = await database.fetch(_GET, {"session_id": session_id})
    return _session(rows[0]) if rows else None


async def sessions_list(database: Database, page: Page) -> list[v1.Session]:
    """A page of sessions, newest first, and one more when there are more."""
    parameters = {
        "after_time": page.after_time,
        "after_id": page.after_id,
        "size": page.size + 1,
    }
    return [_session(row) for row in await database.fetch(_LIST, parameters)]


async def session_merge(
    connection: Connection, run_id: str, progress: Progress, now: datetime
) -> None:
    """Carries a run's changes over into the state of its session, entry by entry."""
    rows = await connection.fetch(_LOCK_OF_RUN, {"run_id": run_id})
    if not rows:
        return  # The run is gone, which its commit will find.
    [row] = rows
    # Runs that change a session side by side may fill it beyond what one of them may; it is not
    # for this commit to refuse what has happened.
    state = {**jsontext.loads(row.state, bounded=False), **progress.session_changes}
    for name in progress.session_removals:
        state.pop(name, None)
    parameters = {
        "session_id": row.session_id,
        "state": jsontext.dumps(state, bounded=False),
        "now": now,
    }
    await connection.fetch(_SET, parameters)


async def session_update(
    database: Database,
    session: v1.Session,
    user_id: str,
    allow_missing: bool,
    request: RequestKey,
    now: datetime,
) -> v1.Session:
    """Sets the state of a session, unless it is empty; then it stays as it is.

    Raises:
        SessionNotFound: it does not exist and may not be created.
        EtagMismatch: it has changed.
        RequestIdReused: another request has the id.
    """
    values = {"session_id": session.session_id, "state": session.state_json or "{}", "now": now}
    async with database.transaction() as connection:
        is_new = await request_add(connection, request, session.session_id, 0, now) is None
        if allow_missing and not session.etag:
            await connection.fetch(_CREATE, {**values, "user_id": user_id})
        await _lock(connection, session.session_id, session.etag if is_new else "")
        if session.state_json and is_new:
            await connection.fetch(_SET, values)
        [row] = await connection.fetch(_GET, {"session_id": session.session_id})
        return _session(row)


async def session_delete(
    database: Database, session_id: str, etag: str, request: RequestKey, now: datetime
) -> None:
    """Deletes a session with its runs.

    Raises:
        SessionNotFound: it does not exist.
        EtagMismatch: it has changed.
        SessionInUse: one of its runs has not ended.
        RequestIdReused: another request has the id.
    """
    parameters = {"session_id": session_id}
    async with database.transaction() as connection:
        if await request_add(connection, request, session_id, 0, now) is not None:
            return
        await _lock(connection, session_id, etag)
        if await connection.fetch(_OPEN_RUNS, parameters):
            raise SessionInUse(session_id)
        await connection.fetch(_DELETE_RUNS, parameters)
        await connection.fetch(_DELETE, parameters)


async def _lock(connection: Connection, session_id: str, etag: str) -> None:
    rows = await connection.fetch(_GET_LOCKED, {"session_id": session_id})
    if not rows:
        raise SessionNotFound(session_id)
    [row] = rows
    if etag and etag != str(row.version):
        raise EtagMismatch(str(row.version))


def _session(row: Row) -> v1.Session:
    session = v1.Session(
        session_id=row.session_id,
        user_id=row.user_id,
        state_json=row.state,
        etag=str(row.version),
    )
    session.create_time.CopyFrom(timestamp(row.create_time))
    session.update_time.CopyFrom(timestamp(row.update_time))
    return session
