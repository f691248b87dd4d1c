"""The examples about whole steps and closer looks: each runs by itself, and is in the README."""

from __future__ import annotations

import importlib
import sys

import pytest
from tests.support import commands

FOLDER = commands.ROOT / "examples"
LINES_MAX = 80
GATES = {
    "step_gate": "order 7: a voucher, and told\n",
    "step_input": "2 seats, first, to Oslo\n",
    "output_review": "Sun, and more of it!\n",
    "route_selection": "sources on interviews on tides\n",
    "loop_review": "a text on tides, polished, with dates\n",
    "several_levels": "{'letter': 'Dear all, we ship.', 'bill': 'an invoice'}\n",
    "external_worker": '[["Tokyo",780.0],["Oslo",120.0]]\n[[900.0]]\n',
    "error_decision": "200 euros are 234.00 dollars.\n",
    "agent_asks_user": '[{"question":"Which way do you travel?","selected":["Train"]}]\n'
    '[{"name":"city","value":"Rome"}]\n',
    "edited_arguments": "40 euros are on their way to Ann.\n"
    'A person changed the arguments to {"euros":90,"to":"Bob"}: The budget is used up.\n'
    "90 euros are on their way to Bob.\n",
}
"""What each prints in the end."""


@pytest.mark.parametrize("name", GATES)
def test_a_file_says_how_to_run_it_and_is_short(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    doc = importlib.import_module(name).__doc__ or ""
    assert f"python examples/{name}.py" in doc
    assert text.count("\n") <= LINES_MAX


@pytest.mark.slow
@pytest.mark.parametrize("name", GATES)
def test_a_file_runs_by_itself(name: str, database_url: str) -> None:
    command = [sys.executable, f"examples/{name}.py"]
    shown = commands.output(command, commands.environment(database_url))
    assert shown.endswith(GATES[name]), shown
