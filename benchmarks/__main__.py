"""The command of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import report
from benchmarks.measurements import cycles, gates, profiles, replicas, streams, watchers
from benchmarks.outcome import Outcome
from benchmarks.stage import Options, Stage, say, stage

MEASUREMENTS: Mapping[str, Callable[[Stage], Outcome]] = {
    "cycles": cycles.measure,
    "gates": gates.measure,
    "replicas": replicas.measure,
    "streams": streams.measure,
    "watchers": watchers.measure,
    "profiles": profiles.measure,
}
_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    arguments = _arguments()
    options = Options(
        arguments.quick,
        arguments.rounds,
        arguments.seconds,
        tuple(arguments.lanes),
        tuple(arguments.against),
    )
    with stage(options) as scene:
        for name in arguments.only:
            say(f"{name}: begins")
            with scene.scene():
                outcome = MEASUREMENTS[name](scene)
            report.show(name, outcome)
            report.write(arguments.results, name, outcome, {})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument(
        "--lanes", type=lambda text: [int(one) for one in text.split(",")], default=[]
    )
    parser.add_argument("--against", type=lambda text: text.split(","), default=[])
    parser.add_argument("--results", type=Path, default=_RESULTS)
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(f"no such measurement: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
