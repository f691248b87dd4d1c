"""Sequences whose items come over the wire: pages and streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import grpc

from interlock._core.caller import Caller, retry_delay
from interlock._core.wire import Reader, Wire
from interlock.errors import ClientClosedError, from_rpc_error

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
Reply = TypeVar("Reply")


class Source(Protocol[Item_co]):
    """What both clients wrap into their iterators."""

    async def next(self) -> Item_co:
        """The next item.

        Raises:
            StopAsyncIteration: there is none.
            InterlockError: it cannot be read.
        """

    def close(self) -> None:
        """Ends the sequence, and the call behind it."""


class Pages(Generic[Item]):
    """The items of a list, read page by page as they are asked for.

    Args:
        read: Gives the items on a page and the next page's token, by the page's token.
    """

    def __init__(self, read: Callable[[str], Awaitable[tuple[Iterable[Item], str]]]) -> None:
        self._read = read
        self._items: deque[Item] = deque()
        self._token: str | None = ""

    async def next(self) -> Item:
        """The next item; a page may be empty without being the last."""
        while not self._items:
            if self._token is None:
                raise StopAsyncIteration
            items, token = await self._read(self._token)
            self._items.extend(items)
            self._token = token or None
        return self._items.popleft()

    async def first(self, count: int) -> list[Item]:
        """The next items, at most so many."""
        items: list[Item] = []
        while len(items) < count:
            try:
                items.append(await self.next())
            except StopAsyncIteration:
                break
        return items

    def close(self) -> None:
        """Reads no more pages."""
        self._items.clear()
        self._token = None


class Cursor(Protocol[Reply, Item_co]):
    """Where a stream stands: what to call to go on from there, and what is new in a reply."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing can follow, so that a lost connection loses nothing."""

    def open(self, wire: Wire) -> Reader[Reply]:
        """Starts the call that goes on from here."""

    def receive(self, reply: Reply) -> Sequence[Item_co] | None:
        """Takes a reply in; gives its new items, or None when it shows no progress."""


class ResumingStream(Generic[Reply, Item]):
    """A stream that goes on by itself after the server was unavailable."""

    def __init__(self, caller: Caller, cursor: Cursor[Reply, Item]) -> None:
        self._wire = caller.wire
        self._cursor = cursor
        self._backoff = caller.backoff()
        self._items: deque[Item] = deque()
        self._reader: Reader[Reply] | None = None
        self._is_closed = False

    async def next(self) -> Item:
        """The next item. When it is cancelled, the next call goes on where this one stood."""
        while not self._items:
            if self._is_closed:
                raise StopAsyncIteration
            try:
                await self._receive()
            except grpc.RpcError as rpc_error:
                await self._lost(rpc_error)
            except ClientClosedError:
                if self._is_closed:
                    raise StopAsyncIteration from None
                raise
            except BaseException:
                self._hang_up()
                raise
        return self._items.popleft()

    def close(self) -> None:
        """Ends the stream and its call."""
        self._is_closed = True
        self._items.clear()
        self._hang_up()

    async def _receive(self) -> None:
        reader = self._reader or self._cursor.open(self._wire)
        self._reader = reader
        reply = await reader.read()
        if reply is None:
            self.close()
            return
        items = self._cursor.receive(reply)
        if items is not None:
            self._backoff.reset()
            self._items.extend(items)

    async def _lost(self, rpc_error: grpc.RpcError) -> None:
        """Waits before the stream goes on, or ends it."""
        self._reader = None
        if self._is_closed or self._cursor.is_finished:
            self.close()
            return
        error = from_rpc_error(rpc_error)
        delay = retry_delay(error, self._backoff)
        if delay is None:
            self.close()
            raise error from rpc_error
        await self._wire.sleep(delay)

    def _hang_up(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
