"""Handlers in threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from interlock._blocking import BlockingWire, finish
from interlock._core.wire import Reader, Reply, Request, Stubs
from interlock._core.work import Handler, Interrupted
from interlock.call import Call

MOMENT_SECONDS = 1.0
"""What a handler that was told to end is given for that."""


class InterruptibleWire:
    """A blocking wire whose waits another thread can end."""

    def __init__(self, wire: BlockingWire) -> None:
        self._wire = wire
        self._is_interrupted = threading.Event()
        self._calls: set[Any] = set()
        # A signal handler may interrupt in the very thread that holds it.
        self._lock = threading.RLock()
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
        call: Any = method.future(request, timeout=timeout, metadata=self._wire.metadata)
        with self._interruptible(call), self._wire.translating_close():
            try:
                reply: Reply = call.result()
                return reply
            except grpc.FutureCancelledError:
                raise Interrupted from None

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
        if self._is_interrupted.wait(seconds):
            raise Interrupted

    def interrupt(self) -> None:
        """Ends all waits, those under way and those to come."""
        with self._lock:
            self._is_interrupted.set()
            for call in self._calls:
                call.cancel()

    @contextmanager
    def _interruptible(self, call: Any) -> Iterator[None]:
        with self._lock:
            self._calls.add(call)
            if self._is_interrupted.is_set():
                call.cancel()
        try:
            yield
        finally:
            call.cancel()  # Where the wait ended otherwise, as by Ctrl-C.
            with self._lock:
                self._calls.discard(call)


class Threads:
    """A crew: a thread for each handler, and one beside it that keeps its claim."""

    def __init__(self, wire: BlockingWire, concurrency: int) -> None:
        self.wire = wire
        self.claiming = InterruptibleWire(wire)
        self.keeping = InterruptibleWire(wire)
        self.is_stopping = False
        self._concurrency = concurrency
        self._count = 0
        self._deadline = math.inf
        self._is_over = False
        self._changed = threading.Condition()

    async def has_room(self) -> bool:
        """Waits until another call can be executed; False when the worker stops."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_stopping or self._count < self._concurrency)
            return not self.is_stopping

    def start(self, handler: Handler, call: Call) -> ThreadJob:
        """Sets a handler to work."""
        return ThreadJob(self, handler, call)

    def accompany(self, execution: Coroutine[Any, Any, None]) -> None:
        """Runs an execution beside all others."""

        def run() -> None:
            try:
                finish(execution)
            finally:
                with self._changed:
                    self._count -= 1
                    self._changed.notify_all()

        with self._changed:
            threading.Thread(target=run, name="interlock-call", daemon=True).start()
            self._count += 1

    def stop(self, timeout: float | None) -> None:
        """Takes no more calls; handlers have so many seconds to end, or as long as it takes."""
        with self._changed:
            self.is_stopping = True
            if timeout is not None:
                self._deadline = min(self._deadline, time.monotonic() + timeout)
            self._changed.notify_all()
        self.claiming.interrupt()

    async def drained(self) -> None:
        """Waits until all calls have ended, and ends them when their time is over."""
        with self._changed:
            while self._count and (left := self._deadline - time.monotonic()) > 0:
                self._changed.wait(None if left == math.inf else left)
            self._is_over = True
            self._changed.notify_all()
        self.keeping.interrupt()
        with self._changed:
            self._changed.wait_for(lambda: not self._count)

    def wait_for(self, is_so: Callable[[], bool], seconds: float | None) -> bool:
        """Waits until something is so, or as long.

        Raises:
            Interrupted: the time of the handlers is over.
        """
        with self._changed:
            self._changed.wait_for(lambda: is_so() or self._is_over, seconds)
            if not is_so() and self._is_over:
                raise Interrupted
            return is_so()

    def wait_a_moment_for(self, is_so: Callable[[], bool]) -> bool:
        """Waits a moment until something is so."""
        with self._changed:
            return self._changed.wait_for(is_so, MOMENT_SECONDS)

    def notify(self) -> None:
        """Something has changed."""
        with self._changed:
            self._changed.notify_all()


class ThreadJob:
    """A handler at work in a thread of its own."""

    def __init__(self, crew: Threads, handler: Handler, call: Call) -> None:
        self.has_ended = False
        self._crew = crew
        self._handler = handler
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        name = f"interlock-{call.tool_name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._handler(self._call)
        except BaseException as error:  # noqa: BLE001 # whatever it is, it is the call's
            self._error = error
        self.has_ended = True
        self._crew.notify()

    async def ended_within(self, seconds: float | None) -> bool:
        """Waits until it has ended, or as long."""
        return self._crew.wait_for(lambda: self.has_ended, seconds)

    async def ended_soon(self) -> bool:
        """Waits a moment longer until it has ended."""
        return self._crew.wait_a_moment_for(lambda: self.has_ended)

    def cancel(self) -> None:
        """A thread cannot be ended from outside: `Call.is_cancelled` asks it to."""

    def result(self) -> Any:
        """What it gave, or raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result
