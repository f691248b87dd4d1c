"""Calls authors' functions: sync or async, with what they ask for by name."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType
from typing import Any

import pydantic_core

from interlock_server import jsontext, limits
from interlock_server.authoring.tools import INJECTED
from interlock_server.engine.context import EffectFailed, RunContext

_ERROR_CHARACTERS_MAX = 2_000
_THREADS = ThreadPoolExecutor(limits.function_threads_max, "interlock-function")
"""Where plain functions run; the loop's own pool is too small for tools that wait."""


async def call_function(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    run: RunContext,
    reason: str,
    **offered: Any,
) -> Any:
    """Calls a function and gives its result; a plain one runs in a thread.

    Args:
        run: handed over where the function has a parameter `run_context`,
            `session_state` or `idempotency_key`.
        reason: the reason of the failure when it raises.
        offered: more that it may ask for by name.

    Raises:
        EffectFailed: it raised.
    """
    injected = {
        "run_context": run,
        "session_state": run.session_state,
        "idempotency_key": run.idempotency_key,
        **offered,
    }
    wanted = {name: injected[name] for name in asked_for(function, injected)}
    try:
        if _is_async(function):
            return await function(*args, **kwargs, **wanted)
        call = functools.partial(function, *args, **kwargs, **wanted)
        loop, variables = asyncio.get_running_loop(), contextvars.copy_context()
        result = await loop.run_in_executor(_THREADS, variables.run, call)
        return await result if inspect.isawaitable(result) else result
    except (Exception, SystemExit) as error:
        raise EffectFailed(reason, describe(error)) from error


def asked_for(function: Callable[..., Any], offered: Mapping[str, Any]) -> list[str]:
    """The offered names that a function has parameters for."""
    return [name for name in _parameters(function) if name in offered]


def hidden_parameters(function: Callable[..., Any]) -> frozenset[str]:
    """The parameters that neither a model nor a person sees."""
    return INJECTED & set(_parameters(function))


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    if isinstance(function, FunctionType):
        return _parameters_of(function)
    return tuple(inspect.signature(function).parameters)


@functools.lru_cache(maxsize=4_096)
def _parameters_of(function: FunctionType) -> tuple[str, ...]:
    """The parameters of a plain function, which never change."""
    return tuple(inspect.signature(function).parameters)


def as_json(value: Any, reason: str) -> Any:
    """A result as a value that can be stored as JSON.

    Raises:
        EffectFailed: it cannot be JSON.
    """
    try:
        jsonable = pydantic_core.to_jsonable_python(value)
        jsontext.dumps(jsonable)
        return jsonable
    except (ValueError, TypeError, RecursionError) as error:
        raise EffectFailed(
            reason, f"gave a {type(value).__name__}, which cannot be JSON: {describe(error)}"
        ) from error


def describe(error: BaseException) -> str:
    """The text of an author's exception, for the people who run the workflow."""
    return (str(error) or type(error).__name__)[:_ERROR_CHARACTERS_MAX]


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
