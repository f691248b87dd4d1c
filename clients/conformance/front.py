"""A server in front of the server: it sees what clients do, and can speak a newer contract.

It passes every call on as bytes, and every end of a call too: what a client cancels is cancelled
behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from clients.conformance.newer import METHODS, Newer
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2

_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
)

_REFUSED = "refused by the suite"


@dataclass
class Seen:
    """A call that a client made.

    Args:
        request: what it asks for, without what is not set.
        metadata: what came with it.
        at: when, in seconds of a clock that never runs backwards.
        is_cancelled: whether the client cancelled it.
        code: how it ended, by the name of the gRPC code; empty until then.
    """

    method: str
    request: dict[str, Any]
    metadata: dict[str, str]
    at: float
    is_cancelled: bool = False
    code: str = ""


@dataclass(frozen=True)
class Refusal:
    """How a call ends that is not passed on.

    Args:
        code: name of the gRPC code.
        reason: as the server would give it; empty means an error that is not of the server.
        retry_delay: what the server asks for, in seconds; 0 means that it asks for nothing.
        replies: so many replies of a stream are passed on before.
    """

    code: str
    reason: str = ""
    retry_delay: float = 0.0
    replies: int = 0

    @property
    def trailers(self) -> tuple[tuple[str, bytes], ...]:
        """The details of the error, as they travel."""
        number = code_pb2.Code.Value(self.code)
        status = status_pb2.Status(code=number, message=_REFUSED)
        if self.reason:
            info = error_details_pb2.ErrorInfo(reason=self.reason, domain="interlock.dev")
            status.details.add().Pack(info)
        if self.retry_delay:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromTimedelta(timedelta(seconds=self.retry_delay))
            status.details.add().Pack(retry)
        return (("grpc-status-details-bin", status.SerializeToString()),)


@dataclass
class Front:
    """The server in front; `calls` are those that it has seen, oldest first.

    Args:
        newer: what its contract has that ours lacks; None when it is ours.
        refusals: how the next calls end, by method.
        sends_heartbeats: whether there is a heartbeat before each reply of a stream.
    """

    newer: Newer | None = None
    refusals: dict[str, list[Refusal]] = field(default_factory=dict)
    sends_heartbeats: bool = False
    calls: list[Seen] = field(default_factory=list)

    async def open(self) -> int:
        """Listens, and gives the port."""
        self._changed = asyncio.Condition()
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    def lead_to(self, target: str) -> None:
        """Passes calls on to this server."""
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)

    async def close(self) -> None:
        """Ends everything."""
        await self._server.stop(0)
        await self._channel.close()

    def reset(self) -> None:
        """Is a plain front again, that has seen nothing."""
        self.newer = None
        self.sends_heartbeats = False
        self.refusals.clear()
        self.calls.clear()

    async def until(self, is_such: Callable[[Seen], bool], count: int) -> None:
        """Waits until there were so many calls of which something is true."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(map(is_such, self.calls)) >= count)

    # Passing on.

    async def unary(self, method: str, request: bytes, context: Any) -> bytes:
        """Passes a call with one reply on."""
        seen = await self._see(method, request, context)
        if refusal := self._refusal(seen):
            await self._refuse(seen, refusal, context)
        call: Any = self._channel.unary_unary(method, _same, _same)(
            request, timeout=context.time_remaining(), metadata=_passed_on(context)
        )
        try:
            return self._answer(method, await call)
        except grpc.aio.AioRpcError as error:
            await self._end(seen, error.code().name)
            await self._fail(context, error)
            raise AssertionError("aborted") from None
        except asyncio.CancelledError:
            call.cancel()
            self._left(seen, context)
            raise
        finally:
            await self._end(seen, "OK")

    async def stream(self, method: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Passes a call with many replies on."""
        seen = await self._see(method, request, context)
        refusal = self._refusal(seen)
        if refusal and not refusal.replies:
            await self._refuse(seen, refusal, context)
        call: Any = self._channel.unary_stream(method, _same, _same)(
            request, timeout=context.time_remaining(), metadata=_passed_on(context)
        )
        passed = 0
        try:
            async for reply in call:
                for sent in self._replies(method, reply):
                    yield sent
                passed += 1
                if refusal and passed == refusal.replies:
                    call.cancel()
                    await self._refuse(seen, refusal, context)
        except grpc.aio.AioRpcError as error:
            await self._end(seen, error.code().name)
            await self._fail(context, error)
        except (asyncio.CancelledError, GeneratorExit):
            call.cancel()
            self._left(seen, context)
            raise
        finally:
            await self._end(seen, "OK")

    def _refusal(self, seen: Seen) -> Refusal | None:
        due = self.refusals.get(seen.method)
        return due.pop(0) if due else None

    async def _refuse(self, seen: Seen, refusal: Refusal, context: Any) -> None:
        await self._end(seen, refusal.code)
        code = grpc.StatusCode[refusal.code]
        await context.abort(code, _REFUSED, refusal.trailers)

    def _left(self, seen: Seen, context: Any) -> None:
        """The call was ended from the other side: by its deadline, or by the client."""
        remaining = context.time_remaining()
        seen.is_cancelled = remaining is None or remaining > 0

    def _replies(self, method: str, reply: bytes) -> Iterator[bytes]:
        """What is sent for one reply of a stream."""
        if self.sends_heartbeats:
            message: Any = GetMessageClass(METHODS[method].output_type)()
            message.heartbeat.send_time.GetCurrentTime()
            yield message.SerializeToString()
        if self.newer is not None:
            yield self.newer.reply_of_unknown_kind()
        yield self._answer(method, reply)

    async def _see(self, method: str, request: bytes, context: Any) -> Seen:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        message = GetMessageClass(METHODS[method].input_type).FromString(request)
        seen = Seen(method.rpartition("/")[2], _plain(message), metadata, time.monotonic())
        self.calls.append(seen)
        await self._tell()
        return seen

    async def _end(self, seen: Seen, code: str) -> None:
        seen.code = seen.code or ("CANCELLED" if seen.is_cancelled else code)
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _answer(self, method: str, reply: bytes) -> bytes:
        return reply if self.newer is None else self.newer.reply(method, reply)

    async def _fail(self, context: Any, error: grpc.aio.AioRpcError) -> None:
        trailers = [(key, value) for key, value in error.trailing_metadata() or ()]
        if self.newer is not None:
            trailers = [(key, self.newer.trailer(key, value)) for key, value in trailers]
        await context.abort(error.code(), error.details() or "", tuple(trailers))


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, front: Front) -> None:
        self._front = front

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        described = METHODS.get(method)
        if described is None:
            return None
        if described.server_streaming:

            async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
                async for reply in self._front.stream(method, request, context):
                    yield reply

            return grpc.unary_stream_rpc_method_handler(stream)

        async def unary(request: bytes, context: Any) -> bytes:
            return await self._front.unary(method, request, context)

        return grpc.unary_unary_rpc_method_handler(unary)


def _plain(value: Any) -> Any:
    """A message, or what is in it, as a scenario writes it down: without what is not set."""
    if isinstance(value, Message):
        return {described.name: _plain(one) for described, one in value.ListFields()}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value


def _same(message: bytes) -> bytes:
    """What stands where messages are read and written elsewhere."""
    return message


def _passed_on(context: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (key, value)
        for key, value in context.invocation_metadata()
        if not key.startswith(("grpc-", ":")) and key not in ("user-agent", "te", "content-type")
    )
