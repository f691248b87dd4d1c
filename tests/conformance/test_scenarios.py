"""Every scenario, in every language that this machine has: as expected, and alike.

`python -m clients.conformance` shows more of what happens.
"""

from __future__ import annotations

import os

import pytest
from clients.conformance.languages import languages
from clients.conformance.program import REQUIRE_ALL
from clients.conformance.report import Report, known_failures
from clients.conformance.scenario import scenarios
from tests.conformance.conftest import Troupe

# The first to come builds the drivers.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("language", languages())
def test_the_toolchain_is_here(language: str) -> None:
    missing = languages()[language].missing()
    if missing and os.environ.get(REQUIRE_ALL, "") in ("", "0"):
        pytest.skip(f"{language} is left out: {missing}")
    assert not missing


@pytest.mark.parametrize("scenario", scenarios())
def test_all_languages_live_through(
    scenario: str, troupe: Troupe, subtests: pytest.Subtests
) -> None:
    report = Report(known_failures(), {})
    played = troupe.play(scenarios()[scenario], *troupe.present)
    for language, how in played.items():
        report.note(language, scenario, how)
    for language in played:
        with subtests.test(language=language):
            problem = report.problem(language, scenario)
            assert not problem, f"{language} {problem}"
