"""Expectations and references: what is equal, what is not, and what a step refers to."""

from __future__ import annotations

from typing import Any

import pytest
from clients.conformance.transcript import Transcript
from clients.conformance.values import UnknownReference, differences, resolved

EQUAL: list[tuple[Any, Any]] = [
    ("9007199254740993", "9007199254740993"),
    ('{"a":1,"b":[2]}', ' { "b" : [ 2 ], "a" : 1 } '),
    ("780.0", "780"),
    ("1e-7", "0.0000001"),
    (r'"\u00e9"', '"é"'),
    ("*", "anything"),
    ("~^It is .* cloudy", "It is 70 degrees and cloudy"),
    ({"a": 1}, {"a": 1, "b": 2}),
    ([{}, {}], [{"a": 1}, {"b": 2}]),
]
DIFFERENT: list[tuple[Any, Any]] = [
    ("9007199254740993", "9007199254740992"),
    ("1000000000000000000000000000001", "1e30"),
    ("1", "1.0"),
    ("1", '"1"'),
    ("[1,2]", "[2,1]"),
    ('"é"', '"e\u0301"'),
    ("true", "1"),
    ("*", None),
    (1, True),
    (1, 1.0),
    (None, "null"),
    ({"a": 1}, {"b": 1}),
    ([{}], [{}, {}]),
    ('{"a":1}', '{"a":1,"b":2}'),
]


@pytest.mark.parametrize(("expected", "actual"), EQUAL)
def test_equal(expected: Any, actual: Any) -> None:
    assert differences(expected, actual) == []


@pytest.mark.parametrize(("expected", "actual"), DIFFERENT)
def test_different(expected: Any, actual: Any) -> None:
    assert differences(expected, actual) != []


def test_a_difference_says_where() -> None:
    [line] = differences({"runs": [{"state": "PAUSED"}]}, {"runs": [{"state": "FAILED"}]})
    assert line.split() == [".runs[0].state", "expected", '"PAUSED"', "was", '"FAILED"']


def test_references() -> None:
    requirement = {"tool_name": "pay", "step": "s", "path": ["s"], "requirement_id": "r-1"}
    gate = {"tool_name": "", "step": "g", "path": ["b", "g"], "requirement_id": "r-2"}
    run = {"run_id": "1", "step_requirements": [{"requirements": [requirement, gate]}]}
    captured = {"run": run, "unique": "u"}
    assert resolved("$run.run_id", captured) == "1"
    assert resolved("$run(pay)", captured) == "r-1"
    assert resolved("$run(g)", captured) == resolved("$run(b/g)", captured) == "r-2"
    assert resolved(["x${unique}/${run.run_id}"], captured) == ["xu/1"]
    assert resolved({"a": "$null"}, captured) == {"a": None}
    assert resolved("costs $5 and more", captured) == "costs $5 and more"
    for unknown in ("$walk.run_id", "$run(nothing)", "$run.step_requirements[3]"):
        with pytest.raises(UnknownReference):
            resolved(unknown, captured)


def transcript(*replies: Any) -> Transcript:
    written = Transcript()
    for reply in replies:
        written.note("do something", reply)
    return written


ONE, OTHER = "0b51f5f0-0000-4000-8000-000000000001", "0b51f5f0-0000-4000-8000-000000000002"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"run_id": ONE}, {"run_id": OTHER}),
        ({"args": '{"a": 780.0}'}, {"args": '{"a":780}'}),
        ({"kind": "99"}, {"kind": "UNKNOWN_99"}),
        ({"output": "null"}, {"output": None}),
        ({"refused": "it cannot"}, {"refused": "no!"}),
        (
            {"error": {"code": "UNAVAILABLE", "reason": "", "message": "a"}},
            {"error": {"code": "UNAVAILABLE", "reason": "", "message": "b"}},
        ),
        ([{"kind": "content_delta", "text": "a"}], []),
    ],
)
def test_transcripts_of_two_languages_that_are_alike(ours: Any, theirs: Any) -> None:
    assert transcript(ours).differences(transcript(theirs), ("ours", "theirs")) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([{"run_id": ONE}, {"run_id": ONE}], [{"run_id": ONE}, {"run_id": OTHER}]),
        ({"args": "9007199254740993"}, {"args": "9007199254740992"}),
        ({"args": "[null]"}, {"args": "[]"}),
        ({"args": '"1"'}, {"args": "1"}),
        ({"labels": {}}, {}),
        (
            {"error": {"code": "NOT_FOUND", "reason": "RUN_NOT_FOUND", "message": "a"}},
            {"error": {"code": "NOT_FOUND", "reason": "RUN_NOT_FOUND", "message": "b"}},
        ),
    ],
)
def test_transcripts_of_two_languages_that_differ(ours: Any, theirs: Any) -> None:
    assert transcript(ours).differences(transcript(theirs), ("ours", "theirs")) != []
