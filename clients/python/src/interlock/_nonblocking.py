"""The asyncio wire and the iterators over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import grpc

from interlock._core.runs import EventStream
from interlock._core.sources import Source
from interlock._core.wire import Reader, Reply, Request, Stubs
from interlock.errors import ClientClosedError
from interlock.events import Event
from interlock.run import RunOutput

Item = TypeVar("Item")


class AsyncWire:
    """A wire whose coroutines let other tasks run while they wait.

    Its channel is made at the first call, because a channel belongs to an event loop.
    """

    def __init__(
        self,
        connect: Callable[[], grpc.aio.Channel],
        metadata: tuple[tuple[str, Any], ...],
        *,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._connect = connect
        self._metadata = metadata
        self._sleep = sleep
        self.clock = clock
        self.random = random
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None

    @property
    def stubs(self) -> Stubs:
        """The methods that can be called.

        Raises:
            ClientClosedError: the wire is closed.
            RuntimeError: no event loop runs, or another one than at the first call.
        """
        if self._is_closed:
            raise ClientClosedError
        loop = asyncio.get_running_loop()
        if self._stubs is None:
            self._loop = loop
            self._channel = self._connect()
            self._stubs = Stubs(self._channel)
        if self._loop is not loop:
            raise RuntimeError("an AsyncClient belongs to the event loop that first used it")
        return self._stubs

    async def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 # it is a gRPC deadline
    ) -> Reply:
        """Makes a call with one reply."""
        call = cast("Any", method)(request, timeout=timeout, metadata=self._metadata)
        with _translating_close():
            reply: Reply = await call
            return reply

    def open(
        self, method: grpc.UnaryStreamMultiCallable[Request, Reply], request: Request
    ) -> Reader[Reply]:
        """Starts a call that streams replies."""
        return _AsyncReader(method(request, metadata=self._metadata))

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._sleep(seconds)

    async def close(self) -> None:
        """Closes the channel, if there is one; calls that are under way end with an error."""
        self._is_closed = True
        if self._channel is not None:
            await self._channel.close()


class _AsyncReader(Generic[Reply]):
    def __init__(self, call: Any) -> None:
        self._call = call

    async def read(self) -> Reply | None:
        with _translating_close():
            reply: Reply | object = await self._call.read()
        return None if reply is grpc.aio.EOF else cast("Reply", reply)

    def cancel(self) -> None:
        self._call.cancel()


@contextmanager
def _translating_close() -> Iterator[None]:
    """Tells a call that was cancelled by closing the channel from a task that was cancelled.

    gRPC raises `CancelledError` for both; only the second may end the task.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ClientClosedError from error


class AsyncStream(AsyncIterator[Item]):
    """Items from the server, one by one.

    The first call is made when the first item is asked for. Dropping the stream, as leaving
    an `async for` loop over it does, ends the call behind it; so do `aclose` and
    `async with`.
    """

    def __init__(self, source: Source[Item]) -> None:
        self._source = source

    async def __anext__(self) -> Item:
        return await self._source.next()

    async def aclose(self) -> None:
        """Ends the stream; may be called more than once."""
        self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._source.close()

    def __del__(self) -> None:
        self._source.close()


class AsyncRunStream(AsyncStream[Event[Any]]):
    """The events of a run, one by one; goes on by itself after a lost connection."""

    def __init__(self, source: EventStream) -> None:
        super().__init__(source)
        self._events = source

    @property
    def snapshot(self) -> RunOutput | None:
        """The run as it was when watching began, or went on; None until the server said so."""
        return self._events.snapshot
