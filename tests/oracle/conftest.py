"""Fixtures of the oracle."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import CodeType
from typing import Any

import pytest

from interlock_server import limits
from interlock_server.executors import tools
from interlock_server.executors.models import ToolSchema, tool_schema


@pytest.fixture(autouse=True)
def _nothing_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds are small, so that else no leg would take a container for ended without a look, and
    no process would remember what it has shown."""
    monkeypatch.setattr(limits, "finished_steps_min", 1)
    monkeypatch.setattr(limits, "kept_results_min", 1)


@pytest.fixture(autouse=True)
def _schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds have thousands of tools and three signatures; reading those is most of a build."""
    read = tool_schema
    known: dict[CodeType, ToolSchema] = {}

    def read_once(
        function: Callable[..., Any], hidden: Collection[str] = frozenset()
    ) -> ToolSchema:
        code = function.__code__
        if code not in known:
            known[code] = read(function, hidden)
        return known[code]

    monkeypatch.setattr(tools, "tool_schema", read_once)
