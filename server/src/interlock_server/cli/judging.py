"""Commands about whole steps: judge an output, choose routes, pass over a failure."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock_server.cli import options
from interlock_server.cli.inbox import decide
from interlock_server.cli.screen import Screen
from interlock_server.cli.values import Unreadable, read_json


def edit(
    requirement_id: options.RequirementId,
    output: Annotated[
        str | None, typer.Argument(metavar="[OUTPUT]", help="The output, as plain text.")
    ] = None,
    json_output: Annotated[
        str | None, typer.Option("--json-output", metavar="JSON", help="The output, as JSON.")
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Replace the output under review, or supply the one of a failed step."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    with screen.refusing():
        if (output is None) == (json_output is None):
            raise Unreadable("give one of OUTPUT and --json-output")
        given = output if json_output is None else read_json(json_output, "--json-output")
    decide(screen, [requirement_id], Decision.edit_output(given), "edited", follows=follow)


def select(
    requirement_id: options.RequirementId,
    routes: Annotated[
        list[str], typer.Argument(metavar="ROUTE...", help="In the order in which they shall run.")
    ],
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Choose the routes of a router."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    decide(screen, [requirement_id], Decision.select_routes(*routes), "chosen", follows=follow)


def skip(
    ids: options.RequirementIds,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Pass over a step that failed."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    decide(screen, ids, Decision.skip(), "skipped", follows=follow)
