"""Errors: families, reasons and details."""

from __future__ import annotations

import pickle
from typing import Any

import grpc
import pytest
from tests.clients.python.conftest import Connect
from tests.clients.python.faces import Face
from tests.clients.python.scripted import Abort, ScriptedServer

import interlock
from interlock import (
    AlreadyResolvedError,
    ClaimLostError,
    Decision,
    FailedPreconditionError,
    InterlockError,
    InvalidArgumentError,
    RequirementClaimedError,
    errors,
)

Code = grpc.StatusCode


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_code_has_its_family(server: ScriptedServer, connect: Connect, code: Code) -> None:
    server.script("GetRun", Abort(code, "no luck"))
    with pytest.raises(InterlockError) as raised:
        connect(retry_timeout=0).client("get_run", "run-1")
    error = raised.value
    assert error.code is code
    assert error.message == "no luck"
    assert str(error) == f"{code.name}: no luck"
    assert isinstance(error.__cause__, grpc.RpcError)
    general = {Code.UNKNOWN, Code.DATA_LOSS}
    assert (type(error) is InterlockError) == (code in general)


def test_details(server: ScriptedServer, face: Face) -> None:
    abort = Abort(
        Code.INVALID_ARGUMENT,
        "2 fields are wrong",
        reason="INVALID_FIELD",
        metadata={"a": "b"},
        retry_delay=1.25,
        violations=(("spec.workflow_id", "is missing"), ("spec.input_json", "is not JSON")),
    )
    server.script("Run", abort)
    with pytest.raises(InvalidArgumentError) as raised:
        face.workflow("run")
    error = raised.value
    assert error.reason == "INVALID_FIELD"
    assert error.metadata == {"a": "b"}
    assert error.retry_delay == 1.25
    assert error.field_violations == [
        ("spec.workflow_id", "is missing"),
        ("spec.input_json", "is not JSON"),
    ]
    assert str(error) == (
        "INVALID_FIELD: 2 fields are wrong "
        "(spec.workflow_id: is missing; spec.input_json: is not JSON)"
    )


def test_who_decided_otherwise(server: ScriptedServer, face: Face) -> None:
    facts = {
        "requirement_id": "req-1",
        "resolution": "reject",
        "resolved_by": "ada",
        "resolve_time": "2026-01-02T03:04:05Z",
    }
    reason = "REQUIREMENT_ALREADY_RESOLVED"
    server.script("ContinueRun", Abort(Code.FAILED_PRECONDITION, reason=reason, metadata=facts))
    with pytest.raises(AlreadyResolvedError) as raised:
        face.client("continue_run", "run-1")
    error = raised.value
    assert isinstance(error, FailedPreconditionError)
    assert (error.requirement_id, error.resolution) == ("req-1", "reject")
    assert (error.resolved_by, error.resolve_time) == ("ada", "2026-01-02T03:04:05Z")


def test_who_holds_the_claim(server: ScriptedServer, face: Face) -> None:
    facts = {
        "requirement_id": "req-1",
        "worker_id": "w",
        "expire_time": "2026-01-02T03:04:05Z",
        "claim_epoch": "2",
    }
    for reason in ("REQUIREMENT_CLAIMED", "CLAIM_LOST"):
        abort = Abort(Code.FAILED_PRECONDITION, reason=reason, metadata=facts)
        server.script("ResolveRequirement", abort)
    with pytest.raises(RequirementClaimedError) as claimed:
        face.client("resolve", "req-1", Decision.external_result(1))
    with pytest.raises(ClaimLostError) as lost:
        face.client("resolve", "req-1", Decision.external_result(1), claim_epoch=2)
    assert isinstance(claimed.value, FailedPreconditionError)
    assert (claimed.value.requirement_id, claimed.value.worker_id) == ("req-1", "w")
    assert claimed.value.expire_time == "2026-01-02T03:04:05Z"
    assert isinstance(lost.value, FailedPreconditionError)
    assert lost.value.requirement_id == "req-1"


def test_details_of_others_do_no_harm() -> None:
    class Foreign(grpc.RpcError):
        def code(self) -> Code:
            return Code.NOT_FOUND

        def details(self) -> str:
            return ""

        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", b"\xff\xff"), ("x", "y"))

    error = errors.from_rpc_error(Foreign())
    assert (error.reason, error.message, error.retry_delay) == ("", "NOT_FOUND", None)


def test_can_be_pickled() -> None:
    error = InvalidArgumentError("no", code=Code.INVALID_ARGUMENT)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.code, str(copy)) == (type(error), error.code, str(error))


def test_all_families_are_public() -> None:
    families = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, InterlockError)
    }
    assert families <= set(interlock.__all__)
