"""Legs that meet what nobody foresaw: the run ends and says so, and is not begun for ever."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from tests.support.service import confirm, open_requirements, served
from tests.support.workbench import Ledger, agent, agent_app, app_of, kinds, only, rest

from interlock import v1
from interlock_server import Parallel, Step, call
from interlock_server.runtime import leg
from interlock_server.store.records import Progress
from interlock_server.store.runs import run_commit


async def test_a_run_whose_progress_cannot_be_stored_fails_and_names_no_inner_thing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    async with served(agent_app([call("act"), "done"], ledger.gated()), database_url) as service:
        paused = await service.run("Work")

        async def refusing(database: Any, lease: Any, progress: Progress, *more: Any) -> Any:
            if any(one.value and "did" in one.value for one in progress.entries):
                raise RuntimeError("secret")
            return await run_commit(database, lease, progress, *more)

        monkeypatch.setattr(leg, "run_commit", refusing)
        ended = await service.resolve(paused, confirm(only(paused)))
        happened = kinds(await service.events(ended))
    assert ended.state == v1.RUN_STATE_FAILED
    assert ended.error.reason == "INTERNAL"
    assert ended.error.metadata["error_id"]
    assert "secret" not in str(ended)
    assert happened[-1] == "workflow_failed"


async def test_what_such_a_run_still_asks_is_closed_with_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    gated = Step(name="gated", agent=agent([call("act"), "done"], ledger.gated()))

    async def refusing(database: Any, lease: Any, progress: Progress, *more: Any) -> Any:
        kinds_now = {one.event.WhichOneof("event") for one in progress.events}
        if "workflow_paused" in kinds_now and not progress.questions:
            raise RuntimeError("secret")
        return await run_commit(database, lease, progress, *more)

    both = Parallel(gated, Step(name="free", executor=lambda given: "free"), name="both")
    async with served(app_of(both), database_url) as service:
        paused = await service.run("Work")
        assert len(open_requirements(paused)) == 1
        monkeypatch.setattr(leg, "run_commit", refusing)
        begun = text("UPDATE runs SET state = 2, pause_kind = 0")
        await service.runtime.database.fetch(begun)
        await service.runtime.take_over()
        ended = await rest(service, paused)
        assert ended.state == v1.RUN_STATE_FAILED
        requirement = await service.requirements.GetRequirement(
            v1.GetRequirementRequest(requirement_id=only(paused).requirement_id)
        )
    assert requirement.requirement.state == v1.REQUIREMENT_STATE_CANCELLED
    assert ledger.calls == []
