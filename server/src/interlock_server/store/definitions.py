"""Definitions: every tree that was ever served, by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from interlock import v1
from interlock_server.store.database import Database, Row
from interlock_server.times import timestamp

_ADD = text("""
    INSERT INTO definitions (digest, workflow_id, version, body, create_time)
    SELECT :digest, :workflow_id, coalesce(max(version), 0) + 1, :body, :now
    FROM definitions WHERE workflow_id = :workflow_id
    ON CONFLICT (digest) DO NOTHING
""")
_GET = text("SELECT digest, version, body, create_time FROM definitions WHERE digest = :digest")
_LIST = text("SELECT digest, body FROM definitions")
_FIND = text("""
    SELECT digest, version, body, create_time FROM definitions
    WHERE workflow_id = :workflow_id AND version = :version
""")


def digest_of(workflow: v1.Workflow) -> bytes:
    """The hash of what a workflow says, whatever its version."""
    content = v1.Workflow()
    content.CopyFrom(workflow)
    content.ClearField("version")
    content.ClearField("create_time")
    return hashlib.sha256(content.SerializeToString(deterministic=True)).digest()


async def definition_add(database: Database, workflow: v1.Workflow, now: datetime) -> v1.Workflow:
    """Stores a definition unless it is known, and gives it with its version."""
    digest = digest_of(workflow)
    body = workflow.SerializeToString(deterministic=True)
    parameters = {"digest": digest, "workflow_id": workflow.workflow_id, "body": body, "now": now}
    async with database.transaction() as connection:
        await connection.fetch(text("LOCK TABLE definitions IN SHARE ROW EXCLUSIVE MODE"))
        await connection.fetch(_ADD, parameters)
    stored = await definition_get(database, digest)
    assert stored is not None
    return stored


async def definition_get(database: Database, digest: bytes) -> v1.Workflow | None:
    """A definition by its content."""
    return _one(await database.fetch(_GET, {"digest": digest}))


async def definitions_list(database: Database) -> dict[bytes, v1.Workflow]:
    """Every definition that was ever served, by the hash of its content."""
    rows = await database.fetch(_LIST)
    return {row.digest: v1.Workflow.FromString(row.body) for row in rows}


async def definition_find(database: Database, workflow_id: str, version: int) -> v1.Workflow | None:
    """A definition by name and version."""
    parameters = {"workflow_id": workflow_id, "version": version}
    return _one(await database.fetch(_FIND, parameters))


def _one(rows: Sequence[Row]) -> v1.Workflow | None:
    for row in rows:
        workflow = v1.Workflow.FromString(row.body)
        workflow.version = row.version
        workflow.create_time.CopyFrom(timestamp(row.create_time))
        return workflow
    return None
