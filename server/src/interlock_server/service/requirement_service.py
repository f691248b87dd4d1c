"""RequirementService: the inbox over all runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import grpc

from interlock import v1
from interlock.v1 import requirement_service_pb2_grpc
from interlock_server import limits
from interlock_server.errors import RequirementNotFound, ServerShutdown
from interlock_server.runtime.desk import Decision
from interlock_server.runtime.runtime import Runtime
from interlock_server.service.pages import (
    position_of,
    scope_of,
    timed_page,
    timed_token,
    token_of,
)
from interlock_server.service.streams import Streams
from interlock_server.service.validation import Fields
from interlock_server.store.records import Page, Wanted
from interlock_server.store.requirements import (
    requirement_get,
    requirements_changed,
    requirements_list,
)
from interlock_server.store.runs import run_tip
from interlock_server.times import timestamp

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_POLL_SECONDS = 1.0
_BATCH = 500
_OVERLAP = timedelta(seconds=10)
"""Changes become visible in the order of their commits, not of their times; so a watcher looks
back this far each time, and leaves out what it has sent."""


class RequirementService(requirement_service_pb2_grpc.RequirementServiceServicer):
    """Gets, lists, resolves and watches requirements, and hands calls to workers."""

    def __init__(self, runtime: Runtime, streams: Streams) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._streams = streams

    async def GetRequirement(
        self, request: v1.GetRequirementRequest, context: Context
    ) -> v1.GetRequirementResponse:
        with Fields() as fields:
            fields.name("requirement_id", request.requirement_id)
        return v1.GetRequirementResponse(requirement=await self._get(request.requirement_id))

    async def ListRequirements(
        self, request: v1.ListRequirementsRequest, context: Context
    ) -> v1.ListRequirementsResponse:
        scope = scope_of("ListRequirements", request.filter)
        with Fields() as fields:
            page = timed_page(fields, request.page_size, request.page_token, scope)
            _check_filter(fields, request.filter)
        found = await requirements_list(self._database, request.filter, page)
        listed, token = timed_token(
            found, page, scope, lambda one: (one.create_time.ToDatetime(UTC), one.requirement_id)
        )
        shown = self._runtime.views.shown(listed)
        return v1.ListRequirementsResponse(requirements=shown, next_page_token=token)

    async def ResolveRequirement(
        self, request: v1.ResolveRequirementRequest, context: Context
    ) -> v1.ResolveRequirementResponse:
        with Fields() as fields:
            fields.resolution("resolution", request.resolution)
            epoch = fields.epoch("claim_epoch", request.claim_epoch, required=False)
            key = fields.request_key(
                "ResolveRequirement",
                request.request_id,
                request.resolution,
                str(request.hold_run),
                *([str(epoch)] if epoch else ()),
            )
        asked = await self._get(request.resolution.requirement_id)
        await self._runtime.decide(
            Decision(
                run_id=asked.run_id,
                resolutions=[request.resolution],
                fields=["resolution"],
                request=key,
                hold=request.hold_run,
                claim_epoch=epoch,
            )
        )
        tip = await run_tip(self._database, asked.run_id)
        return v1.ResolveRequirementResponse(
            requirement=await self._get(asked.requirement_id),
            run_state=tip.state if tip else v1.RUN_STATE_UNSPECIFIED,
        )

    async def ClaimRequirement(
        self, request: v1.ClaimRequirementRequest, context: Context
    ) -> v1.ClaimRequirementResponse:
        asked = v1.ClaimRequirementRequest()
        asked.CopyFrom(request)
        asked.ClearField("wait_timeout")
        asked.ClearField("request_id")
        with Fields() as fields:
            wanted = Wanted(
                worker_id=fields.name(
                    "worker_id", request.worker_id, characters_max=limits.worker_id_characters_max
                ),
                tool_names=fields.tools("tool_names", request.tool_names),
                workflow_id=fields.name("workflow_id", request.workflow_id, required=False),
                lease=fields.lease("lease_duration", request),
                request=fields.request_key("ClaimRequirement", request.request_id, asked),
            )
            wait = fields.seconds("wait_timeout", request, "wait_timeout")
        claimed = await self._runtime.claims.claim(wanted, wait)
        return v1.ClaimRequirementResponse(requirement=claimed)

    async def RenewClaim(
        self, request: v1.RenewClaimRequest, context: Context
    ) -> v1.RenewClaimResponse:
        with Fields() as fields:
            fields.name("requirement_id", request.requirement_id)
            epoch = fields.epoch("claim_epoch", request.claim_epoch)
            lease = fields.lease("lease_duration", request)
        renewed = await self._runtime.claims.renew(request.requirement_id, epoch, lease)
        return v1.RenewClaimResponse(claim=renewed.claim)

    async def ReleaseClaim(
        self, request: v1.ReleaseClaimRequest, context: Context
    ) -> v1.ReleaseClaimResponse:
        with Fields() as fields:
            fields.name("requirement_id", request.requirement_id)
            epoch = fields.epoch("claim_epoch", request.claim_epoch)
        await self._runtime.claims.release(request.requirement_id, epoch)
        return v1.ReleaseClaimResponse()

    async def WatchRequirements(
        self, request: v1.WatchRequirementsRequest, context: Context
    ) -> AsyncIterator[v1.WatchRequirementsResponse]:
        scope = scope_of("WatchRequirements", request.filter)
        with Fields() as fields:
            _check_filter(fields, request.filter)
            heartbeat = fields.heartbeat("heartbeat_interval", request)
            since = _time_of(fields, request.resume_token, scope)
        with self._streams.opened():
            inbox = _Inbox(self._runtime, request.filter, since)
            async for change in inbox.changes(heartbeat):
                token = token_of(scope, [inbox.seen_until.isoformat()])
                if change is None:
                    beat = v1.Heartbeat(send_time=timestamp(self._runtime.world.now()))
                    yield v1.WatchRequirementsResponse(heartbeat=beat, resume_token=token)
                else:
                    yield v1.WatchRequirementsResponse(requirement=change, resume_token=token)

    async def _get(self, requirement_id: str) -> v1.Requirement:
        requirement = await requirement_get(self._database, requirement_id)
        if requirement is None:
            raise RequirementNotFound(requirement_id)
        self._runtime.views.shown([requirement])
        return requirement


class _Inbox:
    """What one watcher has been told, and what is new since."""

    def __init__(
        self, runtime: Runtime, selected: v1.RequirementFilter, since: datetime | None
    ) -> None:
        self._runtime = runtime
        self._selected = selected
        self._begins_with_pending = since is None
        self._sent: dict[str, tuple[str, datetime]] = {}
        self.seen_until = since or runtime.world.now()

    async def changes(self, heartbeat: float) -> AsyncIterator[v1.Requirement | None]:
        """Requirements as they appear and change; `None` is a sign of life."""
        if self._begins_with_pending:
            async for one in self._pending():
                yield self._shown(one)
        clock = asyncio.get_running_loop().time
        spoken = clock()
        with self._runtime.hub.subscribe("") as subscription:
            while True:
                if self._runtime.is_closing:
                    raise ServerShutdown
                for one in await self._new():
                    spoken = clock()
                    yield self._shown(one)
                silence_left = heartbeat - (clock() - spoken)
                if silence_left <= 0:
                    spoken = clock()
                    yield None
                else:
                    await subscription.wait(min(_POLL_SECONDS, silence_left))

    def _shown(self, requirement: v1.Requirement) -> v1.Requirement:
        [shown] = self._runtime.views.shown([requirement])
        return shown

    async def _pending(self) -> AsyncIterator[v1.Requirement]:
        selected = v1.RequirementFilter()
        selected.CopyFrom(self._selected)
        pending = v1.REQUIREMENT_STATE_PENDING
        if selected.states and pending not in selected.states:
            return
        del selected.states[:]
        page = Page(_BATCH)
        while True:
            found = await requirements_list(self._runtime.database, selected, page)
            for one in found[:_BATCH]:
                self._sent[one.requirement_id] = (one.etag, self.seen_until)
                yield one
            if len(found) <= _BATCH:
                return
            last = found[_BATCH - 1]
            page = Page(_BATCH, last.create_time.ToDatetime(tzinfo=UTC), last.requirement_id)

    async def _new(self) -> list[v1.Requirement]:
        since = self.seen_until - _OVERLAP
        limit = _BATCH + len(self._sent)
        found = await requirements_changed(self._runtime.database, self._selected, since, limit)
        new = []
        for one, time in found:
            if self._sent.get(one.requirement_id, ("",))[0] != one.etag:
                new.append(one)
            self._sent[one.requirement_id] = (one.etag, time)
            self.seen_until = max(self.seen_until, time)
        oldest = self.seen_until - 2 * _OVERLAP
        self._sent = {name: seen for name, seen in self._sent.items() if seen[1] >= oldest}
        return new


def _check_filter(fields: Fields, selected: v1.RequirementFilter) -> None:
    for name in ("run_id", "workflow_id", "session_id"):
        fields.name(f"filter.{name}", getattr(selected, name), required=False)
    fields.states("filter.states", selected.states, v1.RequirementState)
    fields.states("filter.kinds", selected.kinds, v1.RequirementKind)
    for position, name in enumerate(selected.tool_names):
        fields.name(f"filter.tool_names[{position}]", name)


def _time_of(fields: Fields, token: str, scope: str) -> datetime | None:
    for part in position_of(fields, token, scope, "resume_token"):
        try:
            return datetime.fromisoformat(part).astimezone(UTC)
        except (ValueError, OverflowError):
            fields.refuse("resume_token", "was not made by this method with this filter")
    return None
