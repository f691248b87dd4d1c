"""JSON as text: the form in which every value of a user travels.

Text keeps what other forms lose: integers of any size, and the order of keys.
"""

from __future__ import annotations

import json
from typing import Any


def dumps(value: Any) -> str:
    """Writes a value of JSON types as compact JSON text.

    Text stays readable, except when it holds lone surrogates, which a protobuf string
    cannot carry: then everything that is not ASCII is escaped.

    Raises:
        TypeError: the value holds something that JSON does not have.
        ValueError: the value holds NaN or an infinity, or refers to itself.
    """
    text = _encode(value, ensure_ascii=False)
    return text if _is_unicode(text) else _encode(value, ensure_ascii=True)


def loads(text: str) -> Any:
    """Parses JSON text; the empty text, which stands for "absent", is None.

    Raises:
        ValueError: the text is not JSON, or holds NaN or an infinity.
    """
    return json.loads(text, parse_constant=_refuse) if text else None


def _encode(value: Any, *, ensure_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
