"""The program: all commands under one name."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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

_WHOLE = 1_000
"""Characters of a help line that is not cut off, but wrapped."""

_CODES = "\n".join(f"{code.value}  {meaning}" for code, meaning in MEANINGS.items())


class _Panels(TyperGroup):
    """Lists the commands by what they are about."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes a list for each panel."""
        by_panel: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            entry = (name, command.get_short_help_str(_WHOLE))
            by_panel.setdefault(command.rich_help_panel, []).append(entry)
        for panel, entries in by_panel.items():
            with formatter.section(panel):
                formatter.write_dl(entries)


program = typer.Typer(
    cls=_Panels,
    # What draws boxes takes as long to import as all the rest of a command.
    rich_markup_mode=None,
    name="interlock",
    help="Agent workflows that pause for people: serve them, run them, decide.",
    epilog=f"Exit codes:\n\n\b\n{_CODES}",
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
