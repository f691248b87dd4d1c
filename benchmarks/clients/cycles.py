"""The client of everybody who speaks the contract: unary calls with the generated stubs."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc

from benchmarks import lanes
from benchmarks.calls import OPTIONS, confirm_request, run_request
from benchmarks.contenders import case
from interlock.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from interlock.v1.run_service_pb2_grpc import RunServiceAsyncStub

_OUTPUT = json.dumps(case.RECEIPT)
_CONNECTION_OF_ITS_OWN = ("grpc.use_local_subchannel_pool", 1)


async def main(target: str, workflow: str, connections: int) -> None:
    async with AsyncExitStack() as stack:
        stubs: list[RunServiceAsyncStub] = []
        for _ in range(connections):
            channel = grpc.aio.insecure_channel(target, options=(*OPTIONS, _CONNECTION_OF_ITS_OWN))
            stubs.append(RunServiceStub(await stack.enter_async_context(channel)))
        turns = itertools.cycle(stubs)

        async def cycle() -> None:
            runs = next(turns)
            paused = (await runs.Run(run_request(workflow))).run
            ended = (await runs.ContinueRun(confirm_request(paused))).run
            assert ended.output_json == _OUTPUT, ended

        await lanes.obey(lanes.driver(cycle))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--workflow", default=case.WORKFLOW)
    parser.add_argument("--connections", type=int, default=1)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.target, arguments.workflow, arguments.connections))
