"""What came of the scenarios: the matrix, how long it took, and whether that is good."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.conformance.drivers import ROOT
from clients.conformance.play import Played

MATRIX_FILE = ROOT / "clients" / "README.md"
"""The document that keeps the matrix."""

_BEGIN, _END = "<!-- matrix -->", "<!-- end of the matrix -->"
_KNOWN_FAILURES = Path(__file__).with_name("known_failures.toml")
_REFERENCE = "python"


@dataclass
class Report:
    """How all scenarios went with all languages that took part.

    Args:
        known_failures: reasons, by language and scenario.
        skipped: languages that did not take part, with the reason.
    """

    known_failures: Mapping[str, Mapping[str, str]]
    skipped: Mapping[str, str]
    played: dict[str, dict[str, Played]] = field(default_factory=dict)

    def note(self, language: str, scenario: str, played: Played) -> None:
        """Takes in how one scenario went with one language."""
        self.played.setdefault(scenario, {})[language] = played

    @property
    def languages(self) -> list[str]:
        """The languages that took part."""
        return list(dict.fromkeys(one for played in self.played.values() for one in played))

    def problem(self, language: str, scenario: str) -> str:
        """What is wrong with a scenario in a language; empty when all is as it should be.

        A failure that is known is no problem; that one went well after all is.
        """
        problem = self.failure(language, scenario)
        reason = self.known_failures.get(language, {}).get(scenario)
        if reason is None:
            return problem
        return "" if problem else f"is a known failure ({reason}), and passes: take it off the list"

    def failure(self, language: str, scenario: str) -> str:
        """How a scenario failed in a language, or differs from the others; empty for neither."""
        played = self.played[scenario][language]
        if played.problem:
            return played.problem
        others = self.played[scenario]
        reference = _REFERENCE if _REFERENCE in others else next(iter(others))
        if others[reference].problem or reference == language:
            return ""
        lines = others[reference].transcript.differences(played.transcript, (reference, language))
        return "answers differently:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""

    def seconds(self, language: str) -> float:
        """How long all scenarios of a language took."""
        return sum(
            played[language].seconds for played in self.played.values() if language in played
        )

    def matrix(self) -> str:
        """A table of scenarios and languages, in Markdown."""
        return matrix(
            self.played,
            self.languages,
            lambda language, scenario: not self.failure(language, scenario),
        )


def matrix(
    names: Iterable[str], languages: Sequence[str], passes: Callable[[str, str], bool]
) -> str:
    """A table of scenarios and languages, in Markdown.

    Args:
        names: of the scenarios.
        passes: whether a scenario goes well with a language.
    """
    rows = [["Scenario", *languages], ["---", *([":-:"] * len(languages))]]
    for name in names:
        marks = ["✓" if passes(language, name) else "✗" for language in languages]
        rows.append([f"`{name}`", *marks])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def matrix_kept(file: Path = MATRIX_FILE) -> str:
    """The matrix that a document has."""
    return file.read_text().partition(_BEGIN)[2].partition(_END)[0].strip()


def keep_matrix(table: str, file: Path = MATRIX_FILE) -> None:
    """Puts a matrix into a document, in the place of the one that it has."""
    before, _, rest = file.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    file.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}")


def known_failures(file: Path = _KNOWN_FAILURES) -> dict[str, dict[str, str]]:
    """The failures that are known: a reason for each, by language and scenario."""
    return tomllib.loads(file.read_text())
