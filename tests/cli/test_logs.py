"""Logs of the server: nothing in them steers a terminal, and nothing of memory leaks into them."""

from __future__ import annotations

import json
import sys

import pytest
from tests.cli import desk

from interlock_server.cli.configuration import LogFormat
from interlock_server.cli.logs import _rendering
from interlock_server.store.opening import DatabaseUnusable, place_of


def rendered(log_format: LogFormat) -> str:
    """How a line about an error of a tool looks."""
    secret = "hunter2"
    line: object = {"event": f"tool failed {desk.HOSTILE}", "level": "error", "by": [desk.HOSTILE]}
    try:
        raise ValueError(f"{desk.HOSTILE} {len(secret)}")
    except ValueError:
        assert isinstance(line, dict)
        line |= {"exc_info": sys.exc_info(), "_record": None, "_from_structlog": True}
    for processor in _rendering(log_format):
        line = processor(None, "error", line)  # type: ignore[arg-type]
    return str(line)


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_line_about_a_hostile_error(log_format: LogFormat) -> None:
    line = rendered(log_format)
    assert all(one == "\n" or one.isprintable() for one in line)
    assert "ValueError" in line
    assert "hunter2" not in line
    if log_format is LogFormat.JSON:
        assert json.loads(line)["event"] == f"tool failed {desk.HOSTILE}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@h:5432/shop", "postgresql://me@h:5432/shop"),
        ("postgres://h/shop?password=hunter2&sslmode=require", "postgresql://h/shop"),
        ("postgresql+asyncpg://me:%68unter2@/shop?host=/run", "postgresql://me@/shop?host=/run"),
    ],
)
def test_a_database_is_shown_without_its_password(url: str, shown: str) -> None:
    assert place_of(url) == shown


@pytest.mark.parametrize(
    "url", ["", "shop", "mysql://me:hunter2@h/x", "postgresql://a:hunter2@b:c"]
)
def test_what_is_no_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnusable) as caught:
        place_of(url)
    assert "hunter2" not in str(caught.value)
