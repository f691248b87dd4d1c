"""Fixtures: a scripted server, a clock, and each test run with both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.clients.python.faces import AsyncFace, BlockingFace, Face, FakeTime
from tests.clients.python.scripted import ScriptedServer

Connect = Callable[..., Face]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture(params=[BlockingFace, AsyncFace], ids=["blocking", "async"])
def connect(
    request: pytest.FixtureRequest, server: ScriptedServer, time: FakeTime
) -> Iterator[Connect]:
    """Makes clients of the scripted server."""
    faces: list[Face] = []

    def make(**options: Any) -> Face:
        face: Face = request.param(server.target, time, **options)
        faces.append(face)
        return face

    yield make
    for face in faces:
        face.close()


@pytest.fixture
def face(connect: Connect) -> Face:
    return connect()
