"""Streams: the tail of a run as the messages of a streaming call, and how many there may be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from interlock import v1
from interlock_server.errors import RunLimitExceeded
from interlock_server.runtime.hub import Subscription
from interlock_server.runtime.runtime import Runtime
from interlock_server.runtime.tail import Watch, tail
from interlock_server.times import timestamp

Response = TypeVar(
    "Response", v1.RunStreamResponse, v1.ContinueRunStreamResponse, v1.WatchRunResponse
)


class Streams:
    """The open streams of a server."""

    def __init__(self, runtime: Runtime, limit: int) -> None:
        self._runtime = runtime
        self._limit = limit
        self._open = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Counts a stream while it is open.

        Raises:
            RunLimitExceeded: there are too many.
        """
        if self._open >= self._limit:
            raise RunLimitExceeded("open streams", self._limit)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def run(
        self,
        response: type[Response],
        watch: Watch,
        subscription: Subscription | None = None,
    ) -> AsyncIterator[Response]:
        """Streams a run until it ends, or pauses if the watch says so."""
        runtime = self._runtime
        sent = watch.after
        events = tail(
            runtime.database, runtime.hub, watch, lambda: runtime.is_closing, subscription
        )
        with self.opened():
            async with aclosing(events) as batches:
                async for batch in batches:
                    if batch:
                        sent = max(sent, batch[-1].sequence)
                        yield response(events=v1.RunEvents(events=batch))
                        batch.clear()  # Else it would be kept for as long as nothing happens.
                    else:
                        time = timestamp(runtime.world.now())
                        yield response(heartbeat=v1.Heartbeat(send_time=time, sequence=sent))
