"""Configuration: a server's settings, from options and from the environment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen

if TYPE_CHECKING:
    from interlock_server.settings import Settings


class LogFormat(StrEnum):
    """How a line of the log looks."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """What is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


DatabaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="INTERLOCK_DATABASE_URL",
        metavar="URL",
        help="A PostgreSQL, 14 or newer: postgresql://user:password@host:5432/name; "
        "default: the embedded one. Give a password by the environment variable.",
    ),
]

DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="INTERLOCK_DATA_DIR",
        metavar="FOLDER",
        help="Where the embedded PostgreSQL keeps its data; default: the user's data folder.",
    ),
]


def read_settings(screen: Screen, **given: Any) -> Settings:
    """Settings from the options that were given; the environment and defaults do the rest."""
    from pydantic import ValidationError

    from interlock_server.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = {
            f"--{'-'.join(map(str, one['loc'])).replace('_', '-')}": one["msg"]
            for one in error.errors(include_input=False, include_url=False)
        }
        screen.fail(Exit.USAGE, "the settings have mistakes", details=problems)


def database_shown(settings: Settings) -> str:
    """The database of a server, as it may be shown: without a password."""
    from interlock_server.store.opening import place_of

    if settings.database_url is None:
        return f"embedded PostgreSQL in {settings.data_dir / 'postgres'}"
    return place_of(settings.database_url.get_secret_value())
