"""How a contender is served that speaks the contract and is not Interlock."""

from __future__ import annotations

import grpc

from benchmarks import lanes
from interlock.v1.run_service_pb2_grpc import (
    RunServiceServicer,
    add_RunServiceServicer_to_server,
)


async def serve(runs: RunServiceServicer) -> None:
    """Serves on a free port until standard input ends."""
    server = grpc.aio.server()
    add_RunServiceServicer_to_server(runs, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await lanes.obey({}, target=f"127.0.0.1:{port}")
    await server.stop(None)
