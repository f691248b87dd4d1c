"""Ports through which drivers reach the server, and where connections come to grief."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes on to a port, until it is told to do something else.

    Args:
        context: what it takes to speak TLS with whoever connects; None means no TLS.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.port_behind = 0
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[StreamWriter] = set()
        self._asks, self._answers = asyncio.Event(), asyncio.Event()
        self.release()
        self._server: asyncio.Server | None = None

    async def open(self) -> str:
        """Listens, and gives the target."""
        self._server = await asyncio.start_server(
            self._on_connection, "127.0.0.1", 0, ssl=self._context
        )
        port = self._server.sockets[0].getsockname()[1]
        return f"localhost:{port}" if self._context else f"127.0.0.1:{port}"

    async def close(self) -> None:
        """Ends everything."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> int:
        """Resets all connections; gives how many there were."""
        for writer in self._writers:
            if (connection := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(self._writers)

    def hold(self, *, answers_only: bool = False) -> None:
        """Passes nothing on, and says nothing, like a network that has lost its way."""
        self._answers.clear()
        if not answers_only:
            self._asks.clear()

    def release(self) -> None:
        """Passes on again, what came meanwhile first."""
        self._asks.set()
        self._answers.set()

    def _on_connection(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._link(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _link(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_connection(
                "127.0.0.1", self.port_behind
            )
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(writer)
        directions = [
            asyncio.create_task(self._pass(reader, behind_writer, self._asks)),
            asyncio.create_task(self._pass(behind_reader, writer, self._answers)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers.discard(writer)
            for one in directions:
                one.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            writer.close()
            behind_writer.close()

    async def _pass(
        self, reader: StreamReader, writer: StreamWriter, may_pass: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await may_pass.wait()
                writer.write(data)
                await writer.drain()
