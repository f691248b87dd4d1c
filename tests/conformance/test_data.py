"""The scenarios are written well, and README.md says all that they may say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from clients.conformance.operations import Operations, operations
from clients.conformance.scenario import CHECKS, HOW, VERBS, Malformed, Scenario, scenarios

README = Path(__file__).parents[2] / "clients" / "conformance" / "README.md"
SCENARIOS = scenarios().values()


def rows(header: str) -> set[str]:
    """The names in the first column of a table."""
    _, _, rest = README.read_text().partition(f"| {header} |")
    assert rest, f"there is no table with {header}"
    cells = [line.split("|")[1] for line in rest.partition("\n\n")[0].splitlines()[2:]]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_the_operations_of_the_runner_are_those_of_the_document() -> None:
    assert rows("Operation of the runner") == set(operations())


def test_what_a_step_may_have_is_in_the_document() -> None:
    assert rows("In a step") == {*VERBS, *CHECKS, *HOW}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_a_scenario_is_written_well(scenario: Scenario) -> None:
    known, asked, captured = rows("Operation"), set[str](), set[str]()
    for step in scenario.steps:
        if step.verb == "do":
            assert step.what in known, step
        elif step.verb == "runner":
            operation = operations()[step.what]
            inspect.signature(operation).bind(Operations, **step.parameters)
        else:
            assert step.what in asked, step
        if step.is_later:
            asked.add(step.name)
        captured |= {step.name} - {""}
    used = set(
        re.findall(r"\$\{?(\w+)", str([(one.parameters, one.checks) for one in scenario.steps]))
    )
    assert captured - used - asked == set(), "nobody refers to these"
    assert used <= captured | {"null", "unique", "server", "front", "tls", "ca_file"}


@pytest.mark.parametrize(
    "written",
    [
        'says = "x"',
        '[[a.step]]\ndo = "run"',
        '[a]\nsays = "x"\nsay = "y"\n[[a.step]]\ndo = "run"',
        '[a]\nsays = "x"\n[[a.step]]\nworkflow = "Echo"',
        '[a]\nsays = "x"\n[[a.step]]\ndo = "run"\nrunner = "cut"',
        '[a]\nsays = "x"\n[[a.step]]\ndo = "run"\nlater = true',
    ],
)
def test_what_is_not_written_well_is_refused(written: str, tmp_path: Path) -> None:
    (tmp_path / "topic.toml").write_text(written)
    with pytest.raises(Malformed):
        scenarios(tmp_path)
