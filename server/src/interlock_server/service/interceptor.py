"""The one interceptor: turns errors into statuses, and keeps everything else inside."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_status import rpc_status

from interlock_server import limits
from interlock_server.errors import (
    FieldViolation,
    InterlockError,
    InvalidField,
    ServerShutdown,
    SizeLimitExceeded,
)
from interlock_server.service.errors import internal_status, status_of, unimplemented_status

_log = structlog.get_logger()


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Gives every failed call its status; an unforeseen error is logged under an id, not shown."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_cut = False

    def cut(self) -> None:
        """Ends the calls that are still under way; their callers are told to go elsewhere.

        When the library does it, callers are told that they had cancelled.
        """
        self._is_cut = True
        for task in self._calls:
            task.cancel()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Gives the wrapped handler of a call."""
        method = handler_call_details.method
        if method not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None or handler.request_streaming:
                return handler
            self._handlers[method] = self._wrapped(handler, method)
        return self._handlers[method]

    def _wrapped(self, handler: Any, method: str) -> Any:
        # Requests come as bytes and are read in here, so that one that cannot be read is an
        # error like any other.
        read = handler.request_deserializer
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler.unary_stream, read, method),
                response_serializer=methodcaller("SerializeToString"),
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, read, method),
            response_serializer=handler.response_serializer,
        )

    def _unary(self, behavior: Any, read: Any, method: str) -> Any:
        async def call(request: bytes, context: Any) -> Any:
            with self._under_way():
                try:
                    return _sized(await behavior(_message(read, request), context))
                except BaseException as error:  # noqa: BLE001
                    await _abort(context, self._meant(error), method)

        return call

    def _streaming(self, behavior: Any, read: Any, method: str) -> Any:
        async def call(request: bytes, context: Any) -> AsyncIterator[Any]:
            with self._under_way():
                try:
                    responses = behavior(_message(read, request), context)
                    if inspect.isawaitable(responses):
                        await responses  # It writes to the context, as the health service does.
                        return
                    async for response in responses:
                        yield _sized(response)
                        del response  # Else it would be kept until the next one comes.
                except BaseException as error:  # noqa: BLE001
                    await _abort(context, self._meant(error), method)

        return call

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None, "the library makes a task for each call"
        self._calls.add(task)
        try:
            yield
        finally:
            self._calls.discard(task)

    def _meant(self, error: BaseException) -> BaseException:
        if self._is_cut and isinstance(error, asyncio.CancelledError):
            return ServerShutdown()
        return error


def _message(read: Any, request: bytes) -> Any:
    try:
        return read(request)
    except DecodeError:
        text = "is not a message of this method: malformed bytes, or text that is not UTF-8"
        raise InvalidField([FieldViolation("request", text)]) from None


def _sized(response: Message) -> Message:
    """The response, unless the library would refuse to send it, in words of its own."""
    if response.ByteSize() > limits.message_bytes_max:
        raise SizeLimitExceeded("the answer", limits.message_bytes_max)
    return response


async def _abort(context: Any, error: BaseException, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError | GeneratorExit):
        raise error
    if isinstance(error, InterlockError):
        status = status_of(error)
    elif isinstance(error, NotImplementedError):
        status = unimplemented_status()
    elif isinstance(error, Exception):
        error_id = str(uuid.uuid4())
        _log.error("call failed inside", method=method, error_id=error_id, exc_info=error)
        status = internal_status(error_id)
    else:
        raise error
    await context.abort_with_status(rpc_status.to_status(status))
