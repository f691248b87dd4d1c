"""The blocking wire and the iterators over it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc

from interlock._core.runs import EventStream
from interlock._core.sources import Source
from interlock._core.wire import Reader, Reply, Request, Stubs
from interlock.errors import ClientClosedError
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
        self._channel = channel
        self._stubs = Stubs(channel)
        self.metadata = metadata
        self._sleep = sleep
        self.clock = clock
        self.random = random
        self._is_closed = False

    @property
    def stubs(self) -> Stubs:
        """The methods that can be called.

        Raises:
            ClientClosedError: the wire is closed.
        """
        if self._is_closed:
            raise ClientClosedError
        return self._stubs

    async def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 # it is a gRPC deadline
    ) -> Reply:
        """Makes a call with one reply."""
        with self.translating_close():
            return method(request, timeout=timeout, metadata=self.metadata)

    def open(
        self, method: grpc.UnaryStreamMultiCallable[Request, Reply], request: Request
    ) -> Reader[Reply]:
        """Starts a call that streams replies."""
        return _BlockingReader(self, method(request, metadata=self.metadata))

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        self._sleep(seconds)

    def close(self) -> None:
        """Closes the channel; calls that are under way end with an error."""
        self._is_closed = True
        self._channel.close()

    @contextmanager
    def translating_close(self) -> Iterator[None]:
        """Tells a call that was cancelled by `close` from one that failed."""
        try:
            yield
        except grpc.RpcError as error:
            if self._is_closed and error.code() is grpc.StatusCode.CANCELLED:
                raise ClientClosedError from error
            raise


class _BlockingReader(Generic[Reply]):
    def __init__(self, wire: BlockingWire, call: Any) -> None:
        self._wire = wire
        self._call = call

    async def read(self) -> Reply | None:
        with self._wire.translating_close():
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
