"""The server: services, health, reflection and limits on one port, and an orderly end."""

from __future__ import annotations

import asyncio
import logging

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from interlock.v1 import (
    requirement_service_pb2,
    requirement_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    workflow_service_pb2,
    workflow_service_pb2_grpc,
)
from interlock_server import limits
from interlock_server.runtime.runtime import Runtime
from interlock_server.service.interceptor import ErrorInterceptor
from interlock_server.service.requirement_service import RequirementService
from interlock_server.service.run_service import RunService
from interlock_server.service.session_service import SessionService
from interlock_server.service.streams import Streams
from interlock_server.service.workflow_service import WorkflowService

_SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (run_service_pb2, "RunService"),
        (requirement_service_pb2, "RequirementService"),
        (workflow_service_pb2, "WorkflowService"),
        (session_service_pb2, "SessionService"),
    )
)
_OPTIONS = (
    ("grpc.max_receive_message_length", limits.message_bytes_max),
    ("grpc.max_send_message_length", limits.message_bytes_max),
    ("grpc.max_metadata_size", limits.metadata_bytes_max),
    # Clients may ping idle streams every ten seconds, to keep proxies from closing them.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    # A slow reader shall hold back its own stream, and not fill the server's memory.
    ("grpc.http2.bdp_probe", 0),
)


_CUT_SHARE = 0.8
"""After this much of its grace a server ends the calls that nothing else has ended."""


class Server:
    """One gRPC server over one runtime."""

    def __init__(
        self,
        runtime: Runtime,
        watchers_max: int = limits.watchers_max,
        *,
        shares_port: bool = False,
    ) -> None:
        """Makes a server that does not listen yet; `shares_port` with others on this machine."""
        self._runtime = runtime
        options = (*_OPTIONS, ("grpc.so_reuseport", int(shares_port)))
        self._health = health.aio.HealthServicer()
        self._errors = ErrorInterceptor()
        self._server = grpc.aio.server(interceptors=(self._errors,), options=options)
        streams = Streams(runtime, watchers_max)
        run_service_pb2_grpc.add_RunServiceServicer_to_server(
            RunService(runtime, streams), self._server
        )
        requirement_service_pb2_grpc.add_RequirementServiceServicer_to_server(
            RequirementService(runtime, streams), self._server
        )
        workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server(
            WorkflowService(runtime), self._server
        )
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(
            SessionService(runtime), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, address: str) -> int:
        """Listens on `host:port`, port 0 for any, and gives the port.

        Raises:
            RuntimeError: the address is in use, or not ours.
        """
        # A call that a client gave up is no news; the library logs each with a traceback.
        logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
        port = self._server.add_insecure_port(address)
        await self._server.start()
        for name in ("", *_SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self, grace: float) -> None:
        """Tells watchers to resume elsewhere, lets calls finish, and hands the runs over.

        Args:
            grace: seconds.
        """
        await self._health.enter_graceful_shutdown()
        self._runtime.close(grace)
        cutting = asyncio.get_running_loop().call_later(grace * _CUT_SHARE, self._errors.cut)
        await self._server.stop(grace)
        cutting.cancel()
        await self._runtime.stop(grace)
