"""The matrix that the clients' README keeps is what the suite says.

The suite passes only where every scenario goes as `known_failures.toml` says; so that list, and the
names of the scenarios and languages, are all that the matrix can say.
"""

from __future__ import annotations

from clients.conformance.languages import languages
from clients.conformance.report import known_failures, matrix, matrix_kept
from clients.conformance.scenario import scenarios


def test_the_matrix_is_what_the_suite_says() -> None:
    known = known_failures()
    expected = matrix(
        scenarios(), list(languages()), lambda language, name: name not in known.get(language, {})
    )
    assert matrix_kept() == expected, "run: make conformance-matrix"
