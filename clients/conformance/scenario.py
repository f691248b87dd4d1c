"""Scenarios as data: what `scenarios/*.toml` say."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).with_name("scenarios")
VERBS = ("do", "runner", "reply")
"""What a step does: one of them."""

CHECKS = ("expect", "error", "refused", "kinds", "kinds_among", "numbered_from", "length", "text")
"""What is expected of the answer."""

HOW = ("driver", "as", "later", "loose")
"""How the step is taken."""


class Malformed(Exception):
    """A scenario is not written as it must be; the text says where."""


@dataclass(frozen=True)
class Step:
    """One step of a scenario.

    Args:
        verb: `do` for an operation of a driver, `runner` for one of the runner, `reply` for
            waiting until a driver answers what an earlier step asked.
        what: which operation, or which earlier step.
        parameters: of the operation.
        checks: what is expected of the answer.
        driver: which driver; `main` when nothing is said.
        name: under which the answer is captured; empty means it is not.
        is_later: whether the answer is not waited for.
        is_loose: whether languages may differ in the answer.
    """

    verb: str
    what: str
    parameters: Mapping[str, Any]
    checks: Mapping[str, Any]
    driver: str
    name: str
    is_later: bool
    is_loose: bool

    def __str__(self) -> str:
        by = "" if self.driver == "main" else f" by {self.driver}"
        return f"{self.verb} {self.what}{by}"


@dataclass(frozen=True)
class Scenario:
    """A story that every client must live through in the same way.

    Args:
        name: topic and name, such as `streams/left_early`.
        says: what it shows, in a sentence.
        connect: parameters of the connection that drivers have at its start; None when the
            scenario connects by itself.
    """

    name: str
    says: str
    connect: Mapping[str, Any] | None
    steps: tuple[Step, ...]


def scenarios(folder: Path = _FOLDER) -> dict[str, Scenario]:
    """All scenarios, by name, in the order of the files and within them.

    Raises:
        Malformed: one cannot be read.
    """
    return {
        f"{file.stem}/{name}": _scenario(f"{file.stem}/{name}", written)
        for file in sorted(folder.glob("*.toml"))
        for name, written in tomllib.loads(file.read_text()).items()
    }


def _scenario(name: str, written: Mapping[str, Any]) -> Scenario:
    if not isinstance(written, dict):
        raise Malformed(f"{name}: a scenario is a table")
    unknown = written.keys() - {"says", "connect", "step"}
    if unknown or not written.get("says") or not written.get("step"):
        raise Malformed(f"{name}: a scenario has `says`, `step`, and perhaps `connect`")
    connect = written.get("connect", {})
    return Scenario(
        name=name,
        says=written["says"],
        connect=None if connect is False else {"target": "$server", **connect},
        steps=tuple(
            _step(f"{name}, step {number}", one) for number, one in enumerate(written["step"], 1)
        ),
    )


def _step(at: str, written: Mapping[str, Any]) -> Step:
    verbs = [verb for verb in VERBS if verb in written]
    if len(verbs) != 1:
        raise Malformed(f"{at}: a step has one of {', '.join(VERBS)}")
    known = {*VERBS, *CHECKS, *HOW}
    if verbs == ["runner"]:
        known.remove("driver")  # There it is what something is done to.
    if written.get("later") and not written.get("as"):
        raise Malformed(f"{at}: an answer that is waited for later needs a name, with `as`")
    return Step(
        verb=verbs[0],
        what=written[verbs[0]],
        parameters={key: value for key, value in written.items() if key not in known},
        checks={key: value for key, value in written.items() if key in CHECKS},
        driver=written.get("driver", "main"),
        name=written.get("as", ""),
        is_later=written.get("later", False),
        is_loose=written.get("loose", False),
    )
