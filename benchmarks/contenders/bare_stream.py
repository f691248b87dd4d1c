"""The floor of streams: a server that sends every watcher the same messages, from memory."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from benchmarks import messages
from benchmarks.contenders.serving import serve
from interlock import v1
from interlock.v1 import run_service_pb2_grpc

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class BareStream(run_service_pb2_grpc.RunServiceServicer):
    """Shows a run of which it knows nothing but the messages."""

    def __init__(self, live: list[v1.WatchRunResponse], stored: list[v1.WatchRunResponse]) -> None:
        self._live = live
        self._stored = stored
        self._is_due = asyncio.Event()

    async def Run(self, request: v1.RunRequest, context: Context) -> v1.RunResponse:
        run = v1.Run(run_id="bare", state=v1.RUN_STATE_PAUSED, last_sequence=1)
        return v1.RunResponse(run=run)

    async def ContinueRun(
        self, request: v1.ContinueRunRequest, context: Context
    ) -> v1.ContinueRunResponse:
        self._is_due.set()
        self._is_due = asyncio.Event()
        return v1.ContinueRunResponse()

    async def WatchRun(
        self, request: v1.WatchRunRequest, context: Context
    ) -> AsyncIterator[v1.WatchRunResponse]:
        if request.after_sequence == 0:
            for message in self._stored:
                yield message
            return
        is_due = self._is_due
        yield v1.WatchRunResponse(snapshot=v1.Run(run_id=request.run_id))
        await is_due.wait()
        for message in self._live:
            yield message


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("live", type=Path)
    parser.add_argument("stored", type=Path)
    arguments = parser.parse_args()
    live, stored = messages.read(arguments.live), messages.read(arguments.stored)
    asyncio.run(serve(BareStream(live, stored)))  # type: ignore[abstract]
