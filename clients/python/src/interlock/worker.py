"""Workers: they execute the calls of external tools, each call one worker at a time."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from interlock._blocking import finish
from interlock._core.work import Terms, Work
from interlock._tasks import Tasks
from interlock._threads import Threads
from interlock.aio import AsyncClient
from interlock.call import Call
from interlock.client import Client


class Worker:
    """Executes calls of external tools, with a handler for each tool.

    A handler gets a `Call`, and what it returns is the result: any JSON value. What it raises
    is the call's error: **the agent reads the text.** Handlers run in threads of their own.

    The worker claims a call before it executes it, and keeps the claim for as long as the
    handler takes; so of all workers only one executes a call at a time. One that dies or loses
    its connection loses its claims after `lease` seconds. Then another worker may execute the
    call from the beginning, so a handler that must not do something twice hands
    `call.requirement_id` on as an idempotency key.

    As long as the server is unavailable a worker waits for it.

    Args:
        client: The connection; it stays open.
        handlers: The handlers by the names of their tools.
        concurrency: At most so many calls at the same time.
        lease: How long a claim holds when nothing is heard of the worker, in seconds, from 1
            to 3,600. It is renewed three times as often.
        worker_id: Who works, at most 64 characters, different for each process; None means
            a random UUID.
        workflow_id: Only calls of this workflow; None means of all.
        on_end: Is told of each call that has ended, with its `outcome`, for logs and counters.

    Raises:
        ValueError: there is no handler, or no concurrency.
        TypeError: a handler is a coroutine function, which is for `AsyncWorker`.
    """

    def __init__(
        self,
        client: Client,
        handlers: Mapping[str, Callable[[Call], Any]],
        *,
        concurrency: int = 1,
        lease: float = 30.0,
        worker_id: str | None = None,
        workflow_id: str | None = None,
        on_end: Callable[[Call], None] | None = None,
    ) -> None:
        for name, handler in handlers.items():
            if _is_async(handler):
                raise TypeError(f"the handler of {name!r} is async: use AsyncWorker")
        terms = Terms(concurrency, lease, worker_id, workflow_id, on_end)
        self.worker_id = terms.worker_id
        self._crew = Threads(client._wire, concurrency)  # noqa: SLF001 # one package
        self._work = Work(self._crew, handlers, terms)
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Works until `stop` is called, and every call under way has ended and is reported.

        Ctrl-C stops it in the same way, and then raises; pressed again it waits for nothing.

        Raises:
            InterlockError: the server refuses to give calls, or to take their results.
        """
        finish(self._work.run())

    def stop(self, timeout: float | None = None) -> None:
        """Takes no more calls. Returns at once; `run` returns when those under way have ended.

        May be called from a handler, from another thread and from a signal handler, and again
        with a shorter time.

        Args:
            timeout: After so many seconds `Call.is_cancelled` is set for the calls that are
                still under way; those whose handlers end then are given back, for another
                worker. None means to wait as long as they take.
        """
        self._crew.stop(timeout)

    def __enter__(self) -> Self:
        """Works in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="interlock-worker", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops, and waits until every call under way has ended."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            self.run()
        except BaseException as failure:  # noqa: BLE001 # `__exit__` raises it
            self._failure = failure


class AsyncWorker:
    """Executes calls of external tools; see `Worker`. Its handlers are async functions.

    A handler is cancelled when there is no point in going on. It must not block the event
    loop, or the worker cannot keep its claims: `asyncio.to_thread` is for what blocks. Use a
    worker in one event loop.

    Raises:
        ValueError: there is no handler, or no concurrency.
        TypeError: a handler is not a coroutine function.
    """

    def __init__(
        self,
        client: AsyncClient,
        handlers: Mapping[str, Callable[[Call], Awaitable[Any]]],
        *,
        concurrency: int = 1,
        lease: float = 30.0,
        worker_id: str | None = None,
        workflow_id: str | None = None,
        on_end: Callable[[Call], None] | None = None,
    ) -> None:
        for name, handler in handlers.items():
            if not _is_async(handler):
                raise TypeError(f"the handler of {name!r} is not async: use Worker")
        terms = Terms(concurrency, lease, worker_id, workflow_id, on_end)
        self.worker_id = terms.worker_id
        self._crew = Tasks(client._wire, concurrency)  # noqa: SLF001 # one package
        self._work = Work(self._crew, handlers, terms)
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Works until `stop` is called, and every call under way has ended and is reported.

        Cancelling it cancels the handlers and gives their calls back.

        Raises:
            InterlockError: the server refuses to give calls, or to take their results.
        """
        await self._work.run()

    def stop(self, timeout: float | None = None) -> None:
        """Takes no more calls. Returns at once; `run` returns when those under way have ended.

        Args:
            timeout: After so many seconds the handlers that are still at work are cancelled,
                and their calls given back. None means to wait as long as they take.
        """
        self._crew.stop(timeout)

    async def __aenter__(self) -> Self:
        """Works in a task of its own."""
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops, and waits until every call under way has ended."""
        self.stop()
        if self._task is None:
            return
        if error is None:
            await self._task
        else:
            await asyncio.wait((self._task,))


def _is_async(handler: Any) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 # of an object with an async one
    )
