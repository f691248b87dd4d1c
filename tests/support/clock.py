"""A clock that a test sets, for services whose time must not pass by itself."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from interlock import v1
from interlock_server import Interlock
from interlock_server.runtime.runtime import Timing
from interlock_server.runtime.world import World
from tests.support.service import Served, served

PATIENT = Timing(lease=1e9)
"""Leases that outlast whatever a test sets its clock to."""


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The time."""
        return self.time

    def pass_by(self, seconds: float) -> None:
        """Lets time pass."""
        self.time += timedelta(seconds=seconds)

    def after(self, seconds: float) -> datetime:
        """A time that much later."""
        return self.time + timedelta(seconds=seconds)

    def serving(
        self, app: Interlock, database_url: str, timing: Timing = PATIENT, **more: int
    ) -> AbstractAsyncContextManager[Served]:
        """Serves an app that lives by this clock."""
        return served(app, database_url, timing, world=World(now=self.now), **more)


async def fire(service: Served) -> None:
    """What is due happens, on every server, before this comes back."""
    for one in service.replicas:
        await one.runtime.fire_timers()


async def requirement_now(service: Served, requirement: v1.Requirement) -> v1.Requirement:
    """A requirement as it is now."""
    request = v1.GetRequirementRequest(requirement_id=requirement.requirement_id)
    return (await service.requirements.GetRequirement(request)).requirement
