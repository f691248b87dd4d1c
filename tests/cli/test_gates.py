"""Whole steps at the command line: each kind is shown, and each has its command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cli.conftest import Command, Terminal

from interlock_server.cli.exits import Exit

Paused = Callable[..., tuple[str, str]]


def waiting(interlock: Command, run_id: str) -> Any:
    """The one thing that a run waits for."""
    [one] = interlock("pending", "--run", run_id, "--json").json["requirements"]
    return one


def test_every_kind_is_shown_and_answered(interlock: Command, paused: Paused) -> None:
    run_id, _ = paused("Gates", "start")
    for kind, shown, *command in [
        ("STEP_CONFIRMATION", 'given = "start"', "approve", "--note", "fine"),
        ("STEP_INPUT", 'one of "kind", "brief"', "answer", "tone=kind", "copies=2"),
        ("OUTPUT_REVIEW", 'gave = "start"', "retry", "--feedback", "shorter"),
        ("OUTPUT_REVIEW", "back 1 of 3 times", "edit", "--json-output", '{"better": true}'),
        ("ROUTE_SELECTION", "left, right", "select", "right", "left"),
        ("ITERATION_REVIEW", "iteration 1 of 3", "approve"),
        ("ERROR_DECISION", "no luck", "skip"),
        (
            "USER_FEEDBACK",
            "answer q2 (one or more of Left, Right, then on)",
            "answer",
            "q1=Right, then on",
            "q2=Left",
        ),
    ]:
        one = waiting(interlock, run_id)
        assert one["kind"] == f"REQUIREMENT_KIND_{kind}"
        known = one["requirementId"]
        told = interlock("pending", known)
        assert shown in told.out, told.out
        assert f"interlock {command[0]} {known}" in told.out
        listed = interlock("pending", "--run", run_id, "--kind", kind.lower())
        assert known in listed.out
        done = interlock(command[0], known, *command[1:], "--follow")
        assert done.code in (Exit.OK, Exit.RUN_PAUSED), done.err
    run = interlock("runs", run_id, "--json").json
    assert run["state"] == "RUN_STATE_COMPLETED"
    assert "Right, then on" in json.loads(run["outputJson"])


def test_a_rejection_says_what_it_does(interlock: Command, paused: Paused) -> None:
    run_id, known = paused("Gates")
    assert "skip, or cancel" in interlock("pending", known).out
    wrong = interlock("reject", known, "--on-reject", "retry")
    assert "the choices here are: SKIP, CANCEL" in wrong.err
    rejected = interlock("reject", known, "--on-reject", "cancel", "--note", "stop", "--follow")
    assert rejected.code == Exit.RUN_CANCELLED, rejected.err
    assert interlock("runs", run_id, "--json").json["state"] == "RUN_STATE_CANCELLED"
    told = interlock("watch", run_id).out
    assert "gated waits for approval of the step" in told
    assert "gated: cancel: stop" in told


def test_a_person_at_the_terminal_decides_about_everything(target: str) -> None:
    with Terminal("run", "Gates", "start", "--target", target, columns=200) as terminal:
        terminal.type_after("Approve?", "y\n")
        terminal.type_after("Fill in?", "y\n")
        terminal.type_after("tone (str)", "brief\n")
        terminal.type_after("copies (int)", "\n")
        terminal.type_after("Is it good?", "e\n")
        terminal.type_after("Result, as JSON or as text", "mine\n")
        terminal.type_after("Choose?", "y\n")
        terminal.type_after("Routes, separated by commas", "right, left\n")
        terminal.type_after("Is it good?", "y\n")
        terminal.type_after("It failed. What now?", "r\n")
        terminal.type_after("Result, as JSON or as text", "supplied\n")
        terminal.type_after("Answer?", "y\n")
        terminal.type_after("Which way?", "2\n")
        terminal.type_after("With whom?", "1,2\n")
        code, shown = terminal.end()
    assert code == 0, shown
    assert "Right, then on" in shown
