"""Streams go on after the server was unavailable: nothing comes twice, nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.clients.python import samples
from tests.clients.python.conftest import Connect
from tests.clients.python.faces import Face, FakeTime
from tests.clients.python.samples import batch
from tests.clients.python.scripted import UNAVAILABLE, Abort, Answer, Hang, ScriptedServer

from interlock import NotFoundError, RunContentEvent, UnavailableError, v1

LOG = [
    samples.started(),
    *(
        event
        for number in range(2, 8, 2)
        for event in (
            samples.step_started(number, f"step-{number}"),
            samples.step_completed(number + 1, f"text {number}", f"step-{number}"),
        )
    ),
    samples.completed(8, "text 6"),
]
ALL = list(range(1, 9))


class LogServer:
    """Serves one run's log, and hangs up after as many events as it is told, call by call."""

    def __init__(
        self,
        server: ScriptedServer,
        cuts: list[int],
        *,
        batch_size: int = 1,
        overlap: int = 0,
        error: Abort = UNAVAILABLE,
    ) -> None:
        self._cuts = cuts
        self._batch_size = batch_size
        self._overlap = overlap
        self._error = error
        server.answer("RunStream", lambda _: self._serve(v1.RunStreamResponse, 0))
        server.answer("ContinueRunStream", lambda _: self._serve(v1.ContinueRunStreamResponse, 0))
        server.answer("WatchRun", self._watch)

    def _watch(self, request: v1.WatchRunRequest) -> Iterator[Answer]:
        yield v1.WatchRunResponse(snapshot=samples.run("RUNNING"))
        yield v1.WatchRunResponse(heartbeat=v1.Heartbeat())
        yield from self._serve(v1.WatchRunResponse, max(0, request.after_sequence - self._overlap))

    def _serve(self, kind: type[Any], after: int) -> Iterator[Answer]:
        cut = self._cuts.pop(0) if self._cuts else None
        events = LOG[after:] if cut is None else LOG[after : after + cut]
        for start in range(0, len(events), self._batch_size):
            yield batch(kind, *events[start : start + self._batch_size])
        if cut is not None:
            yield self._error


def sequences(events: Any) -> list[int]:
    return [event.sequence for event in events]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_wherever_the_stream_of_a_new_run_is_cut(
    server: ScriptedServer, face: Face, batch_size: int
) -> None:
    for first in range(len(LOG) + 1):
        for second in range(len(LOG) + 1 - first):
            LogServer(server, [first, second], batch_size=batch_size)
            assert sequences(face.workflow("run", "hi", stream=True)) == ALL, (first, second)


def test_wherever_a_watch_is_cut(server: ScriptedServer, face: Face) -> None:
    for after in range(len(LOG)):
        for cut in range(len(LOG) + 1 - after):
            LogServer(server, [cut], batch_size=2)
            watched = face.client("watch_run", "run-1", after_sequence=after)
            assert sequences(watched) == ALL[after:], (after, cut)


def test_events_that_come_again_are_dropped(server: ScriptedServer, face: Face) -> None:
    for cut in range(1, len(LOG)):
        LogServer(server, [cut], batch_size=2, overlap=2)
        assert sequences(face.workflow("run", stream=True)) == ALL


def test_a_run_starts_once_though_the_first_reply_is_lost(
    server: ScriptedServer, face: Face
) -> None:
    LogServer(server, [0, 0, 3])
    assert sequences(face.workflow("run", "hi", stream=True)) == ALL
    requests = server.requests("RunStream")
    assert len(requests) == 3
    assert len({request.request_id for request in requests}) == 1
    assert requests[0].request_id
    assert requests[0] == requests[1] == requests[2]
    (watch,) = server.requests("WatchRun")
    assert watch == v1.WatchRunRequest(run_id="run-1", after_sequence=3, end_on_pause=True)


def test_a_run_is_continued_once_though_the_first_reply_is_lost(
    server: ScriptedServer, face: Face
) -> None:
    LogServer(server, [0, 3])
    assert sequences(face.workflow("continue_run", "run-1", stream=True)) == ALL
    first, second = server.requests("ContinueRunStream")
    assert first == second
    assert first.request_id
    (watch,) = server.requests("WatchRun")
    assert watch == v1.WatchRunRequest(run_id="run-1", after_sequence=3, end_on_pause=True)


def test_a_stream_of_a_leg_ends_at_the_pause_though_its_end_is_lost(
    server: ScriptedServer, face: Face
) -> None:
    server.script(
        "RunStream",
        batch(v1.RunStreamResponse, samples.started(), samples.workflow_paused(2)),
        UNAVAILABLE,
    )
    assert sequences(face.workflow("run", stream=True)) == [1, 2]
    assert server.methods == ["RunStream"]


