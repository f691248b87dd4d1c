"""Calls with one reply: deadlines, retries, errors."""

from __future__ import annotations

from typing import Final

import grpc

from interlock._core.backoff import Backoff
from interlock._core.wire import Reply, Request, Stubs, Wire
from interlock.errors import InterlockError, UnavailableError, from_rpc_error


class Caller:
    """Makes calls, and makes them again while the server is unavailable.

    Args:
        wire: How to call and to wait.
        timeout: Deadline of a call with its retries, in seconds; None means none. A call
            that waits for a run has it on top of the wait.
        retry_timeout: How long to retry, in seconds.
    """

    def __init__(self, wire: Wire, *, timeout: float | None, retry_timeout: float) -> None:
        self.wire: Final = wire
        self._timeout = timeout
        self._retry_timeout = retry_timeout

    @property
    def stubs(self) -> Stubs:
        """The methods that can be called."""
        return self.wire.stubs

    def backoff(self) -> Backoff:
        """A backoff for one call."""
        return Backoff(self._retry_timeout, clock=self.wire.clock, random=self.wire.random)

    async def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        *,
        wait: float = 0.0,
    ) -> Reply:
        """Makes a call.

        Args:
            method: What to call.
            request: What to send. It is sent again as it is, request id included.
            wait: How long the server may wait before it replies, in seconds.

        Raises:
            InterlockError: the call failed.
        """
        backoff = self.backoff()
        deadline = _Deadline(self.wire, self._timeout, wait)
        while True:
            try:
                return await self.wire.call(method, request, deadline.remaining())
            except grpc.RpcError as rpc_error:
                error = from_rpc_error(rpc_error)
                delay = retry_delay(error, backoff)
                if delay is None or deadline.is_within(delay):
                    raise error from rpc_error
            await self.wire.sleep(delay)


def retry_delay(error: InterlockError, backoff: Backoff) -> float | None:
    """Seconds to wait before another attempt; None means that there is none."""
    return backoff.next(error.retry_delay) if isinstance(error, UnavailableError) else None


class _Deadline:
    """When a call with all its attempts must be over."""

    def __init__(self, wire: Wire, timeout: float | None, wait: float) -> None:
        self._clock = wire.clock
        self._end = None if timeout is None else wire.clock() + timeout + wait

    def remaining(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - self._clock())

    def is_within(self, seconds: float) -> bool:
        return self._end is not None and self._clock() + seconds >= self._end
