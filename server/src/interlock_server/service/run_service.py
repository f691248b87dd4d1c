"""RunService: each call is decoded, handed to one verb of the runtime, and encoded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any, TypeAlias, cast

import grpc

from interlock import v1
from interlock.v1 import run_service_pb2_grpc
from interlock_server import limits
from interlock_server.errors import RunNotFound, SequenceOutOfRange
from interlock_server.runtime.desk import Decision
from interlock_server.runtime.hub import Subscription
from interlock_server.runtime.runtime import Runtime
from interlock_server.runtime.tail import Watch, settle
from interlock_server.service.pages import (
    page_size,
    position_of,
    scope_of,
    timed_page,
    timed_token,
    token_of,
)
from interlock_server.service.streams import Streams
from interlock_server.service.validation import Fields
from interlock_server.store.events import events_after
from interlock_server.store.records import Missing
from interlock_server.store.runs import run_tip, runs_list
from interlock_server.times import timestamp

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class RunService(run_service_pb2_grpc.RunServiceServicer):
    """Starts, continues, watches and cancels runs."""

    def __init__(self, runtime: Runtime, streams: Streams) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._streams = streams

    async def Run(self, request: v1.RunRequest, context: Context) -> v1.RunResponse:
        with Fields() as fields:
            run = self._new_run(fields, request.spec)
            wait = fields.seconds("wait_timeout", request, "wait_timeout")
            key = fields.request_key("Run", request.request_id, request.spec)
        with self._runtime.hub.subscribe(run.run_id, wants_rest=True) as early:
            run_id = await self._runtime.start_run(run, _version(request.spec), key)
            begun = early if run_id == run.run_id else None
            return v1.RunResponse(run=await self._settled(run_id, wait, begun))

    async def RunStream(
        self, request: v1.RunStreamRequest, context: Context
    ) -> AsyncIterator[v1.RunStreamResponse]:
        with Fields() as fields:
            run = self._new_run(fields, request.spec)
            key = fields.request_key("Run", request.request_id, request.spec)
            watch = _watch(fields, run.run_id, 0, request.stream_options)
        with self._runtime.hub.subscribe(run.run_id, wants_live=watch.wants_live) as early:
            run_id = await self._runtime.start_run(run, _version(request.spec), key)
            subscription = early if run_id == run.run_id else None
            stream = self._streams.run(v1.RunStreamResponse, watch.of(run_id), subscription)
            async for response in stream:
                yield response
                del response  # Nothing is kept while a stream waits.

    async def ContinueRun(
        self, request: v1.ContinueRunRequest, context: Context
    ) -> v1.ContinueRunResponse:
        with Fields() as fields:
            decision = _decision(fields, request)
            wait = fields.seconds("wait_timeout", request, "wait_timeout")
        with self._runtime.hub.subscribe(request.run_id, wants_rest=True) as early:
            outcome = await self._runtime.decide(decision)
            begun = early if outcome.goes_on else None
            return v1.ContinueRunResponse(
                run=await self._settled(request.run_id, wait, begun, outcome.before)
            )

    async def ContinueRunStream(
        self, request: v1.ContinueRunStreamRequest, context: Context
    ) -> AsyncIterator[v1.ContinueRunStreamResponse]:
        with Fields() as fields:
            decision = _decision(fields, request)
            watch = _watch(fields, request.run_id, 0, request.stream_options)
        with self._runtime.hub.subscribe(watch.run_id, wants_live=watch.wants_live) as early:
            outcome = await self._runtime.decide(decision)
            watch = watch.since(outcome.before)
            stream = self._streams.run(v1.ContinueRunStreamResponse, watch, early)
            async for response in stream:
                yield response
                del response  # Nothing is kept while a stream waits.

    async def WatchRun(
        self, request: v1.WatchRunRequest, context: Context
    ) -> AsyncIterator[v1.WatchRunResponse]:
        with Fields() as fields:
            fields.name("run_id", request.run_id)
            after = fields.sequence("after_sequence", request.after_sequence)
            watch = _watch(fields, request.run_id, after, request.stream_options)
            watch = watch.ending(on_pause=request.end_on_pause)
        with self._runtime.hub.subscribe(watch.run_id, wants_live=watch.wants_live) as early:
            snapshot = await self._streams.snapshot(watch.run_id)
            tip = snapshot.tip
            if after > tip.last_sequence:
                raise SequenceOutOfRange(tip.last_sequence)
            yield cast("v1.WatchRunResponse", snapshot.response)
            del snapshot
            stream = self._streams.run(v1.WatchRunResponse, watch, early, tip)
            async for response in stream:
                yield response
                del response  # Nothing is kept while a stream waits.

    async def GetRun(self, request: v1.GetRunRequest, context: Context) -> v1.GetRunResponse:
        with Fields() as fields:
            fields.name("run_id", request.run_id)
        return v1.GetRunResponse(run=await self._runtime.views.run(request.run_id))

    async def WaitRun(self, request: v1.WaitRunRequest, context: Context) -> v1.WaitRunResponse:
        with Fields() as fields:
            fields.name("run_id", request.run_id)
            wait = fields.seconds("wait_timeout", request, "wait_timeout")
        return v1.WaitRunResponse(run=await self._settled(request.run_id, wait))

    async def ListRuns(self, request: v1.ListRunsRequest, context: Context) -> v1.ListRunsResponse:
        scope = scope_of("ListRuns", request.filter)
        with Fields() as fields:
            page = timed_page(fields, request.page_size, request.page_token, scope)
            _check_filter(fields, request.filter)
        views = self._runtime.views
        missing = await views.missing() if request.filter.stuck else Missing()
        rows = await runs_list(self._database, request.filter, page, missing)
        shown, token = timed_token(
            rows, page, scope, lambda one: (one.run.create_time.ToDatetime(UTC), one.run.run_id)
        )
        return v1.ListRunsResponse(runs=await views.complete(shown), next_page_token=token)

    async def ListRunEvents(
        self, request: v1.ListRunEventsRequest, context: Context
    ) -> v1.ListRunEventsResponse:
        scope = scope_of(f"ListRunEvents:{request.run_id}")
        with Fields() as fields:
            fields.name("run_id", request.run_id)
            size = page_size(
                fields, request.page_size, limits.page_events_default, limits.page_events_max
            )
            after = fields.sequence("after_sequence", request.after_sequence)
            for part in position_of(fields, request.page_token, scope):
                after = max(after, int(part)) if part.isdecimal() else after
        tip = await run_tip(self._database, request.run_id)
        if tip is None:
            raise RunNotFound(request.run_id)
        if after > tip.last_sequence:
            raise SequenceOutOfRange(tip.last_sequence)
        events = await events_after(self._database, request.run_id, after, size)
        has_more = bool(events) and events[-1].sequence < tip.last_sequence
        token = token_of(scope, [events[-1].sequence]) if has_more else ""
        return v1.ListRunEventsResponse(events=events, next_page_token=token)

    async def CancelRun(
        self, request: v1.CancelRunRequest, context: Context
    ) -> v1.CancelRunResponse:
        with Fields() as fields:
            fields.name("run_id", request.run_id)
            fields.text("reason", request.reason, limits.note_characters_max)
            key = fields.request_key(
                "CancelRun", request.request_id, request.run_id, request.reason
            )
        await self._runtime.cancel_run(request.run_id, request.reason, "", key)
        return v1.CancelRunResponse(run=await self._runtime.views.run(request.run_id))

    def _new_run(self, fields: Fields, spec: v1.RunSpec) -> v1.Run:
        world = self._runtime.world
        if spec.HasField("workflow_version") and spec.workflow_version < 1:
            fields.refuse("spec.workflow_version", "is below 1; leave it out for the newest")
        run = v1.Run(
            run_id=world.new_id(),
            workflow_id=fields.name("spec.workflow_id", spec.workflow_id),
            session_id=fields.name("spec.session_id", spec.session_id, required=False)
            or world.new_id(),
            input_json=fields.json("spec.input_json", spec.input_json),
            labels=fields.labels("spec.labels", spec.labels),
        )
        if seconds := fields.timeout("spec.run_timeout", spec, "run_timeout"):
            run.expire_time.CopyFrom(timestamp(world.now() + timedelta(seconds=seconds)))
        return run

    async def _settled(
        self,
        run_id: str,
        seconds: float | None,
        begun: Subscription | None = None,
        after: int = 0,
    ) -> v1.Run:
        runtime, left = self._runtime, self._runtime.seconds_left
        settled = settle(self._database, runtime.hub, run_id, seconds, left, begun, after)
        return await settled or await runtime.views.run(run_id)


def _version(spec: v1.RunSpec) -> int | None:
    return spec.workflow_version if spec.HasField("workflow_version") else None


def _watch(fields: Fields, run_id: str, after: int, options: v1.StreamOptions) -> Watch:
    return Watch(
        run_id,
        after,
        wants_live=not options.omit_content_deltas,
        heartbeat_seconds=fields.heartbeat("stream_options.heartbeat_interval", options),
    )


def _decision(
    fields: Fields, request: v1.ContinueRunRequest | v1.ContinueRunStreamRequest
) -> Decision:
    fields.name("run_id", request.run_id)
    return Decision(
        run_id=request.run_id,
        resolutions=list(request.resolutions),
        fields=fields.resolutions(request.resolutions),
        etag=request.etag,
        request=fields.request_key(
            "ContinueRun", request.request_id, request.run_id, *request.resolutions
        ),
    )


def _check_filter(fields: Fields, selected: v1.RunFilter) -> None:
    fields.name("filter.workflow_id", selected.workflow_id, required=False)
    fields.name("filter.session_id", selected.session_id, required=False)
    fields.states("filter.states", selected.states, v1.RunState)
    fields.labels("filter.labels", selected.labels)
    for name in ("create_time_min", "create_time_max"):
        fields.time(f"filter.{name}", selected, name)
