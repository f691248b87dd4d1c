"""Between the contract's values and Python's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


class Enum(Protocol):
    """An enum of the contract, for example `v1.RunState`."""

    DESCRIPTOR: EnumDescriptor


def enum_name(enum: Enum, number: int) -> str:
    """The name of an enum's value without its prefix; empty when it is not set.

    A value that is newer than this client is named by its number.
    """
    value = enum.DESCRIPTOR.values_by_number.get(number)
    if value is None:
        return str(number)
    return value.name.removeprefix(_prefix(enum)) if number else ""


def enum_number(enum: Enum, name: str) -> Any:
    """The number of an enum's value, by its name without the prefix, in any case.

    Raises:
        ValueError: the enum has no such value.
    """
    value = enum.DESCRIPTOR.values_by_name.get(_prefix(enum) + name.upper())
    if value is None:
        known = ", ".join(
            one.name.removeprefix(_prefix(enum)) for one in enum.DESCRIPTOR.values if one.number
        )
        raise ValueError(f"{name!r} is not one of {known}")
    return value.number


def moment(message: Message, field: str) -> datetime | None:
    """The time in a field, in UTC; None when it is not set."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time for a request.

    Raises:
        ValueError: the time has no zone.
    """
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone")
    result = Timestamp()
    result.FromDatetime(time)
    return result


def duration(seconds: float) -> Duration:
    """A duration for a request."""
    result = Duration()
    result.FromTimedelta(timedelta(seconds=seconds))
    return result


def _prefix(enum: Enum) -> str:
    return enum.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")
