"""The one thing in which the two clients differ: how they wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import grpc

from interlock.v1.requirement_service_pb2_grpc import RequirementServiceStub
from interlock.v1.run_service_pb2_grpc import RunServiceStub
from interlock.v1.session_service_pb2_grpc import SessionServiceStub
from interlock.v1.workflow_service_pb2_grpc import WorkflowServiceStub

Request = TypeVar("Request")
Reply = TypeVar("Reply")
Reply_co = TypeVar("Reply_co", covariant=True)

Metadata = Mapping[str, str] | Sequence[tuple[str, str | bytes]]

_MESSAGE_BYTES_MAX = 16 * 1024 * 1024

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    # A connection that has died is noticed within 40 seconds, also while nothing is sent.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # The client has its own backoff: the channel's must not add to it.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]


class Stubs:
    """The generated stubs on one channel, blocking or not."""

    def __init__(self, channel: Any) -> None:
        self.runs: RunServiceStub = RunServiceStub(channel)
        self.requirements: RequirementServiceStub = RequirementServiceStub(channel)
        self.workflows: WorkflowServiceStub = WorkflowServiceStub(channel)
        self.sessions: SessionServiceStub = SessionServiceStub(channel)


class Reader(Protocol[Reply_co]):
    """A call that streams replies."""

    async def read(self) -> Reply_co | None:
        """The next reply; None when the stream has ended well.

        Raises:
            grpc.RpcError: the stream has ended otherwise.
        """

    def cancel(self) -> None:
        """Ends the call, if it has not ended."""


class Wire(Protocol):
    """Makes calls and waits.

    The methods are coroutines. Those of a blocking wire never suspend, see
    `interlock._blocking.finish`.
    """

    @property
    def stubs(self) -> Stubs:
        """The methods that can be called."""

    async def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Reply],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 # it is a gRPC deadline
    ) -> Reply:
        """Makes a call with one reply.

        Raises:
            grpc.RpcError: the call failed.
        """

    def open(
        self, method: grpc.UnaryStreamMultiCallable[Request, Reply], request: Request
    ) -> Reader[Reply]:
        """Starts a call that streams replies."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    def clock(self) -> float:
        """Seconds that never run backwards."""

    def random(self) -> float:
        """A number from 0 to 1."""


def call_metadata(metadata: Metadata | None, token: str | None) -> tuple[tuple[str, Any], ...]:
    """The metadata that goes with every call."""
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
    bearer = (("authorization", f"Bearer {token}"),) if token is not None else ()
    return (*((key.lower(), value) for key, value in pairs), *bearer)
