"""Validation of requests: every violation of a request at once, each with its path and remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.errors import FieldViolation, InvalidField
from interlock_server.store.records import RequestKey

_HEARTBEAT_SECONDS_DEFAULT = 15.0
_HEARTBEAT_SECONDS_MIN = 0.1
_LEASE_SECONDS_DEFAULT = 30


class Fields:
    """Collects what is wrong with the fields of one request."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def __enter__(self) -> Fields:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._violations:
            raise InvalidField(self._violations)

    def refuse(self, path: str, description: str) -> None:
        """Notes a violation."""
        self._violations.append(FieldViolation(path, description))

    def name(
        self,
        path: str,
        value: str,
        *,
        required: bool = True,
        characters_max: int = limits.name_characters_max,
    ) -> str:
        """An identifier: not too long, and without control characters."""
        if not value:
            if required:
                self.refuse(path, "is missing")
        elif len(value) > characters_max:
            self.refuse(path, f"is longer than {characters_max} characters")
        elif jsontext.has_controls(value):
            self.refuse(path, "holds a control character")
        return value

    def text(self, path: str, value: str, characters_max: int) -> str:
        """Free text: not too long, and without NUL, which the database cannot keep."""
        if len(value) > characters_max:
            self.refuse(path, f"is longer than {characters_max:,} characters")
        elif "\0" in value:
            self.refuse(path, "holds a NUL character")
        return value

    def request_key(self, method: str, request_id: str, *asked: Message | str) -> RequestKey:
        """What tells a repeat of a request from a reuse of its id for something else."""
        self.text("request_id", request_id, limits.request_id_characters_max)
        return RequestKey(method, "", request_id, _digest_of(*asked))

    def json(self, path: str, value: str) -> str:
        """JSON text, tidied; empty stays empty."""
        if not value:
            return ""
        try:
            return jsontext.dumps(jsontext.loads(value))
        except jsontext.JsonError as error:
            self.refuse(path, str(error))
            return ""

    def json_object(self, path: str, value: str) -> str:
        """JSON text of an object; empty is the empty object."""
        tidy = self.json(path, value) or "{}"
        if not tidy.startswith("{"):
            self.refuse(path, "must be a JSON object")
        return tidy

    def labels(self, path: str, labels: Mapping[str, str]) -> dict[str, str]:
        """User-defined labels."""
        if len(labels) > limits.labels_max:
            self.refuse(path, f"has more than {limits.labels_max} labels")
        for key, value in labels.items():
            if not key:
                self.refuse(path, "has an empty key")
            self.text(f"{path}[{key[:64]!r}]", key, limits.label_key_characters_max)
            self.text(f"{path}[{key[:64]!r}]", value, limits.label_value_characters_max)
        return dict(labels)

    def sequence(self, path: str, value: int) -> int:
        """A position in a run."""
        if value < 0:
            self.refuse(path, "is negative; use 0 to begin with the first event")
        return value

    def seconds(self, path: str, request: Message, field: str) -> float | None:
        """A span of time; `None` when it is unset."""
        seconds = _seconds(request, field)
        if seconds is not None and seconds < 0:
            self.refuse(path, "is negative")
        return seconds

    def timeout(self, path: str, request: Message, field: str) -> float | None:
        """How long something may take; `None` when it is unset."""
        seconds = self.seconds(path, request, field)
        if seconds == 0:
            self.refuse(path, "is zero; leave it out for no limit")
        if seconds is not None and seconds > limits.timeout_seconds_max:
            self.refuse(path, f"is longer than {limits.timeout_seconds_max:,} seconds")
        return seconds if seconds and 0 < seconds <= limits.timeout_seconds_max else None

    def time(self, path: str, request: Message, field: str) -> None:
        """A point in time that a calendar has; it may be unset."""
        try:
            getattr(request, field).ToDatetime()
        except (ValueError, OverflowError):
            self.refuse(path, "is not a time between the years 1 and 9999")

    def heartbeat(self, path: str, request: Message) -> float:
        """How long a stream may be silent."""
        field = path.rpartition(".")[2]
        seconds = self.seconds(path, request, field)
        if seconds is None:
            return _HEARTBEAT_SECONDS_DEFAULT
        if seconds < _HEARTBEAT_SECONDS_MIN:
            self.refuse(path, f"is shorter than {_HEARTBEAT_SECONDS_MIN} seconds")
        return seconds

    def lease(self, path: str, request: Message) -> timedelta:
        """How long a claim holds."""
        seconds = _seconds(request, "lease_duration")
        if seconds is None:
            seconds = _LEASE_SECONDS_DEFAULT
        if not limits.claim_seconds_min <= seconds <= limits.claim_seconds_max:
            bounds = f"{limits.claim_seconds_min} and {limits.claim_seconds_max:,}"
            self.refuse(path, f"is not between {bounds} seconds")
            return timedelta()
        return timedelta(seconds=seconds)

    def epoch(self, path: str, value: int, *, required: bool = True) -> int:
        """Tells the claims of one requirement apart."""
        if value < 0:
            self.refuse(path, "is negative")
        elif required and not value:
            self.refuse(path, "is missing")
        return value

    def tools(self, path: str, names: Sequence[str]) -> tuple[str, ...]:
        """Names of tools, at least one; gives each once."""
        if not names:
            self.refuse(path, "is missing; name the tools")
        if len(names) > limits.claim_tools_max:
            self.refuse(path, f"has more than {limits.claim_tools_max} names")
        for position, name in enumerate(names[: limits.claim_tools_max]):
            self.name(f"{path}[{position}]", name)
        return tuple(dict.fromkeys(names))

    def states(self, path: str, values: Any, known: Any) -> None:
        """Values of an enum, all known and none unspecified."""
        for position, value in enumerate(values):
            if value == 0 or value not in known.values():
                self.refuse(f"{path}[{position}]", f"{value} is not a value to filter by")

    def resolution(self, path: str, resolution: v1.RequirementResolution) -> None:
        """The shape of an answer; whether it fits its question is decided with the question."""
        self.name(f"{path}.requirement_id", resolution.requirement_id)

    def resolutions(self, resolutions: Any) -> list[str]:
        """Answers; gives their paths."""
        if len(resolutions) > limits.resolutions_max:
            self.refuse("resolutions", f"has more than {limits.resolutions_max} answers")
        paths = [f"resolutions[{position}]" for position in range(len(resolutions))]
        for path, one in zip(paths, resolutions, strict=True):
            self.resolution(path, one)
        return paths


def _seconds(request: Message, field: str) -> float | None:
    if not request.HasField(field):
        return None
    span: Duration = getattr(request, field)
    return span.seconds + span.nanos / 1e9


def _digest_of(*parts: Message | str) -> bytes:
    """A hash of what a request asks for, to tell a repeat from a reuse of its id."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            encoded = part.encode()
        else:
            encoded = part.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()
