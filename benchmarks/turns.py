"""Turns: several who do cycles, one after the other, again and again; and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from benchmarks.contest import Contender, Turn, take_turn
from benchmarks.outcome import Chart, Line, Sample, Table
from benchmarks.stage import Stage, say

_HEADS = (
    "cycles/s",
    "server",
    "client",
    "database",
    "all CPU",
    "p50",
    "p99",
)


@dataclass(frozen=True)
class Turns:
    """What everybody did, in the order of the rounds, by name and by how many at once."""

    names: Sequence[str]
    lanes: Sequence[int]
    done: dict[tuple[str, int], list[Turn]]

    def sample(self, name: str, lanes: int, field: str = "rate") -> Sample:
        """One of the things that are known of each turn."""
        return Sample(tuple(getattr(turn, field) for turn in self.done[name, lanes]))

    def ratio(self, one: str, other: str, lanes: int) -> Sample:
        """How many cycles one did for each of another, round by round."""
        return self.sample(one, lanes).over(self.sample(other, lanes))

    def table(self, one: str, lanes: int) -> Table:
        """All that is known of the turns with so many at once, and how one does against each."""
        measured = [field.name for field in fields(Turn)]
        rows = []
        for name in self.names:
            ratio = "" if name == one else str(self.ratio(one, name, lanes))
            rows.append([name, *(str(self.sample(name, lanes, each)) for each in measured), ratio])
        title = f"{lanes} at once; CPU and times in ms per cycle"
        return Table(title, ("", *_HEADS, f"{one} : it"), rows)

    def chart(self, title: str) -> Chart:
        """Cycles per second by how many at once."""
        xs = [str(count) for count in self.lanes]
        lines = [Line(name, xs, [self.sample(name, n) for n in self.lanes]) for name in self.names]
        return Chart(title, "at once", "cycles/s", lines)


def play(stage: Stage, contenders: Sequence[Contender], lanes: Sequence[int]) -> Turns:
    """Gives everybody turns; who begins changes, so that nobody is always the last."""
    options = stage.options
    rounds = options.rounds or (3 if options.is_quick else 5)
    seconds = options.seconds or (1.5 if options.is_quick else 2.5)
    names = [one.name for one in contenders]
    turns = Turns(names, lanes, {(name, count): [] for name in names for count in lanes})
    for number in range(rounds):
        first = number % len(contenders)
        for count in lanes:
            for contender in (*contenders[first:], *contenders[:first]):
                turn = take_turn(stage, contender, count, seconds)
                turns.done[contender.name, count].append(turn)
                progress = f"round {number + 1} of {rounds}, {count} at once"
                say(f"  {progress}, {contender.name}: {turn.rate:.0f}/s, {turn.cpu:.1f} ms")
    return turns
