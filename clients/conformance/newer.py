"""A contract that is newer than ours: what a client must not stumble over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from interlock.v1 import (
    requirement_service_pb2,
    run_service_pb2,
    session_service_pb2,
    workflow_service_pb2,
)
from interlock.v1.event_pb2 import RunEvent

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in (
        run_service_pb2,
        requirement_service_pb2,
        workflow_service_pb2,
        session_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Every method of the contract, by its path on the wire."""

_STATUS_TRAILER = "grpc-status-details-bin"
_PACKAGE = "interlock.v1."


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _text(number: int, payload: bytes) -> bytes:
    """A field with bytes in it: a text or a message."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


# Numbers that no message of ours has, each on another type of the wire.
_UNKNOWN_FIELDS = b"".join(
    (
        _varint(3000 << 3) + b"\x07",
        _varint(3001 << 3 | 1) + bytes(range(8)),
        _text(3002, b"newer"),
        _text(3003, b"\x08\x01"),
        _varint(3004 << 3 | 5) + bytes(range(4)),
    )
)
_UNKNOWN_KIND = 3201
"""The number of a field of `RunEvent.event` that nobody knows."""


@dataclass(frozen=True)
class Newer:
    """What the newer contract has.

    Args:
        events: names of events that are of kinds which a client of today cannot know.
        enums: values of enums which a client of today cannot know, by the field that has
            them, such as `{"Requirement.kind": 99}`.
        reasons: names of `ErrorReason` by those that they stand in for.
    """

    events: Sequence[str] = ()
    enums: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def reply(self, method: str, reply: bytes) -> bytes:
        """A reply of a method, with unknown fields in every message of it."""
        message = GetMessageClass(METHODS[method].output_type).FromString(reply)
        self._enrich(message)
        return message.SerializeToString()

    def reply_of_unknown_kind(self) -> bytes:
        """A reply in a stream of which a client of today knows nothing."""
        return _UNKNOWN_FIELDS

    def trailer(self, key: str, value: str | bytes) -> str | bytes:
        """A trailer; in that of an error, the reason and a detail that nobody knows."""
        if key != _STATUS_TRAILER or not isinstance(value, bytes):
            return value
        status = status_pb2.Status.FromString(value)
        info = error_details_pb2.ErrorInfo()
        for detail in status.details:
            if detail.Unpack(info):
                info.reason = self.reasons.get(info.reason, info.reason)
                detail.Pack(info)
        status.details.add(
            type_url="type.googleapis.com/interlock.v9.Advice", value=_UNKNOWN_FIELDS
        )
        return status.SerializeToString()

    def _enrich(self, message: Message) -> None:
        for one in _messages_in(message):
            self._enrich(one)
        for described in message.DESCRIPTOR.fields:
            number = self.enums.get(f"{message.DESCRIPTOR.name}.{described.name}")
            if number is not None:
                _set_enum(message, described.name, number)
        if isinstance(message, RunEvent):
            self._disguise(message)
        message.MergeFromString(_UNKNOWN_FIELDS)

    def _disguise(self, event: RunEvent) -> None:
        kind = event.WhichOneof("event")
        if kind is not None and kind in self.events:
            payload = getattr(event, kind).SerializeToString()
            event.ClearField(kind)
            event.MergeFromString(_text(_UNKNOWN_KIND, payload))


def _messages_in(message: Message) -> Iterator[Message]:
    """The messages of ours right inside of another one."""
    for described, value in message.ListFields():
        inner = described.message_type
        if (
            inner is None
            or not inner.full_name.startswith(_PACKAGE)
            or inner.GetOptions().map_entry
        ):
            continue
        yield from value if described.is_repeated else [value]


def _set_enum(message: Message, name: str, number: int) -> None:
    if isinstance(getattr(message, name), int):
        setattr(message, name, number)
        return
    values = getattr(message, name)
    values[:] = [number] * len(values)
