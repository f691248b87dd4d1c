"""Errors on the wire: one table, its promises in the contract, and nothing internal through it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2
from tests.support.service import Served, refusal, served
from tests.support.workbench import agent_app, refused, responses

from interlock import v1
from interlock_server import errors
from interlock_server.errors import FieldViolation, InterlockError, InvalidField
from interlock_server.service.errors import DOMAIN, STATUS, status_of

PROTO = Path(__file__).parents[2] / "proto" / "interlock" / "v1" / "error_reason.proto"
EXAMPLES: list[InterlockError] = [
    errors.InvalidField([FieldViolation("field", "is wrong")]),
    errors.WorkflowNotFound("w"),
    errors.RunNotFound("r"),
    errors.RequirementNotFound("q"),
    errors.SessionNotFound("s"),
    errors.RunNotPaused("r", "RUNNING"),
    errors.RequirementAlreadyResolved("q", "confirm", "ann", "2026-01-01T00:00:00Z"),
    errors.RequirementExpired("q", "REJECT", "2026-01-01T00:00:00Z"),
    errors.RequirementCancelled("q"),
    errors.RequirementClaimed("q", "w", "2026-01-01T00:00:00Z"),
    errors.ClaimLost("q", 2),
    errors.ResolutionMismatch("q", "CONFIRMATION", "user_input", "confirm"),
    errors.SessionInUse("s"),
    errors.ExecutorNotFound("r", "agent"),
    errors.EtagMismatch("3"),
    errors.RequestIdReused("i"),
    errors.SequenceOutOfRange(7),
    errors.RunLimitExceeded("runs", 3),
    errors.SizeLimitExceeded("the run", 3),
    errors.ServerShutdown(),
    errors.StoreUnavailable(),
]


def leaves(kind: type[InterlockError] = InterlockError) -> Iterator[type[InterlockError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for one in below:
        yield from leaves(one)


def documented() -> dict[str, tuple[str, set[str], set[str]]]:
    """Each reason's code, details and metadata, as its comment says."""
    found = {}
    text = PROTO.read_text()
    for comment, name in re.findall(r"((?:  //[^\n]*\n)+)  ERROR_REASON_(\w+) = \d+;", text):
        said = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
        code = said.partition(".")[0]
        details = set(re.findall(r"see `(\w+)`", said))
        metadata = set(re.findall(r"`(\w+)`", said.partition("Metadata:")[2]))
        found[name] = (code, details, metadata)
    return found


def test_every_error_has_its_entry_and_no_entry_is_idle() -> None:
    assert set(STATUS) == set(leaves())


def test_every_error_has_an_example_here() -> None:
    assert {type(one) for one in EXAMPLES} == set(STATUS)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda one: type(one).__name__)
def test_an_error_is_what_the_contract_says_of_its_reason(error: InterlockError) -> None:
    code, reason = STATUS[type(error)]
    said = documented()[v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")]
    status = status_of(error)
    info = error_details_pb2.ErrorInfo()
    details = [one.TypeName().rpartition(".")[2] for one in status.details]
    assert status.details[0].Unpack(info)
    assert status.code == code
    expected_code, expected_details, expected_metadata = said
    if expected_code == "FAILED_PRECONDITION":
        expected_details |= {"PreconditionFailure"}
    assert code_pb2.Code.Name(code) == expected_code
    assert set(info.metadata) == expected_metadata
    assert details == ["ErrorInfo", *expected_details]
    assert info.domain == DOMAIN == "interlock.dev"
    assert status.message == error.message


def test_every_reason_is_of_some_error() -> None:
    """Those of the next features and the two that have no class are all that is left over."""
    used = {
        v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_") for _, reason in STATUS.values()
    }
    later = {"REQUIREMENTS_PENDING", "EVENTS_EXPIRED"}
    assert set(documented()) - used == {"UNSPECIFIED", "INTERNAL", "UNIMPLEMENTED"} | later


def test_an_error_fits_into_its_trailer_however_much_is_wrong() -> None:
    """Clients refuse trailers of more than 8 KiB, and then nobody learns anything."""
    many = [FieldViolation(f"resolutions[{n}].requirement_id", "is missing") for n in range(1_000)]
    long = [FieldViolation("x" * 100_000, "is " + "wrong" * 10_000)]
    wide = [FieldViolation("\U0001f600" * 1_000, "is " + "\U0001f600" * 1_000)] * 10
    for violations in (many, long, wide):
        status = status_of(InvalidField(violations))
        assert len(quote(status.message)) + status.ByteSize() * 4 / 3 < 7_500
        request = error_details_pb2.BadRequest()
        assert status.details[1].Unpack(request)
        assert request.field_violations[0].field[:50] == violations[0].field[:50]
        assert status.message[:50] == InvalidField(violations).message[:50]


def test_an_error_about_a_lone_surrogate_can_be_sent() -> None:
    status = status_of(InvalidField([FieldViolation("values_json.\ud800", "there is no \udfff")]))
    assert status.message == "values_json.\ufffd: there is no \ufffd"


async def broken(*_: object) -> None:
    raise RuntimeError("secret: the password is hunter2")


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_an_unforeseen_error_shows_its_id_and_none_of_its_text(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    streams: bool,
) -> None:
    async with served(agent_app(["done"]), database_url, servers=1) as service:
        monkeypatch.setattr(service.runtime, "start_run", broken)
        spec = v1.RunSpec(workflow_id="Work")
        call: Awaitable[object]
        if streams:
            call = responses(service.runs.RunStream(v1.RunStreamRequest(spec=spec)))
        else:
            call = service.runs.Run(v1.RunRequest(spec=spec))
        problem = await refused(call)
    assert problem.code is grpc.StatusCode.INTERNAL
    assert problem.reason == "INTERNAL"
    error_id = problem.metadata["error_id"]
    assert error_id in problem.message
    assert "secret" not in problem.message
    assert "RuntimeError" not in problem.message
    # The operator finds all of it under the id.
    log = capsys.readouterr().out
    assert error_id in log
    assert "hunter2" in log


async def call_by_name(service: Served, method: str) -> None:
    call: Any = service.channel.unary_unary(
        method,
        request_serializer=lambda request: b"",
        response_deserializer=lambda response: response,
    )
    await call(None)


@pytest.mark.parametrize(
    "method", ["/interlock.v1.RunService/Rewind", "/interlock.v1.PizzaService/Order"]
)
async def test_an_unknown_method_is_unimplemented(database_url: str, method: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_by_name(service, method)
    assert refusal(caught.value).code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_request_that_is_no_message_of_the_method_is_refused(database_url: str) -> None:
    """Bytes that do not parse, or text that is not UTF-8, never reach a handler."""
    async with served(agent_app(["done"]), database_url) as service:
        for garbage in (b"\xff\xff\xff", b"\x0a\x03\x0a\x01\xff"):
            call = service.channel.unary_unary(
                "/interlock.v1.RunService/Run",
                request_serializer=lambda request: request,
                response_deserializer=v1.RunResponse.FromString,
            )
            problem = await refused(call(garbage))
            assert problem.code is grpc.StatusCode.INVALID_ARGUMENT
            assert problem.reason == "INVALID_FIELD"
            assert list(problem.fields) == ["request"]
        assert not (await service.runs.ListRuns(v1.ListRunsRequest())).runs
