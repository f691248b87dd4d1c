"""Streams: a snapshot, then every event once and in order, from wherever one begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.support.service import (
    Served,
    confirm,
    open_requirements,
    refusal,
    reject,
    served,
)
from tests.support.workbench import (
    Ledger,
    Point,
    agent,
    agent_app,
    app_of,
    events_of,
    get,
    is_dense,
    kind_of,
    kinds,
    only,
    refused,
    resolve_one,
    responses,
    rest,
    start,
)

from interlock import v1
from interlock_server import Interlock, Step, Steps, call
from interlock_server.service.server import Server


def interval(seconds: float) -> Duration:
    span = Duration()
    span.FromNanoseconds(int(seconds * 1e9))
    return span


def eventful(ledger: Ledger) -> Interlock:
    """Steps, a group, and an agent that is asked about twice."""
    turns = [call("act", what="a"), call("look", what="b"), call("act", what="c"), "all done"]
    return app_of(
        Step(name="first", executor=lambda given: "first"),
        Steps(name="group", steps=[agent(turns, ledger.gated(), ledger.free())]),
        Step(name="last", executor=lambda given: "last"),
    )


def watch(service: Served, run: v1.Run, after: int = 0, **more: Any) -> Any:
    more.setdefault("stream_options", v1.StreamOptions(heartbeat_interval=interval(0.2)))
    request = v1.WatchRunRequest(run_id=run.run_id, after_sequence=after, **more)
    return service.runs.WatchRun(request)


def stored(events: list[v1.RunEvent]) -> list[v1.RunEvent]:
    return [one for one in events if kind_of(one) != "content_delta"]


# WatchRun.


async def test_from_every_position_the_same_events_follow(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        run = await service.run("Work")
        while run.state == v1.RUN_STATE_PAUSED:
            run = await service.resolve(run, confirm(only(run)))
        events = await service.events(run)
        assert is_dense(events)
        assert events[0].sequence == 1
        assert len(events) == run.last_sequence > 20
        for after in range(run.last_sequence + 1):
            snapshot, *messages = await responses(watch(service, run, after, stream_options=None))
            assert snapshot.snapshot == run
            assert [one for each in messages for one in each.events.events] == events[after:]


async def test_the_snapshot_of_a_paused_run_says_what_it_waits_for(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        paused = await service.run("Work")
        messages = await responses(watch(service, paused, paused.last_sequence, end_on_pause=True))
        assert [one.snapshot for one in messages] == [paused]


async def test_a_watcher_sees_a_run_through_its_pauses(database_url: str) -> None:
    """One stream from the first event to the last, whoever continues the run and where."""
    ledger = Ledger()
    async with (
        served(eventful(ledger), database_url) as service,
        served(eventful(ledger), database_url) as other,
    ):
        run = await service.run("Work")
        watching = [asyncio.create_task(events_of(watch(where, run))) for where in (service, other)]
        run = await other.resolve(run, confirm(only(run)))
        run = await service.resolve(run, reject(only(run)))
        seen = await asyncio.gather(*watching)
        events = await service.events(run)
        assert [stored(one) for one in seen] == [events, events]
        assert kinds(events)[-1] == "workflow_completed"
        assert kinds(events).count("workflow_paused") == 2


async def test_a_stream_that_shall_end_at_a_pause_does(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        run = await service.run("Work")
        events = await events_of(watch(service, run, end_on_pause=True))
        assert kinds(events)[-1] == "workflow_paused"
        run = await service.resolve(run, confirm(only(run)))
        rest_of_it = await events_of(watch(service, run, len(events), end_on_pause=True))
        assert kinds(rest_of_it)[-1] == "workflow_paused"
        assert is_dense([*events, *rest_of_it])


async def test_who_comes_in_the_middle_misses_nothing(database_url: str) -> None:
    point = Point()
    app = app_of(
        Step(name="first", executor=lambda given: "first"),
        Step(name="hold", executor=point.step),
        Step(name="last", executor=lambda given: "last"),
    )
    async with served(app, database_url) as service:
        run = await start(service)
        await point.entered.wait()
        stream = aiter(watch(service, run))
        snapshot = await anext(stream)
        assert snapshot.snapshot.state == v1.RUN_STATE_RUNNING
        point.released.set()
        seen = await events_of(stream)
        assert seen == await service.events(run)


async def test_the_stream_of_a_run_begins_with_its_first_event(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work", input_json='"go"')
        events = await events_of(service.runs.RunStream(v1.RunStreamRequest(spec=spec)))
        assert kinds(events)[0] == "workflow_started"
        assert events[0].workflow_started.input_json == '"go"'
        assert kinds(events)[-1] == "workflow_paused"
        assert stored(events) == await service.events(await get(service, events[0].run_id))


async def test_the_stream_of_a_continue_begins_with_the_decision(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        run = await service.run("Work")
        request = v1.ContinueRunStreamRequest(run_id=run.run_id, resolutions=[confirm(only(run))])
        events = stored(await events_of(service.runs.ContinueRunStream(request)))
        assert events == (await service.events(run))[run.last_sequence :]
        assert kinds(events)[:3] == [
            "requirement_resolved",
            "workflow_continued",
            "step_executor_continued",
        ]


# Live text.


async def test_live_text_is_shown_and_not_stored(database_url: str) -> None:
    app = agent_app(["Tell me what to do."])
    async with served(app, database_url) as service:
        spec = v1.RunSpec(workflow_id="Work")
        events = await events_of(service.runs.RunStream(v1.RunStreamRequest(spec=spec)))
        deltas = [one for one in events if kind_of(one) == "content_delta"]
        assert "".join(one.content_delta.text for one in deltas) == "Tell me what to do."
        assert [one.content_delta.index for one in deltas] == list(range(1, len(deltas) + 1))
        # Each carries the number of the stored event before it.
        newest = 0
        for one in events:
            if kind_of(one) == "content_delta":
                assert one.sequence == newest
                assert one.step.name == "work"
            else:
                newest = one.sequence
        run = await get(service, events[0].run_id)
        assert await service.events(run) == stored(events)
        assert await events_of(watch(service, run)) == stored(events)


async def test_live_text_is_left_out_on_demand(database_url: str) -> None:
    async with served(agent_app(["Tell me."]), database_url) as service:
        request = v1.RunStreamRequest(
            spec=v1.RunSpec(workflow_id="Work"),
            stream_options=v1.StreamOptions(omit_content_deltas=True),
        )
        events = await events_of(service.runs.RunStream(request))
        assert "content_delta" not in kinds(events)
        assert kinds(events)[-1] == "workflow_completed"


# Signs of life.


async def test_a_silent_stream_shows_signs_of_life(database_url: str) -> None:
    point = Point()
    async with served(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        run = await start(service)
        await point.entered.wait()
        options = v1.StreamOptions(heartbeat_interval=interval(0.1))
        stream = aiter(watch(service, run, stream_options=options))
        sent = 0
        beats = 0
        while beats < 3:
            message = await anext(stream)
            if message.HasField("heartbeat"):
                beats += 1
                assert message.heartbeat.sequence == sent
                assert message.heartbeat.HasField("send_time")
            elif message.HasField("events"):
                sent = message.events.events[-1].sequence
        point.released.set()
        events = await events_of(stream)
        assert events[0].sequence == sent + 1
        assert kinds(events)[-1] == "workflow_completed"


async def test_a_paused_run_keeps_its_watcher_with_signs_of_life(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        paused = await service.run("Work")
        options = v1.StreamOptions(heartbeat_interval=interval(0.1))
        stream = watch(service, paused, paused.last_sequence, stream_options=options)
        assert (await stream.read()).HasField("snapshot")
        for _ in range(2):
            assert (await stream.read()).heartbeat.sequence == paused.last_sequence
        stream.cancel()


async def test_the_inbox_shows_signs_of_life_however_busy_others_are(database_url: str) -> None:
    """Other runs wake its watcher all the time; that is no reason to be silent."""
    async with served(agent_app(["done"]), database_url, servers=1) as service:

        async def others() -> None:
            while True:
                service.runtime.hub.moved("somebody else's run")
                await asyncio.sleep(0.02)

        busy = asyncio.create_task(others())
        request = v1.WatchRequirementsRequest(heartbeat_interval=interval(0.2))
        stream = service.requirements.WatchRequirements(request)
        async with asyncio.timeout(10):
            for _ in range(2):
                beat = await stream.read()
                assert isinstance(beat, v1.WatchRequirementsResponse)
                assert beat.HasField("heartbeat")
        stream.cancel()
        busy.cancel()


# How many.


async def test_there_are_only_so_many_streams(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        server = Server(service.runtime, watchers_max=1)
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            narrow = Served("", service.runtime, server, channel)
            paused = await narrow.run("Work")
            first = aiter(watch(narrow, paused, paused.last_sequence))
            assert (await anext(first)).HasField("snapshot")
            assert (await anext(first)).HasField("heartbeat")
            inbox = narrow.requirements.WatchRequirements(v1.WatchRequirementsRequest())
            problem = await refused(responses(inbox))
            assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert problem.reason == "RUN_LIMIT_EXCEEDED"
            assert problem.metadata == {"limit": "1"}
            assert "RetryInfo" in problem.details
            # Whoever leaves makes room; and the first was not disturbed.
            ended = await narrow.resolve(paused, reject(only(paused)))
            ended = await narrow.resolve(ended, reject(only(ended)))
            events = stored(await events_of(first))
            assert kinds(events)[-1] == "workflow_completed"
            assert len(await events_of(watch(narrow, ended))) == ended.last_sequence
        await server.stop(0)


# Leaving.


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_run_goes_on_without_whoever_started_it(database_url: str, streams: bool) -> None:
    """A disconnect cancels nothing (INV-2)."""
    point = Point()
    async with served(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work", labels={"mine": "yes"})
        pending: Any = (
            service.runs.RunStream(v1.RunStreamRequest(spec=spec))
            if streams
            else service.runs.Run(v1.RunRequest(spec=spec))
        )
        if streams:
            await pending.read()
        await point.entered.wait()
        pending.cancel()
        listed = await service.runs.ListRuns(v1.ListRunsRequest())
        [run] = listed.runs
        assert run.state == v1.RUN_STATE_RUNNING
        point.released.set()
        ended = await rest(service, run)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert point.passed == 1


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_continued_run_goes_on_without_whoever_continued_it(
    database_url: str, streams: bool
) -> None:
    point = Point()
    app = agent_app([call("hold"), "done"], point.tool(requires_confirmation=True))
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        answer = confirm(only(paused))
        pending: Any = (
            service.runs.ContinueRunStream(
                v1.ContinueRunStreamRequest(run_id=paused.run_id, resolutions=[answer])
            )
            if streams
            else service.runs.ContinueRun(
                v1.ContinueRunRequest(run_id=paused.run_id, resolutions=[answer])
            )
        )
        if streams:
            await pending.read()
        await point.entered.wait()
        pending.cancel()
        point.released.set()
        ended = await rest(service, paused)
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert point.passed == 1


async def test_a_deadline_ends_the_call_and_not_the_run(database_url: str) -> None:
    point = Point()
    async with served(app_of(Step(name="hold", executor=point.step)), database_url) as service:
        request = v1.RunRequest(spec=v1.RunSpec(workflow_id="Work"), request_id="r")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.runs.Run(request, timeout=1.0)
        assert refusal(caught.value).code is grpc.StatusCode.DEADLINE_EXCEEDED
        point.released.set()
        assert (await service.runs.Run(request)).run.state == v1.RUN_STATE_COMPLETED


async def test_a_reader_that_leaves_at_the_pause_leaves_the_run_paused(database_url: str) -> None:
    """The stream was dropped at the very event, and the run was trapped for ever (INV-2)."""
    ledger = Ledger()
    async with served(eventful(ledger), database_url) as service:
        spec = v1.RunSpec(workflow_id="Work")
        stream = service.runs.RunStream(v1.RunStreamRequest(spec=spec))
        async for message in stream:
            if "step_executor_paused" in kinds(message.events.events):
                break
        stream.cancel()
        [run] = (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        run = await rest(service, run)
        assert run.state == v1.RUN_STATE_PAUSED
        run = await service.resolve(run, confirm(only(run)))
        run = await service.resolve(run, confirm(only(run)))
    assert run.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["a", "b", "c"]


# WatchRequirements.


async def changes(stream: Any) -> AsyncIterator[v1.WatchRequirementsResponse]:
    async for message in stream:
        if message.HasField("requirement"):
            yield message


async def until(stream: Any, requirement_id: str, state: int) -> v1.WatchRequirementsResponse:
    """Reads until a requirement is shown in a state."""
    async with asyncio.timeout(10):
        async for message in changes(stream):
            shown: v1.WatchRequirementsResponse = message
            requirement = shown.requirement
            if (requirement.requirement_id, requirement.state) == (requirement_id, state):
                return shown
    raise AssertionError("the stream ended")


async def test_the_inbox_begins_with_what_is_pending_and_shows_changes(database_url: str) -> None:
    ledger = Ledger()
    turn = [call("act", what="a"), call("act", what="b")]
    async with served(agent_app([turn, "done"], ledger.gated()), database_url) as service:
        first = await service.run("Work")
        second = await service.run("Work")
        waiting = [*open_requirements(first), *open_requirements(second)]
        call_ = service.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        stream = aiter(call_)
        shown = [(await anext(stream)).requirement for _ in waiting]
        assert sorted(one.requirement_id for one in shown) == sorted(
            one.requirement_id for one in waiting
        )
        assert {one.state for one in shown} == {v1.REQUIREMENT_STATE_PENDING}
        # One is answered, and the rest of its run is cancelled; another run begins to wait.
        await resolve_one(service, confirm(waiting[0], "fine"))
        message = await until(stream, waiting[0].requirement_id, v1.REQUIREMENT_STATE_RESOLVED)
        assert message.requirement.resolution == confirm(waiting[0], "fine")
        await service.runs.CancelRun(v1.CancelRunRequest(run_id=first.run_id))
        await until(stream, waiting[1].requirement_id, v1.REQUIREMENT_STATE_CANCELLED)
        third = open_requirements(await service.run("Work"))[0]
        await until(stream, third.requirement_id, v1.REQUIREMENT_STATE_PENDING)
        call_.cancel()


async def test_the_inbox_resumes_where_it_was_left(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        run = await service.run("Work")
        asked = only(run)
        stream = service.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        message = await until(stream, asked.requirement_id, v1.REQUIREMENT_STATE_PENDING)
        stream.cancel()
        # What happens while nobody watches ...
        run = await service.resolve(run, confirm(asked))
        later = only(run)
        # ... is shown to whoever comes back, on whichever server.
        async with served(eventful(Ledger()), database_url) as other:
            request = v1.WatchRequirementsRequest(resume_token=message.resume_token)
            stream = other.requirements.WatchRequirements(request)
            await until(stream, asked.requirement_id, v1.REQUIREMENT_STATE_RESOLVED)
            await until(stream, later.requirement_id, v1.REQUIREMENT_STATE_PENDING)
            stream.cancel()


async def test_the_inbox_shows_what_another_server_asks(database_url: str) -> None:
    async with (
        served(eventful(Ledger()), database_url) as service,
        served(eventful(Ledger()), database_url) as other,
    ):
        stream = other.requirements.WatchRequirements(v1.WatchRequirementsRequest())
        asked = only(await service.run("Work"))
        await until(stream, asked.requirement_id, v1.REQUIREMENT_STATE_PENDING)
        stream.cancel()


async def test_the_inbox_shows_what_was_selected(database_url: str) -> None:
    async with served(eventful(Ledger()), database_url) as service:
        wanted = v1.RequirementFilter(session_id="mine", states=[v1.REQUIREMENT_STATE_PENDING])
        request = v1.WatchRequirementsRequest(filter=wanted, heartbeat_interval=interval(0.1))
        await service.run("Work", session_id="theirs")
        stream = service.requirements.WatchRequirements(request)
        mine = only(await service.run("Work", session_id="mine"))
        other = await service.run("Work", session_id="theirs")
        await service.resolve(other, reject(only(other)))
        await resolve_one(service, reject(mine))
        seen: list[str] = []
        beats = 0
        async for message in stream:
            if message.HasField("requirement"):
                assert message.requirement.session_id == "mine"
                assert message.requirement.state == v1.REQUIREMENT_STATE_PENDING
                seen.append(message.requirement.requirement_id)
            beats += message.HasField("heartbeat") and len(set(seen)) == 2
            if beats == 2:
                break
        stream.cancel()
        # The first was answered before anybody had to be shown it, or not; the next one waits.
        assert seen[-1] != mine.requirement_id
