"""A port through which others reach something, and where their connections come to grief."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

Reach = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]
"""Connects to what is behind; raises `OSError` when nothing is there."""

Link = tuple[StreamWriter, StreamWriter]
"""The two ends of a connection."""

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes on, until it is told to do something else."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[Link] = set()
        self._asks = asyncio.Event()
        self._answers = asyncio.Event()
        self.release()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Listens, and gives the port."""
        self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Ends everything."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Grief.

    def cut(self, random: Random, share: float = 1.0) -> None:
        """Cuts connections, some with a word and some without."""
        for link in list(self._links):
            if random.random() < share:
                _cut(link, is_reset=random.random() < 0.5)

    def swallow(self) -> None:
        """Cuts the next connection on which an answer comes, in place of passing it on."""
        self._swallowed += 1

    def hold(self, *, only_answers: bool = False) -> None:
        """Passes nothing on, and says nothing, like a network that has lost its way."""
        self._answers.clear()
        if not only_answers:
            self._asks.clear()

    def release(self) -> None:
        """Passes on again, what came meanwhile first."""
        self._asks.set()
        self._answers.set()
        self._swallowed = 0
        self.delay_seconds = 0.0

    # Passing on.

    def _on_connection(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._link(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _link(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        link = (writer, behind_writer)
        self._links.add(link)
        try:
            both = [
                asyncio.create_task(self._pass(reader, behind_writer, self._asks)),
                asyncio.create_task(self._pass(behind_reader, writer, self._answers, link)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in both:
                    one.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            self._links.discard(link)
            for one_writer in link:
                one_writer.close()

    async def _pass(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        may_pass: asyncio.Event,
        link: Link | None = None,
    ) -> None:
        """Passes on in one direction; `link` is given where it is that of answers."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await may_pass.wait()
                if link and self._swallowed:
                    self._swallowed -= 1
                    _cut(link, is_reset=True)
                    return
                writer.write(data)
                await writer.drain()


def _cut(link: Link, *, is_reset: bool) -> None:
    for writer in link:
        if is_reset and (connection := writer.get_extra_info("socket")) is not None:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
