"""Workers of both kinds behind one face, so that every test is a test of both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from interlock import AsyncClient, AsyncWorker, Call, Client, Worker

Handler = Callable[[Call], Awaitable[Any]]


@dataclass
class Seen:
    """What became of calls, in the order in which they ended."""

    ended: list[Call] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def note(self, call: Call) -> None:
        """May be called from any thread."""
        self._loop.call_soon_threadsafe(self._note, call)

    def _note(self, call: Call) -> None:
        self.ended.append(call)
        self._changed.set()

    async def outcomes(self, count: int) -> list[str]:
        """The outcomes of all calls that have ended, as soon as there are so many."""
        async with asyncio.timeout(30):
            while len(self.ended) < count:
                self._changed.clear()
                await self._changed.wait()
        return [one.outcome for one in self.ended]


@dataclass
class Working:
    """A worker at work, and what became of its calls."""

    worker: Worker | AsyncWorker
    running: asyncio.Task[None]
    seen: Seen

    def stop(self, seconds: float | None = None) -> None:
        """Stops; handlers have so many seconds."""
        self.worker.stop(seconds)

    async def stopped(self, seconds: float | None = None) -> None:
        """Stops, and comes back when the worker has ended; raises what it raised."""
        self.stop(seconds)
        async with asyncio.timeout(30):
            await self.running


@asynccontextmanager
async def working(
    kind: str, target: str, handlers: Mapping[str, Handler], **options: Any
) -> AsyncIterator[Working]:
    """A worker that is stopped in the end; its handlers run in the loop of the test."""
    seen = Seen()
    options.setdefault("on_end", seen.note)
    if kind == "blocking":
        client = Client(target)
        blocking = {name: _in_loop(handler) for name, handler in handlers.items()}
        worker = Worker(client, blocking, **options)
        one = Working(worker, asyncio.ensure_future(asyncio.to_thread(worker.run)), seen)
        try:
            yield one
        finally:
            worker.stop(0)
            await asyncio.wait((one.running,))
            client.close()
    else:
        async with AsyncClient(target) as aclient:
            aworker = AsyncWorker(aclient, handlers, **options)
            one = Working(aworker, asyncio.ensure_future(aworker.run()), seen)
            try:
                yield one
            finally:
                aworker.stop(0)
                await asyncio.wait((one.running,))


def _in_loop(handler: Handler) -> Callable[[Call], Any]:
    """A handler for a thread that does what an async one does, and ends when it is told to."""
    loop = asyncio.get_running_loop()

    def handle(call: Call) -> Any:
        async def run() -> Any:
            return await handler(call)

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        while not future.done() and not call.wait_cancelled(0.01):
            pass
        with contextlib.suppress(TimeoutError):
            return future.result(0.5 if call.is_cancelled else None)
        future.cancel()
        raise RuntimeError("told to end")

    return handle
