"""Measures Interlock beside its peers, and beside what the machine allows."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import report
from benchmarks.children import ROOT
from benchmarks.machine import circumstances
from benchmarks.measurements import (
    crowd,
    cycles,
    gates,
    parallel,
    profiles,
    replicas,
    resume,
    startup,
    streams,
    watchers,
    workers,
)
from benchmarks.outcome import Outcome
from benchmarks.stacks import Stacks
from benchmarks.stage import Options, Stage, say, stage

MEASUREMENTS: Mapping[str, Callable[[Stage], Outcome]] = {
    "cycles": cycles.measure,
    "gates": gates.measure,
    "workers": workers.measure,
    "replicas": replicas.measure,
    "streams": streams.measure,
    "watchers": watchers.measure,
    "resume": resume.measure,
    "parallel": parallel.measure,
    "crowd": crowd.measure,
    "startup": startup.measure,
    "profiles": profiles.measure,
}
_RESULTS = Path(__file__).parent / "results"
_LOOKS = ROOT / ".cache/benchmarks"
"""Where results go that are only a look."""


def main() -> None:
    # Whoever ends the harness ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # The harness starts processes, and forks none.
    arguments = _arguments()
    options = Options(
        is_quick=arguments.quick,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        lanes=tuple(map(int, arguments.lanes)),
        against=tuple(arguments.against),
        profiles=arguments.profile,
    )
    folder = arguments.results or (_LOOKS if options.is_quick else _RESULTS)
    for name in arguments.only:
        _measure(name, options, folder)
    if folder == _RESULTS:
        report.renew_page(folder, MEASUREMENTS)
        say(f"{report.README.relative_to(ROOT)} has the results")


def _measure(name: str, options: Options, folder: Path) -> None:
    say(f"{name}: begins")
    with stage(options) as everything:
        where = circumstances(everything.postgres)
        with everything.scene():
            outcome = MEASUREMENTS[name](everything)
        for path in everything.stacks:
            report.show(name, Outcome(tables=Stacks(path).tables(path.name)))
    report.show(name, outcome)
    report.write(folder, name, outcome, where)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=_known,
        default=list(MEASUREMENTS),
        metavar="NAME,...",
        help=f"what to measure; default: all of {', '.join(MEASUREMENTS)}",
    )
    parser.add_argument("--quick", action="store_true", help="a look, which is no result")
    parser.add_argument(
        "--profile", action="store_true", help="say where Interlock's servers spend their time"
    )
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="where results go")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns for everybody")
    parser.add_argument("--seconds", type=float, metavar="S", help="the length of a turn")
    parser.add_argument(
        "--lanes", type=_split, default=[], metavar="N,...", help="how many cycles at once"
    )
    parser.add_argument(
        "--against", type=_split, default=[], metavar="NAME,...", help="whom to measure beside us"
    )
    return parser.parse_args()


def _split(text: str) -> list[str]:
    return text.split(",")


def _known(text: str) -> list[str]:
    names = _split(text)
    if unknown := set(names) - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(f"no such measurement: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
