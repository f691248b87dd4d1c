"""Values: what people type, read as the type that is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interlock_server.cli.text import as_json

if TYPE_CHECKING:
    from interlock import UserInputField
    from interlock.questions import FeedbackQuestion

_TRUE = frozenset({"true", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "no", "n", "off", "0"})

_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a JSON list",
    "dict": "a JSON object",
}


class Unreadable(ValueError):
    """What was typed is not what is asked for; the text says what is."""


def read_json(text: str, what: str) -> Any:
    """A JSON value.

    Raises:
        Unreadable: it is not JSON; `what` names it.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
        json.dumps(value, allow_nan=False)  # 1e999 is read as infinity.
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{what} is not JSON: {error}") from None
    return value


def read_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Unreadable: it is none; `what` names it.
    """
    value = read_json(text, what)
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is not a JSON object of values by field name")
    return value


def read_choices(
    assignments: Sequence[str], questions: Sequence[FeedbackQuestion]
) -> dict[str, list[str]]:
    """Chosen options by question, from `id=option` and `id=option,option`.

    Raises:
        Unreadable: one of them is not of this form.
    """
    labels = {one.id: [option.label for option in one.options] for one in questions}
    chosen = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise Unreadable(f"{assignment!r} is not of the form question=option")
        # An option may have a comma of its own.
        chosen[name] = [text] if text in labels.get(name, ()) else text.split(",")
    return chosen


def read_values(
    assignments: Sequence[str], json_values: str | None, fields: Sequence[UserInputField]
) -> dict[str, Any]:
    """Values by field name, from `field=value` and from a JSON object.

    Raises:
        Unreadable: one of them cannot be read, or names no field that is asked for.
    """
    values = read_object(json_values, "--json-values") if json_values else {}
    by_name = {field.name: field for field in fields}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise Unreadable(f"{assignment!r} is not of the form field=value")
        field = by_name.get(name)
        if field is None:
            known = ", ".join(by_name) or "none"
            raise Unreadable(f"there is no field {name!r} to fill in; the fields are: {known}")
        values[name] = read_value(text, field)
    return values


def read_value(text: str, field: UserInputField) -> Any:
    """A value as its field takes it.

    Raises:
        Unreadable: the text is no such value.
    """
    value = _typed(text, field.field_type, field.name)
    allowed = field.allowed_values
    if allowed and value not in allowed:
        options = ", ".join(map(as_json, allowed))
        raise Unreadable(f"{field.name}: {text!r} is none of {options}")
    return value


def _typed(text: str, kind: str, name: str) -> Any:
    try:
        match kind:
            case "str":
                return text
            case "int":
                return int(text)
            case "bool":
                return _boolean(text)
            case "float" | "list" | "dict":
                return _json_of(text, kind)
            case _:
                return _json_or_text(text)
    except ValueError:
        raise Unreadable(f"{name}: {text!r} is not {_NAMES[kind]}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _json_of(text: str, kind: str) -> Any:
    value = read_json(text, kind)
    types = {"float": (int, float), "list": (list,), "dict": (dict,)}
    if isinstance(value, bool) or not isinstance(value, types[kind]):
        raise ValueError
    return value


def _json_or_text(text: str) -> Any:
    try:
        return read_json(text, "")
    except Unreadable:
        return text
