"""Times, as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_STEPS = ((60, "s"), (60, "min"), (24, "h"), (365, "d"))


def ago(time: datetime | None) -> str:
    """How long ago something was, for example `5 min`."""
    return "" if time is None else span((datetime.now(UTC) - time).total_seconds())


def moment(time: datetime | None) -> str:
    """A time to the second, with how long ago it was."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC, {ago(time)} ago"


def due(time: datetime | None) -> str:
    """How long it is until something happens, for example `in 5 min`."""
    if time is None:
        return ""
    left = (time - datetime.now(UTC)).total_seconds()
    return f"in {span(left)}" if left > 0 else "now"


def span(seconds: float) -> str:
    """A length of time in its largest unit, for example `5 min`."""
    number = max(0.0, seconds)
    for size, unit in _STEPS:
        if number < size:
            return f"{number:.0f} {unit}"
        number /= size
    return f"{number:.0f} y"
