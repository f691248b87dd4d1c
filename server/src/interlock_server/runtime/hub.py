"""The hub: wakes whoever in this process waits for a run, and carries live text to watchers."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from interlock import v1

ENDED = frozenset({v1.RUN_STATE_COMPLETED, v1.RUN_STATE_FAILED, v1.RUN_STATE_CANCELLED})
RESTING = ENDED | {v1.RUN_STATE_PAUSED}

_LIVE_EVENTS_MAX = 1_000
"""How much live text waits for a slow watcher; more is dropped, since it is not stored either."""


class Subscription:
    """One waiter's view of a run: wake-ups, which coalesce, and live events, in order.

    `rested_at` is the newest sequence at which the run is known to have paused or ended since,
    and `shown` is the run as it was then, where that is known without reading it.
    """

    def __init__(self, wants_live: bool, wants_rest: bool) -> None:
        self.wants_live = wants_live
        self.wants_rest = wants_rest
        self.rested_at = 0
        self.shown: v1.Run | None = None
        self._live: deque[v1.RunEvent] = deque(maxlen=_LIVE_EVENTS_MAX)
        self._is_due = asyncio.Event()

    def wake(self) -> None:
        """Something may have changed."""
        self._is_due.set()

    def deliver(self, event: v1.RunEvent) -> None:
        """Live text has come."""
        self._live.append(event)
        self._is_due.set()

    async def wait(self, seconds: float) -> bool:
        """Waits until something happens, or as long; `False` when nothing did."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_due.wait()
        except TimeoutError:
            return False
        self._is_due.clear()
        return True

    def live(self) -> list[v1.RunEvent]:
        """The live events that have come since the last call."""
        taken = list(self._live)
        self._live.clear()
        return taken


class Hub:
    """Who in this process waits for which run, and who for work."""

    def __init__(self) -> None:
        self._by_run: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._everything: set[Subscription] = set()
        self._calls: set[Subscription] = set()

    @contextmanager
    def subscribe(
        self, run_id: str, *, wants_live: bool = False, wants_rest: bool = False
    ) -> Iterator[Subscription]:
        """A subscription to one run; an empty id subscribes to all.

        Args:
            wants_live: show it live events.
            wants_rest: wake it only when the run may have paused or ended.
        """
        subscription = Subscription(wants_live, wants_rest)
        group = self._by_run[run_id] if run_id else self._everything
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if run_id and not group:
                self._by_run.pop(run_id, None)

    @contextmanager
    def subscribe_to_calls(self) -> Iterator[Subscription]:
        """A subscription to calls that begin to wait for a worker."""
        subscription = Subscription(wants_live=False, wants_rest=False)
        self._calls.add(subscription)
        try:
            yield subscription
        finally:
            self._calls.discard(subscription)

    def called(self) -> None:
        """A call waits for a worker, here or elsewhere."""
        for subscription in self._calls:
            subscription.wake()

    def moved(
        self,
        run_id: str,
        state: v1.RunState.ValueType | None = None,
        sequence: int = 0,
        shown: v1.Run | None = None,
    ) -> None:
        """A run has moved, here or elsewhere; where it is now, if that is known."""
        for subscription in (*self._by_run.get(run_id, ()), *self._everything):
            if not (subscription.wants_rest and state == v1.RUN_STATE_RUNNING):
                if state in RESTING and sequence > subscription.rested_at:
                    subscription.rested_at, subscription.shown = sequence, shown
                subscription.wake()

    def live(self, event: v1.RunEvent) -> None:
        """Shows a live event to the watchers of its run."""
        for subscription in self._by_run.get(event.run_id, ()):
            if subscription.wants_live:
                subscription.deliver(event)

    def awaits_rest(self, run_id: str) -> bool:
        """Whether anybody in this process waits for a run to pause or end."""
        return any(one.wants_rest for one in self._by_run.get(run_id, ()))

    def is_watched(self, run_id: str) -> bool:
        """Whether anybody in this process watches the live events of a run."""
        return any(one.wants_live for one in self._by_run.get(run_id, ()))

    def wake_all(self) -> None:
        """Wakes everybody: the process shuts down."""
        for group in (*self._by_run.values(), self._everything, self._calls):
            for subscription in group:
                subscription.wake()
