"""Both clients behind one face, so that every test is a test of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from interlock import AsyncClient, Client


class FakeTime:
    """A clock that only runs while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        """Seconds since some time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Passes the time, at once."""
        self.sleeps.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        """Passes the time, at once."""
        self.sleep(seconds)


class Face(Protocol):
    """A client whose methods block, whatever is behind them."""

    def client(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the client; a stream is given as an iterator."""

    def workflow(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the handle for the workflow "greet", by its name without `a`."""

    def leave_early(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Streams through the handle, leaves the loop at the first event and gives it."""

    def close(self) -> None:
        """Closes the client."""


class BlockingFace:
    """`Client`."""

    def __init__(self, target: str, time: FakeTime, **options: Any) -> None:
        self._client = Client(
            target, _sleep=time.sleep, _clock=time.clock, _random=lambda: 1.0, **options
        )
        self._handle = self._client.workflow("greet")

    def client(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._client, method)(*args, **kwargs)

    def workflow(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._handle, method)(*args, **kwargs)

    def leave_early(self, method: str, *args: Any, **kwargs: Any) -> Any:
        for event in self.workflow(method, *args, **kwargs):
            return event
        raise AssertionError("no event")

    def close(self) -> None:
        self._client.close()


class AsyncFace:
    """`AsyncClient`, with a loop that runs while something is asked of it."""

    def __init__(self, target: str, time: FakeTime, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(
            target, _sleep=time.asleep, _clock=time.clock, _random=lambda: 1.0, **options
        )
        self._handle = self._client.workflow("greet")

    def client(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._finish(getattr(self._client, method)(*args, **kwargs))

    def workflow(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._finish(getattr(self._handle, f"a{method}")(*args, **kwargs))

    def leave_early(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async def leave() -> Any:
            async for event in getattr(self._handle, f"a{method}")(*args, **kwargs):
                return event
            raise AssertionError("no event")

        return self._runner.run(leave())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def _finish(self, result: Any) -> Any:
        if isinstance(result, AsyncIterator):
            return self._items(result)
        return self._runner.run(result)

    def _items(self, stream: AsyncIterator[Any]) -> Iterator[Any]:
        async def one() -> Any:
            return await anext(stream)

        while True:
            try:
                item = self._runner.run(one())
            except StopAsyncIteration:
                return
            yield item
