"""Calls of the contract, as everybody here makes them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc

from benchmarks.contenders import case
from interlock import v1
from interlock.v1.requirement_service_pb2_grpc import RequirementServiceStub
from interlock.v1.run_service_pb2_grpc import RunServiceStub

OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024),)
"""Of every channel: a run with 10,000 steps is a large message."""

_INPUT = json.dumps(case.QUESTION)


def run_request(workflow: str) -> v1.RunRequest:
    """Starts a run. It has a request id, as all our clients send it, so that a repeat is safe."""
    spec = v1.RunSpec(workflow_id=workflow, input_json=_INPUT)
    return v1.RunRequest(spec=spec, request_id=uuid.uuid4().hex)


def confirm_request(run: v1.Run) -> v1.ContinueRunRequest:
    """Confirms all that a run waits for."""
    assert run.state == v1.RUN_STATE_PAUSED, run
    return confirm_all_request(run.run_id, waiting(run))


def confirm_all_request(
    run_id: str, requirements: Iterable[v1.Requirement]
) -> v1.ContinueRunRequest:
    """Confirms these requirements of a run."""
    answers = [
        v1.RequirementResolution(requirement_id=one.requirement_id, confirm=v1.Confirmation())
        for one in requirements
    ]
    return v1.ContinueRunRequest(run_id=run_id, resolutions=answers, request_id=uuid.uuid4().hex)


def waiting(run: v1.Run) -> Iterator[v1.Requirement]:
    """What a run waits for."""
    for step in run.step_requirements:
        yield from step.executor_requirements
        yield from step.step_requirements


class Calls:
    """Calls that wait for their answers, for the harness itself."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.runs = RunServiceStub(channel)
        self.requirements = RequirementServiceStub(channel)

    def run(self, workflow: str) -> v1.Run:
        """Runs a workflow until it pauses or ends."""
        return self.runs.Run(run_request(workflow)).run

    def confirm(self, run: v1.Run) -> v1.Run:
        """Confirms all that a run waits for, and waits until it pauses or ends."""
        return self.runs.ContinueRun(confirm_request(run)).run


@contextmanager
def connected(target: str) -> Iterator[Calls]:
    """A connection to a server."""
    with grpc.insecure_channel(target, options=OPTIONS) as channel:
        yield Calls(channel)
