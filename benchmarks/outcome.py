"""What a measurement found: figures beside their targets, tables, and charts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Sample:
    """A figure that was measured several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def over(self, other: Sample) -> Sample:
        """The ratio of two that were measured in turn, pair by pair."""
        pairs = zip(self.values, other.values, strict=True)
        return Sample(tuple(one / two for one, two in pairs))

    def __str__(self) -> str:
        if len(self.values) == 1:
            return short(self.median)
        return f"{short(self.median)} ({short(min(self.values))} to {short(max(self.values))})"


@dataclass(frozen=True)
class Figure:
    """A figure that there is a target for.

    Args:
        what: it says.
        value: what was measured.
        target: what the project wants to reach, at least or at most.
        unit: of both; empty for ratios.
    """

    what: str
    value: Sample
    bound: Literal["at least", "at most"]
    target: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        if self.bound == "at least":
            return self.value.median >= self.target
        return self.value.median <= self.target


@dataclass(frozen=True)
class Table:
    """Rows of texts below a heading each."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Line:
    """One line, or the bars of one colour, of a chart."""

    name: str
    xs: Sequence[float | str]
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Chart:
    """A picture of what was measured.

    Args:
        is_log: both axes are logarithmic; else bars stand side by side.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    is_log: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a measurement found."""

    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = field(default_factory=list)


def short(value: float) -> str:
    """A number with three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 1 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}" if abs(value) >= 0.1 else f"{value:.2g}"
