"""A service for one example at a time, which notes what the example's tools do."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from pydantic import SecretStr

from interlock_server import Interlock, Settings, Tool


@dataclass(frozen=True)
class Served:
    """An example's app as clients see it, and every call that its tools got."""

    target: str
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


Serve = Callable[[str], AbstractContextManager[Served]]


@pytest.fixture
def serve(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves the app of the example with a name."""
    monkeypatch.delenv("EXAMPLE_MODEL", raising=False)
    settings = Settings(address="127.0.0.1:0", database_url=SecretStr(database_url))

    @contextmanager
    def serve(name: str) -> Iterator[Served]:
        module = importlib.import_module(name)
        app = module.app
        assert isinstance(app, Interlock)
        calls: list[tuple[str, dict[str, Any]]] = []
        with _noted(module, calls), app.serving(settings) as target:
            yield Served(target, calls)

    return serve


@contextmanager
def _noted(module: ModuleType, calls: list[tuple[str, dict[str, Any]]]) -> Iterator[None]:
    """Notes the calls of a module's tools while the context is open."""
    tools = [one for one in vars(module).values() if isinstance(one, Tool)]
    originals = [tool.function for tool in tools]
    for tool, original in zip(tools, originals, strict=True):
        object.__setattr__(tool, "function", _noting(original, calls))
    try:
        yield
    finally:
        for tool, original in zip(tools, originals, strict=True):
            object.__setattr__(tool, "function", original)


def _noting(function: Callable[..., Any], calls: list[tuple[str, dict[str, Any]]]) -> Any:
    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(function).bind(*args, **kwargs)
        calls.append((function.__name__, dict(bound.arguments)))
        return function(*args, **kwargs)

    return noting
