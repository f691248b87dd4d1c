"""The hub: wakes whoever in this process waits for a run, and carries live text to watchers."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from interlock import v1
from interlock_server.store.records import Tip

ENDED = frozenset({v1.RUN_STATE_COMPLETED, v1.RUN_STATE_FAILED, v1.RUN_STATE_CANCELLED})
RESTING = ENDED | {v1.RUN_STATE_PAUSED}

_LIVE_EVENTS_MAX = 1_000
"""How much live text waits for a slow watcher; more is dropped, since it is not stored either."""


class Subscription:
    """One waiter's view of a run: wake-ups, which coalesce, and live events, in order.

    `tip` is the newest place that the run is known to have come to since. `rested_at` is the
    newest sequence at which it has paused or ended here, and `shown` is the run as it was then,
    where that is known without reading it.
    """

    def __init__(self, wants_live: bool, wants_rest: bool) -> None:
        self.wants_live = wants_live
        self.wants_rest = wants_rest
        self.tip = Tip(v1.RUN_STATE_UNSPECIFIED, 0)
        self.rested_at = 0
        self.shown: v1.Run | None = None
        self._live: deque[v1.RunEvent] = deque(maxlen=_LIVE_EVENTS_MAX)
        self._must_look = False
        self._is_due = asyncio.Event()

    def wake(self) -> None:
        """Something may have changed, and only the store knows what."""
        self._must_look = True
        self._is_due.set()

    def move(self, tip: Tip) -> None:
        """The run has come to a place, which may be an older one than what is known."""
        if tip.last_sequence > self.tip.last_sequence:
            self.tip = tip
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

    def must_look(self) -> bool:
        """Whether something has happened since the last call of which only the store knows."""
        must_look, self._must_look = self._must_look, False
        return must_look

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

    def moved(self, run_id: str, tip: Tip | None = None) -> None:
        """A run has moved, here or elsewhere; where to, if that is known."""
        for subscription in self._by_run.get(run_id, ()):
            if tip is None:
                subscription.wake()
            elif not (subscription.wants_rest and tip.state == v1.RUN_STATE_RUNNING):
                subscription.move(tip)
        for subscription in self._everything:
            subscription.wake()

    def rested(self, run_id: str, sequence: int, shown: v1.Run | None) -> None:
        """A run has paused or ended here, as it is shown, if that is known."""
        for subscription in self._by_run.get(run_id, ()):
            if sequence > subscription.rested_at:
                subscription.rested_at, subscription.shown = sequence, shown

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
