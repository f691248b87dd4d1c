"""Text of users and models: shown as what it is, never as commands to the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CUT_AT = 300
"""Characters after which text is cut, wherever nobody decides by it."""


def safe(text: str) -> str:
    """One line in which every character can be seen.

    Control characters could move the cursor and rewrite what was printed, and invisible ones
    reorder or hide what is next to them: they are shown as their escapes.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def safe_lines(text: str) -> list[str]:
    """The same with the lines of the text kept."""
    return [safe(line) for line in text.replace("\r\n", "\n").split("\n")]


def cut(text: str, at: int = CUT_AT) -> str:
    """Text that is not longer than is good for a glance; says how much is left out."""
    left_out = len(text) - at
    return text if left_out <= 0 else f"{text[:at]}… (+{left_out:,} characters)"


def as_json(value: Any) -> str:
    """A JSON value on one line, with nothing in it that a terminal obeys."""
    return safe(json.dumps(value, ensure_ascii=False))


def as_text(value: Any) -> str:
    """A JSON value for people: a text is itself, anything else is JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def as_call(name: str, args: Mapping[str, Any]) -> str:
    """A tool call on one line."""
    return f"{safe(name)}({', '.join(f'{safe(key)}={as_json(args[key])}' for key in args)})"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