def test_a_watch_goes_on_after_a_pause(server: ScriptedServer, face: Face) -> None:
    server.script(
        "WatchRun",
        batch(v1.WatchRunResponse, samples.started(), samples.workflow_paused(2)),
        UNAVAILABLE,
    )
    server.script("WatchRun", batch(v1.WatchRunResponse, samples.completed(3)), UNAVAILABLE)
    assert sequences(face.client("watch_run", "run-1")) == [1, 2, 3]
    assert [one.after_sequence for one in server.requests("WatchRun")] == [0, 2]


def test_waits_grow_and_are_jittered(server: ScriptedServer, face: Face, time: FakeTime) -> None:
    LogServer(server, [0, 0, 0, 0])
    assert sequences(face.workflow("run", stream=True)) == ALL
    assert time.sleeps == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_the_servers_delay_is_honoured(server: ScriptedServer, face: Face, time: FakeTime) -> None:
    shutdown = Abort(grpc.StatusCode.UNAVAILABLE, reason="SERVER_SHUTDOWN", retry_delay=2.5)
    LogServer(server, [2, 2], error=shutdown)
    assert sequences(face.workflow("run", stream=True)) == ALL
    assert time.sleeps == pytest.approx([2.6, 2.6])


def test_progress_ends_the_outage(server: ScriptedServer, connect: Connect) -> None:
    """The limit is for one outage: a stream may outlive many."""
    LogServer(server, [1] * 7)
    face = connect(retry_timeout=0.15)
    assert sequences(face.workflow("run", stream=True)) == ALL


def test_gives_up(server: ScriptedServer, connect: Connect, time: FakeTime) -> None:
    """A server that opens the stream and hangs up again is as good as none."""
    replies: list[Answer] = [v1.WatchRunResponse(snapshot=samples.run("RUNNING")), UNAVAILABLE]
    server.answer("WatchRun", lambda _: replies)
    events = connect(retry_timeout=5.0).client("watch_run", "run-1")
    with pytest.raises(UnavailableError):
        list(events)
    assert 3 < sum(time.sleeps) <= 5.0


def test_other_errors_end_the_stream(server: ScriptedServer, face: Face, time: FakeTime) -> None:
    LogServer(server, [2], error=Abort(grpc.StatusCode.NOT_FOUND, reason="RUN_NOT_FOUND"))
    events = face.workflow("run", stream=True)
    assert [next(events).sequence, next(events).sequence] == [1, 2]
    with pytest.raises(NotFoundError):
        next(events)
    with pytest.raises(StopIteration):
        next(events)
    assert time.sleeps == []


def test_goes_on_with_a_server_that_was_restarted(server: ScriptedServer, face: Face) -> None:
    """The real thing: the connection is cut, the port is closed, a new server comes."""
    server.script("RunStream", batch(v1.RunStreamResponse, *LOG[:3]), Hang())
    server.script("WatchRun", batch(v1.WatchRunResponse, *LOG[3:]))
    events = face.workflow("run", stream=True)
    received = [next(events), next(events), next(events)]
    server.stop()
    server.start()
    received += events
    assert sequences(received) == ALL


def test_leaving_the_loop_cancels_the_call(server: ScriptedServer, face: Face) -> None:
    server.script("RunStream", batch(v1.RunStreamResponse, *LOG[:3]), Hang())
    assert face.leave_early("run", stream=True).sequence == 1
    assert server.calls[0].cancelled.wait(5)


def test_pieces_of_text_are_neither_repeated_nor_late(server: ScriptedServer, face: Face) -> None:
    server.script(
        "RunStream",
        batch(
            v1.RunStreamResponse,
            samples.started(),
            samples.step_started(2, "a"),
            samples.step_started(3, "b"),
            samples.delta(3, 1, "one ", "a"),
            samples.delta(3, 1, "uno ", "b"),
            samples.delta(3, 2, "two", "a"),
        ),
        UNAVAILABLE,
    )
    server.script(
        "WatchRun",
        batch(
            v1.WatchRunResponse,
            samples.delta(3, 2, "two", "a"),
            samples.delta(3, 3, " three", "a"),
            samples.step_completed(4, "one two three", "a"),
            samples.delta(3, 4, " late", "a"),
            samples.step_completed(5, "uno due", "b"),
            samples.completed(6, "uno due"),
        ),
    )
    events = list(face.workflow("run", stream=True))
    pieces = [event.content for event in events if isinstance(event, RunContentEvent)]
    assert pieces == ["one ", "uno ", "two", " three"]
    stored = [event for event in events if not isinstance(event, RunContentEvent)]
    assert sequences(stored) == [1, 2, 3, 4, 5, 6]
    assert [event.content for event in stored[3:]] == [None, "due", None]
    assert [event.output for event in stored[3:]] == ["one two three", "uno due", "uno due"]
