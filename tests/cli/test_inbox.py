"""The inbox at the command line: see what waits, and decide."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.cli.conftest import Command, Outcome

from interlock import Client

Paused = Callable[..., tuple[str, str]]


def result_of(interlock: Command, run_id: str) -> Any:
    return json.loads(interlock("runs", run_id, "--json").json["outputJson"])


# See.


def test_the_inbox_tells_who_asks_for_what(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Refund")
    listed = interlock("pending", "--run", run_id)
    assert listed.code == 0
    header, row = listed.out.splitlines()
    names = ["REQ", "WORKFLOW", "STEP", "WHO", "ASKS", "TOOL", "ARGUMENTS", "NEEDS", "WAITS"]
    assert header.split() == names
    assert row.split()[:6] == [requirement_id, "Refund", "desk", "Cashier", "(agent)", "refund"]
    assert "order_id=7, amount=18.5" in row
    assert "approval" in row


def test_a_member_of_a_team_asks(interlock: Command, paused: Paused) -> None:
    run_id, _ = paused("Committee")
    assert "Board (team) > Clerk" in interlock("pending", "--run", run_id).out


def test_the_inbox_is_filtered(interlock: Command, paused: Paused) -> None:
    session = str(uuid.uuid4())
    _, refund = paused("Refund", "--session", session)
    _, query = paused("Query", "--session", session)

    def listed(*filters: str) -> list[str]:
        done = interlock("pending", "--session", session, *filters, "--json")
        return [one["requirementId"] for one in done.json.get("requirements", [])]

    assert listed() == [refund, query]
    assert listed("--workflow", "Query") == [query]
    assert listed("--kind", "confirmation") == [refund]
    assert listed("--tool", "run_query", "--tool", "other") == [query]
    assert listed("--limit", "1") == [refund]
    assert interlock("pending", "--session", str(uuid.uuid4())).err == "nothing waits\n"


def test_long_arguments_are_cut_in_the_table_and_nowhere_else(
    interlock: Command, paused: Paused
) -> None:
    run_id, requirement_id = paused("Hostile")
    table = interlock("pending", "--run", run_id)
    assert "line 39 of a letter" not in table.out
    assert "characters)" in table.out
    assert "In full: interlock pending REQ, or --full" in table.err
    for whole in (
        interlock("pending", requirement_id).out,
        interlock("pending", "--run", run_id, "--full").out,
    ):
        assert all(f"│ line {number} of a letter" in whole for number in range(40))
        assert f"interlock approve {requirement_id}" in whole


def test_a_call_that_a_worker_executes_says_so(
    interlock: Command, paused: Paused, target: str
) -> None:
    run_id, requirement_id = paused("Query")
    worker = f"ann-{uuid.uuid4()}"
    with Client(target) as client:
        held = ""
        while held != requirement_id:  # Other tests have left calls that are older.
            claimed = client.claim_requirement(["run_query"], worker_id=worker, wait_timeout=0)
            assert claimed is not None
            held = claimed.id
    table = interlock("pending", "--run", run_id, COLUMNS="200").out
    assert f"a result from {worker}" in table
    shown = interlock("pending", requirement_id).out
    assert f"waits for a result from {worker}" in shown
    assert f"held   by {worker}; over in " in shown
    refused = interlock("complete", requirement_id, "42", "--json")
    assert refused.code == 5
    assert refused.error["reason"] == "REQUIREMENT_CLAIMED"
    assert refused.error["metadata"]["worker_id"] == worker
    assert interlock("reject", requirement_id).code == 0


def test_one_that_waits_no_longer(interlock: Command, paused: Paused) -> None:
    _, requirement_id = paused("Refund")
    interlock("approve", requirement_id)
    shown = interlock("pending", requirement_id)
    assert "It waits no longer: resolved confirm" in shown.out
    assert "interlock approve" not in shown.out
    state = interlock("pending", requirement_id, "--json").json["state"]
    assert state == "REQUIREMENT_STATE_RESOLVED"


# Decide.


def test_approving(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Refund")
    done = interlock("approve", requirement_id)
    assert done.code == 0
    assert done.out.startswith(f"approved refund ({requirement_id})\nrun {run_id} is ")
    assert interlock("watch", run_id).code == 0
    assert result_of(interlock, run_id) == "refunded 18.5 for 7"


def test_approving_and_following(interlock: Command, paused: Paused) -> None:
    _, requirement_id = paused("Refund")
    done = interlock("approve", requirement_id[:6], "--note", "fine", "--follow")
    assert done.code == 0
    assert "● approved: fine" in done.out
    assert "refunded 18.5 for 7" in done.out
    assert "find" not in done.out
    assert "✓ completed" in done.out


def test_rejecting(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Refund")
    assert interlock("reject", requirement_id, "-n", "no money", "--follow").code == 0
    assert result_of(interlock, run_id) == "no money"


def test_a_decision_as_json(interlock: Command, paused: Paused) -> None:
    _, requirement_id = paused("Refund")
    done = interlock("approve", requirement_id, "--json", "--follow")
    decided, *events = done.lines
    assert decided["requirement"]["requirementId"] == requirement_id
    assert decided["requirement"]["resolution"]["confirm"] == {}
    assert decided["runState"] in ("RUN_STATE_RUNNING", "RUN_STATE_COMPLETED")
    assert "requirementResolved" in events[0]
    assert "workflowCompleted" in events[-1]


def test_a_run_that_waits_for_more(interlock: Command) -> None:
    done = interlock("run", "Twice", "--json")
    [step] = done.json["stepRequirements"]
    first, second = (one["requirementId"] for one in step["executorRequirements"])
    half = interlock("approve", first)
    assert half.code == 0
    assert "is paused, and waits for more" in half.out
    assert f"interlock approve {second}" in half.out
    followed = interlock("approve", first, "--follow")  # The same again is no mistake.
    assert followed.code == 3
    both = interlock("approve", first, second, "--follow")
    assert both.code == 0
    assert "refunded 1.0 for 1; refunded 2.0 for 2" in both.out


def test_following_is_for_one_run(interlock: Command, paused: Paused) -> None:
    ids = [paused("Refund")[1], paused("Refund")[1]]
    done = interlock("approve", *ids, "--follow")
    assert done.code == 2
    assert "--follow is for requirements of one run" in done.err
    assert interlock("approve", *ids).code == 0


def test_answering_with_typed_values(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Send")
    shown = interlock("pending", requirement_id).out
    assert "amount = 5.0" in shown
    assert "fill in recipient (str, required)" in shown
    assert 'fill in kind (str, optional)  one of "gift", "loan"' in shown
    values = ("recipient=Ann = Bob", "urgent=yes", "copies=2", 'tags=["a", "b"]', "kind=loan")
    assert interlock("answer", requirement_id, *values, "--follow").code == 0
    assert json.loads(result_of(interlock, run_id)) == {
        "amount": 5.0,
        "recipient": "Ann = Bob",
        "urgent": True,
        "copies": 2,
        "tags": ["a", "b"],
        "kind": "loan",
    }


def test_answering_with_json(interlock: Command, paused: Paused) -> None:
    run_id, requirement_id = paused("Send")
    values = '{"recipient": "Ann", "copies": 3}'
    done = interlock("answer", requirement_id, "copies=4", "--json-values", values, "--follow")
    assert done.code == 0
    given = json.loads(result_of(interlock, run_id))
    assert (given["recipient"], given["copies"]) == ("Ann", 4)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (["copies=many"], "copies: 'many' is not a whole number"),
        (["urgent=perhaps"], "urgent: 'perhaps' is not true or false"),
        (["kind=bribe"], """kind: 'bribe' is none of "gift", "loan\""""),
        (["amount=7"], "there is no field 'amount' to fill in; the fields are: recipient"),
        (["recipient"], "'recipient' is not of the form field=value"),
        (["--json-values", "["], "--json-values is not JSON"),
        (["--json-values", "[]"], "--json-values is not a JSON object"),
    ],
)
def test_values_that_do_not_fit(
    interlock: Command, paused: Paused, values: list[str], complaint: str
) -> None:
    _, requirement_id = paused("Send")
    done = interlock("answer", requirement_id, *values)
    assert done.code == 2
    assert complaint in done.err


