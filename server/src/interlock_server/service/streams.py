"""Streams: the tail of a run as the messages of a streaming call, and how many there may be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

from interlock import v1
from interlock_server.errors import RunLimitExceeded
from interlock_server.runtime.hub import Subscription
from interlock_server.runtime.runtime import Runtime
from interlock_server.runtime.shared import Shared
from interlock_server.runtime.tail import Reader, Watch, tail
from interlock_server.store.records import Tip
from interlock_server.times import timestamp

Response = TypeVar(
    "Response", v1.RunStreamResponse, v1.ContinueRunStreamResponse, v1.WatchRunResponse
)


class Encoded:
    """A message that was encoded before, for all who are sent the same."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def ByteSize(self) -> int:
        """Its size, in bytes."""
        return len(self._content)

    def SerializeToString(self) -> bytes:
        """It, as it is sent."""
        return self._content


@dataclass(frozen=True)
class Snapshot:
    """A run as it was when somebody began to watch it.

    Args:
        response: what shows it.
    """

    tip: Tip
    response: Encoded


class Streams:
    """The open streams of a server."""

    def __init__(self, runtime: Runtime, limit: int) -> None:
        self._runtime = runtime
        self._limit = limit
        self._open = 0
        self._reader = Reader(runtime.database)
        self._snapshots = Shared(self._snapshot)

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

    async def snapshot(self, run_id: str) -> Snapshot:
        """A run as it is now, for whoever begins to watch it.

        Raises:
            RunNotFound: there is no such run.
        """
        return await self._snapshots.get(run_id)

    async def run(
        self,
        response: type[Response],
        watch: Watch,
        subscription: Subscription | None = None,
        tip: Tip | None = None,
    ) -> AsyncIterator[Response]:
        """Streams a run until it ends, or pauses if the watch says so.

        Args:
            subscription, tip: as `tail` takes them.
        """
        runtime = self._runtime
        sent = watch.after
        events = tail(
            self._reader, runtime.hub, watch, lambda: runtime.is_closing, subscription, tip
        )
        with self.opened():
            async with aclosing(events) as batches:
                async for batch in batches:
                    if batch is not None:
                        sent = max(sent, batch.last_sequence)
                        yield cast("Response", Encoded(batch.encoded(response)))
                    else:
                        time = timestamp(runtime.world.now())
                        yield response(heartbeat=v1.Heartbeat(send_time=time, sequence=sent))
                    del batch  # Nothing is kept while a stream waits.

    async def _snapshot(self, run_id: str) -> Snapshot:
        run = await self._runtime.views.run(run_id)
        message = v1.WatchRunResponse(snapshot=run)
        tip = Tip(run.state, run.last_sequence)
        return Snapshot(tip, Encoded(message.SerializeToString()))
