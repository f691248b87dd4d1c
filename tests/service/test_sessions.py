"""Sessions and workflows, as a caller reads and writes them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import text
from tests.support.service import Served, confirm, served
from tests.support.workbench import (
    Ledger,
    Point,
    agent_app,
    app_of,
    only,
    refused,
    rest,
    somebody_waits,
    start,
    untouched,
)

from interlock import v1
from interlock_server import Interlock, RunContext, Step, Workflow, call


async def update(service: Served, state: str = "", **more: Any) -> v1.Session:
    fields = {name: more.pop(name) for name in ("update_mask", "allow_missing") if name in more}
    session = v1.Session(**{"session_id": "s", "state_json": state, **more})
    request = v1.UpdateSessionRequest(session=session, **fields)
    return (await service.sessions.UpdateSession(request)).session


async def session(service: Served, name: str = "s") -> v1.Session:
    return (await service.sessions.GetSession(v1.GetSessionRequest(session_id=name))).session


async def test_a_session_is_created_changed_and_deleted(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        created = await update(service, '{"a": 1}', allow_missing=True)
        assert created.state_json == '{"a":1}'
        assert created.user_id == ""
        assert await session(service) == created
        changed = await update(service, '{"b":2}')
        assert changed.state_json == '{"b":2}'
        assert changed.etag != created.etag
        assert changed.create_time == created.create_time
        assert changed.update_time.ToDatetime() > created.update_time.ToDatetime()
        await service.sessions.DeleteSession(v1.DeleteSessionRequest(session_id="s"))
        problem = await refused(session(service))
        assert problem.reason == "SESSION_NOT_FOUND"


async def test_a_new_session_has_an_empty_state(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        assert (await update(service, allow_missing=True)).state_json == "{}"
        run = await service.run("Work")
        assert (await session(service, run.session_id)).state_json == "{}"


async def test_what_is_not_populated_is_not_changed(database_url: str) -> None:
    """Who only makes sure that a session exists does not wipe its state."""
    async with served(agent_app(["done"]), database_url) as service:
        created = await update(service, '{"a":1}', allow_missing=True)
        assert (await update(service, allow_missing=True)).state_json == '{"a":1}'
        assert (await update(service)).state_json == '{"a":1}'
        masked = await update(service, '{"a":2}', update_mask=FieldMask(paths=["state_json"]))
        assert masked.state_json == '{"a":2}'
        # Named by the mask, it is emptied.
        emptied = await update(service, update_mask=FieldMask(paths=["state_json"]))
        assert emptied.state_json == "{}"
        assert emptied.create_time == created.create_time


async def test_the_etag_of_a_session_must_match(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        created = await update(service, allow_missing=True)
        changed = await update(service, '{"a":1}', etag=created.etag)
        problems = [
            await refused(update(service, '{"a":2}', etag=created.etag)),
            await refused(update(service, '{"a":2}', etag=created.etag, allow_missing=True)),
            await refused(
                service.sessions.DeleteSession(
                    v1.DeleteSessionRequest(session_id="s", etag=created.etag)
                )
            ),
        ]
        for problem in problems:
            assert problem.code is grpc.StatusCode.ABORTED
            assert problem.reason == "ETAG_MISMATCH"
            assert problem.metadata == {"etag": changed.etag}
        assert await session(service) == changed
        await service.sessions.DeleteSession(
            v1.DeleteSessionRequest(session_id="s", etag=changed.etag)
        )


async def test_a_session_with_an_open_run_is_not_deleted(database_url: str) -> None:
    ledger = Ledger()
    app = agent_app([call("act"), "done"], ledger.gated())
    async with served(app, database_url) as service:
        paused = await service.run("Work", session_id="s")
        delete = v1.DeleteSessionRequest(session_id="s")
        async with untouched(service, paused):
            problem = await refused(service.sessions.DeleteSession(delete))
        assert problem.code is grpc.StatusCode.FAILED_PRECONDITION
        assert problem.reason == "SESSION_IN_USE"
        assert problem.metadata == {"session_id": "s"}
        await service.resolve(paused, confirm(only(paused)))
        await service.sessions.DeleteSession(delete)
        # Its runs are gone with it, and what they asked.
        problem = await refused(rest(service, paused))
        assert problem.reason == "RUN_NOT_FOUND"
        every = v1.RequirementFilter(states=[v1.REQUIREMENT_STATE_RESOLVED])
        listed = await service.requirements.ListRequirements(
            v1.ListRequirementsRequest(filter=every)
        )
        assert not listed.requirements


async def test_a_run_may_begin_in_a_session_that_is_being_deleted(database_url: str) -> None:
    """It waits for the end of the old session, and begins a new one."""
    async with served(agent_app(["done"]), database_url) as service:
        await update(service, '{"old":true}', allow_missing=True)
        async with service.runtime.database.transaction() as connection:
            await connection.fetch(text("DELETE FROM sessions"))
            running = asyncio.ensure_future(service.run("Work", session_id="s"))
            await somebody_waits(service)
        assert (await running).state == v1.RUN_STATE_COMPLETED
        assert (await session(service)).state_json == "{}"


def counting(point: Point | None = None) -> Interlock:
    async def count(given: Any, run_context: RunContext) -> int:
        if point is not None:
            await point.pass_through()
        state = run_context.session_state
        state["count"] = state.get("count", 0) + 1
        return int(state["count"])

    return app_of(Step(name="count", executor=count))


async def test_runs_of_a_session_share_its_state(database_url: str) -> None:
    async with served(counting(), database_url) as service:
        for expected in ("1", "2", "3"):
            assert (await service.run("Work", session_id="s")).output_json == expected
        assert (await session(service)).state_json == '{"count":3}'
        assert (await service.run("Work")).output_json == "1"


async def test_an_open_run_keeps_the_state_it_started_with(database_url: str) -> None:
    point = Point()
    async with served(counting(point), database_url) as service:
        await update(service, '{"count":10,"other":true}', allow_missing=True)
        run = await start(service, session_id="s")
        await point.entered.wait()
        await update(service, '{"count":20,"mine":true}')
        point.released.set()
        ended = await rest(service, run)
        assert ended.output_json == "11"
        # What the run changed is merged into what the session has become.
        assert (await session(service)).state_json == '{"count":11,"mine":true}'


async def test_many_changes_at_once_are_all_seen_one_after_the_other(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        created = await update(service, allow_missing=True)
        outcomes = await asyncio.gather(
            *(update(service, f'{{"n":{n}}}', etag=created.etag) for n in range(20)),
            return_exceptions=True,
        )
        winners = [one for one in outcomes if isinstance(one, v1.Session)]
        assert winners == [await session(service)]


async def test_a_session_name_may_be_in_any_language(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        for name in (
            "caf\u00e9",
            "\u5929\u6c17\u3000\u4e88\u5831",
            "\U0001f468\u200d\U0001f469",
            "a b",
        ):
            await service.run("Work", session_id=name)
            assert (await session(service, name)).session_id == name


async def test_a_workflow_is_described_as_it_runs(database_url: str) -> None:
    steps = [Step(name="only", executor=lambda given: None, description="Does it.")]
    app = Interlock([Workflow(name="Work", description="Works.", steps=steps)])
    async with served(app, database_url) as service:
        listed = (await service.workflows.ListWorkflows(v1.ListWorkflowsRequest())).workflows
        request = v1.GetWorkflowRequest(workflow_id="Work")
        [got] = [(await service.workflows.GetWorkflow(request)).workflow]
        assert list(listed) == [got]
        assert (got.workflow_id, got.version, got.description) == ("Work", 1, "Works.")
        assert [node.description for node in got.nodes] == ["Does it."]


@pytest.mark.parametrize(
    "name", ["\u5929\u6c17\u3000\u4e88\u5831", "\U0001f468\u200d\U0001f469", "caf\u00e9"]
)
async def test_a_workflow_name_may_be_in_any_language(database_url: str, name: str) -> None:
    app = Interlock([Workflow(name=name, steps=[Step(name=name, executor=lambda given: name)])])
    async with served(app, database_url) as service:
        run = await service.run(name)
        assert run.workflow_id == name
        assert [one.step.name for one in run.step_results] == [name]
