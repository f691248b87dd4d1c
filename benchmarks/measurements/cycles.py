"""Cycles per second: run, pause, confirm, end; against the floor and the peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from benchmarks.contest import CONTENDERS, INTERLOCK, Contender, Turn, start, take_turn
from benchmarks.outcome import Chart, Figure, Line, Outcome, Sample, Table
from benchmarks.stage import Stage, say

_TARGETS = {
    "floor": 0.7,
}
_TARGET_LANES = 16

Turns = dict[tuple[str, int], list[Turn]]


def measure(stage: Stage) -> Outcome:
    options = stage.options
    names = [INTERLOCK, *(options.against or [one for one in CONTENDERS if one != INTERLOCK])]
    lanes = options.lanes or (1, 16, 64)
    say(f"starting {', '.join(names)}")
    contenders = [start(stage, name) for name in names]
    turns = _play(stage, contenders, lanes)
    return _outcome(names, lanes, turns)


def _play(stage: Stage, contenders: Sequence[Contender], lanes: Sequence[int]) -> Turns:
    """Everybody in turn, again and again; who begins changes, so that nobody is always the last."""
    options = stage.options
    rounds = options.rounds or (3 if options.is_quick else 5)
    seconds = options.seconds or (2.0 if options.is_quick else 3.0)
    turns: Turns = {(one.name, count): [] for one in contenders for count in lanes}
    for number in range(rounds):
        for count in lanes:
            first = number % len(contenders)
            for contender in (*contenders[first:], *contenders[:first]):
                turn = take_turn(stage, contender, count, seconds)
                turns[contender.name, count].append(turn)
                say(
                    f"cycles: round {number + 1} of {rounds}, {count} at once, "
                    f"{contender.name}: {turn.rate:.0f}/s"
                )
    return turns


def _outcome(names: Sequence[str], lanes: Sequence[int], turns: Turns) -> Outcome:
    def sample(name: str, count: int, field: str) -> Sample:
        return Sample(tuple(getattr(turn, field) for turn in turns[name, count]))

    def ratio(name: str, count: int) -> Sample:
        return sample(INTERLOCK, count, "rate").over(sample(name, count, "rate"))

    figures = [
        Figure(
            f"cycles/s against {name}, {_TARGET_LANES} at once",
            ratio(name, _TARGET_LANES),
            "at least",
            _TARGETS[name],
        )
        for name in names
        if name in _TARGETS and _TARGET_LANES in lanes
    ]
    measured = [field.name for field in fields(Turn)]
    tables = [
        Table(
            f"{count} at once",
            ("", *_HEADS, "Interlock against it"),
            [
                [name, *(str(sample(name, count, field)) for field in measured)]
                + ["" if name == INTERLOCK else str(ratio(name, count))]
                for name in names
            ],
        )
        for count in lanes
    ]
    lines = [
        Line(name, [str(count) for count in lanes], [sample(name, n, "rate") for n in lanes])
        for name in names
    ]
    return Outcome(figures, tables, [Chart("Cycles", "at once", "cycles/s", lines)])


_HEADS = (
    "cycles/s",
    "server, ms of CPU",
    "client, ms of CPU",
    "database, ms of CPU",
    "p50, ms",
    "p99, ms",
)
