"""Events: appended with the run they belong to, and read from any position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import LargeBinary, SmallInteger, Text

from interlock import v1
from interlock_server import limits
from interlock_server.store.database import Database

_KINDS = {field.name: field for field in v1.RunEvent.DESCRIPTOR.oneofs_by_name["event"].fields}
_WITH_RESULT = {
    field.name: field.number
    for field in _KINDS.values()
    if any(
        part.name == "result" and part.message_type is v1.StepResult.DESCRIPTOR
        for part in (field.message_type.fields if field.message_type else ())
    )
}
RESULT_KINDS = list(_WITH_RESULT.values())
"""The kinds of events that carry the result of a node."""

EVENT_PARAMETERS = (
    bindparam("kinds", type_=ARRAY(SmallInteger)),
    bindparam("keys", type_=ARRAY(Text)),
    bindparam("bodies", type_=ARRAY(LargeBinary)),
)
"""The typed parameters of every statement that appends events."""

_AFTER = text("""
    SELECT sequence, body FROM (
        SELECT sequence, body, sum(octet_length(body)) OVER (ORDER BY sequence) AS bytes
        FROM (
            SELECT sequence, body FROM events
            WHERE run_id = :run_id AND sequence > :after ORDER BY sequence LIMIT :limit
        ) AS page
    ) AS measured
    WHERE bytes - octet_length(body) < :bytes ORDER BY sequence
""")


def event_arrays(events: Sequence[v1.RunEvent], keys: Sequence[str | None]) -> dict[str, Any]:
    """Events as parameters of a statement; their sequence is given when they are stored."""
    return {
        "event_count": len(events),
        "kinds": [_KINDS[_kind(event)].number for event in events],
        "keys": list(keys),
        "bodies": [event.SerializeToString() for event in events],
    }


async def events_after(
    database: Database, run_id: str, after: int, limit: int
) -> list[v1.RunEvent]:
    """Stored events after a sequence, oldest first: as many as go into one message."""
    parameters = {
        "run_id": run_id,
        "after": after,
        "limit": limit,
        "bytes": limits.events_bytes_max,
    }
    events = []
    for row in await database.fetch(_AFTER, parameters):
        event = v1.RunEvent.FromString(row.body)
        event.sequence = row.sequence
        events.append(event)
    return events


def show_results(run: v1.Run, bodies: Iterable[bytes]) -> None:
    """Adds to a run the results in stored events of `RESULT_KINDS`."""
    found = map(result_in, map(v1.RunEvent.FromString, bodies))
    run.step_results.extend(filter(None, found))


def result_in(event: v1.RunEvent) -> v1.StepResult | None:
    """The result of a node that an event carries, if it does."""
    kind = _kind(event)
    if kind not in _WITH_RESULT:
        return None
    happened = getattr(event, kind)
    return happened.result if happened.HasField("result") else None


def _kind(event: v1.RunEvent) -> str:
    kind = event.WhichOneof("event")
    assert kind is not None, "an event says what happened"
    return kind
