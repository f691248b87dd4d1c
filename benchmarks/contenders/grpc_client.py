"""The client of everybody who speaks the contract: unary calls with the generated stubs.

Calls carry a request id, as those of all our clients do, so that repeats are safe.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid

import grpc

from benchmarks import lanes
from benchmarks.contenders import case
from interlock import v1
from interlock.v1.run_service_pb2_grpc import RunServiceStub

_INPUT = json.dumps(case.QUESTION)
_OUTPUT = json.dumps(case.RECEIPT)


async def main(target: str, workflow: str) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        runs = RunServiceStub(channel)

        async def cycle() -> None:
            spec = v1.RunSpec(workflow_id=workflow, input_json=_INPUT)
            start = v1.RunRequest(spec=spec, request_id=uuid.uuid4().hex)
            run = (await runs.Run(start)).run
            decision = v1.ContinueRunRequest(
                run_id=run.run_id, resolutions=_confirmed(run), request_id=uuid.uuid4().hex
            )
            run = (await runs.ContinueRun(decision)).run
            assert run.output_json == _OUTPUT, run

        await lanes.obey(lanes.driver(cycle))


def _confirmed(run: v1.Run) -> list[v1.RequirementResolution]:
    assert run.state == v1.RUN_STATE_PAUSED, run
    return [
        v1.RequirementResolution(requirement_id=one.requirement_id, confirm=v1.Confirmation())
        for step in run.step_requirements
        for one in (*step.executor_requirements, *step.step_requirements)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--workflow", default=case.WORKFLOW)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.target, arguments.workflow))
