"""Opening a database: whether it is there, and whether it is one that we can use."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError

from interlock_server.store.database import Database
from interlock_server.store.embedded import embedded_start

_VERSION_MIN = 14
_SCHEMES = ("postgresql", "postgres")


class DatabaseUnusable(Exception):
    """The database cannot be used; the text says which one and why, and holds no password."""


async def database_open(url: str, pool_size: int) -> Database:
    """Connects to a database.

    Raises:
        DatabaseUnusable: the URL is none of PostgreSQL's, nothing answers there, or what answers
            is too old.
    """
    place = place_of(url)
    database = Database(url, pool_size)
    try:
        [[version]] = await database.fetch(text("SHOW server_version_num"))
    except Exception as error:  # Drivers raise what they like.
        await database.close()
        raise DatabaseUnusable(f"cannot use the database {place}: {_reason(error)}") from error
    if int(version) < _VERSION_MIN * 10_000:
        await database.close()
        major = int(version) // 10_000
        raise DatabaseUnusable(
            f"the database {place} is PostgreSQL {major}; use {_VERSION_MIN} or newer"
        )
    return database


async def database_open_embedded(folder: Path, pool_size: int) -> Database:
    """Starts the embedded PostgreSQL and connects to it.

    Raises:
        DatabaseUnusable: it does not start.
    """
    try:
        url = await embedded_start(folder)
    except Exception as error:  # A full disk, somebody else's folder, ...
        raise DatabaseUnusable(
            f"the embedded PostgreSQL in {folder} does not start: {_reason(error)}"
        ) from error
    return await database_open(url, pool_size)


def place_of(url: str) -> str:
    """A URL as it may be shown: without the password, and without parameters, which may hold one.

    Raises:
        DatabaseUnusable: it is not the URL of a PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Its text would repeat the URL, and the password in it.
        raise DatabaseUnusable(
            "the URL of the database is malformed; "
            "write it like postgresql://user:password@host:5432/name"
        ) from None
    if parsed.drivername.partition("+")[0] not in _SCHEMES:
        raise DatabaseUnusable(
            f"the URL of the database begins with {parsed.drivername!r}; "
            "Interlock needs a PostgreSQL: postgresql://user:password@host:5432/name"
        )
    shown = URL.create(
        "postgresql",
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
    ).render_as_string()
    return f"{shown}?host={socket}" if (socket := parsed.query.get("host")) else shown


def _reason(error: BaseException) -> str:
    """The first line of what lies at the root of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
