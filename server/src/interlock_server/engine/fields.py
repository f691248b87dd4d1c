"""Fields: the values that people are asked for, and whether what they give fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock import v1
from interlock_server import jsontext
from interlock_server.errors import FieldViolation

_TYPES: dict[int, tuple[str, type | tuple[type, ...]]] = {
    v1.USER_INPUT_FIELD_TYPE_STRING: ("a text", str),
    v1.USER_INPUT_FIELD_TYPE_INTEGER: ("a whole number", int),
    v1.USER_INPUT_FIELD_TYPE_NUMBER: ("a number", (int, float)),
    v1.USER_INPUT_FIELD_TYPE_BOOLEAN: ("true or false", bool),
    v1.USER_INPUT_FIELD_TYPE_ARRAY: ("a list", list),
    v1.USER_INPUT_FIELD_TYPE_OBJECT: ("a map", dict),
}


def violations(
    schema: Sequence[v1.UserInputField], values: Mapping[str, Any]
) -> list[FieldViolation]:
    """What is wrong with values; a field that is left out may have a default."""
    found = []
    known = [field.name for field in schema]
    for name in values:
        if name not in known:
            text = f"there is no such field; the fields are: {', '.join(known)}"
            found.append(FieldViolation(name, text))
    for field in schema:
        if field.name not in values:
            if field.required and not field.value_json:
                found.append(FieldViolation(field.name, "is missing"))
        elif wrong := violation(field, values[field.name]):
            found.append(FieldViolation(field.name, wrong))
    return found


def violation(field: v1.UserInputField, value: Any) -> str:
    """What is wrong with a value; empty when it fits."""
    if value is None and not field.required:
        return ""
    if value in (None, ""):
        return "is empty" if field.required else ""
    words, kinds = _TYPES.get(field.type, ("", object))
    # To Python, truth is a number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        return f"must be {words}"
    allowed = [jsontext.loads(one) for one in field.allowed_values_json]
    if allowed and not any(one == value and type(one) is type(value) for one in allowed):
        return f"must be one of: {', '.join(field.allowed_values_json)}"
    return ""


def with_defaults(schema: Sequence[v1.UserInputField], values_json: str) -> dict[str, Any]:
    """A person's values, and the defaults of the fields that they left out."""
    defaults = {one.name: jsontext.loads(one.value_json) for one in schema if one.value_json}
    return {**defaults, **jsontext.loads(values_json)}
