"""What goes with every call, and over what."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from tests.clients.python import samples
from tests.clients.python.conftest import Connect
from tests.clients.python.samples import batch
from tests.clients.python.scripted import Hang, ScriptedServer

from interlock import AsyncClient, Client, UnavailableError, v1


@pytest.fixture(autouse=True)
def runs(server: ScriptedServer) -> None:
    server.answer("GetRun", lambda _: iter([v1.GetRunResponse(run=samples.run())]))


def test_metadata_and_token(server: ScriptedServer, connect: Connect) -> None:
    face = connect(metadata={"X-Team": "ops"}, token="secret")
    face.client("get_run", "run-1")
    server.script("WatchRun", batch(v1.WatchRunResponse, samples.completed(1)))
    list(face.client("watch_run", "run-1"))
    for call in server.calls:
        assert call.metadata["x-team"] == "ops"
        assert call.metadata["authorization"] == "Bearer secret"


def test_metadata_as_pairs(server: ScriptedServer, connect: Connect) -> None:
    connect(metadata=[("x-trace-bin", b"\x00\xff")]).client("get_run", "run-1")
    assert server.calls[0].metadata["x-trace-bin"] == b"\x00\xff"
    assert "authorization" not in server.calls[0].metadata


def test_large_messages(server: ScriptedServer, connect: Connect) -> None:
    text = "x" * (10 * 1024 * 1024)
    server.script("Run", v1.RunResponse(run=samples.run("COMPLETED", text)))
    assert connect().workflow("run", text).content == text
    assert len(server.requests("Run")[0].spec.input_json) == len(text) + 2


def test_a_client_serves_many_threads(server: ScriptedServer) -> None:
    with Client(server.target) as client, ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(client.get_run, ["run-1"] * 200))
    assert len(runs) == 200


async def test_a_blocking_client_inside_a_running_loop(server: ScriptedServer) -> None:
    with Client(server.target) as client:
        assert client.get_run("run-1").is_completed


async def test_an_async_client_serves_many_tasks(server: ScriptedServer) -> None:
    async with AsyncClient(server.target) as client:
        runs = await asyncio.gather(*[client.get_run("run-1") for _ in range(200)])
    assert len(runs) == 200


def test_a_server_that_is_away_for_a_while(server: ScriptedServer) -> None:
    """With the real clock and a closed port, the client is back soon after the server."""
    server.script("WatchRun", batch(v1.WatchRunResponse, samples.started()), Hang())
    server.script("WatchRun", batch(v1.WatchRunResponse, samples.completed(2)))
    with Client(server.target) as client:
        events = client.watch_run("run-1")
        assert next(events).sequence == 1
        server.stop()
        restarting = threading.Timer(1.0, server.start)
        restarting.start()
        begin = time.monotonic()
        assert next(events).sequence == 2
        assert client.get_run("run-1").is_completed
        assert 1.0 < time.monotonic() - begin < 5.0
        restarting.join()


def test_a_server_that_is_not_there() -> None:
    with Client("127.0.0.1:1", retry_timeout=0.3) as client:
        with pytest.raises(UnavailableError) as raised:
            client.get_run("run-1")
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_credentials_are_used(server: ScriptedServer, connect: Connect) -> None:
    """A server without TLS cannot be talked to with it."""
    face = connect(credentials=grpc.ssl_channel_credentials(), retry_timeout=0)
    with pytest.raises(UnavailableError):
        face.client("get_run", "run-1")
    assert server.calls == []


def test_importing_needs_nothing_but_grpc_and_protobuf() -> None:
    script = (
        "import grpc, sys, json, uuid, random\n"
        "import google.protobuf.message, google.rpc.error_details_pb2\n"
        "before = set(sys.modules)\n"
        "import interlock\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    new = set(done.stdout.decode().split()) - sys.stdlib_module_names
    assert new <= {"interlock", "google", "grpc"}
