"""Watchers of runs: many streams at once, which count the events that they are shown."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration

from benchmarks import lanes, messages
from benchmarks.calls import OPTIONS
from interlock import v1
from interlock.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Stream: TypeAlias = AsyncIterator[v1.WatchRunResponse]

_SIGN_OF_LIFE = Duration(seconds=5)
"""After this much silence a watcher surely waits."""

_AT_ONCE = 50
"""Streams to open at once: gRPC drops a call that a busy server does not take up in 30 seconds."""


class Watchers:
    """Streams that are open."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._runs = RunServiceStub(channel)
        self._waiting: list[Stream] = []

    async def open(self, runs: list[str], each: int, after: int) -> dict[str, Any]:
        """Opens so many streams of each run, and comes back when all have begun."""
        options = v1.StreamOptions(heartbeat_interval=_SIGN_OF_LIFE)
        named = [run for run in runs for _ in range(each)]
        for stream, _ in await self._opened(named, after, options):
            self._waiting.append(stream)
        return {"open": len(self._waiting)}

    async def rest(self) -> dict[str, Any]:
        """Comes back when nothing has happened in any stream for a while."""
        await asyncio.gather(*map(_come_to_rest, self._waiting))
        return {"resting": len(self._waiting)}

    async def follow(self, record: str) -> dict[str, Any]:
        """Reads the streams that wait to their ends."""
        begin = time.monotonic()
        streams, self._waiting = self._waiting, []
        return await _followed(streams, [], begin, Path(record))

    async def replay(self, run: str, watchers: int, record: str) -> dict[str, Any]:
        """Reads a run that has ended in so many streams, from its first event."""
        begin = time.monotonic()
        opened = await self._opened([run] * watchers, 0, v1.StreamOptions())
        streams, shown = [stream for stream, _ in opened], [opened[0][1]]
        return await _followed(streams, shown, begin, Path(record))

    async def _opened(
        self, runs: list[str], after: int, options: v1.StreamOptions
    ) -> list[tuple[Stream, v1.WatchRunResponse]]:
        """Streams that have begun, each with its first message: how its run stands."""
        opened: list[tuple[Stream, v1.WatchRunResponse]] = []
        for first in range(0, len(runs), _AT_ONCE):
            more = [self._stream(run, after, options) for run in runs[first : first + _AT_ONCE]]
            opened += zip(more, await asyncio.gather(*map(anext, more)), strict=True)
        return opened

    def _stream(self, run: str, after: int, options: v1.StreamOptions) -> Stream:
        request = v1.WatchRunRequest(run_id=run, after_sequence=after, stream_options=options)
        return aiter(self._runs.WatchRun(request))


async def _come_to_rest(stream: Stream) -> None:
    async for response in stream:
        if response.HasField("heartbeat"):
            return
    raise AssertionError("the stream has ended")


async def _followed(
    streams: list[Stream], seen: list[v1.WatchRunResponse], begin: float, record: Path
) -> dict[str, Any]:
    """Counts the events of streams; the messages of the first one are written to a file.

    Args:
        seen: what the first one has shown before.
    """
    before = len(seen)

    async def counted(stream: Stream) -> int:
        count = 0
        async for response in stream:
            count += len(response.events.events)
            if stream is streams[0]:
                seen.append(response)
        return count

    counts = await asyncio.gather(*map(counted, streams))
    end = time.monotonic()
    assert len(set(counts)) == 1, "all see the same events"
    messages.write(record, seen)
    count = len(seen) - before
    return {"events": sum(counts), "messages": count, "seconds": end - begin, "end": end}


async def main(target: str) -> None:
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        watchers = Watchers(channel)
        orders: lanes.Orders = {
            "open": watchers.open,
            "rest": watchers.rest,
            "follow": watchers.follow,
            "replay": watchers.replay,
        }
        await lanes.obey(orders)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    asyncio.run(main(parser.parse_args().target))
