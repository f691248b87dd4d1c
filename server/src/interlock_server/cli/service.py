"""The service as a command meets it: a connection, and errors as exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING, NoReturn

from interlock_server.cli import collector
from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen
from interlock_server.cli.text import safe

if TYPE_CHECKING:
    from interlock import Client, InterlockError

TARGET_DEFAULT = "127.0.0.1:7117"
TARGET_VARIABLE = "INTERLOCK_TARGET"

BRIEFLY = 1.0
"""Seconds to wait for a service that does not answer: long enough for a hiccup."""
PATIENTLY = 120.0
"""Seconds to wait for a service that did answer and went away: long enough for its restart."""

_ANSWERS = {
    "CONFIRMATION": ("approve {id}", "reject {id} --note TEXT"),
    "USER_INPUT": ("answer {id} FIELD=VALUE", "reject {id} --note TEXT"),
    "EXTERNAL_EXECUTION": ("complete {id} RESULT", "reject {id} --note TEXT"),
    "IN_DOUBT": (
        "retry {id}",
        "complete {id} RESULT",
        "fail {id}",
        "reject {id} --note TEXT",
    ),
    "USER_FEEDBACK": ("answer {id} NAME=VALUE", "reject {id} --note TEXT"),
    "STEP_CONFIRMATION": ("approve {id}", "reject {id} --note TEXT"),
    "STEP_INPUT": ("answer {id} FIELD=VALUE", "reject {id} --note TEXT"),
    "OUTPUT_REVIEW": (
        "approve {id}",
        "edit {id} OUTPUT",
        "retry {id} --feedback TEXT",
        "reject {id} --note TEXT",
    ),
    "ROUTE_SELECTION": ("select {id} ROUTE", "reject {id} --note TEXT"),
    "ITERATION_REVIEW": (
        "approve {id}",
        "retry {id} --feedback TEXT",
        "reject {id} --note TEXT",
    ),
    "ERROR_DECISION": ("retry {id}", "skip {id}", "edit {id} OUTPUT", "fail {id}"),
}
"""The commands that answer each kind of requirement."""


@contextmanager
def connected(screen: Screen, *, patience: float = BRIEFLY) -> Iterator[Client]:
    """A client; when a call fails, the command ends with what went wrong.

    Args:
        patience: for how long to try again while the service is away, in seconds.
    """
    from interlock import Client, InterlockError

    collector.begin()
    with Client(screen.target, retry_timeout=patience) as client:
        try:
            yield client
        except InterlockError as error:
            refuse(screen, error)


def answers_to(kind: str, requirement_id: str, screen: Screen) -> list[str]:
    """The commands that answer a requirement, ready to paste; none for a kind that we do not
    know."""
    templates = _ANSWERS.get(kind, ())
    return [command(one.format(id=quote(safe(requirement_id))), screen) for one in templates]


def command(arguments: str, screen: Screen) -> str:
    """A command for the same service, ready to paste."""
    is_understood = screen.target in (os.environ.get(TARGET_VARIABLE) or TARGET_DEFAULT, "")
    option = "" if is_understood else f" --target {quote(screen.target)}"
    return f"interlock {arguments}{option}"


def refuse(screen: Screen, error: InterlockError, hint: str = "") -> NoReturn:
    """Ends the command with what the service, or the lack of one, says."""
    from interlock import UnavailableError

    facts = {
        "code": error.code.name,
        "reason": error.reason,
        "metadata": error.metadata,
        "fieldViolations": [
            {"field": field, "description": what} for field, what in error.field_violations
        ],
    }
    if isinstance(error, UnavailableError) and not error.reason:
        screen.fail(
            Exit.UNREACHABLE,
            f"cannot reach the service at {screen.target}: {error.message}",
            hint="Start one with `interlock serve module:app`, or name another with --target.",
            facts=facts,
        )
    reason = error.reason or error.code.name
    is_repeated = all(field in error.message for field, _ in error.field_violations)
    screen.fail(
        Exit.REFUSED,
        reason if error.field_violations and is_repeated else f"{reason}: {error.message}",
        details=dict(error.field_violations),
        hint=hint or _hint(screen, error),
        facts=facts,
    )


def _hint(screen: Screen, error: InterlockError) -> str:
    if error.reason != "RESOLUTION_MISMATCH":
        return ""
    facts = error.metadata
    answers = answers_to(facts.get("kind", ""), facts.get("requirement_id", ""), screen)
    return "\n".join(["It takes:", *(f"  {one}" for one in answers)]) if answers else ""
