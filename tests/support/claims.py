"""Calls that run elsewhere, and the workers that claim them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from interlock import v1
from interlock_server import Interlock, Parallel, Step, Tool, call, tool
from tests.support.service import Served, external_result
from tests.support.workbench import agent, agent_app, app_of, resolve_one

SECONDS = 30.0
"""How long a claim holds here."""


def away(name: str = "fetch", **more: Any) -> Tool:
    """A tool of any name that runs elsewhere."""

    def act(what: str = "it") -> str:
        raise AssertionError("an external tool does not run in the service")

    return tool(name=name, external_execution=True, **more)(act)


fetch, store = away("fetch"), away("store")


def one_call(name: str = "fetch") -> Interlock:
    """A workflow `Work` with one call that runs elsewhere."""
    return agent_app([call(name), "done"], fetch, store)


def calls_at_once(*names: str) -> Interlock:
    """A workflow `Work` with a branch for each call."""
    steps = [
        Step(
            name=f"s{number}",
            agent=agent([call(name, what=str(number)), "done"], fetch, store, name=f"a{number}"),
        )
        for number, name in enumerate(names)
    ]
    return app_of(Parallel(*steps, name="all"))


async def claim(
    service: Served,
    *tool_names: str,
    worker: str = "w",
    seconds: float = SECONDS,
    wait: float | None = 0,
    **more: Any,
) -> v1.Requirement | None:
    """What a worker gets that asks for a call."""
    request = v1.ClaimRequirementRequest(
        worker_id=worker,
        tool_names=tool_names or ("fetch",),
        **more,
    )
    request.lease_duration.FromTimedelta(timedelta(seconds=seconds))
    if wait is not None:
        request.wait_timeout.FromTimedelta(timedelta(seconds=wait))
    response = await service.requirements.ClaimRequirement(request)
    return response.requirement if response.HasField("requirement") else None


async def claimed(service: Served, *tool_names: str, **more: Any) -> v1.Requirement:
    """The call that a worker gets."""
    requirement = await claim(service, *tool_names, **more)
    assert requirement is not None, "there was nothing to claim"
    return requirement


async def renew(
    service: Served, held: v1.Requirement, seconds: float = SECONDS
) -> v1.RequirementClaim:
    """Keeps a claim for longer."""
    request = v1.RenewClaimRequest(requirement_id=held.requirement_id, claim_epoch=held.claim.epoch)
    request.lease_duration.FromTimedelta(timedelta(seconds=seconds))
    return (await service.requirements.RenewClaim(request)).claim


async def release(service: Served, held: v1.Requirement) -> None:
    """Gives a claim back."""
    request = v1.ReleaseClaimRequest(
        requirement_id=held.requirement_id, claim_epoch=held.claim.epoch
    )
    await service.requirements.ReleaseClaim(request)


async def report(
    service: Served, held: v1.Requirement, result_json: str = '"out"', **more: Any
) -> v1.ResolveRequirementResponse:
    """What a worker says when it is done."""
    answer = external_result(held, result_json)
    return await resolve_one(service, answer, claim_epoch=held.claim.epoch, **more)


async def somebody_asks(service: Served, count: int = 1) -> None:
    """Comes back when so many calls wait for something to claim, and have looked for it."""
    async with asyncio.timeout(20):
        while True:
            desks = [one.runtime.claims for one in service.replicas]
            lines = [line for desk in desks for line in desk._lines.values()]
            waiting = sum(line.length for line in lines)
            if waiting == count and not any(line.turn.locked() for line in lines):
                return
            await asyncio.sleep(0.001)
