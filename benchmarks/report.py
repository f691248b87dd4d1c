"""The report: tables on the screen, JSON in a folder, and the page that shows both."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.outcome import Figure, Outcome, Table, short


def show(name: str, outcome: Outcome) -> None:
    """Prints what a measurement found."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in outcome.tables:
        console.print(_grid(f"{name}: {table.title}", table))
    if outcome.figures:
        console.print(_grid(f"{name}: figures and targets", figures_table(outcome.figures)))
    for note in outcome.notes:
        console.print(note, highlight=False)


def figures_table(figures: list[Figure] | tuple[Figure, ...] | Any) -> Table:
    """Figures beside their targets."""
    rows = [
        [
            one.what,
            f"{one.value} {one.unit}".rstrip(),
            f"{one.bound} {short(one.target)} {one.unit}".rstrip(),
            "yes" if one.is_reached else "no",
        ]
        for one in figures
    ]
    return Table("Figures", ("What", "Median (range)", "Target", "Reached"), rows)


def write(folder: Path, name: str, outcome: Outcome, circumstances: dict[str, Any]) -> None:
    """Writes what a measurement found, with everything that it was computed from."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"measurement": name, **circumstances, **asdict(outcome)}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(f"{text}\n")


def _grid(title: str, table: Table) -> Grid:
    grid = Grid(title=title, title_justify="left", box=box.SIMPLE)
    for number, head in enumerate(table.heads):
        grid.add_column(head, justify="left" if number == 0 else "right")
    for row in table.rows:
        grid.add_row(*row)
    return grid
