"""The report: tables on the screen, JSON and charts in a folder, and the page that shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.children import PEERS_PYTHON, ROOT, theirs
from benchmarks.machine import is_loaded
from benchmarks.outcome import Figure, Outcome, Table, short

README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"


# On the screen.


def show(name: str, outcome: Outcome) -> None:
    """Prints what a measurement found."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    for table in outcome.tables:
        console.print(_grid(f"{name}: {table.title}", table))
    if outcome.figures:
        console.print(_grid(f"{name}: figures and targets", _figures(outcome.figures)))
    for note in outcome.notes:
        console.print(note, highlight=False)


def _grid(title: str, table: Table) -> Grid:
    grid = Grid(title=title, title_justify="left", box=box.SIMPLE)
    for number, head in enumerate(table.heads):
        grid.add_column(head, justify="left" if number == 0 else "right")
    for row in table.rows:
        grid.add_row(*row)
    return grid


def _figures(figures: Iterable[Figure]) -> Table:
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


# In files.


def write(folder: Path, name: str, outcome: Outcome, circumstances: dict[str, Any]) -> None:
    """Writes what a measurement found, with all that it was computed from, and its chart."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"measurement": name, **circumstances, **asdict(outcome)}
    content["shown"] = [asdict(_figures(outcome.figures))] if outcome.figures else []
    path = folder / f"{name}.json"
    path.write_text(f"{json.dumps(content, indent=1, ensure_ascii=False)}\n")
    if PEERS_PYTHON.exists():
        subprocess.run(theirs("charts", str(path)), cwd=ROOT, check=True)


# On the page.


def renew_page(folder: Path, names: Iterable[str]) -> None:
    """Puts the results of a folder between the marks of the page."""
    before, _, rest = README.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    results = [
        json.loads(path.read_text()) for name in names if (path := folder / f"{name}.json").exists()
    ]
    text = "\n\n".join([*_overview(results), *(_section(folder, one) for one in results)])
    README.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}")


def _overview(results: Sequence[dict[str, Any]]) -> list[str]:
    """All figures in one table, and where they come from."""
    if not results:
        return []
    rows = [row for one in results for table in one["shown"] for row in table["rows"]]
    newest = max(results, key=lambda one: one["when"])
    facts = [[name, value] for name, value in (newest["machine"] | newest["versions"]).items()]
    return [
        "### Figures and targets",
        _markdown(["What", "Median (range)", "Target", "Reached"], rows),
        "### Machine and versions",
        _markdown(["What", "Which"], facts),
    ]


def _section(folder: Path, result: dict[str, Any]) -> str:
    parts = [f"### {result['measurement'].capitalize()}", _circumstances(result)]
    for table in result["tables"]:
        parts += [f"{_sentence(table['title'])}:", _markdown(table["heads"], table["rows"])]
    parts += result["notes"]
    chart = folder / f"{result['measurement']}.svg"
    if chart.exists():
        parts.append(f"![{result['measurement']}]({chart.relative_to(README.parent)})")
    return "\n\n".join(parts)


def _circumstances(result: dict[str, Any]) -> str:
    """When, with what, and whether anybody else was at work."""
    load = result["load_per_core"]
    text = f"{result['when']}, Interlock at {result['versions']['Interlock']}."
    if is_loaded(load):
        text += f" **On a loaded machine** ({load:.1f} processes waited for each core before)."
    return text


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
