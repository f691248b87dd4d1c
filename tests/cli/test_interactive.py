"""A person at a terminal who is asked on the spot."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Command, Terminal, until


def newest(interlock: Command, workflow: str) -> Any:
    listed = interlock("runs", "--workflow", workflow, "--limit", "1", "--json").json["runs"]
    return interlock("runs", listed[0]["runId"], "--json").json


def test_yes_and_later(interlock: Command, target: str) -> None:
    with Terminal("run", "Twice", INTERLOCK_TARGET=target) as terminal:
        terminal.type_after("order_id = 1", "what\ny\n")  # The first is no answer.
        terminal.type_after("order_id = 2", "l\n")
        code, shown = terminal.end()
    assert code == 3
    assert shown.count("Approve?") == 3
    assert shown.count("interlock approve ") == 1
    run = newest(interlock, "Twice")
    assert run["state"] == "RUN_STATE_PAUSED"
    states = [one["state"] for one in run["stepRequirements"][0]["executorRequirements"]]
    assert states == ["REQUIREMENT_STATE_PENDING"]


def test_no(interlock: Command, target: str) -> None:
    with Terminal("run", "Refund", INTERLOCK_TARGET=target) as terminal:
        terminal.type_after("Approve?", "n\n")
        terminal.type_after("Reason", "not today\n")
        code, _ = terminal.end()
    assert code == 0
    assert newest(interlock, "Refund")["outputJson"] == '"not today"'


def test_values_are_asked_for_by_field(interlock: Command, target: str) -> None:
    with Terminal("run", "Send", INTERLOCK_TARGET=target) as terminal:
        terminal.type_after("Fill in?", "y\n")
        terminal.type_after("recipient (str)", "Ann\n")
        terminal.type_after("urgent (bool)", "\n")
        terminal.type_after("copies (int)", "many\n")
        terminal.type_after("'many' is not a whole number", "2\n")
        terminal.type_after("tags", "\n")
        terminal.type_after("kind (str)", "loan\n")
        code, _ = terminal.end()
    assert code == 0
    given = json.loads(json.loads(newest(interlock, "Send")["outputJson"]))
    assert (given["recipient"], given["copies"], given["kind"]) == ("Ann", 2, "loan")


def test_a_result_from_elsewhere(interlock: Command, target: str) -> None:
    with Terminal("run", "Query", INTERLOCK_TARGET=target) as terminal:
        terminal.type_after("How did it end?", "r\n")
        terminal.type_after("Result", '{"rows": 3}\n')
        code, _ = terminal.end()
    assert code == 0
    assert newest(interlock, "Query")["outputJson"] == json.dumps('{"rows":3}')


def test_leaving_does_not_end_the_run(interlock: Command, target: str) -> None:
    with Terminal("run", "Refund", INTERLOCK_TARGET=target) as terminal:
        terminal.interrupt_after("Approve?")
        code, shown = terminal.end()
    assert code == 130
    run = newest(interlock, "Refund")
    assert f"interlock watch {run['runId']}" in shown
    assert f"interlock cancel {run['runId']}" in shown
    assert run["state"] == "RUN_STATE_PAUSED"


def test_somebody_else_decides_meanwhile(interlock: Command, target: str) -> None:
    with Terminal("run", "Refund", INTERLOCK_TARGET=target) as terminal:
        terminal.wait_for("order_id = 7")
        run = newest(interlock, "Refund")
        [waiting] = run["stepRequirements"][0]["executorRequirements"]
        interlock("reject", waiting["requirementId"], "--note", "I was quicker", "--follow")
        terminal.type_after("Approve?", "y\n")
        code, shown = terminal.end()
    assert code == 0
    assert "REQUIREMENT_ALREADY_RESOLVED" in shown
    assert "rejected: I was quicker" in shown


def test_watching_live(interlock: Command, target: str) -> None:
    run_id = interlock("run", "Refund", "--json").json["runId"]
    with Terminal("watch", run_id, INTERLOCK_TARGET=target) as terminal:
        terminal.wait_for("interlock approve")
        [waiting] = interlock("pending", "--run", run_id, "--json").json["requirements"]
        interlock("approve", waiting["requirementId"])
        code, shown = terminal.end()
    assert code == 0
    assert "refunded 18.5 for 7" in shown
    until(lambda: newest(interlock, "Refund")["state"] == "RUN_STATE_COMPLETED")


def test_tables_at_a_terminal_show_short_ids(interlock: Command, target: str) -> None:
    run_id = interlock("run", "Refund", "--json").json["runId"]
    with Terminal("runs", "--limit", "1", INTERLOCK_TARGET=target) as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert run_id[:8] in shown
    assert run_id not in shown
