"""What a command says when the service refuses, or is not there."""

from __future__ import annotations

import subprocess

import pytest
from tests.cli.conftest import BINARY, Command, binary, environment

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",),
        ("run", "Echo"),
        ("watch", "abcd"),
        ("pending",),
        ("approve", "abcd"),
        ("reject", "abcd"),
        ("answer", "abcd", "a=1"),
        ("complete", "abcd", "done"),
        ("cancel", "abcd"),
        ("workflows",),
        ("retry", "abcd"),
        ("fail", "abcd"),
    ],
)
def test_nobody_is_there(interlock: Command, arguments: tuple[str, ...]) -> None:
    done = interlock(*arguments, "--target", NOWHERE)
    assert done.code == 6
    assert done.err.startswith(f"error: cannot reach the service at {NOWHERE}: ")
    assert "interlock serve module:app" in done.err


def test_nobody_is_there_for_programs() -> None:
    done = binary("runs", "--target", NOWHERE, "--json")
    assert (done.code, done.out) == (6, "")
    assert done.error["code"] == "UNAVAILABLE"
    assert "cannot reach" in done.error["message"]


def test_an_unknown_workflow(interlock: Command) -> None:
    done = interlock("run", "Nope")
    assert done.code == 5
    assert done.err.startswith("error: WORKFLOW_NOT_FOUND: there is no workflow 'Nope'\n")
    assert "This service has: Broken, Collects, Committee, " in done.err
    assert interlock("workflows", "Nope").code == 5


def test_a_refusal_names_the_fields(interlock: Command) -> None:
    done = interlock("run", "Echo", "--session", "x" * 200)
    assert done.code == 5
    assert done.err == ("error: INVALID_FIELD\n  spec.session_id: is longer than 100 characters\n")
    error = interlock("run", "Echo", "--session", "x" * 200, "--json").error
    assert error["reason"] == "INVALID_FIELD"
    assert error["fieldViolations"] == [
        {"field": "spec.session_id", "description": "is longer than 100 characters"}
    ]


def test_a_position_past_the_end(interlock: Command) -> None:
    run_id = interlock("run", "Echo", "--json").json["runId"]
    done = interlock("watch", run_id, "--after", "999")
    assert done.code == 5
    assert done.err.startswith("error: SEQUENCE_OUT_OF_RANGE: ")


def test_commands_to_paste_name_a_target_that_is_not_understood(
    interlock: Command, target: str
) -> None:
    other = interlock("run", "Refund", "--target", target, INTERLOCK_TARGET="127.0.0.1:2")
    assert other.out.count(f" --target {target}\n") == 2
    assert " --target" not in interlock("run", "Refund").out


def test_a_reader_that_goes_away_is_no_failure(target: str) -> None:
    with subprocess.Popen(
        [BINARY, "runs", "--limit", "10"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(INTERLOCK_TARGET=target),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    assert error == b""
    assert process.returncode == 141
