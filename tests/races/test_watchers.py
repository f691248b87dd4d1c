"""Whoever reads a run, where and however often interrupted, reads the same events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random

import pytest
from tests.races.replicas import assert_ended_once, replicas, seen_everywhere
from tests.support.service import Served, confirm, reject
from tests.support.workbench import (
    ENDED,
    LAST_KINDS,
    Ledger,
    agent,
    app_of,
    kind_of,
    resolve_one,
    rest,
    start,
)

from interlock import v1
from interlock_server import Interlock, Loop, Parallel, Step, call

OF_EACH_KIND = 4


def eventful(ledger: Ledger) -> Interlock:
    """Branches that ask, side by side with one that does not, again and again."""
    turns = [[call("act", what="a"), call("look", what="b")], call("act", what="c"), "done"]
    worker = agent(turns, ledger.gated(), ledger.free())
    both = Parallel(
        Step(name="one", agent=worker),
        Step(name="other", agent=worker),
        Step(name="work", executor=lambda given: "worked"),
        name="both",
    )
    return app_of(Loop(name="again", steps=[both], max_iterations=2))


class Reader:
    """Somebody who reads a run, and checks that nothing is missing, and nothing ever changes."""

    def __init__(self, service: Served, run_id: str, seed: int) -> None:
        self.read: list[bytes] = []
        self.has_ended = False
        self._service = service
        self._run_id = run_id
        self._random = Random(seed)

    async def stays(self) -> None:
        """Reads in one stream."""
        position = 0
        async for message in self._service.runs.WatchRun(self._from(position)):
            position = self._take(message.events.events, position)

    async def comes_and_goes(self) -> None:
        """Leaves again and again, and comes back at the next server, somewhat further back."""
        while not self.has_ended:
            position = self._position()
            stream = self._service.runs.WatchRun(self._from(position))
            for _ in range(self._random.randint(1, 4)):
                message = await stream.read()
                if not isinstance(message, v1.WatchRunResponse):
                    break
                position = self._take(message.events.events, position)
            stream.cancel()

    async def pages(self) -> None:
        """Reads lists, each page at the next server."""
        while not self.has_ended:
            position = self._position()
            request = v1.ListRunEventsRequest(
                run_id=self._run_id,
                after_sequence=position,
                page_size=self._random.randint(1, 10),
            )
            while True:
                page = await self._service.runs.ListRunEvents(request)
                assert len(page.events) <= request.page_size
                position = self._take(page.events, position)
                request.page_token = page.next_page_token
                if not request.page_token:
                    break

    def _from(self, position: int) -> v1.WatchRunRequest:
        return v1.WatchRunRequest(run_id=self._run_id, after_sequence=position)

    def _position(self) -> int:
        return max(0, len(self.read) - self._random.randint(0, 10))

    def _take(self, events: Iterable[v1.RunEvent], position: int) -> int:
        for event in events:
            if kind_of(event) == "content_delta":
                continue
            assert event.sequence == position + 1
            body = event.SerializeToString(deterministic=True)
            assert self.read[position : position + 1] in ([], [body])
            self.read[position:] = [body, *self.read[position + 1 :]]
            self.has_ended = self.has_ended or kind_of(event) in LAST_KINDS
            position += 1
        return position


async def decide_in_any_order(service: Served, run: v1.Run, random: Random) -> v1.Run:
    """Decides one by one, at the next server each time, until the run has ended."""
    request = v1.ListRequirementsRequest(filter=v1.RequirementFilter(run_id=run.run_id))
    while (run := await rest(service, run)).state not in ENDED:
        open_ones = (await service.requirements.ListRequirements(request)).requirements
        asked = random.choice(open_ones)
        await resolve_one(service, random.choice((confirm, reject))(asked))
    return run


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_reader_reads_the_same(database_url: str, seed: int) -> None:
    async with replicas(eventful(Ledger()), database_url) as service:
        run = await start(service)
        readers = [Reader(service, run.run_id, number) for number in range(3 * OF_EACH_KIND)]
        ways = (Reader.stays, Reader.comes_and_goes, Reader.pages)
        await asyncio.gather(
            decide_in_any_order(service, run, Random(seed)),
            *(ways[number % 3](one) for number, one in enumerate(readers)),
        )
        ended, events = await seen_everywhere(service, run)
        assert_ended_once(ended, events)
        assert len(events) > 50
        stored = [one.SerializeToString(deterministic=True) for one in events]
        assert all(one.read == stored for one in readers)
