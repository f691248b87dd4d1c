"""Runs at the command line: start, watch, list and cancel them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from tests.cli import desk
from tests.cli.conftest import Command

Paused = Callable[..., tuple[str, str]]


# Start.


def test_a_run_that_completes_shows_its_steps_and_its_result(interlock: Command) -> None:
    done = interlock("run", "Echo", "hello there")
    assert done.code == 0
    assert "of Echo version 1" in done.out
    assert "▸ echo" in done.out
    assert "│ hello there" in done.out
    assert done.out.count("hello there") == 1  # The result is the step's output: not said twice.
    assert "✓ completed" in done.out


def test_a_run_that_pauses_shows_what_waits_and_how_to_decide(interlock: Command) -> None:
    done = interlock("run", "Refund")
    assert done.code == 3
    assert "● refund waits for approval" in done.out
    assert "asks   Cashier (agent)" in done.out
    assert "order_id = 7" in done.out
    assert "amount = 18.5" in done.out
    assert "interlock approve " in done.out
    assert "interlock reject " in done.out


def test_a_run_that_fails(interlock: Command) -> None:
    done = interlock("run", "Broken")
    assert done.code == 1
    assert "✗ failed: " in done.out
    assert "no luck" in done.out


def test_without_a_stream_there_is_only_the_end(interlock: Command) -> None:
    done = interlock("run", "Echo", "hello", "--no-stream")
    assert (done.code, done.out, done.err) == (0, "hello\n", "")
    failed = interlock("run", "Broken", "--no-stream")
    assert (failed.code, failed.out) == (1, "")
    assert "error: the run failed: FUNCTION_FAILED" in failed.err
    waiting = interlock("run", "Refund", "--no-stream")
    assert waiting.code == 3
    assert waiting.out.startswith("● refund waits for approval")


def test_json_is_the_run(interlock: Command) -> None:
    done = interlock("run", "Echo", "hello", "--json")
    assert done.code == 0
    assert done.json["state"] == "RUN_STATE_COMPLETED"
    assert done.json["outputJson"] == '"hello"'
    assert interlock("run", "Broken", "--json").json["error"]["reason"] == "FUNCTION_FAILED"
    assert interlock("run", "Broken", "--json").code == 1


def test_a_stream_of_json_is_the_events(interlock: Command) -> None:
    done = interlock("run", "Refund", "--json", "--stream")
    assert done.code == 3
    kinds = [(set(line) - {"runId", "sequence", "eventTime", "step"}).pop() for line in done.lines]
    assert kinds[0] == "workflowStarted"
    assert kinds[-1] == "workflowPaused"


def test_a_run_that_nobody_waits_for(interlock: Command) -> None:
    started = interlock("run", "Hold", "--no-wait")
    assert started.code == 0
    run_id = started.out.strip()
    assert f"interlock watch {run_id}" in started.err
    assert interlock("run", "Hold", "--no-wait", "--json").json["runId"]
    desk.held.set()
    assert "│ let go" in interlock("watch", run_id).out


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (("plain text",), None, "plain text"),
        (("--input-json", '{"a": [1, 9007199254740993]}'), None, {"a": [1, 9007199254740993]}),
        (("--input-file", "-"), '{"from": "stdin"}', {"from": "stdin"}),
        ((), None, None),
    ],
)
def test_inputs(
    interlock: Command, arguments: tuple[str, ...], stdin: str | None, expected: object
) -> None:
    done = interlock("run", "Echo", *arguments, "--json", stdin=stdin)
    assert done.code == 0
    assert json.loads(done.json.get("inputJson", "null")) == expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("text", "--input-json", "1"), "give only one of INPUT, --input-json and --input-file"),
        (("--input-json", "{"), "--input-json is not JSON"),
        (("--input-json", "1e999"), "--input-json is not JSON"),
        (("--input-file", "/no/such/file"), "cannot read '/no/such/file'"),
        (("--label", "nonsense"), "'nonsense' is not of the form key=value"),
        (("--interactive",), "--interactive needs a terminal"),
        (("--interactive", "--no-wait"), "--interactive shows events"),
    ],
)
def test_inputs_that_cannot_be_read(
    interlock: Command, arguments: tuple[str, ...], complaint: str
) -> None:
    done = interlock("run", "Echo", *arguments)
    assert done.code == 2
    assert complaint in done.err


def test_session_labels_and_request_id_go_along(interlock: Command) -> None:
    request_id, session = str(uuid.uuid4()), str(uuid.uuid4())
    arguments = ("--session", session, "--label", "team=blue", "--request-id", request_id)
    first = interlock("run", "Echo", *arguments, "--json").json
    assert first["sessionId"] == session
    assert first["labels"] == {"team": "blue"}
    again = interlock("run", "Echo", *arguments, "--json").json
    assert again["runId"] == first["runId"]


# Watch.


def test_watching_an_ended_run_tells_its_story(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Refund")
    interlock("approve", requirement_id, "--note", "fine", "--follow")
    story = interlock("watch", run_id)
    assert story.code == 0
    assert "‖ paused, waits for one answer" in story.out
    assert "interlock approve" not in story.out  # That is over.
    assert "● approved: fine" in story.out
    assert "refund: " in story.out
    later = interlock("watch", run_id, "--after", "3", "--json")
    assert int(later.lines[0]["sequence"]) == 4


def test_watching_until_a_pause(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Refund")
    seen = interlock("watch", run_id[:13], "--until-pause")
    assert seen.code == 3
    assert f"interlock approve {requirement_id}" in seen.out


# List.


def test_runs_are_listed_and_filtered(interlock: Command, paused: Paused) -> None:
    session = str(uuid.uuid4())
    run_id, _ = paused("Refund", "--session", session, "--label", "team=red")
    interlock("run", "Echo", "--session", session)
    table = interlock("runs", "--session", session)
    assert table.code == 0
    assert [line.split()[:3] for line in table.out.splitlines()] == [
        ["RUN", "WORKFLOW", "STATE"],
        [table.out.splitlines()[1].split()[0], "Echo", "completed"],
        [run_id, "Refund", "paused"],
    ]
    assert "team=red" in table.out
    for filters in (
        ("--state", "paused"),
        ("--state", "PAUSED", "--state", "failed"),
        ("--workflow", "Refund"),
        ("--label", "team=red"),
    ):
        listed = interlock("runs", "--session", session, *filters, "--json").json
        assert [one["runId"] for one in listed["runs"]] == [run_id], filters
    assert interlock("runs", "--session", str(uuid.uuid4())).err == "no runs\n"
    limited = interlock("runs", "--session", session, "--limit", "1")
    assert len(limited.out.splitlines()) == 2
    assert "There are more" in limited.err


def test_one_run_in_detail(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Refund", "why not")
    shown = interlock("runs", run_id[:8])
    assert shown.out.startswith(f"{run_id} is paused")
    assert "│ why not" in shown.out
    assert f"interlock approve {requirement_id}" in shown.out
    interlock("reject", requirement_id, "--note", "too late", "--follow")
    ended = interlock("runs", run_id)
    assert "completed desk too late" in ended.out
    assert interlock("runs", run_id, "--json").json["runId"] == run_id


# Cancel.


def test_cancelling(interlock: Command, paused: Paused) -> None:
    run_id, _ = paused("Refund")
    cancelled = interlock("cancel", run_id[:8], "--reason", "changed my mind")
    assert (cancelled.code, cancelled.out) == (0, f"{run_id} is cancelled\n")
    assert interlock("cancel", run_id).out == f"{run_id} had ended before: cancelled\n"
    assert interlock("cancel", run_id, "--json").json["state"] == "RUN_STATE_CANCELLED"
    story = interlock("watch", run_id)
    assert story.code == 4
    assert "✗ cancelled: changed my mind" in story.out


# Workflows.


def test_workflows_are_listed(interlock: Command) -> None:
    listed = interlock("workflows")
    assert listed.code == 0
    assert ["Refund", "1", "desk", "Pays", "back."] in [
        line.split() for line in listed.out.splitlines()
    ]
    names = [one["workflowId"] for one in interlock("workflows", "--json").json["workflows"]]
    assert names == sorted(names)


def test_a_workflow_is_shown_as_a_tree(interlock: Command) -> None:
    shown = interlock("workflows", "Tree")
    assert shown.code == 0
    for line in (
        "├── group  steps",
        "│   └── inner  function",
        "├── check  condition",
        "│   ├── if true",
        "│   └── if false",
        "├── again  loop, at most 2 iterations until",
        "├── route  router",
        "├── both  parallel",
        "└── Nested  workflow Nested",
        "    └── deep  function",
    ):
        assert line in shown.out


def test_a_workflow_is_shown_with_its_tools_and_gates(interlock: Command) -> None:
    assert "tool refund waits for approval" in interlock("workflows", "Refund").out
    assert "tool run_query waits for a result from elsewhere" in interlock("workflows", "Query").out
    send = interlock("workflows", "Send").out
    assert "tool send_money waits for values: copies, kind, recipient, tags, urgent" in send
    committee = interlock("workflows", "Committee").out
    assert "team Board leads Clerk" in committee
    assert "agent Clerk" in committee
    shown = interlock("workflows", "Refund", "--json").json
    assert shown["workflow"]["workflowId"] == "Refund"
    assert [one["ref"]["executorId"] for one in shown["executors"]] == ["Cashier"]
