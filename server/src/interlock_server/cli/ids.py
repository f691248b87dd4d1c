"""Ids: whole ones, and their beginnings, as git takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from interlock_server.cli.exits import Exit
from interlock_server.cli.screen import Screen
from interlock_server.cli.text import safe

if TYPE_CHECKING:
    from interlock import Client, Requirement, RunOutput

_CHARACTERS_MIN = 4
_RUNS_MAX = 200
_PENDING_MAX = 1_000
_SHORT = 8


def find_run(client: Client, given: str, screen: Screen) -> RunOutput:
    """The run with an id, or the one among the newest runs whose id begins like that."""
    from interlock import NotFoundError

    try:
        return client.get_run(given)
    except NotFoundError:
        if len(given) < _CHARACTERS_MIN:
            raise
        newest = islice(client.list_runs(), _RUNS_MAX)
        begun = [one.run_id for one in newest if one.run_id.startswith(given)]
        if not begun:
            raise
    return client.get_run(_only(given, begun, "runs", screen))


def find_requirement(client: Client, given: str, screen: Screen) -> Requirement:
    """The requirement with an id, or the one that waits whose id begins like that."""
    from interlock import NotFoundError

    try:
        return client.get_requirement(given)
    except NotFoundError:
        if len(given) < _CHARACTERS_MIN:
            raise
        waiting = list(islice(client.list_requirements(), _PENDING_MAX + 1))
        if len(waiting) > _PENDING_MAX:
            # Among those that we did not see may be one that begins alike.
            screen.fail(
                Exit.USAGE,
                f"more than {_PENDING_MAX:,} requirements wait; give the whole id of {given!r}",
            )
        found = {one.id: one for one in waiting if one.id.startswith(given)}
        if not found:
            raise
    return found[_only(given, list(found), "requirements", screen)]


def shortened(ids: Iterable[str], screen: Screen) -> Callable[[str], str]:
    """How to show ids in a table: for people, only as much of them as tells them apart."""
    if not screen.out.is_terminal:
        return safe
    pairs = pairwise(sorted(set(ids)))
    length = max([_SHORT, *(_common(*pair) + 1 for pair in pairs)])
    return lambda one: safe(one[:length])


def _common(one: str, other: str) -> int:
    """How many characters two ids begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((position for position, (a, b) in pairs if a != b), len(one))


def _only(given: str, begun: list[str], what: str, screen: Screen) -> str:
    if len(begun) > 1:
        listing = ", ".join(begun[:10])
        screen.fail(Exit.USAGE, f"{len(begun)} {what} begin with {given!r}: {listing}")
    return begun[0]