def test_values_that_only_the_service_can_judge(interlock: Command, paused: Paused) -> None:
    _, requirement_id = paused("Send")
    done = interlock("answer", requirement_id, "copies=1")
    assert done.code == 5
    assert done.err.startswith("error: INVALID_FIELD\n")
    assert "resolution.user_input.values_json.recipient: " in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plain text",), "plain text"),
        (("--json-result", '[{"id": 9007199254740993}]'), '[{"id":9007199254740993}]'),
        (("--error", "no such table"), "no such table"),
    ],
)
def test_completing(
    interlock: Command, paused: Paused, arguments: tuple[str, ...], told: str
) -> None:
    run_id, requirement_id = paused("Query")
    assert interlock("complete", requirement_id, *arguments, "--follow").code == 0
    assert result_of(interlock, run_id) == told


@pytest.mark.parametrize("arguments", [(), ("a", "--error", "b"), ("--json-result", "nope")])
def test_completing_with_what_cannot_be_read(
    interlock: Command, paused: Paused, arguments: tuple[str, ...]
) -> None:
    _, requirement_id = paused("Query")
    assert interlock("complete", requirement_id, *arguments).code == 2


# Refused.


def test_somebody_was_quicker(interlock: Command, paused: Paused) -> None:
    _, requirement_id = paused("Refund")
    interlock("approve", requirement_id)
    late = interlock("reject", requirement_id)
    assert late.code == 5
    assert late.err.startswith("error: REQUIREMENT_ALREADY_RESOLVED: ")
    error = interlock("reject", requirement_id, "--json").error
    assert error["reason"] == "REQUIREMENT_ALREADY_RESOLVED"
    assert error["metadata"]["resolution"] == "confirm"


