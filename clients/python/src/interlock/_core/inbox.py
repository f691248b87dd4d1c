"""The inbox: requirements of all runs."""

from __future__ import annotations

from collections.abc import Iterable

from interlock import v1
from interlock._convert import enum_name, enum_number
from interlock._core.caller import Caller
from interlock._core.cursors import InboxCursor
from interlock._core.runs import new_request_id
from interlock._core.sources import Pages, ResumingStream
from interlock.decisions import Decision
from interlock.requirements import Requirement, Resolved

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
        self, requirement: Requirement | str, decision: Decision | None, *, hold_run: bool
    ) -> Resolved:
        """Resolves one requirement."""
        request = v1.ResolveRequirementRequest(
            resolution=_resolution(requirement, decision),
            hold_run=hold_run,
            request_id=new_request_id(),
        )
        method = self._caller.stubs.requirements.ResolveRequirement
        reply = await self._caller.call(method, request)
        return Resolved(Requirement(reply.requirement), enum_name(v1.RunState, reply.run_state))


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
