"""Calls with one reply: retries, deadlines, and waiting in slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.clients.python import samples
from tests.clients.python.conftest import Connect
from tests.clients.python.faces import Face, FakeTime
from tests.clients.python.scripted import UNAVAILABLE, Abort, Answer, Hang, ScriptedServer

from interlock import ConflictError, DeadlineExceededError, UnavailableError, v1

RUNNING = samples.run("RUNNING")
DONE = samples.run("COMPLETED", "hello")

MUTATIONS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("Run", ("workflow", "run", "hi"), v1.RunResponse(run=DONE)),
    ("ContinueRun", ("client", "continue_run", "run-1"), v1.ContinueRunResponse(run=DONE)),
    ("CancelRun", ("client", "cancel_run", "run-1"), v1.CancelRunResponse(run=DONE)),
]


@pytest.mark.parametrize(("method", "call", "reply"), MUTATIONS, ids=[one[0] for one in MUTATIONS])
def test_retried_with_the_same_request_id(
    server: ScriptedServer, face: Face, time: FakeTime, method: str, call: Any, reply: Any
) -> None:
    server.script(method, UNAVAILABLE)
    server.script(method, Abort(grpc.StatusCode.UNAVAILABLE, retry_delay=1.5))
    server.script(method, reply)
    where, name, *args = call
    assert getattr(face, where)(name, *args).is_completed
    first, second, third = server.requests(method)
    assert first == second == third
    assert len(first.request_id) == 36
    assert time.sleeps == pytest.approx([0.1, 1.7])


def test_every_call_has_a_request_id_of_its_own(server: ScriptedServer, face: Face) -> None:
    server.answer("Run", lambda _: iter([v1.RunResponse(run=DONE)]))
    face.workflow("run")
    face.workflow("run")
    face.workflow("run", request_id="mine")
    ids = [request.request_id for request in server.requests("Run")]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


def test_gives_up_retrying(server: ScriptedServer, connect: Connect, time: FakeTime) -> None:
    server.answer("GetRun", lambda _: iter([UNAVAILABLE]))
    with pytest.raises(UnavailableError) as raised:
        connect(retry_timeout=5.0).client("get_run", "run-1")
    assert isinstance(raised.value.__cause__, grpc.RpcError)
    assert 3 < sum(time.sleeps) <= 5.0


def test_does_not_retry_beyond_the_deadline(
    server: ScriptedServer, connect: Connect, time: FakeTime
) -> None:
    server.answer("GetRun", lambda _: iter([UNAVAILABLE]))
    with pytest.raises(UnavailableError):
        connect(timeout=2.0).client("get_run", "run-1")
    assert sum(time.sleeps) < 2.0
    remaining = [call.time_remaining or 0 for call in server.calls]
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[0] < 2.1


def test_retrying_can_be_switched_off(server: ScriptedServer, connect: Connect) -> None:
    server.script("GetRun", UNAVAILABLE)
    with pytest.raises(UnavailableError):
        connect(retry_timeout=0).client("get_run", "run-1")
    assert server.methods == ["GetRun"]


@pytest.mark.parametrize(
    ("method", "call", "reply"),
    [
        (
            "UpdateSession",
            ("update_session", "session-1", {"a": 1}),
            v1.UpdateSessionResponse(session=v1.Session(state_json="{}")),
        ),
        ("DeleteSession", ("delete_session", "session-1"), v1.DeleteSessionResponse()),
    ],
)
def test_a_change_of_a_session_is_retried_under_its_request_id(
    server: ScriptedServer, face: Face, method: str, call: Any, reply: Any
) -> None:
    server.script(method, UNAVAILABLE)
    server.script(method, reply)
    face.client(*call)
    first, second = server.requests(method)
    assert first == second
    assert first.request_id


def test_only_unavailable_is_retried(server: ScriptedServer, face: Face) -> None:
    server.script("Run", Abort(grpc.StatusCode.ABORTED))
    with pytest.raises(ConflictError):
        face.workflow("run")
    assert server.methods == ["Run"]


def test_deadline(server: ScriptedServer, connect: Connect) -> None:
    server.script("GetRun", Hang())
    with pytest.raises(DeadlineExceededError):
        connect(timeout=0.1).client("get_run", "run-1")
    assert server.calls[0].cancelled.wait(5)


def test_no_deadline_unless_asked_for(server: ScriptedServer, face: Face) -> None:
    server.script("GetRun", v1.GetRunResponse(run=DONE))
    face.client("get_run", "run-1")
    assert (server.calls[0].time_remaining or 1e9) > 1e6


def test_waits_in_slices(server: ScriptedServer, connect: Connect) -> None:
    server.script("Run", v1.RunResponse(run=RUNNING))
    server.script("WaitRun", v1.WaitRunResponse(run=RUNNING))
    server.script("WaitRun", UNAVAILABLE)
    server.script("WaitRun", v1.WaitRunResponse(run=DONE))
    assert connect(timeout=5.0).workflow("run", "hi").content == "hello"
    assert server.methods == ["Run", "WaitRun", "WaitRun", "WaitRun"]
    assert [call.request.wait_timeout.seconds for call in server.calls] == [30, 30, 30, 30]
    assert all(34 < (call.time_remaining or 0) < 36 for call in server.calls)


@pytest.mark.parametrize("state", ["PAUSED", "COMPLETED", "FAILED", "CANCELLED"])
def test_every_state_in_which_a_run_rests_ends_the_wait(
    server: ScriptedServer, face: Face, state: str
) -> None:
    server.script("ContinueRun", v1.ContinueRunResponse(run=samples.run("RUNNING")))
    server.script("WaitRun", v1.WaitRunResponse(run=samples.run("PENDING")))
    server.script("WaitRun", v1.WaitRunResponse(run=samples.run(state)))
    assert face.workflow("continue_run", "run-1").status == state


def test_wait_timeout_gives_the_state_that_was_reached(
    server: ScriptedServer, face: Face, time: FakeTime
) -> None:
    def waiting(request: Any) -> Iterator[Answer]:
        time.now += request.wait_timeout.ToNanoseconds() / 1e9
        yield v1.WaitRunResponse(run=RUNNING)

    server.answer("WaitRun", waiting)
    assert face.client("wait_run", "run-1", wait_timeout=70.5).status == "RUNNING"
    slices = [one.wait_timeout.ToNanoseconds() / 1e9 for one in server.requests("WaitRun")]
    assert slices == [30, 30, 10.5]


def test_wait_timeout_of_zero_returns_at_once(server: ScriptedServer, face: Face) -> None:
    server.script("Run", v1.RunResponse(run=samples.run("PENDING")))
    assert face.workflow("run", wait_timeout=0).status == "PENDING"
    (request,) = server.requests("Run")
    assert request.HasField("wait_timeout")
    assert request.wait_timeout.ToNanoseconds() == 0


def test_a_wait_cannot_be_negative(face: Face) -> None:
    with pytest.raises(ValueError, match="negative"):
        face.workflow("run", wait_timeout=-1)


def test_a_stream_takes_no_wait_timeout(face: Face) -> None:
    with pytest.raises(ValueError, match="wait_timeout"):
        face.workflow("run", stream=True, wait_timeout=1)
    with pytest.raises(ValueError, match="wait_timeout"):
        face.client("continue_run", "run-1", stream=True, wait_timeout=1)
