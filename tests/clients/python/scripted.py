"""A real gRPC server on a port of its own that does what a test tells it."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from interlock.v1 import (
    requirement_service_pb2,
    run_service_pb2,
    session_service_pb2,
    workflow_service_pb2,
)

SERVICES = [
    service
    for module in (
        run_service_pb2,
        requirement_service_pb2,
        session_service_pb2,
        workflow_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


@dataclass(frozen=True)
class Abort:
    """Ends a call with an error and its details."""

    code: grpc.StatusCode
    message: str = "scripted"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_delay: float | None = None
    violations: tuple[tuple[str, str], ...] = ()

    def status(self) -> Any:
        """The error with its details, as grpc sends it."""
        details: list[Message] = []
        if self.reason:
            info = error_details_pb2.ErrorInfo(reason=self.reason, domain="interlock.dev")
            info.metadata.update(self.metadata)
            details.append(info)
        if self.retry_delay is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(round(self.retry_delay * 1e9))
            details.append(retry)
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for name, description in self.violations:
                bad.field_violations.add(field=name, description=description)
            details.append(bad)
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        return rpc_status.to_status(status)


UNAVAILABLE = Abort(grpc.StatusCode.UNAVAILABLE)


class Hang:
    """Keeps a call open for ever."""


@dataclass
class Call:
    """A call that the server received."""

    method: str
    request: Any
    metadata: dict[str, str | bytes]
    time_remaining: float | None
    cancelled: threading.Event = field(default_factory=threading.Event)


Answer = Message | Abort | Hang
Answers = Callable[[Any], Iterable[Answer]]
"""Gives what a call is answered with, by its request."""


class ScriptedServer:
    """Runs in a thread. What it is asked is in `calls`.

    Every method has a queue of scripts, one for each call; a script is what a call is
    answered with, in order. A method without scripts asks its `answers`, if it has any.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.port = 0
        self._scripts: defaultdict[str, deque[Iterable[Answer]]] = defaultdict(deque)
        self._answers: dict[str, Answers] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: grpc.aio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def target(self) -> str:
        """Where the server is."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listens, on the same port as before if there was one."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Cuts all connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def script(self, method: str, *answers: Answer) -> None:
        """Says how the next unscripted call of a method is answered."""
        self._scripts[method].append(answers)

    def answer(self, method: str, answers: Answers) -> None:
        """Says how all other calls of a method are answered."""
        self._answers[method] = answers

    def requests(self, method: str) -> list[Any]:
        """What a method was asked, oldest first."""
        return [call.request for call in self.calls if call.method == method]

    @property
    def methods(self) -> list[str]:
        """Which methods were called, oldest first."""
        return [call.method for call in self.calls]

    async def _start(self) -> None:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 24)]
        options += [("grpc.max_send_message_length", 1 << 24)]
        server = grpc.aio.server(options=options)
        for service in SERVICES:
            handlers = {method.name: self._handler(method) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            server.add_generic_rpc_handlers((generic,))
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        decode = GetMessageClass(method.input_type).FromString

        async def one(request: Any, context: Any) -> Any:
            async for answer in self._play(method.name, request, context):
                return answer
            raise AssertionError(f"nothing scripted for {method.name}")

        async def many(request: Any, context: Any) -> AsyncIterator[Message]:
            async for answer in self._play(method.name, request, context):
                yield answer

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(many, decode, _encode)
        return grpc.unary_unary_rpc_method_handler(one, decode, _encode)

    async def _play(self, method: str, request: Any, context: Any) -> AsyncIterator[Message]:
        call = Call(method, request, dict(context.invocation_metadata()), context.time_remaining())
        self.calls.append(call)
        scripts = self._scripts[method]
        answers = scripts.popleft() if scripts else self._answers[method](request)
        try:
            for answer in answers:
                match answer:
                    case Abort():
                        await context.abort_with_status(answer.status())
                    case Hang():
                        await asyncio.Event().wait()
                    case _:
                        yield answer
        except (asyncio.CancelledError, GeneratorExit):
            call.cancelled.set()
            raise


def _encode(message: Message) -> bytes:
    return message.SerializeToString()
