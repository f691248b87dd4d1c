"""Pages: sizes within bounds, and tokens that only fit the list and the filter they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.message import Message

from interlock_server import jsontext, limits
from interlock_server.service.validation import Fields
from interlock_server.store.records import Page

T = TypeVar("T")
_FOREIGN = "was not made by this method with this filter; begin again without it"


def page_size(fields: Fields, value: int, default: int, most: int) -> int:
    """A page size: 0 is the default, and more than the bound is the bound."""
    if value < 0:
        fields.refuse("page_size", "is negative; use 0 for the default")
    return min(value, most) if value > 0 else default


def token_of(scope: str, position: Sequence[str | int]) -> str:
    """An opaque token for a position in the list that `scope` names."""
    content = json.dumps([scope, *position])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def position_of(fields: Fields, token: str, scope: str, name: str = "page_token") -> list[str]:
    """The position that a token stands for; empty at the beginning."""
    if not token:
        return []
    try:
        if len(token) > limits.page_token_characters_max:
            raise ValueError
        padded = token + "=" * (-len(token) % 4)
        found, *position = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        fields.refuse(name, _FOREIGN)
        return []
    if found != scope:
        fields.refuse(name, _FOREIGN)
        return []
    return [str(part) for part in position]


def scope_of(method: str, selected: Message | None = None) -> str:
    """Names a list: a method, and what it selects."""
    if selected is None:
        return method
    digest = hashlib.sha256(selected.SerializeToString(deterministic=True)).hexdigest()[:16]
    return f"{method}:{digest}"


def timed_page(fields: Fields, size: int, token: str, scope: str) -> Page:
    """A page of a list that is ordered by time and id."""
    size = page_size(fields, size, limits.page_runs_default, limits.page_runs_max)
    match position_of(fields, token, scope):
        case []:
            return Page(size)
        case [time, name] if not jsontext.has_controls(name):
            try:
                return Page(size, datetime.fromisoformat(time).astimezone(UTC), name)
            except (ValueError, OverflowError):
                pass
    fields.refuse("page_token", _FOREIGN)
    return Page(size)


def timed_token(
    rows: Sequence[T], page: Page, scope: str, place: Callable[[T], tuple[datetime, str]]
) -> tuple[Sequence[T], str]:
    """The rows of a page, and the token of the next when there is one."""
    if len(rows) <= page.size:
        return rows, ""
    shown = rows[: page.size]
    time, name = place(shown[-1])
    return shown, token_of(scope, [time.isoformat(), name])
