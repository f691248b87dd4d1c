"""Handlers in tasks of asyncio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, cast

import grpc

from interlock._core.wire import Reader, Reply, Request, Stubs
from interlock._core.work import Handler, Interrupted
from interlock._nonblocking import AsyncWire
from interlock.call import Call
from interlock.errors import ClientClosedError

MOMENT_SECONDS = 1.0
"""What a handler that was cancelled is given to clean up."""


class InterruptibleAsyncWire:
    """An asyncio wire whose waits can be ended without cancelling who waits."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire
        self._is_interrupted = asyncio.Event()
        self._calls: set[Any] = set()
        self.clock = wire.clock
        self.random = wire.random

    @property
    def stubs(self) -> Stubs:
        """The methods that can be called."""
        return self._wire.stubs

    async def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 # it is a gRPC deadline
    ) -> Reply:
        """Makes a call with one reply.

        Raises:
            Interrupted: the wait was ended.
        """
        waiting = asyncio.ensure_future(self._wire.call(method, request, timeout))
        self._calls.add(waiting)
        try:
            if self._is_interrupted.is_set():
                raise Interrupted
            return await waiting
        except (asyncio.CancelledError, ClientClosedError):
            task = asyncio.current_task()
            if self._is_interrupted.is_set() and not (task and task.cancelling()):
                raise Interrupted from None
            raise
        finally:
            waiting.cancel()
            self._calls.discard(waiting)

    def open(
        self, method: grpc.UnaryStreamMultiCallable[Request, Reply], request: Request
    ) -> Reader[Reply]:
        """Starts a call that streams replies; nobody interrupts it."""
        return self._wire.open(method, request)

    async def sleep(self, seconds: float) -> None:
        """Waits.

        Raises:
            Interrupted: the wait was ended.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._is_interrupted.wait()
        except TimeoutError:
            return
        raise Interrupted

    def interrupt(self) -> None:
        """Ends all waits, those under way and those to come."""
        self._is_interrupted.set()
        for call in self._calls:
            call.cancel()


class Tasks:
    """A crew: a task for each handler, and one beside it that keeps its claim."""

    def __init__(self, wire: AsyncWire, concurrency: int) -> None:
        self.wire = wire
        self.claiming = InterruptibleAsyncWire(wire)
        self.keeping = InterruptibleAsyncWire(wire)
        self.is_stopping = False
        self.is_over = asyncio.Event()
        self._concurrency = concurrency
        self._timeout: float | None = None
        self._deadline = math.inf
        self._executions: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def has_room(self) -> bool:
        """Waits until another call can be executed; False when the worker stops."""
        while not self.is_stopping and len(self._executions) >= self._concurrency:
            await self._change(math.inf)
        return not self.is_stopping

    def start(self, handler: Handler, call: Call) -> TaskJob:
        """Sets a handler to work."""
        return TaskJob(self, handler, call)

    def accompany(self, execution: Coroutine[Any, Any, None]) -> None:
        """Runs an execution beside all others."""
        task = asyncio.ensure_future(execution)
        self._executions.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._executions.discard(task)
        self._changed.set()

    def stop(self, timeout: float | None) -> None:
        """Takes no more calls; handlers have so many seconds to end, or as long as it takes."""
        self.is_stopping = True
        if timeout is not None:
            deadline = asyncio.get_running_loop().time() + timeout
            self._deadline = min(self._deadline, deadline)
        self._changed.set()
        self.claiming.interrupt()

    async def drained(self) -> None:
        """Waits until all calls have ended, and ends them when their time is over."""
        clock = asyncio.get_running_loop().time
        while self._executions and (left := self._deadline - clock()) > 0:
            await self._change(left)
        self.is_over.set()
        self.keeping.interrupt()
        while self._executions:
            await self._change(math.inf)

    async def _change(self, seconds: float) -> None:
        """Waits until something has changed, or as long."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._changed.wait()
        except TimeoutError:
            pass


class TaskJob:
    """A handler at work in a task of its own."""

    def __init__(self, crew: Tasks, handler: Handler, call: Call) -> None:
        self._crew = crew
        self._task = asyncio.ensure_future(_awaited(handler, call))

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._task.done()

    async def ended_within(self, seconds: float | None) -> bool:
        """Waits until it has ended, or as long."""
        over = asyncio.ensure_future(self._crew.is_over.wait())
        try:
            await asyncio.wait(
                (self._task, over), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            over.cancel()
        if not self._task.done() and self._crew.is_over.is_set():
            raise Interrupted
        return self._task.done()

    async def ended_soon(self) -> bool:
        """Waits a moment longer until it has ended."""
        await asyncio.wait((self._task,), timeout=MOMENT_SECONDS)
        return self._task.done()

    def cancel(self) -> None:
        """Cancels the task."""
        self._task.cancel()

    def result(self) -> Any:
        """What it gave, or raises what it raised."""
        return self._task.result()


async def _awaited(handler: Handler, call: Call) -> Any:
    return await cast("Any", handler(call))
