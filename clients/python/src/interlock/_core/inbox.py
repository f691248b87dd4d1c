"""The inbox: requirements of all runs."""

from __future__ import annotations

import math
from collections.abc import Iterable

from interlock import v1
from interlock._convert import duration, enum_name, enum_number
from interlock._core.caller import Caller
from interlock._core.cursors import InboxCursor
from interlock._core.runs import SLICE_SECONDS, new_request_id, not_negative
from interlock._core.sources import Pages, ResumingStream
from interlock.decisions import Decision
from interlock.requirements import Claim, Requirement, Resolved

RequirementStream = ResumingStream[v1.WatchRequirementsResponse, Requirement]


class Inbox:
    """The verbs of `RequirementService`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, requirement_id: str) -> Requirement:
        """Gets a requirement."""
        method = self._caller.stubs.requirements.GetRequirement
        request = v1.GetRequirementRequest(requirement_id=requirement_id)
        return Requirement((await self._caller.call(method, request)).requirement)

    def list(self, requirement_filter: v1.RequirementFilter) -> Pages[Requirement]:
        """Lists requirements, oldest first."""

        async def read(token: str) -> tuple[Iterable[Requirement], str]:
            request = v1.ListRequirementsRequest(page_token=token, filter=requirement_filter)
            method = self._caller.stubs.requirements.ListRequirements
            reply = await self._caller.call(method, request)
            return map(Requirement, reply.requirements), reply.next_page_token

        return Pages(read)

    def watch(self, requirement_filter: v1.RequirementFilter) -> RequirementStream:
        """Streams requirements as they appear and change."""
        request = v1.WatchRequirementsRequest(filter=requirement_filter)
        return ResumingStream(self._caller, InboxCursor(request))

    async def resolve(
        self,
        requirement: Requirement | str,
        decision: Decision | None,
        *,
        hold_run: bool,
        claim_epoch: int | None,
    ) -> Resolved:
        """Resolves one requirement."""
        request = v1.ResolveRequirementRequest(
            resolution=_resolution(requirement, decision),
            hold_run=hold_run,
            request_id=new_request_id(),
            claim_epoch=claim_epoch or 0,
        )
        method = self._caller.stubs.requirements.ResolveRequirement
        reply = await self._caller.call(method, request)
        return Resolved(Requirement(reply.requirement), enum_name(v1.RunState, reply.run_state))

    # Claims.

    async def claim(
        self,
        tool_names: Iterable[str],
        *,
        worker_id: str,
        workflow_id: str | None,
        lease: float,
        wait_timeout: float | None,
    ) -> Requirement | None:
        """Takes a call, and waits for one in slices; None when there is none in time."""
        clock = self._caller.wire.clock
        end = clock() + (math.inf if wait_timeout is None else not_negative(wait_timeout))
        while True:
            request = claim_request(tool_names, worker_id, workflow_id, lease)
            seconds = max(0.0, min(SLICE_SECONDS, end - clock()))
            claimed = await self.claim_once(request, seconds)
            if claimed is not None or clock() >= end:
                return claimed

    async def claim_once(
        self, request: v1.ClaimRequirementRequest, seconds: float
    ) -> Requirement | None:
        """Takes a call, and waits for one at most so long."""
        request.wait_timeout.CopyFrom(duration(seconds))
        method = self._caller.stubs.requirements.ClaimRequirement
        reply = await self._caller.call(method, request, wait=seconds)
        return Requirement(reply.requirement) if reply.HasField("requirement") else None

    async def renew_claim(self, requirement_id: str, claim_epoch: int, lease: float) -> Claim:
        """Keeps a claim for longer."""
        request = v1.RenewClaimRequest(
            requirement_id=requirement_id, claim_epoch=claim_epoch, lease_duration=duration(lease)
        )
        reply = await self._caller.call(self._caller.stubs.requirements.RenewClaim, request)
        return Claim.of(reply.claim)

    async def release_claim(self, requirement_id: str, claim_epoch: int) -> None:
        """Gives a claim back."""
        request = v1.ReleaseClaimRequest(requirement_id=requirement_id, claim_epoch=claim_epoch)
        await self._caller.call(self._caller.stubs.requirements.ReleaseClaim, request)


def claim_request(
    tool_names: Iterable[str], worker_id: str, workflow_id: str | None, lease: float
) -> v1.ClaimRequirementRequest:
    """What a worker asks for. Sent again, it gets the same claim, as long as that holds."""
    return v1.ClaimRequirementRequest(
        worker_id=worker_id,
        tool_names=tool_names,
        workflow_id=workflow_id or "",
        lease_duration=duration(lease),
        request_id=new_request_id(),
    )


def requirement_filter(
    *,
    run_id: str | None,
    workflow_id: str | None,
    session_id: str | None,
    states: Iterable[str],
    kinds: Iterable[str],
    tool_names: Iterable[str],
) -> v1.RequirementFilter:
    """Selects requirements; None and empty select all."""
    return v1.RequirementFilter(
        run_id=run_id or "",
        workflow_id=workflow_id or "",
        session_id=session_id or "",
        states=[enum_number(v1.RequirementState, state) for state in states],
        kinds=[enum_number(v1.RequirementKind, kind) for kind in kinds],
        tool_names=tool_names,
    )


def _resolution(
    requirement: Requirement | str, decision: Decision | None
) -> v1.RequirementResolution:
    if isinstance(requirement, Requirement):
        if decision is not None:
            requirement.decide(decision)
        decision = requirement.decision
        requirement = requirement.id
    if decision is None:
        raise ValueError(f"nothing is decided on requirement {requirement!r}")
    return decision.resolving(requirement)
