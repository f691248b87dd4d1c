"""The program: all commands under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock_server.cli import (
    demonstration,
    inbox,
    judging,
    migrations,
    runs,
    serving,
    workflows,
)
from interlock_server.cli.exits import MEANINGS

_SERVER = "The server"
_RUNS = "Runs"
_INBOX = "What waits for somebody"

_CODES = "  \n".join(f"{code.value}  {meaning}" for code, meaning in MEANINGS.items())

program = typer.Typer(
    name="interlock",
    help="Agent workflows that pause for people: serve them, run them, decide.",
    epilog=f"Exit codes:\n\n{_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"interlock {version('interlock-server')}")
        raise typer.Exit


@program.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Agent workflows that pause for people: serve them, run them, decide."""


for _panel, _commands in (
    (_SERVER, (serving.serve, migrations.migrate, demonstration.demo)),
    (_RUNS, (runs.run, runs.watch, runs.runs, runs.cancel, workflows.workflows)),
    (
        _INBOX,
        (
            inbox.pending,
            inbox.approve,
            inbox.reject,
            inbox.answer,
            inbox.complete,
            inbox.retry,
            inbox.fail,
            judging.edit,
            judging.select,
            judging.skip,
        ),
    ),
):
    for _command in _commands:
        program.command(rich_help_panel=_panel)(_command)
