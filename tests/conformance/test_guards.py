"""The suite can fail: drivers with a flaw each are found out, and told what is wrong."""

from __future__ import annotations

import sys

import pytest
from clients.conformance import operations
from clients.conformance.languages import Language, languages
from clients.conformance.play import Played
from clients.conformance.report import Report, known_failures
from clients.conformance.scenario import scenarios
from clients.conformance.transcript import Transcript
from tests.conformance.broken import FLAWS
from tests.conformance.conftest import Troupe

FOUND_BY = [
    ("doubles", "values/large_integers", "9007199254740993"),
    ("doubles", "values/exact_calls", "1000000000000000000000000000001"),
    ("forgetful", "streams/connection_cut", "sequences"),
    ("stuttering", "streams/connection_cut", "sequences"),
    ("clinging", "streams/left_early", "seen"),
    ("clinging", "inbox/watch_left", "seen"),
    ("careless", "errors/wrong_verb", "the shell should have refused"),
    ("careless", "errors/decided_twice", "the shell should have refused"),
    ("impatient", "streams/server_restarted", "UNAVAILABLE"),
    ("impatient", "waiting/wait_through_cut", "UNAVAILABLE"),
    ("anonymous", "connections/token", "seen"),
    ("repeating", "waiting/wait_through_cut", ".runs"),
    ("vague", "errors/not_found", "metadata.run_id is missing"),
    ("mute", "confirmation/confirmed", "out of cheese"),
    ("babbling", "confirmation/confirmed", "does not keep to the protocol"),
]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is not waited for so long."""
    monkeypatch.setattr(operations, "WAIT_SECONDS", 3.0)


def flawed(flaw: str) -> Language:
    """A language whose driver has a flaw."""
    command = (sys.executable, "-m", "tests.conformance.broken", flaw)
    return Language(flaw, "clients/python", probe=(), build=(), driver=command, sample=())


@pytest.mark.parametrize(("flaw", "scenario", "word"), FOUND_BY)
def test_a_flaw_is_found(flaw: str, scenario: str, word: str, troupe: Troupe) -> None:
    language = flawed(flaw)
    played = troupe.play(scenarios()[scenario], language)[language.name]
    assert word in played.problem


def test_what_no_scenario_asks_for_is_found_by_comparing(troupe: Troupe) -> None:
    name = "confirmation/confirmed"
    report = Report(known_failures={}, skipped={})
    played = troupe.play(scenarios()[name], languages()["python"], flawed("different"))
    for language, how in played.items():
        report.note(language, name, how)
    assert report.problem("python", name) == ""
    assert '"workflow_id": "?"' in report.problem("different", name)


def test_every_flaw_is_found() -> None:
    assert {flaw for flaw, _, _ in FOUND_BY} | {"different"} == set(FLAWS)


# What is known to fail.


def test_a_known_failure_is_none_and_one_that_passes_is() -> None:
    known = {"go": {"a/b": "not yet", "a/c": "not yet"}}
    report = Report(known, skipped={})
    report.note("go", "a/b", Played(Transcript(), problem="it broke"))
    report.note("go", "a/c", Played(Transcript()))
    assert report.problem("go", "a/b") == ""
    assert "is a known failure (not yet), and passes" in report.problem("go", "a/c")


def test_known_failures_are_of_languages_and_scenarios_that_there_are() -> None:
    for language, failures in known_failures().items():
        assert language in languages()
        assert failures.keys() <= scenarios().keys()
