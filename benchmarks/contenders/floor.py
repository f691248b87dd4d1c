"""The floor: the thinnest honest server that does the same two calls and the same four commits.

It speaks the same contract, so that the same client drives it, and knows no
workflow: what an engine would find out, it knows. Each commit is one statement
on the driver's own connection, moves the run, and appends a record of a kilobyte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from typing import Any

import asyncpg
import grpc

from benchmarks.contenders import case
from benchmarks.contenders.serving import serve
from interlock import v1
from interlock.v1 import run_service_pb2_grpc

_RECORD_BYTES = 1_000
_POOL_SIZE = 10

_TABLES = """
    CREATE TABLE IF NOT EXISTS runs (
        run_id text PRIMARY KEY, state smallint NOT NULL, last_sequence bigint NOT NULL,
        body bytea NOT NULL
    );
    CREATE TABLE IF NOT EXISTS records (
        run_id text, sequence bigint, body bytea NOT NULL, PRIMARY KEY (run_id, sequence)
    );
"""
_CREATE = """
    WITH run AS (
        INSERT INTO runs VALUES ($1, 2, 1, $2) RETURNING run_id
    )
    INSERT INTO records SELECT run_id, 1, $3 FROM run
"""
_MOVE = """
    WITH moved AS (
        UPDATE runs SET state = $3, last_sequence = last_sequence + 1, body = coalesce($4, body)
        WHERE run_id = $1 AND state = $2
        RETURNING run_id, last_sequence, body
    ), recorded AS (
        INSERT INTO records SELECT run_id, last_sequence, $5 FROM moved
    )
    SELECT body FROM moved
"""


class Floor(run_service_pb2_grpc.RunServiceServicer):
    """Runs the one case."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def Run(
        self, request: v1.RunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> v1.RunResponse:
        run = v1.Run(
            run_id=uuid.uuid4().hex,
            workflow_id=request.spec.workflow_id,
            session_id=uuid.uuid4().hex,
            input_json=request.spec.input_json,
        )
        await self._pool.execute(_CREATE, run.run_id, run.SerializeToString(), _record(run))
        waiting = _question(run)
        run.state = v1.RUN_STATE_PAUSED
        run.step_requirements.add().executor_requirements.append(waiting)
        await self._move(run.run_id, v1.RUN_STATE_RUNNING, run, _record(waiting))
        return v1.RunResponse(run=run)

    async def ContinueRun(
        self, request: v1.ContinueRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> v1.ContinueRunResponse:
        [answer] = request.resolutions
        row = await self._pool.fetchrow(
            *(_MOVE, request.run_id, v1.RUN_STATE_PAUSED, v1.RUN_STATE_RUNNING, None),
            _record(answer),
        )
        if row is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the run is not paused")
        run = v1.Run.FromString(row["body"])
        [waiting] = run.step_requirements[0].executor_requirements
        if waiting.requirement_id != answer.requirement_id:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the run does not wait for that")
        args = json.loads(waiting.tool_execution.tool_args_json)
        result = v1.StepResult(output_json=json.dumps(case.refund_text(**args)))
        run.ClearField("step_requirements")
        run.step_results.append(result)
        run.output_json = json.dumps(case.receipt_text(case.ANSWER))
        run.state = v1.RUN_STATE_COMPLETED
        await self._move(run.run_id, v1.RUN_STATE_RUNNING, run, _record(result))
        return v1.ContinueRunResponse(run=run)

    async def _move(
        self, run_id: str, before: v1.RunState.ValueType, run: v1.Run, record: bytes
    ) -> None:
        body = run.SerializeToString()
        await self._pool.fetchrow(_MOVE, run_id, before, run.state, body, record)


def _question(run: v1.Run) -> v1.Requirement:
    args = json.dumps({"order": case.ORDER, "amount": case.AMOUNT})
    return v1.Requirement(
        requirement_id=uuid.uuid4().hex,
        run_id=run.run_id,
        kind=v1.REQUIREMENT_KIND_CONFIRMATION,
        state=v1.REQUIREMENT_STATE_PENDING,
        tool_execution=v1.ToolExecution(tool_name="refund", tool_args_json=args),
    )


def _record(message: v1.Run | v1.Requirement | v1.RequirementResolution | v1.StepResult) -> bytes:
    return message.SerializeToString().ljust(_RECORD_BYTES, b".")


async def main(database_url: str) -> None:
    """Serves until standard input ends."""
    pool = asyncpg.create_pool(
        database_url, min_size=_POOL_SIZE, max_size=_POOL_SIZE, reset=_leave_as_it_is
    )
    async with pool:
        await pool.execute(_TABLES)
        # It has no more than these two calls.
        await serve(Floor(pool))  # type: ignore[abstract]


async def _leave_as_it_is(_connection: Any) -> None:
    """No statement leaves anything behind on its connection that a reset would have to undo."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    asyncio.run(main(parser.parse_args().database_url))
