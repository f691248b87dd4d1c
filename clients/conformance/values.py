"""Values of scenarios: references to what was captured, and comparison without loss.

JSON text is compared as JSON in which an integer stays an integer, of any size: a shell that
sends a large integer through a double is found out. A number with a fraction is compared by its
value, however it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_REFERENCE = re.compile(r"\$(\w+)((?:\.\w+|\[-?\d+\]|\([^)]*\))*)")
_BRACED = re.compile(r"\$\{(\w+)((?:\.\w+|\[-?\d+\]|\([^)]*\))*)\}")
_PART = re.compile(r"\.(?P<key>\w+)|\[(?P<index>-?\d+)\]|\((?P<about>[^)]*)\)")

ANYTHING = "*"
"""In an expectation: any value but null."""

PATTERN = "~"
"""In an expectation: begins a regular expression, which a text must match somewhere."""


class UnknownReference(Exception):
    """A scenario refers to something that it did not capture."""


def resolved(value: Any, captured: Mapping[str, Any]) -> Any:
    """A value with its references replaced, at any depth.

    A text that is one reference becomes what was captured, of whatever type; inside of a longer
    text, `${…}` is replaced. `$run(get_the_weather)` is the id of the requirement of a run that is
    about this tool or, if it is about none, this step.
    """
    match value:
        case str():
            if whole := _REFERENCE.fullmatch(value):
                return _looked_up(whole, captured)
            return _BRACED.sub(lambda found: str(_looked_up(found, captured)), value)
        case dict():
            return {key: resolved(one, captured) for key, one in value.items()}
        case list():
            return [resolved(one, captured) for one in value]
    return value


def _looked_up(reference: re.Match[str], captured: Mapping[str, Any]) -> Any:
    name, path = reference.groups()
    if name == "null":
        return None
    if name not in captured:
        raise UnknownReference(f"{reference[0]}: nothing was captured as {name!r}")
    value = captured[name]
    for part in _PART.finditer(path):
        try:
            value = _part_of(value, part)
        except (LookupError, TypeError) as problem:
            raise UnknownReference(f"{reference[0]}: no {part[0]} in {short(value)}") from problem
    return value


def _part_of(value: Any, part: re.Match[str]) -> Any:
    if part["key"] is not None:
        return value[part["key"]]
    if part["index"] is not None:
        return value[int(part["index"])]
    for one in requirements_in(value):
        if part["about"] in (one["tool_name"] or one["step"], "/".join(one["path"])):
            return one["requirement_id"]
    raise KeyError(part["about"])


def requirements_in(view: Mapping[str, Any]) -> list[Any]:
    """The requirements in the view of a run, or in a list of them."""
    if "step_requirements" in view:
        return [one for step in view["step_requirements"] for one in step["requirements"]]
    return [one for one in view.get("requirements", view.get("items", ())) if "tool_name" in one]


def differences(expected: Any, actual: Any, at: str = "") -> list[str]:
    """How a value differs from what is expected of it, a line for each difference.

    A table must have the keys that are expected, and may have more; a list must have exactly the
    items that are expected.
    """
    match expected:
        case dict():
            if not isinstance(actual, dict):
                return [_differs(at, expected, actual)]
            return [
                line
                for key, one in expected.items()
                for line in (
                    differences(one, actual[key], f"{at}.{key}")
                    if key in actual
                    else [f"{at}.{key} is missing: {short(actual)}"]
                )
            ]
        case list():
            if not isinstance(actual, list) or len(actual) != len(expected):
                return [_differs(at, expected, actual)]
            pairs = enumerate(zip(expected, actual, strict=True))
            return [
                line
                for number, (one, other) in pairs
                for line in differences(one, other, f"{at}[{number}]")
            ]
        case str():
            return [] if _fits(expected, actual) else [_differs(at, expected, actual)]
    is_equal = type(expected) is type(actual) and expected == actual
    return [] if is_equal else [_differs(at, expected, actual)]


def _fits(expected: str, actual: Any) -> bool:
    if expected == ANYTHING:
        return actual is not None
    if not isinstance(actual, str):
        return False
    if expected.startswith(PATTERN):
        return re.search(expected.removeprefix(PATTERN), actual) is not None
    if expected == actual:
        return True
    try:
        return _is_same_json(exact(expected), exact(actual))
    except ValueError:
        return False


def exact(text: str) -> Any:
    """JSON text as a value that has lost nothing.

    Raises:
        ValueError: it is not JSON.
    """
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_same_json(expected: Any, actual: Any) -> bool:
    match expected:
        case dict():
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(_is_same_json(one, actual[key]) for key, one in expected.items())
            )
        case list():
            return (
                isinstance(actual, list)
                and len(expected) == len(actual)
                and all(map(_is_same_json, expected, actual))
            )
        case Decimal():
            is_number = isinstance(actual, int | Decimal) and not isinstance(actual, bool)
            return is_number and expected == actual
    return type(expected) is type(actual) and bool(expected == actual)


def _differs(at: str, expected: Any, actual: Any) -> str:
    return f"{at or 'it'}\n    expected {short(expected)}\n    was      {short(actual)}"


def short(value: Any, characters: int = 600) -> str:
    """A value in one line, not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= characters else f"{text[:characters]} …"
