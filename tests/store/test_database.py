"""What a database says that cannot be used just now: callers are told to come back."""

from __future__ import annotations

import asyncio
import struct

import pytest
from sqlalchemy import text

from interlock_server.errors import StoreUnavailable
from interlock_server.store.database import Database

_SSL_REQUEST = 80877103


def _refusal(sqlstate: str) -> bytes:
    """The message by which a PostgreSQL turns a connection down."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": "not now"}
    body = b"".join(f"{name}{value}\0".encode() for name, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


@pytest.mark.parametrize("sqlstate", ["57P03", "57P01", "53300"], ids=["starts", "stops", "full"])
@pytest.mark.parametrize("way", ["statement", "transaction"])
async def test_a_database_that_turns_connections_down_is_away(sqlstate: str, way: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length, code = struct.unpack("!II", await reader.readexactly(8))
        if code == _SSL_REQUEST:
            writer.write(b"N")
            length, _ = struct.unpack("!II", await reader.readexactly(8))
        await reader.readexactly(length - 8)
        writer.write(_refusal(sqlstate))
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    with pytest.raises(StoreUnavailable):
        if way == "statement":
            await database.fetch(text("SELECT 1"))
        else:
            async with database.transaction():
                raise AssertionError("there is no connection")
    await database.close()
    server.close()
