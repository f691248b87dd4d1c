"""Whether an answer is what a scenario expects of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clients.conformance.values import differences

_OF_EVENTS = {"kinds", "kinds_among", "numbered_from", "text"}


def problems(checks: Mapping[str, Any], reply: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, a line or a few for each thing.

    Args:
        checks: as `Step` has them, with references replaced.
    """
    if "refused" in checks:
        return [] if "refused" in reply else ["the shell should have refused this"]
    if "error" in checks:
        if "error" not in reply:
            return ["this should have failed"]
        return differences(checks["error"], reply["error"])
    if "result" not in reply:
        return ["this should have succeeded"]
    result = reply["result"]
    found = differences(checks.get("expect", {}), result if result is not None else {})
    if "length" in checks:
        [items] = [one for one in result.values() if isinstance(one, list)]
        found += differences(checks["length"], len(_stored(items)), "length")
    if _OF_EVENTS & checks.keys():
        found += _problems_of_events(checks, result.get("items", result.get("events")))
    return found


def _problems_of_events(checks: Mapping[str, Any], events: list[Any]) -> list[str]:
    stored = _stored(events)
    found = []
    if "kinds" in checks:
        found += differences(checks["kinds"], [one["kind"] for one in stored], "kinds")
    if "kinds_among" in checks:
        others = iter([one["kind"] for one in stored])
        missing = [kind for kind in checks["kinds_among"] if kind not in others]
        found += [f"not there, or not in this order: {missing}"] if missing else []
    if "numbered_from" in checks:
        first = checks["numbered_from"]
        numbers = [one["sequence"] for one in stored]
        found += differences(list(range(first, first + len(stored))), numbers, "sequences")
    if "text" in checks:
        text = "".join(one["text"] for one in events)
        found += differences(checks["text"], text, "text")
    return found


def _stored(items: list[Any]) -> list[Any]:
    """Items without live text."""
    return [one for one in items if one.get("kind") != "content_delta"]
