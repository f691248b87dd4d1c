"""Rows to begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import LargeBinary, bindparam, text

from interlock import v1
from interlock_server.store.database import Database
from interlock_server.store.definitions import definition_add, digest_of
from interlock_server.store.records import Lease, Owner, RequestKey
from interlock_server.store.runs import run_create

OWNER = Owner("me", timedelta(seconds=10))
OTHER = Owner("other", timedelta(seconds=10))
_ASK = text("""
    INSERT INTO requirements (requirement_id, run_id, key, position, step_key, workflow_id,
        session_id, kind, tool_name, state, body, version, create_time, update_time)
    VALUES (:name, 'r', :name, 1, 's', 'W', 's', :kind, 't', 1, :body, 1, now(), now())
""").bindparams(bindparam("body", type_=LargeBinary))
WORKFLOW = v1.Workflow(workflow_id="W")


def now(seconds: float = 0) -> datetime:
    """A time, and times after it."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


async def a_run(database: Database, run_id: str, session_id: str = "s") -> Lease:
    """A run that `OWNER` holds, with its first event."""
    await definition_add(database, WORKFLOW, now())
    run = v1.Run(run_id=run_id, workflow_id="W", session_id=session_id)
    started = v1.RunEvent(run_id=run_id, workflow_started=v1.WorkflowStarted(workflow_id="W"))
    request = RequestKey("Run", "", "", b"")
    await run_create(database, run, digest_of(WORKFLOW), [started], request, OWNER, now())
    return Lease(run_id, OWNER.name, 1, now() + OWNER.lease)


async def a_requirement(database: Database, name: str, *, is_call: bool = False) -> None:
    """A requirement of the run `r` that waits: for a yes, or for a call of `t` to be executed."""
    body = v1.Requirement(requirement_id=name).SerializeToString()
    await database.fetch(_ASK, {"name": name, "kind": 3 if is_call else 1, "body": body})
