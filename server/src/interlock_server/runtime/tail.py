"""The tail of a run: stored events from any position, then what comes, then the end.

Every stream is this, and every wait: whoever starts a run, continues it or just
watches reads the same stored events, on whichever replica.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from cachetools import LRUCache
from google.protobuf.message import Message

from interlock import v1
from interlock_server import limits
from interlock_server.errors import RunNotFound, SequenceOutOfRange, ServerShutdown
from interlock_server.runtime.hub import ENDED, RESTING, Hub, Subscription
from interlock_server.runtime.shared import Shared
from interlock_server.store.database import Database
from interlock_server.store.events import events_after
from interlock_server.store.records import Tip
from interlock_server.store.runs import run_tip

_BYTES_EACH = 500
"""What an event takes in memory besides its content, or a little less."""

_POLL_SECONDS = 1.0
"""How long to trust wake-ups before looking into the store."""


class Batch:
    """Stored events that are shown together; those who are shown the same share it.

    What is made of it for all of them is made once, when it is first asked for.
    """

    def __init__(self, events: Sequence[v1.RunEvent]) -> None:
        self.events = events
        self._encoded: dict[type[Message], bytes] = {}

    @property
    def last_sequence(self) -> int:
        """Of the newest event."""
        return self.events[-1].sequence

    @property
    def size(self) -> int:
        """About how much memory it takes, in bytes: as messages, and encoded."""
        return sum(_BYTES_EACH + 3 * one.ByteSize() for one in self.events)

    @cached_property
    def newest(self) -> dict[str, int]:
        """The newest sequence of each step."""
        return {one.step.step_id: one.sequence for one in self.events}

    def encoded(self, response: type[Message]) -> bytes:
        """A message of this kind that holds the events, as it is sent."""
        if response not in self._encoded:
            message: Any = response()
            message.events.events.extend(self.events)
            self._encoded[response] = message.SerializeToString()
        return self._encoded[response]


class Reader:
    """What is stored of runs, for those who watch them: they read it together.

    Stored events never change, so those that were read last are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: LRUCache[tuple[str, int, int], Batch] = LRUCache(
            limits.shown_bytes_max, lambda batch: batch.size
        )
        self._tips = Shared(partial(_tip, database))
        self._batches = Shared(self._batch)

    async def tip(self, run_id: str) -> Tip:
        """Where a run is now.

        Raises:
            RunNotFound: there is no such run.
        """
        return await self._tips.get(run_id)

    async def batch(self, run_id: str, after: int, count: int) -> Batch:
        """The first events after a sequence, so many at most; they must exist.

        Raises:
            RunNotFound: the run was deleted meanwhile.
        """
        key = (run_id, after, count)
        return self._kept.get(key) or await self._batches.get(key)

    async def _batch(self, key: tuple[str, int, int]) -> Batch:
        if (kept := self._kept.get(key)) is not None:
            return kept  # Whoever had the turn before has read it.
        run_id, after, count = key
        events = await events_after(self._database, run_id, after, count)
        if not events:
            raise RunNotFound(run_id)
        batch = Batch(events)
        with suppress(ValueError):  # It is larger than all that is kept.
            self._kept[key] = batch
        return batch


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
    reader: Reader,
    hub: Hub,
    watch: Watch,
    is_closing: Callable[[], bool],
    subscription: Subscription | None = None,
    tip: Tip | None = None,
) -> AsyncGenerator[Batch | None, None]:
    """Gives events in batches, oldest first; none is a sign of life.

    Args:
        subscription: one that was made before the run began to move, so that
            no live text is missed; unset means that it makes its own.
        tip: where the run was, or is, since that subscription was made; unset
            means that it looks.

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
        order = _Order(after)
        tip = tip or await reader.tip(watch.run_id)
        if after > tip.last_sequence:
            raise SequenceOutOfRange(tip.last_sequence)
        while True:
            order.heard(subscription.live())
            while after < tip.last_sequence:
                # Not past the tip: live text that belongs before later events may still come.
                count = min(limits.stream_batch_events_max, tip.last_sequence - after)
                batch = await reader.batch(watch.run_id, after, count)
                after, spoken = batch.last_sequence, clock()
                yield order.with_live(batch)
                del batch  # A stream that waits keeps nothing of what it has shown.
            if shown := order.live_after(after):
                spoken = clock()
                yield Batch(shown)
            if tip.state in ends:
                return
            if is_closing():
                raise ServerShutdown
            silence_left = watch.heartbeat_seconds - (clock() - spoken)
            if silence_left <= 0:
                spoken = clock()
                yield None
                continue
            is_woken = await subscription.wait(min(_POLL_SECONDS, silence_left))
            if not is_woken or subscription.must_look():
                tip = await reader.tip(watch.run_id)
            if subscription.tip.last_sequence > tip.last_sequence:
                tip = subscription.tip


class _Order:
    """Puts live text between the stored events, where it was spoken.

    Text that comes too late, when something newer of its step was shown, is
    dropped: the result of the step holds all of it. So is text from before
    the stream begins.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._live: deque[v1.RunEvent] = deque()
        self._shown: dict[str, int] = {}

    def heard(self, live: Sequence[v1.RunEvent]) -> None:
        """Takes in live text as it has come."""
        self._live.extend(one for one in live if one.sequence >= self._after)

    def with_live(self, stored: Batch) -> Batch:
        """Stored events, and between them the text that came before each."""
        if not self._live:
            self._shown.update(stored.newest)
            return stored
        events: list[v1.RunEvent] = []
        for event in stored.events:
            events += self.live_after(event.sequence - 1)
            events.append(event)
            self._shown[event.step.step_id] = event.sequence
        return Batch(events)

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
) -> v1.Run | None:
    """Waits until a run pauses or ends, or as long; gives the run, if it is known as it is then.

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
                return None
            if (left := deadline - clock()) <= 0:
                return None
            if (still := seconds_left()) <= 0:
                raise ServerShutdown
            await waiter.wait(min(_POLL_SECONDS, left, still))
            looks = True
        return waiter.shown


async def _tip(database: Database, run_id: str) -> Tip:
    tip = await run_tip(database, run_id)
    if tip is None:
        raise RunNotFound(run_id)
    return tip
