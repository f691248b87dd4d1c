"""The examples as files: run as their docstrings say, and named in the README."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import pytest
from tests.examples.cases import CASES, Case
from tests.examples.test_gates import GATES
from tests.support import commands
from tests.support.openai_wire import FunctionCall, OpenAIWire, Turn

FOLDER = commands.ROOT / "examples"
LINES_MAX = 80
_by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.example)


def test_every_file_has_its_case_and_every_case_its_file() -> None:
    files = {one.stem for one in FOLDER.glob("[!_]*.py")}
    assert files == {case.example for case in CASES} | set(GATES)


@_by_name
def test_a_file_says_how_to_run_it_and_is_short(case: Case) -> None:
    text = (FOLDER / f"{case.example}.py").read_text()
    doc = importlib.import_module(case.example).__doc__ or ""
    assert f"python examples/{case.example}.py" in doc
    assert "--model" in doc
    assert text.count("\n") <= LINES_MAX
    assert repr(case.input) in text or f'"{case.input}"' in text


@pytest.mark.slow
@_by_name
def test_a_file_runs_by_itself(case: Case, database_url: str) -> None:
    shown = commands.output(_command(case), commands.environment(database_url))
    expected = case.content.replace("to Ada", "to Ada Lovelace").replace("780.5", "780.0")
    assert expected.partition("]")[0] in shown
    if "CONFIRMATION" in {one.kind for one in case.pauses}:
        assert shown.count("Approve? [y/n] y") == len(case.pauses)


@pytest.mark.slow
def test_a_file_runs_with_a_database_of_its_own_and_leaves_nothing() -> None:
    # Not below pytest's own folder: as root, the database runs as a user who may not look in there.
    with tempfile.TemporaryDirectory(prefix="interlock-test-") as folder:
        Path(folder).chmod(0o755)
        env = {**commands.environment(""), "TMPDIR": folder}
        del env["INTERLOCK_DATABASE_URL"]
        shown = commands.output([sys.executable, "examples/agent_confirmation.py"], env)
        assert list(Path(folder).glob("interlock-example-*")) == []
    assert "It is 70 degrees and cloudy in Tokyo" in shown


@pytest.mark.slow
def test_a_file_uses_a_service_that_runs(database_url: str) -> None:
    env = commands.environment(database_url)
    with commands.serving("examples/team_in_step.py:app", env) as service:
        command = [sys.executable, "examples/team_in_step.py", "--target", service.target]
        shown = commands.output(command, commands.environment("not used"))
    assert "The account of ada is deleted." in shown


@pytest.mark.slow
def test_a_file_takes_a_real_model(database_url: str) -> None:
    turns: list[Turn] = [FunctionCall("get_the_weather", {"city": "Tokyo"}), "Cloudy, 70 degrees."]
    with OpenAIWire(turns, api_key="sk-test") as wire:
        env = commands.environment(
            database_url, OPENAI_BASE_URL=wire.base_url, OPENAI_API_KEY="sk-test"
        )
        command = ["examples/agent_confirmation.py", "--model", "openai-responses:gpt-5.4"]
        shown = commands.output([sys.executable, *command], env)
        assert wire.violations == []
    assert shown.endswith("Approve? [y/n] y\nCloudy, 70 degrees.\n")


@pytest.mark.slow
def test_a_model_without_a_key_is_said_in_the_end(database_url: str) -> None:
    command = ["examples/agent_confirmation.py", "--model", "openai-responses:gpt-5.4"]
    shown = commands.output([sys.executable, *command], commands.environment(database_url))
    assert shown.startswith("MODEL_FAILED: ")
    assert "OPENAI_API_KEY" in shown


def _command(case: Case) -> list[str]:
    return [sys.executable, f"examples/{case.example}.py"]
