"""A client who opens the inbox: its first page, and the one after it."""

from __future__ import annotations

import argparse
import asyncio

import grpc

from benchmarks import lanes
from benchmarks.calls import OPTIONS
from interlock import v1
from interlock.v1.requirement_service_pb2_grpc import RequirementServiceStub

PAGE_SIZE = 50


async def main(target: str) -> None:
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        requirements = RequirementServiceStub(channel)

        async def cycle() -> None:
            token = ""
            for _ in range(2):
                request = v1.ListRequirementsRequest(page_size=PAGE_SIZE, page_token=token)
                page = await requirements.ListRequirements(request)
                assert len(page.requirements) == PAGE_SIZE, len(page.requirements)
                token = page.next_page_token

        await lanes.obey(lanes.driver(cycle))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    asyncio.run(main(parser.parse_args().target))
