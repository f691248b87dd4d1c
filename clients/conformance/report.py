"""What came of the scenarios: the matrix, how long it took, and whether that is good."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.conformance.play import Played

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
        languages = self.languages
        rows = [
            [f"`{scenario}`", *(self._cell(language, scenario) for language in languages)]
            for scenario in self.played
        ]
        return table(["Scenario", *languages], rows)

    def _cell(self, language: str, scenario: str) -> str:
        if language not in self.played[scenario]:
            return ""
        if scenario in self.known_failures.get(language, {}):
            return "known failure"
        return "no" if self.failure(language, scenario) else "yes"


def known_failures(file: Path = _KNOWN_FAILURES) -> dict[str, dict[str, str]]:
    """The failures that are known: a reason for each, by language and scenario."""
    return tomllib.loads(file.read_text())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
