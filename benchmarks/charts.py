"""Charts: a picture for each result, drawn in the environment that has what draws.

python -m benchmarks.charts RESULT.json ...
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure

_COLOURS = ("#1b6ca8", "#9aa5b1", "#e07a3f", "#b0432e", "#5a9a5a", "#2d6a4f")
_WIDTH = 0.8


def draw(path: Path) -> None:
    """Draws the charts of a result beside it."""
    charts = json.loads(path.read_text())["charts"]
    if not charts:
        return
    figure = Figure(figsize=(8, 4 * len(charts)))
    axes = figure.subplots(len(charts), squeeze=False)
    for chart, [axis] in zip(charts, axes, strict=True):
        _draw_lines(axis, chart) if chart["is_log"] else _draw_bars(axis, chart)
        axis.set(title=chart["title"], xlabel=chart["x"], ylabel=chart["y"])
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize="small")
    figure.tight_layout()
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _draw_bars(axis: Any, chart: dict[str, Any]) -> None:
    lines = chart["lines"]
    names = [str(x) for x in lines[0]["xs"]]
    width = _WIDTH / len(lines)
    for number, (line, colour) in enumerate(zip(lines, _COLOURS, strict=False)):
        at = [place - _WIDTH / 2 + (number + 0.5) * width for place in range(len(names))]
        heights, errors = _medians(line)
        axis.bar(at, heights, width, yerr=errors, label=line["name"], color=colour)
    axis.set_xticks(range(len(names)), names)


def _draw_lines(axis: Any, chart: dict[str, Any]) -> None:
    for line, colour in zip(chart["lines"], _COLOURS, strict=False):
        heights, errors = _medians(line)
        look = {"label": line["name"], "color": colour, "marker": "o", "capsize": 3}
        axis.errorbar(line["xs"], heights, yerr=errors, **look)
    axis.set(xscale="log", yscale="log")


def _medians(line: dict[str, Any]) -> tuple[list[float], list[list[float]]]:
    """The medians of a line, and how far what was measured reaches below and above them."""
    samples = [one["values"] for one in line["samples"]]
    medians = [statistics.median(one) for one in samples]
    below = [median - min(one) for median, one in zip(medians, samples, strict=True)]
    above = [max(one) - median for median, one in zip(medians, samples, strict=True)]
    return medians, [below, above]


if __name__ == "__main__":
    rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "interlock", "font.size": 9})
    for result in sys.argv[1:]:
        draw(Path(result))
