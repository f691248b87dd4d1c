"""Claims: calls that run elsewhere are handed to workers, each to one at a time.

A claim is a lease on one requirement. Its epoch fences: the desk records a result
only under the newest, so a worker that lost its claim and does not know it yet
changes nothing. Decisions of people and of the clock pay no heed to claims.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from interlock import v1
from interlock_server.errors import (
    ClaimLost,
    InterlockError,
    RequirementNotFound,
    ServerShutdown,
)
from interlock_server.runtime.decisions import check_open
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.world import World
from interlock_server.store.claims import claim_release, claim_renew, claim_take
from interlock_server.store.database import Database
from interlock_server.store.notify import Announcer
from interlock_server.store.records import Taken, Wanted
from interlock_server.store.requirements import requirement_get

_POLL_SECONDS = 1.0
"""How long to trust wake-ups before looking into the store; nothing wakes when a claim runs out."""

_CONTEST_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16)
"""How long others are given, again and again, who have their hands on all that there is."""


@dataclass
class _Line:
    """Those in this process who wait for the same calls. One looks for all, not all at once.

    Args:
        vain: when the newest look began that found nothing.
    """

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    vain: float = -math.inf
    length: int = 0


class Claims:
    """Gives calls to workers, and takes them back."""

    def __init__(
        self,
        database: Database,
        hub: Hub,
        announcer: Announcer,
        world: World,
        is_closing: Callable[[], bool],
    ) -> None:
        self._database = database
        self._hub = hub
        self._announcer = announcer
        self._world = world
        self._is_closing = is_closing
        self._lines: dict[tuple[frozenset[str], str], _Line] = {}
        self._withdrawals: set[asyncio.Task[None]] = set()

    async def claim(self, wanted: Wanted, seconds: float | None) -> v1.Requirement | None:
        """The oldest call that a worker can execute, claimed; waits for one, as long.

        Whoever is cancelled while waiting holds nothing.

        Raises:
            RequestIdReused: another request has the id.
            ServerShutdown: the server closes.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + (math.inf if seconds is None else seconds)
        with self._hub.subscribe_to_calls() as subscription, self._in_line(wanted) as line:
            since = clock()
            while True:
                if self._is_closing():
                    raise ServerShutdown
                left = deadline - clock()
                async with line.turn:
                    # The last look is always one's own: it also finds what the same request was
                    # given meanwhile by another server, whose reply was lost.
                    found = await self._look(wanted, line, since if left > 0 else math.inf)
                if found is not None:
                    self._moved(found.run_id)
                    return found
                if left <= 0:
                    return None
                is_woken = await subscription.wait(max(0, min(_POLL_SECONDS, deadline - clock())))
                since = clock() - (0 if is_woken else _POLL_SECONDS)

    async def renew(self, requirement_id: str, epoch: int, lease: timedelta) -> v1.Requirement:
        """Keeps a claim for longer; gives the requirement with it.

        Raises:
            RequirementNotFound, RequirementAlreadyResolved, RequirementExpired,
            RequirementCancelled: there is nothing to execute any more.
            ClaimLost: it was given back, or another worker has the call.
        """
        until = self._world.now() + lease
        renewed = await claim_renew(self._database, requirement_id, epoch, until)
        if renewed is None:
            check_open(await self._get(requirement_id))
            raise ClaimLost(requirement_id, epoch)
        return renewed

    async def release(self, requirement_id: str, epoch: int) -> None:
        """Gives a claim back, for another worker; one that is not held any more is none.

        Raises:
            RequirementNotFound: there is no such requirement.
        """
        now = self._world.now()
        run_id = await claim_release(self._database, requirement_id, epoch, now)
        if run_id is None:
            await self._get(requirement_id)
        else:
            self._freed(run_id)

    async def close(self) -> None:
        """Waits until what was claimed for nobody is given back."""
        await asyncio.gather(*self._withdrawals, return_exceptions=True)

    # Looking.

    @contextmanager
    def _in_line(self, wanted: Wanted) -> Iterator[_Line]:
        key = (frozenset(wanted.tool_names), wanted.workflow_id)
        line = self._lines.setdefault(key, _Line())
        line.length += 1
        try:
            yield line
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[key]

    async def _look(self, wanted: Wanted, line: _Line, since: float) -> v1.Requirement | None:
        """Takes a call, unless somebody in line has looked in vain since then."""
        if line.vain >= since:
            return None
        begun = asyncio.get_running_loop().time()
        taken = await self._take(wanted)
        for pause in _CONTEST_SECONDS:
            if not taken.is_contested:
                break
            # They take some and decide others; what is left shows in a moment.
            await asyncio.sleep(pause)
            taken = await self._take(wanted)
        line.vain = line.vain if taken.requirement else begun
        return taken.requirement

    async def _take(self, wanted: Wanted) -> Taken:
        """Takes a call, to its end even when the caller goes: then it is given back."""
        taking = asyncio.create_task(claim_take(self._database, wanted, self._world.now()))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            withdrawal = asyncio.create_task(self._withdraw(taking))
            self._withdrawals.add(withdrawal)
            withdrawal.add_done_callback(self._withdrawals.discard)
            raise

    async def _withdraw(self, taking: asyncio.Task[Taken]) -> None:
        """Gives back what was claimed for somebody who has gone.

        Not what they have asked for again meanwhile, under the same request id,
        and were given: that they hold.
        """
        with suppress(InterlockError):  # Then nothing was claimed, or the claim runs out.
            requirement = (await taking).requirement
            if requirement is None:
                return
            claim, now = requirement.claim, self._world.now()
            until = claim.expire_time.ToDatetime(now.tzinfo)
            run_id = await claim_release(
                self._database, requirement.requirement_id, claim.epoch, now, until
            )
            if run_id is not None:
                self._freed(run_id)

    async def _get(self, requirement_id: str) -> v1.Requirement:
        requirement = await requirement_get(self._database, requirement_id)
        if requirement is None:
            raise RequirementNotFound(requirement_id)
        return requirement

    # Telling.

    def _moved(self, run_id: str) -> None:
        self._hub.moved(run_id)
        self._announcer.announce(run_id)

    def _freed(self, run_id: str) -> None:
        self._moved(run_id)
        self._hub.called()
        self._announcer.announce_call()
