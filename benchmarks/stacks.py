"""Stacks: what the sampler saw, added up by library and by function."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from benchmarks.outcome import Table, short

_SHOWN = 40
_OURS = "interlock_server."

Places = Callable[[list[str]], Collection[str]]


class Stacks:
    """Where a process has spent its CPU time.

    Args:
        path: what the sampler wrote.
    """

    def __init__(self, path: Path) -> None:
        self._stacks: list[tuple[int, list[str]]] = json.loads(path.read_text())
        self._total = sum(nanoseconds for nanoseconds, _ in self._stacks)

    def tables(self, name: str, cycles: int = 1) -> list[Table]:
        """What took longest, in milliseconds per cycle, or altogether."""
        titles: dict[str, Places] = {
            "by library": lambda stack: [_library(stack[-1])],
            "by function, without what it calls": lambda stack: stack[-1:],
            "by function, with what it calls": lambda stack: set(_below_loop(stack)),
        }
        return [
            self._table(f"CPU of {name} {title}", places, cycles)
            for title, places in titles.items()
        ]

    def _table(self, title: str, places: Places, cycles: int) -> Table:
        spent: Counter[str] = Counter()
        for nanoseconds, stack in self._stacks:
            for place in places(stack):
                spent[place] += nanoseconds
        rows = [
            [place, short(each / 1e6 / cycles), f"{100 * each / self._total:.1f}%"]
            for place, each in spent.most_common(_SHOWN)
        ]
        return Table(title, ("Where", "ms" if cycles == 1 else "ms per cycle", "Share"), rows)


def _library(place: str) -> str:
    """The library of a place; of our own, the module."""
    module = place.partition(":")[0]
    return module if module.startswith(_OURS) else module.split(".")[0]


def _below_loop(stack: list[str]) -> Iterator[str]:
    """What the event loop called, without the loop: that is in everybody's stack."""
    loop = max((n for n, place in enumerate(stack) if "_run_once" in place), default=-1)
    return iter(stack[loop + 1 :])
