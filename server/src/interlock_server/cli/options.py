"""Options that commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from interlock_server.cli.service import TARGET_DEFAULT, TARGET_VARIABLE

Target: TypeAlias = Annotated[
    str,
    typer.Option(
        "--target",
        "-t",
        envvar=TARGET_VARIABLE,
        metavar="HOST:PORT",
        help="Where the service listens.",
    ),
]

Json: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print JSON for programs: the messages of the contract."),
]

Follow: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--follow",
        "-f",
        help="Then show what the run does, until it pauses again or ends; exit with its code.",
    ),
]

Note: TypeAlias = Annotated[
    str, typer.Option("--note", "-n", metavar="TEXT", help="Recorded with the decision.")
]

RunId: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="Id of a run, or the beginning of one.")
]

RequirementId: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="REQ", help="Id of what waits, or the beginning of it."),
]

RequirementIds: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="REQ...", help="Ids of what waits, or the beginnings of them."),
]

Session: TypeAlias = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="Only of this session.")
]

Workflow: TypeAlias = Annotated[
    str | None, typer.Option("--workflow", "-w", metavar="NAME", help="Only of this workflow.")
]

TARGET = TARGET_DEFAULT
