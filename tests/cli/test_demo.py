"""`interlock demo`: a pause, a decision and a result, and nothing is left behind."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import BINARY, Terminal, binary, environment

pytestmark = pytest.mark.slow

PAUSE = [
    "refund waits for approval",
    "SupportAgent (agent)",
    "order_id = 1042",
    "amount = 18.5",
    'reason = "The mug arrived broken."',
]


def assert_nothing_is_left(shown: str) -> None:
    found = re.search(r"PostgreSQL is in\s+(?:┆ )?(\S+)\.", shown)
    assert found, shown
    folder = Path(found.group(1))
    assert not folder.exists()
    assert subprocess.run(["pgrep", "-f", str(folder)], check=False).returncode == 1


def test_without_a_terminal_it_approves_by_itself() -> None:
    # A server and a database of the user's are none of its business.
    users = {"INTERLOCK_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "INTERLOCK_TARGET": "x"}
    done = binary("demo", INTERLOCK_ADDRESS="127.0.0.1:1", INTERLOCK_POOL_SIZE="no", **users)
    assert done.code == 0, done.err
    assert all(part in done.out for part in PAUSE)
    assert "There is no terminal to ask at: approved." in done.out
    assert "18.50 for order 1042 is on its way back" in done.out.split("Its result:")[1]
    assert done.err == ""
    assert_nothing_is_left(done.out)


@pytest.mark.parametrize(
    ("answer", "result"),
    [("y", "It is done: 18.50 for order 1042"), ("n", "I cannot refund this order. too late")],
)
def test_at_a_terminal_it_asks(answer: str, result: str) -> None:
    with Terminal("demo") as terminal:
        for part in PAUSE:
            terminal.wait_for(part)
        terminal.type_after("Approve?", f"{answer}\n")
        if answer == "n":
            terminal.type_after("Reason", "too late\n")
        code, shown = terminal.end()
    assert code == 0
    assert result in shown.split("Its result:")[1]
    assert_nothing_is_left(shown)


def test_nothing_is_left_when_it_is_ended_in_the_middle() -> None:
    with subprocess.Popen(
        [BINARY, "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        shown = ""
        for line in process.stdout:
            shown += line
            if "listens on" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate()
    assert process.returncode in (0, 128 + signal.SIGTERM)
    assert_nothing_is_left(shown + rest)
