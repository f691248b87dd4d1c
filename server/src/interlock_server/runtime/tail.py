"""The tail of a run: stored events from any position, then what comes, then the end.

Every stream is this, and every wait: whoever starts a run, continues it or just
watches reads the same stored events, on whichever replica.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from interlock import v1
from interlock_server import limits
from interlock_server.errors import RunNotFound, SequenceOutOfRange, ServerShutdown
from interlock_server.runtime.hub import ENDED, RESTING, Hub, Subscription
from interlock_server.store.database import Database
from interlock_server.store.events import events_after
from interlock_server.store.records import Tip
from interlock_server.store.runs import run_tip

_POLL_SECONDS = 1.0
"""How long to trust wake-ups before looking into the store."""


@dataclass(frozen=True)
class Watch:
    """How somebody reads a run.

    Args:
        after: read events after this sequence.
        end_on_pause: end when the run pauses, not only when it ends.
        wants_live: show live text too.
        heartbeat_seconds: the longest silence.
    """

    run_id: str
    after: int = 0
    end_on_pause: bool = True
    wants_live: bool = True
    heartbeat_seconds: float = 15.0

    def of(self, run_id: str) -> Watch:
        """The same, of another run."""
        return replace(self, run_id=run_id)

    def since(self, sequence: int) -> Watch:
        """The same, after another sequence."""
        return replace(self, after=sequence)

    def ending(self, *, on_pause: bool) -> Watch:
        """The same, with another end."""
        return replace(self, end_on_pause=on_pause)


async def tail(
    database: Database,
    hub: Hub,
    watch: Watch,
    is_closing: Callable[[], bool],
    subscription: Subscription | None = None,
) -> AsyncGenerator[list[v1.RunEvent], None]:
    """Gives events in batches, oldest first; an empty batch is a sign of life.

    Args:
        subscription: one that was made before the run began to move, so that
            no live text is missed; unset means that it makes its own.

    Raises:
        RunNotFound: there is no such run, or it was deleted meanwhile.
        SequenceOutOfRange: it asks for events after one that does not exist.
        ServerShutdown: the server closes; the reader resumes elsewhere.
    """
    ends = RESTING if watch.end_on_pause else ENDED
    clock = asyncio.get_running_loop().time
    spoken = clock()
    with (
        nullcontext(subscription)
        if subscription
        else hub.subscribe(watch.run_id, wants_live=watch.wants_live)
    ) as subscription:
        after = watch.after
        order = _Order()
        tip = await _tip(database, watch.run_id)
        if after > tip.last_sequence:
            raise SequenceOutOfRange(tip.last_sequence)
        while True:
            order.heard(subscription.live())
            while after < tip.last_sequence:
                # Not past the tip: live text that belongs before later events may still come.
                count = min(limits.stream_batch_events_max, tip.last_sequence - after)
                batch = await events_after(database, watch.run_id, after, count)
                if not batch:
                    raise RunNotFound(watch.run_id)
                after, spoken = batch[-1].sequence, clock()
                yield order.with_live(batch)
                batch.clear()  # A stream that waits keeps nothing of what it has shown.
            if shown := order.live_after(after):
                spoken = clock()
                yield shown
            if tip.state in ends:
                return
            if is_closing():
                raise ServerShutdown
            silence_left = watch.heartbeat_seconds - (clock() - spoken)
            if silence_left <= 0:
                spoken = clock()
                yield []
            else:
                await subscription.wait(min(_POLL_SECONDS, silence_left))
            tip = await _tip(database, watch.run_id)


class _Order:
    """Puts live text between the stored events, where it was spoken.

    Text that comes too late, when something newer of its step was shown, is
    dropped: the result of the step holds all of it.
    """

    def __init__(self) -> None:
        self._live: deque[v1.RunEvent] = deque()
        self._shown: dict[str, int] = {}

    def heard(self, live: Sequence[v1.RunEvent]) -> None:
        """Takes in live text as it has come."""
        self._live.extend(live)

    def with_live(self, stored: Sequence[v1.RunEvent]) -> list[v1.RunEvent]:
        """Stored events, and between them the text that came before each."""
        events: list[v1.RunEvent] = []
        for event in stored:
            events += self.live_after(event.sequence - 1)
            events.append(event)
            self._shown[event.step.step_id] = event.sequence
        return events

    def live_after(self, sequence: int) -> list[v1.RunEvent]:
        """Takes out the text that was spoken before the stored event after `sequence`."""
        due = []
        while self._live and self._live[0].sequence <= sequence:
            event = self._live.popleft()
            if self._shown.get(event.step.step_id, 0) <= event.sequence:
                due.append(event)
        return due


async def settle(
    database: Database,
    hub: Hub,
    run_id: str,
    seconds: float | None,
    seconds_left: Callable[[], float],
    subscription: Subscription | None = None,
    after: int = 0,
) -> None:
    """Waits until a run pauses or ends, or as long.

    Args:
        seconds_left: how long the server may still wait; endless until it closes.
        subscription: one that was made before this process began to move the run on
            from the sequence `after`, so that it need not look before it waits; unset
            means that it looks.

    Raises:
        RunNotFound: there is no such run.
        ServerShutdown: the server closes before that.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + (seconds if seconds is not None else math.inf)
    looks = subscription is None
    with (
        nullcontext(subscription) if subscription else hub.subscribe(run_id, wants_rest=True)
    ) as waiter:
        while waiter.rested_at <= after:
            if looks and (await _tip(database, run_id)).state in RESTING:
                return
            if (left := deadline - clock()) <= 0:
                return
            if (still := seconds_left()) <= 0:
                raise ServerShutdown
            await waiter.wait(min(_POLL_SECONDS, left, still))
            looks = True


async def _tip(database: Database, run_id: str) -> Tip:
    tip = await run_tip(database, run_id)
    if tip is None:
        raise RunNotFound(run_id)
    return tip
