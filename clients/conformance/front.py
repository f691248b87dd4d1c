"""A server in front of the server: it sees what clients do, and can speak a newer contract.

It passes every call on as bytes, and every end of a call too: what a client cancels is cancelled
behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from clients.conformance.newer import METHODS, Newer
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
)


@dataclass
class Seen:
    """A call that a client made.

    Args:
        request: what it asks for, without what is not set.
        metadata: what came with it.
        is_cancelled: whether the client cancelled it.
        code: how it ended, by the name of the gRPC code; empty until then.
    """

    method: str
    request: dict[str, Any]
    metadata: dict[str, str]
    is_cancelled: bool = False
    code: str = ""


@dataclass
class Front:
    """The server in front; `calls` are those that it has seen, oldest first.

    Args:
        newer: what its contract has that ours lacks; None when it is ours.
    """

    newer: Newer | None = None
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

    async def until(self, is_such: Callable[[Seen], bool], count: int) -> None:
        """Waits until there were so many calls of which something is true."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(map(is_such, self.calls)) >= count)

    # Passing on.

    async def unary(self, method: str, request: bytes, context: Any) -> bytes:
        """Passes a call with one reply on."""
        seen = await self._see(method, request, context)
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
            remaining = context.time_remaining()
            seen.is_cancelled = remaining is None or remaining > 0
            raise
        finally:
            await self._end(seen, "OK")

    async def stream(self, method: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Passes a call with many replies on."""
        seen = await self._see(method, request, context)
        call: Any = self._channel.unary_stream(method, _same, _same)(
            request, timeout=context.time_remaining(), metadata=_passed_on(context)
        )
        try:
            async for reply in call:
                if self.newer is not None:
                    yield self.newer.reply_of_unknown_kind()
                yield self._answer(method, reply)
        except grpc.aio.AioRpcError as error:
            await self._end(seen, error.code().name)
            await self._fail(context, error)
        except (asyncio.CancelledError, GeneratorExit):
            call.cancel()
            remaining = context.time_remaining()
            seen.is_cancelled = remaining is None or remaining > 0
            raise
        finally:
            await self._end(seen, "OK")

    async def _see(self, method: str, request: bytes, context: Any) -> Seen:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        message = GetMessageClass(METHODS[method].input_type).FromString(request)
        seen = Seen(method.rpartition("/")[2], _plain(message), metadata)
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


def _plain(message: Message) -> dict[str, Any]:
    return {
        described.name: _plain(value) if isinstance(value, Message) else value
        for described, value in message.ListFields()
    }


def _same(message: bytes) -> bytes:
    """What stands where messages are read and written elsewhere."""
    return message


def _passed_on(context: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (key, value)
        for key, value in context.invocation_metadata()
        if not key.startswith(("grpc-", ":")) and key not in ("user-agent", "te", "content-type")
    )
