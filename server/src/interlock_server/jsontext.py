"""JSON as text: the one form in which users' values are stored, sent and shown.

Text keeps what other forms lose: integers of any size, and the order of keys.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

from interlock_server import limits


class JsonError(ValueError):
    """A text is not JSON, or a value cannot be JSON; the message says why."""


def loads(text: str, *, bounded: bool = True) -> Any:
    """Parses JSON text exactly.

    Args:
        bounded: refuse what is too long or too deep; off for the service's own
            records, which wrap values that were checked one by one.

    Raises:
        JsonError: the text is malformed, too long, too deep, or holds a number
            that cannot be kept.
    """
    if bounded:
        _check_size(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise JsonError(f"is not valid JSON: {error.msg} at {where}") from None
    except JsonError:
        raise
    except ValueError:
        raise JsonError("holds an integer with too many digits") from None


def dumps(value: Any, *, bounded: bool = True) -> str:
    """Writes a value of JSON types as JSON text.

    Text stays readable, except that lone surrogates, which UTF-8 cannot carry,
    stay escaped.

    Args:
        bounded: as for `loads`.

    Raises:
        JsonError: the value holds something that JSON does not have, or is too
            large or too deep.
    """
    try:
        text = _ENCODER.encode(value)
    except RecursionError:
        raise JsonError(_TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise JsonError(f"cannot be JSON: {error}") from None
    if not text.isascii() and not _is_unicode(text):
        text = _ASCII_ENCODER.encode(value)
    if bounded:
        _check_size(text)
    return text


def has_controls(text: str) -> bool:
    """Whether text holds a control character, or a surrogate, which is no character at all."""
    if text.isprintable():
        return False
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def clean(text: str) -> str:
    """Makes text fit for a protobuf string: lone surrogates become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shown(value: Any) -> str:
    """A JSON value as text for a person or a model: strings bare, the rest as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)


_TOO_DEEP = f"is nested deeper than {limits.json_depth_max} levels"


def _check_size(text: str) -> None:
    if len(text) > limits.json_characters_max:
        raise JsonError(f"is longer than {limits.json_characters_max:,} characters")
    _check_depth(text)


def _check_depth(text: str) -> None:
    """Counts brackets outside of strings: hostile nesting never reaches a recursive parser."""
    if text.count("[") + text.count("{") <= limits.json_depth_max:
        return
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > limits.json_depth_max:
                raise JsonError(_TOO_DEEP)
        elif character in "]}":
            depth -= 1


def _refuse_constant(name: str) -> Any:
    raise JsonError(f"holds {name}, which JSON does not have")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonError(f"holds the number {text[:40]}, which is out of range")
    return number


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ASCII_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