@pytest.mark.parametrize(
    ("workflow", "command", "hint"),
    [
        ("Send", ("approve",), "interlock answer {} FIELD=VALUE"),
        ("Query", ("approve",), "interlock complete {} RESULT"),
        ("Refund", ("complete", "done"), "interlock approve {}"),
        ("Refund", ("answer", "a=1"), "interlock reject {} --note TEXT"),
        ("Refund", ("retry",), "interlock approve {}"),
        ("Refund", ("fail",), "interlock approve {}"),
    ],
)
def test_an_answer_of_another_kind(
    interlock: Command, paused: Paused, workflow: str, command: tuple[str, ...], hint: str
) -> None:
    _, requirement_id = paused(workflow)
    verb, *rest = command
    done = interlock(verb, requirement_id, *rest)
    assert done.code == 5
    assert done.err.startswith("error: RESOLUTION_MISMATCH: ")
    assert hint.format(requirement_id) in done.err


# Ids.


def twins(interlock: Command, paused: Paused) -> tuple[str, list[str]]:
    """The beginning that two requirements have in common, of at least one character."""
    seen: dict[str, str] = {}
    while True:
        _, requirement_id = paused("Refund")
        twin = seen.setdefault(requirement_id[0], requirement_id)
        if twin != requirement_id:
            return requirement_id[0], [twin, requirement_id]


def test_a_beginning_that_fits_nothing(interlock: Command) -> None:
    done = interlock("approve", "0000nope")
    assert done.code == 5
    assert "REQUIREMENT_NOT_FOUND" in done.err
    assert interlock("watch", "0000nope").code == 5


def test_a_beginning_that_fits_several(
    interlock: Command, paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock_server.cli.ids._CHARACTERS_MIN", 1)
    beginning, ids = twins(interlock, paused)
    for done in (interlock("approve", beginning), interlock("pending", beginning)):
        assert done.code == 2
        assert f"requirements begin with {beginning!r}" in done.err
        assert all(one in done.err for one in ids)


def test_a_short_beginning_is_no_beginning(interlock: Command, paused: Paused) -> None:
    _, requirement_id = paused("Refund")
    assert interlock("approve", requirement_id[:3]).code == 5


def test_a_beginning_is_not_guessed_when_more_wait_than_are_looked_at(
    interlock: Command, paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, requirement_id = paused("Refund")
    paused("Refund")
    monkeypatch.setattr("interlock_server.cli.ids._PENDING_MAX", 1)
    done: Outcome = interlock("approve", requirement_id[:8])
    assert done.code == 2
    assert "give the whole id" in done.err
    assert interlock("approve", requirement_id).code == 0
