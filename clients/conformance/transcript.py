"""What a driver answered in a scenario, so written that two languages can be compared.

Identifiers are numbered in the order in which they appear, JSON text is parsed, and what may
differ from language to language is left out: the words of errors that no server wrote.
"""

from __future__ import annotations

import difflib
import json
import re
from decimal import Decimal
from typing import Any

from clients.conformance.values import exact

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UNKNOWN = re.compile(r"UNKNOWN_(\d+)")
_JSON = {"args", "output", "content", "value", "allowed"}
"""Fields that hold JSON text."""


class Transcript:
    """The replies of one scenario, in order."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._lines: list[str] = []

    def note(self, what: str, reply: Any) -> None:
        """Writes a reply down, under the operation that it answers."""
        self._lines.append(f"{what}:")
        text = json.dumps(self._plain(reply), ensure_ascii=False, indent=1, sort_keys=True)
        self._lines += text.splitlines()

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def differences(self, other: Transcript, names: tuple[str, str]) -> list[str]:
        """How another transcript differs from this one, as lines of a diff; none when it is equal.

        Args:
            names: what to call this one and the other one.
        """
        if self._lines == other._lines:
            return []
        return list(difflib.unified_diff(self._lines, other._lines, *names, lineterm="", n=6))

    def _plain(self, value: Any, key: str = "") -> Any:
        match value:
            case {"refused": str()}:
                return {"refused": "…"}
            case {"code": str(), "reason": "", "message": str()}:
                return {**value, "message": "…"}
            case dict():
                return {one: self._plain(value[one], one) for one in sorted(value)}
            case list():
                return [self._plain(one, key) for one in value if not _is_live_text(one)]
            case str():
                return self._text(value, key)
        return value

    def _text(self, text: str, key: str) -> Any:
        if key in _JSON:
            return self._plain(_number_free(exact(text)))
        text = _ID.sub(
            lambda found: self._ids.setdefault(found[0], f"<{len(self._ids) + 1}>"), text
        )
        return _UNKNOWN.sub(r"\1", _TIME.sub("<time>", text))


def _is_live_text(value: Any) -> bool:
    """Whether it is something that may be cut otherwise another time, or not come at all."""
    return isinstance(value, dict) and value.get("kind") == "content_delta"


def _number_free(value: Any) -> Any:
    """A JSON value in which numbers are what they are worth, as text."""
    match value:
        case dict():
            return {key: _number_free(one) for key, one in value.items()}
        case list():
            return [_number_free(one) for one in value]
        case bool():
            return value
        case int() | Decimal():
            is_whole = value == int(value)
            return f"<{int(value) if is_whole else Decimal(value).normalize()}>"
    return value
