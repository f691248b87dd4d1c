"""Lanes: so many at once, each of which does the same thing again and again.

Every contender is driven by this, in a process that is told what to do in lines
of JSON. It needs nothing but the standard library, because the peers run it in
an environment of their own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Cycle = Callable[[], Awaitable[None]]
Orders = dict[str, Callable[..., Awaitable[dict[str, Any]]]]


async def drive(cycle: Cycle, lanes: int, seconds: float) -> dict[str, Any]:
    """Repeats `cycle` in so many lanes for so long, and says how many, how fast, and how long each.

    Every cycle counts that was begun in time, and the clock runs until the last one has ended.
    """
    taken: list[float] = []
    begin = time.perf_counter()

    async def lane() -> None:
        while (start := time.perf_counter()) - begin < seconds:
            await cycle()
            taken.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    elapsed = time.perf_counter() - begin
    return {"count": len(taken), "seconds": elapsed, "milliseconds": _spread(taken)}


async def obey(orders: Orders, **ready: Any) -> None:
    """Says that it is ready, then does what lines of JSON on standard input say, until they end.

    A line names one of the orders, as `do`, and holds its arguments.
    """
    _say({"event": "ready", **ready})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order: dict[str, Any] = json.loads(line)
        _say(await orders[order.pop("do")](**order))


def driver(cycle: Cycle) -> Orders:
    """The orders of a process that does nothing but cycles."""

    async def drive_lanes(lanes: int, seconds: float) -> dict[str, Any]:
        return await drive(cycle, lanes, seconds)

    return {"drive": drive_lanes}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _spread(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    last = len(ordered) - 1
    return {
        name: 1_000 * ordered[round(share * last)]
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    }
