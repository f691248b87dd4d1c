"""The blocking wire and the iterators over it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc

from interlock._core.runs import EventStream
from interlock._core.sources import Source
from interlock._core.wire import Reader, Reply, Request, Stubs
from interlock.events import Event
from interlock.run import RunOutput

Item = TypeVar("Item")
Result = TypeVar("Result")


def finish(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine over a blocking wire: it never suspends, so one step is all of it."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    coroutine.close()
    raise AssertionError("a coroutine over a blocking wire was suspended")


class BlockingWire:
    """A wire whose coroutines block the thread."""

    def __init__(
        self,
        channel: grpc.Channel,
        metadata: tuple[tuple[str, Any], ...],
        *,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.stubs = Stubs(channel)
        self._metadata = metadata
        self._sleep = sleep
        self.clock = clock
        self.random = random

    async def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 # it is a gRPC deadline
    ) -> Reply:
        """Makes a call with one reply."""
        return method(request, timeout=timeout, metadata=self._metadata)

    def open(
        self, method: grpc.UnaryStreamMultiCallable[Request, Reply], request: Request
    ) -> Reader[Reply]:
        """Starts a call that streams replies."""
        return _BlockingReader(method(request, metadata=self._metadata))

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        self._sleep(seconds)


class _BlockingReader(Generic[Reply]):
    def __init__(self, call: Any) -> None:
        self._call = call

    async def read(self) -> Reply | None:
        reply: Reply | None = next(self._call, None)
        return reply

    def cancel(self) -> None:
        self._call.cancel()


class Stream(Iterator[Item]):
    """Items from the server, one by one.

    The first call is made when the first item is asked for. Dropping the stream, as leaving
    a `for` loop over it does, ends the call behind it; so do `close` and `with`.
    """

    def __init__(self, source: Source[Item]) -> None:
        self._source = source

    def __next__(self) -> Item:
        try:
            return finish(self._source.next())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Ends the stream; may be called from another thread, and more than once."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class RunStream(Stream[Event[Any]]):
    """The events of a run, one by one; goes on by itself after a lost connection."""

    def __init__(self, source: EventStream) -> None:
        super().__init__(source)
        self._events = source

    @property
    def snapshot(self) -> RunOutput | None:
        """The run as it was when watching began, or went on; None until the server said so."""
        return self._events.snapshot
