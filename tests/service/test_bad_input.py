"""What a request gets wrong is named: code, reason and field path; and the run is untouched.

One run that waits for one of each kind stands through all of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from tests.support.service import (
    Refusal,
    Served,
    confirm,
    external_result,
    open_requirements,
    reject,
    served,
    user_input,
)
from tests.support.workbench import agent_app, get, refused, responses, untouched

from interlock import v1
from interlock_server import call, tool
from interlock_server.service.pages import scope_of, token_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
FAILED, RANGE = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE
ABORTED = grpc.StatusCode.ABORTED
performed: list[str] = []


@tool(requires_confirmation=True)
def pay(amount: int) -> str:
    performed.append("pay")
    return "paid"


@tool(requires_user_input=True, user_input_fields=["to", "count"])
def send(to: str, subject: str, count: int = 1) -> str:
    performed.append("send")
    return "sent"


@tool(external_execution=True)
def ship(what: str) -> str:
    performed.append("ship")
    return "shipped"


@dataclass(frozen=True)
class Scene:
    """A service with a run that waits for a yes, for values, and for a result."""

    service: Served
    run: v1.Run
    other: v1.Run

    @property
    def waiting(self) -> list[v1.Requirement]:
        return open_requirements(self.run)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(shared_database_url: str) -> AsyncIterator[Scene]:
    turn = [call("pay", amount=3), call("send", subject="Hello"), call("ship", what="book")]
    app = agent_app([turn, "done"], pay, send, ship)
    async with served(app, shared_database_url) as service:
        yield Scene(service, await service.run("Work"), await service.run("Work"))
    assert performed == []


async def refusal_of(scene: Scene, method: str, request: Any) -> Refusal:
    """How a call is refused, while the run stays as it is."""
    service = scene.service
    stubs = (service.runs, service.requirements, service.sessions, service.workflows)
    [callable_] = [getattr(one, method) for one in stubs if hasattr(one, method)]
    call = callable_(request)
    if isinstance(call, grpc.aio.UnaryStreamCall):
        call = responses(call)
    async with untouched(service, scene.run):
        return await refused(call)


# What is not there.

NOWHERE = {
    "WORKFLOW": [
        ("Run", v1.RunRequest(spec=v1.RunSpec(workflow_id="x"))),
        ("RunStream", v1.RunStreamRequest(spec=v1.RunSpec(workflow_id="x"))),
        ("GetWorkflow", v1.GetWorkflowRequest(workflow_id="x")),
        ("GetWorkflow", v1.GetWorkflowRequest(workflow_id="x", version=1)),
    ],
    "RUN": [
        ("GetRun", v1.GetRunRequest(run_id="x")),
        ("WaitRun", v1.WaitRunRequest(run_id="x")),
        ("WatchRun", v1.WatchRunRequest(run_id="x")),
        ("ContinueRun", v1.ContinueRunRequest(run_id="x")),
        ("ContinueRunStream", v1.ContinueRunStreamRequest(run_id="x")),
        ("ListRunEvents", v1.ListRunEventsRequest(run_id="x")),
        ("CancelRun", v1.CancelRunRequest(run_id="x")),
    ],
    "REQUIREMENT": [
        ("GetRequirement", v1.GetRequirementRequest(requirement_id="x")),
        (
            "ResolveRequirement",
            v1.ResolveRequirementRequest(
                resolution=v1.RequirementResolution(requirement_id="x", confirm=v1.Confirmation())
            ),
        ),
        ("RenewClaim", v1.RenewClaimRequest(requirement_id="x", claim_epoch=1)),
        ("ReleaseClaim", v1.ReleaseClaimRequest(requirement_id="x", claim_epoch=1)),
    ],
    "SESSION": [
        ("GetSession", v1.GetSessionRequest(session_id="x")),
        ("DeleteSession", v1.DeleteSessionRequest(session_id="x")),
        ("UpdateSession", v1.UpdateSessionRequest(session=v1.Session(session_id="x"))),
    ],
}


@pytest.mark.parametrize(
    ("kind", "method", "request_"),
    [(kind, *case) for kind, cases in NOWHERE.items() for case in cases],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_what_is_unknown_is_named(
    scene: Scene, kind: str, method: str, request_: Any
) -> None:
    problem = await refusal_of(scene, method, request_)
    assert problem.code is MISSING
    assert problem.reason == f"{kind}_NOT_FOUND"
    assert problem.metadata == {f"{kind.lower()}_id": "x"}
    assert problem.details == ("ErrorInfo", "ResourceInfo")
    assert problem.message == f"there is no {kind.lower()} 'x'"


async def test_an_unknown_version_is_named(scene: Scene) -> None:
    for method, request in (
        ("Run", v1.RunRequest(spec=v1.RunSpec(workflow_id="Work", workflow_version=9))),
        ("GetWorkflow", v1.GetWorkflowRequest(workflow_id="Work", version=9)),
    ):
        problem = await refusal_of(scene, method, request)
        assert (problem.code, problem.reason) == (MISSING, "WORKFLOW_NOT_FOUND")


async def test_a_requirement_of_another_run_is_not_of_this_one(scene: Scene) -> None:
    stranger = open_requirements(scene.other)[0]
    for request in (
        v1.ContinueRunRequest(run_id=scene.run.run_id, resolutions=[confirm(stranger)]),
        v1.ContinueRunRequest(
            run_id=scene.run.run_id, resolutions=[confirm(scene.waiting[0]), confirm(stranger)]
        ),
    ):
        async with untouched(scene.service, scene.other):
            problem = await refusal_of(scene, "ContinueRun", request)
        assert (problem.code, problem.reason) == (MISSING, "REQUIREMENT_NOT_FOUND")
        assert problem.metadata == {"requirement_id": stranger.requirement_id}


# Fields that are missing or malformed, method by method.


def of_spec(**spec: Any) -> tuple[tuple[str, Any], ...]:
    spec = {"workflow_id": "Work", **spec}
    return (
        ("Run", v1.RunRequest(spec=v1.RunSpec(**spec))),
        ("RunStream", v1.RunStreamRequest(spec=v1.RunSpec(**spec))),
    )


def seconds(value: float) -> Duration:
    span = Duration()
    span.FromNanoseconds(round(value * 1e9))
    return span


def a_claim(**more: Any) -> tuple[tuple[str, Any], ...]:
    fields: dict[str, Any] = {"worker_id": "w", "tool_names": ["ship"], **more}
    return (("ClaimRequirement", v1.ClaimRequirementRequest(**fields)),)


def held(**more: Any) -> tuple[tuple[str, Any], ...]:
    fields: dict[str, Any] = {"requirement_id": "x", "claim_epoch": 1, **more}
    return (
        ("RenewClaim", v1.RenewClaimRequest(**fields)),
        ("ReleaseClaim", v1.ReleaseClaimRequest(**fields)),
    )


def leased(span: Duration) -> tuple[tuple[str, Any], ...]:
    renewal = v1.RenewClaimRequest(requirement_id="x", claim_epoch=1, lease_duration=span)
    return (*a_claim(lease_duration=span), ("RenewClaim", renewal))


def many_labels(count: int) -> dict[str, str]:
    return {f"key {n}": "" for n in range(count)}


LONG = "x" * 101
FIELDS: dict[str, tuple[tuple[tuple[str, Any], ...], dict[str, str]]] = {
    "no_spec": (
        (("Run", v1.RunRequest()), ("RunStream", v1.RunStreamRequest())),
        {"spec.workflow_id": "is missing"},
    ),
    "long_workflow_id": (
        of_spec(workflow_id=LONG),
        {"spec.workflow_id": "is longer than 100 characters"},
    ),
    "control_character": (
        of_spec(workflow_id="a\x1bb"),
        {"spec.workflow_id": "holds a control character"},
    ),
    "nul": (of_spec(session_id="\0"), {"spec.session_id": "holds a control character"}),
    "version_zero": (
        of_spec(workflow_version=0),
        {"spec.workflow_version": "is below 1; leave it out for the newest"},
    ),
    "several_at_once": (
        of_spec(workflow_id="", session_id=LONG, input_json="{", labels={"": ""}),
        {
            "spec.workflow_id": "is missing",
            "spec.session_id": "is longer than 100 characters",
            "spec.input_json": "is not valid JSON: Expecting property name enclosed in double "
            "quotes at line 1 column 2",
            "spec.labels": "has an empty key",
        },
    ),
    "too_many_labels": (
        of_spec(labels=many_labels(65)),
        {"spec.labels": "has more than 64 labels"},
    ),
    "long_label_key": (
        of_spec(labels={"k" * 64: ""}),
        {f"spec.labels['{'k' * 64}']": "is longer than 63 characters"},
    ),
    "long_label_value": (
        of_spec(labels={"k": "v" * 256}),
        {"spec.labels['k']": "is longer than 255 characters"},
    ),
    "nul_in_a_label": (
        of_spec(labels={"k": "a\0b"}),
        {"spec.labels['k']": "holds a NUL character"},
    ),
    "long_request_id": (
        (
            ("Run", v1.RunRequest(spec=v1.RunSpec(workflow_id="Work"), request_id="x" * 65)),
            ("ContinueRun", v1.ContinueRunRequest(run_id="x", request_id="x" * 65)),
            ("ContinueRunStream", v1.ContinueRunStreamRequest(run_id="x", request_id="x" * 65)),
            ("CancelRun", v1.CancelRunRequest(run_id="x", request_id="x" * 65)),
        ),
        {"request_id": "is longer than 64 characters"},
    ),
    "negative_wait": (
        (
            (
                "Run",
                v1.RunRequest(spec=v1.RunSpec(workflow_id="Work"), wait_timeout=seconds(-1)),
            ),
            ("ContinueRun", v1.ContinueRunRequest(run_id="x", wait_timeout=seconds(-0.001))),
            ("WaitRun", v1.WaitRunRequest(run_id="x", wait_timeout=seconds(-1))),
        ),
        {"wait_timeout": "is negative"},
    ),
    "hasty_heartbeat": (
        (
            (
                "WatchRun",
                v1.WatchRunRequest(
                    run_id="x", stream_options=v1.StreamOptions(heartbeat_interval=seconds(0.05))
                ),
            ),
            (
                "RunStream",
                v1.RunStreamRequest(
                    spec=v1.RunSpec(workflow_id="Work"),
                    stream_options=v1.StreamOptions(heartbeat_interval=seconds(0)),
                ),
            ),
        ),
        {"stream_options.heartbeat_interval": "is shorter than 0.1 seconds"},
    ),
    "hasty_heartbeat_of_the_inbox": (
        (("WatchRequirements", v1.WatchRequirementsRequest(heartbeat_interval=seconds(0))),),
        {"heartbeat_interval": "is shorter than 0.1 seconds"},
    ),
    "no_run_id": (
        (
            ("GetRun", v1.GetRunRequest()),
            ("WaitRun", v1.WaitRunRequest()),
            ("WatchRun", v1.WatchRunRequest()),
            ("ContinueRun", v1.ContinueRunRequest()),
            ("ContinueRunStream", v1.ContinueRunStreamRequest()),
            ("ListRunEvents", v1.ListRunEventsRequest()),
            ("CancelRun", v1.CancelRunRequest()),
        ),
        {"run_id": "is missing"},
    ),
    "run_id_with_nul": (
        (("GetRun", v1.GetRunRequest(run_id="a\0b")),),
        {"run_id": "holds a control character"},
    ),
    "no_requirement_id": (
        (("GetRequirement", v1.GetRequirementRequest()),),
        {"requirement_id": "is missing"},
    ),
    "no_resolution": (
        (("ResolveRequirement", v1.ResolveRequirementRequest()),),
        {"resolution.requirement_id": "is missing"},
    ),
    "an_empty_claim": (
        (("ClaimRequirement", v1.ClaimRequirementRequest()),),
        {"worker_id": "is missing", "tool_names": "is missing; name the tools"},
    ),
    "a_claim_all_wrong": (
        a_claim(
            worker_id="x" * 65,
            tool_names=["a", "", LONG, "a\0b"],
            workflow_id="\n",
            lease_duration=seconds(0.5),
            wait_timeout=seconds(-1),
            request_id="x" * 65,
        ),
        {
            "worker_id": "is longer than 64 characters",
            "tool_names[1]": "is missing",
            "tool_names[2]": "is longer than 100 characters",
            "tool_names[3]": "holds a control character",
            "workflow_id": "holds a control character",
            "lease_duration": "is not between 1 and 3,600 seconds",
            "wait_timeout": "is negative",
            "request_id": "is longer than 64 characters",
        },
    ),
    "a_worker_with_nul": (a_claim(worker_id="a\0"), {"worker_id": "holds a control character"}),
    "too_many_tools": (
        a_claim(tool_names=[f"t{n}" for n in range(101)]),
        {"tool_names": "has more than 100 names"},
    ),
    "a_long_lease": (
        leased(seconds(3_600.000_001)),
        {"lease_duration": "is not between 1 and 3,600 seconds"},
    ),
    "a_short_lease": (
        leased(seconds(0.999)),
        {"lease_duration": "is not between 1 and 3,600 seconds"},
    ),
    "a_negative_lease": (
        leased(seconds(-1)),
        {"lease_duration": "is not between 1 and 3,600 seconds"},
    ),
    "no_claim_of_nothing": (held(requirement_id=""), {"requirement_id": "is missing"}),
    "no_epoch": (held(claim_epoch=0), {"claim_epoch": "is missing"}),
    "a_negative_epoch": (held(claim_epoch=-1), {"claim_epoch": "is negative"}),
    "a_result_of_a_negative_epoch": (
        (
            (
                "ResolveRequirement",
                v1.ResolveRequirementRequest(
                    resolution=v1.RequirementResolution(requirement_id="x"), claim_epoch=-1
                ),
            ),
        ),
        {"claim_epoch": "is negative"},
    ),
    "a_resolution_without_requirement": (
        (
            (
                "ContinueRun",
                v1.ContinueRunRequest(run_id="x", resolutions=[v1.RequirementResolution()]),
            ),
        ),
        {"resolutions[0].requirement_id": "is missing"},
    ),
    "too_many_resolutions": (
        (
            (
                "ContinueRun",
                v1.ContinueRunRequest(
                    run_id="x",
                    resolutions=[v1.RequirementResolution(requirement_id="q")] * 1_001,
                ),
            ),
        ),
        {"resolutions": "has more than 1000 answers"},
    ),
    "long_reason": (
        (("CancelRun", v1.CancelRunRequest(run_id="x", reason="x" * 4_001)),),
        {"reason": "is longer than 4,000 characters"},
    ),
    "nul_in_a_reason": (
        (("CancelRun", v1.CancelRunRequest(run_id="x", reason="a\0b")),),
        {"reason": "holds a NUL character"},
    ),
    "negative_sequence": (
        (
            ("WatchRun", v1.WatchRunRequest(run_id="x", after_sequence=-1)),
            ("ListRunEvents", v1.ListRunEventsRequest(run_id="x", after_sequence=-1)),
        ),
        {"after_sequence": "is negative; use 0 to begin with the first event"},
    ),
    "no_session_id": (
        (
            ("GetSession", v1.GetSessionRequest()),
            ("DeleteSession", v1.DeleteSessionRequest()),
        ),
        {"session_id": "is missing"},
    ),
    "session_without_id": (
        (("UpdateSession", v1.UpdateSessionRequest(allow_missing=True)),),
        {"session.session_id": "is missing"},
    ),
    "session_state_is_no_object": (
        (
            (
                "UpdateSession",
                v1.UpdateSessionRequest(
                    session=v1.Session(session_id="x", state_json="[]"), allow_missing=True
                ),
            ),
        ),
        {"session.state_json": "must be a JSON object"},
    ),
    "session_state_is_no_json": (
        (
            (
                "UpdateSession",
                v1.UpdateSessionRequest(session=v1.Session(session_id="x", state_json="{'a': 1}")),
            ),
        ),
        {
            "session.state_json": "is not valid JSON: Expecting property name enclosed in double "
            "quotes at line 1 column 2"
        },
    ),
    "session_field_that_is_not_the_callers": (
        (
            (
                "UpdateSession",
                v1.UpdateSessionRequest(
                    session=v1.Session(session_id="x"), update_mask=FieldMask(paths=["user_id"])
                ),
            ),
        ),
        {"update_mask": "names 'user_id'; only state_json can change"},
    ),
    "no_workflow_id": (
        (("GetWorkflow", v1.GetWorkflowRequest()),),
        {"workflow_id": "is missing"},
    ),
    "negative_version": (
        (("GetWorkflow", v1.GetWorkflowRequest(workflow_id="Work", version=-1)),),
        {"version": "is below 1; leave it out for the newest"},
    ),
    "unspecified_state": (
        (
            ("ListRuns", v1.ListRunsRequest(filter=v1.RunFilter(states=[0]))),  # type: ignore[list-item]
            (
                "ListRequirements",
                v1.ListRequirementsRequest(filter=v1.RequirementFilter(states=[0])),  # type: ignore[list-item]
            ),
        ),
        {"filter.states[0]": "0 is not a value to filter by"},
    ),
    "unknown_state": (
        (
            ("ListRuns", v1.ListRunsRequest(filter=v1.RunFilter(states=[2, 99]))),  # type: ignore[list-item]
            (
                "WatchRequirements",
                v1.WatchRequirementsRequest(filter=v1.RequirementFilter(states=[2, 99])),  # type: ignore[list-item]
            ),
        ),
        {"filter.states[1]": "99 is not a value to filter by"},
    ),
    "unknown_kind": (
        (
            (
                "ListRequirements",
                v1.ListRequirementsRequest(filter=v1.RequirementFilter(kinds=[77])),  # type: ignore[list-item]
            ),
        ),
        {"filter.kinds[0]": "77 is not a value to filter by"},
    ),
    "empty_tool_name": (
        (
            (
                "ListRequirements",
                v1.ListRequirementsRequest(filter=v1.RequirementFilter(tool_names=["pay", ""])),
            ),
        ),
        {"filter.tool_names[1]": "is missing"},
    ),
    "filter_with_nul": (
        (
            ("ListRuns", v1.ListRunsRequest(filter=v1.RunFilter(workflow_id="\0"))),
            (
                "ListRequirements",
                v1.ListRequirementsRequest(filter=v1.RequirementFilter(workflow_id="\0")),
            ),
        ),
        {"filter.workflow_id": "holds a control character"},
    ),
    "filter_label_with_nul": (
        (("ListRuns", v1.ListRunsRequest(filter=v1.RunFilter(labels={"a": "\0"}))),),
        {"filter.labels['a']": "holds a NUL character"},
    ),
    "time_out_of_range": (
        (
            (
                "ListRuns",
                v1.ListRunsRequest(filter=v1.RunFilter(create_time_min=Timestamp(seconds=10**15))),
            ),
        ),
        {"filter.create_time_min": "is not a time between the years 1 and 9999"},
    ),
    "time_before_time": (
        (
            (
                "ListRuns",
                v1.ListRunsRequest(
                    filter=v1.RunFilter(create_time_max=Timestamp(nanos=-1, seconds=-(10**12)))
                ),
            ),
        ),
        {"filter.create_time_max": "is not a time between the years 1 and 9999"},
    ),
}


@pytest.mark.parametrize(
    ("method", "request_", "expected"),
    [
        pytest.param(method, request, expected, id=f"{name}-{method}")
        for name, (cases, expected) in FIELDS.items()
        for method, request in cases
    ],
)
async def test_a_bad_field_is_named_with_its_path(
    scene: Scene, method: str, request_: Any, expected: dict[str, str]
) -> None:
    problem = await refusal_of(scene, method, request_)
    assert problem.code is INVALID
    assert problem.reason == "INVALID_FIELD"
    assert problem.details == ("ErrorInfo", "BadRequest")
    assert problem.fields == expected
    assert problem.metadata == {}


# JSON.

JSON = {
    "{": "is not valid JSON: Expecting property name enclosed in double quotes at line 1 column 2",
    "nul": "is not valid JSON: Expecting value at line 1 column 1",
    "1 2": "is not valid JSON: Extra data at line 1 column 3",
    "'a'": "is not valid JSON: Expecting value at line 1 column 1",
    " ": "is not valid JSON: Expecting value at line 1 column 2",
    '"a\nb"': "is not valid JSON: Invalid control character at at line 1 column 3",
    "NaN": "holds NaN, which JSON does not have",
    '{"a": -Infinity}': "holds -Infinity, which JSON does not have",
    "1e999": "holds the number 1e999, which is out of range",
    "1" * 5_000: "holds an integer with too many digits",
    "[" * 101 + "]" * 101: "is nested deeper than 100 levels",
    '"' + "x" * 1_000_000 + '"': "is longer than 1,000,000 characters",
}


@pytest.mark.parametrize("text", JSON, ids=lambda one: one[:12])
async def test_bad_json_is_named_wherever_it_comes_in(scene: Scene, text: str) -> None:
    expected = JSON[text]
    run_id, ship_ = scene.run.run_id, scene.waiting[2]
    cases: list[tuple[str, Any, str]] = [
        (*of_spec(input_json=text)[0], "spec.input_json"),
        (
            "UpdateSession",
            v1.UpdateSessionRequest(session=v1.Session(session_id="x", state_json=text)),
            "session.state_json",
        ),
        (
            "ContinueRun",
            v1.ContinueRunRequest(
                run_id=run_id,
                resolutions=[confirm(scene.waiting[0]), user_input(scene.waiting[1], text)],
            ),
            "resolutions[1].user_input.values_json",
        ),
        (
            "ResolveRequirement",
            v1.ResolveRequirementRequest(resolution=external_result(ship_, text)),
            "resolution.external_result.result_json",
        ),
    ]
    for method, request, path in cases:
        problem = await refusal_of(scene, method, request)
        assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
        assert problem.fields == {path: expected}


# Pages.

LISTS: dict[str, Callable[..., Any]] = {
    "ListRuns": v1.ListRunsRequest,
    "ListRequirements": v1.ListRequirementsRequest,
    "ListSessions": v1.ListSessionsRequest,
    "ListWorkflows": v1.ListWorkflowsRequest,
    "ListExecutors": v1.ListExecutorsRequest,
    "ListRunEvents": v1.ListRunEventsRequest,
}
FOREIGN = {"page_token": "was not made by this method with this filter; begin again without it"}


def list_request(scene: Scene, method: str, **more: Any) -> Any:
    if method == "ListRunEvents":
        more["run_id"] = scene.run.run_id
    return LISTS[method](**more)


@pytest.mark.parametrize("method", LISTS)
async def test_a_negative_page_size_is_refused(scene: Scene, method: str) -> None:
    for size in (-1, -(2**31)):
        problem = await refusal_of(scene, method, list_request(scene, method, page_size=size))
        assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
        assert problem.fields == {"page_size": "is negative; use 0 for the default"}


@pytest.mark.parametrize("method", LISTS)
async def test_an_absurd_page_size_is_the_upper_bound(scene: Scene, method: str) -> None:
    stub = scene.service.workflows
    for one in (scene.service.runs, scene.service.requirements, scene.service.sessions):
        stub = one if hasattr(one, method) else stub  # type: ignore[assignment]
    await getattr(stub, method)(list_request(scene, method, page_size=2**31 - 1))


def forged(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!",
        "\u00e9",
        forged({}),
        forged([]),
        forged(7),
        forged("ListRuns"),
        forged(["ListSomething", "2026-01-01T00:00:00", "x"]),
        "A" * 2_000,
        forged([["["] * 90]),
    ],
    ids=lambda one: one[:10],
)
async def test_a_foreign_page_token_is_refused(scene: Scene, method: str, token: str) -> None:
    problem = await refusal_of(scene, method, list_request(scene, method, page_token=token))
    assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
    assert problem.fields == FOREIGN


@pytest.mark.parametrize(
    "position",
    [
        ["yesterday", "x"],
        ["0001-01-01T00:00:00+23:59", "x"],
        ["2026-01-01T00:00:00+00:00", "\0"],
        ["2026-01-01T00:00:00+00:00", "\ud800"],
        ["2026-01-01T00:00:00+00:00"],
    ],
    ids=["no_time", "time_before_time", "nul", "surrogate", "short"],
)
async def test_a_forged_page_token_is_refused(scene: Scene, position: list[str]) -> None:
    token = token_of("ListSessions", position)
    problem = await refusal_of(scene, "ListSessions", v1.ListSessionsRequest(page_token=token))
    assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
    assert problem.fields == FOREIGN


async def test_a_page_token_fits_its_own_list_and_filter_only(scene: Scene) -> None:
    runs = scene.service.runs
    first = await runs.ListRuns(v1.ListRunsRequest(page_size=1))
    assert first.next_page_token
    workflow = v1.RunFilter(workflow_id="Work")
    requests: list[tuple[str, Any]] = [
        ("ListRuns", v1.ListRunsRequest(page_token=first.next_page_token, filter=workflow)),
        ("ListSessions", v1.ListSessionsRequest(page_token=first.next_page_token)),
        ("ListRequirements", v1.ListRequirementsRequest(page_token=first.next_page_token)),
    ]
    events = await runs.ListRunEvents(v1.ListRunEventsRequest(run_id=scene.run.run_id, page_size=1))
    token = events.next_page_token
    requests.append(
        ("ListRunEvents", v1.ListRunEventsRequest(run_id=scene.other.run_id, page_token=token))
    )
    for method, request in requests:
        problem = await refusal_of(scene, method, request)
        assert (problem.code, problem.fields) == (INVALID, FOREIGN)


INBOX = scope_of("WatchRequirements", v1.RequirementFilter())


@pytest.mark.parametrize(
    "token",
    [
        "x",
        forged(["WatchRequirements:"]),
        forged(7),
        token_of(INBOX, ["now"]),
        token_of(INBOX, ["0001-01-01T00:00:00+23:59"]),
        token_of(scope_of("WatchRequirements", v1.RequirementFilter(run_id="x")), ["2026-01-01"]),
    ],
    ids=["garbage", "method", "number", "no_time", "time_before_time", "filter"],
)
async def test_a_foreign_resume_token_is_refused(scene: Scene, token: str) -> None:
    request = v1.WatchRequirementsRequest(resume_token=token)
    problem = await refusal_of(scene, "WatchRequirements", request)
    assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
    assert list(problem.fields) == ["resume_token"]


async def test_events_after_the_newest_one_are_out_of_range(scene: Scene) -> None:
    last = scene.run.last_sequence
    for method, kind in (
        ("WatchRun", v1.WatchRunRequest),
        ("ListRunEvents", v1.ListRunEventsRequest),
    ):
        for after in (last + 1, 2**63 - 1):
            request = kind(run_id=scene.run.run_id, after_sequence=after)
            problem = await refusal_of(scene, method, request)
            assert (problem.code, problem.reason) == (RANGE, "SEQUENCE_OUT_OF_RANGE")
            assert problem.metadata == {"last_sequence": str(last)}


# Answers.

ANSWERS: dict[str, Callable[[v1.Requirement], v1.RequirementResolution]] = {
    name: (
        lambda one, name=name, answer=answer: v1.RequirementResolution(  # type: ignore[misc]
            requirement_id=one.requirement_id, **{name: answer}
        )
    )
    for name, answer in {
        "confirm": v1.Confirmation(),
        "reject": v1.Rejection(),
        "user_input": v1.UserInput(values_json='{"to": "Ann"}'),
        "external_result": v1.ExternalResult(result_json="1"),
        "user_feedback": v1.UserFeedback(),
        "edited_output": v1.EditedOutput(output_json="1"),
        "route_choice": v1.RouteChoice(routes=["a"]),
        "retry": v1.Retry(),
        "skip": v1.Skip(),
        "fail": v1.Fail(),
    }.items()
}
FITTING = ("confirm", "user_input", "external_result")
KINDS = ("CONFIRMATION", "USER_INPUT", "EXTERNAL_EXECUTION")


@pytest.mark.parametrize("position", [0, 1, 2], ids=KINDS)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_of_another_kind_is_refused(
    scene: Scene, position: int, answer: str
) -> None:
    if answer in (FITTING[position], "reject"):
        return
    asked = scene.waiting[position]
    resolution = ANSWERS[answer](asked)
    for method, request in (
        (
            "ContinueRun",
            v1.ContinueRunRequest(run_id=scene.run.run_id, resolutions=[resolution]),
        ),
        (
            "ContinueRunStream",
            v1.ContinueRunStreamRequest(run_id=scene.run.run_id, resolutions=[resolution]),
        ),
        ("ResolveRequirement", v1.ResolveRequirementRequest(resolution=resolution)),
    ):
        problem = await refusal_of(scene, method, request)
        assert (problem.code, problem.reason) == (FAILED, "RESOLUTION_MISMATCH")
        assert problem.metadata == {
            "requirement_id": asked.requirement_id,
            "kind": KINDS[position],
            "resolution": answer,
        }
        assert "PreconditionFailure" in problem.details
        assert f"takes {' or '.join(sorted([FITTING[position], 'reject']))}" in problem.message


@dataclass(frozen=True)
class Wrong:
    """An answer of the right kind with something wrong in it."""

    position: int
    answer: dict[str, Any]
    path: str
    text: str = ""


WRONG: dict[str, Wrong] = {
    "no_answer": Wrong(0, {}, "resolution"),
    "edited_arguments": Wrong(
        0, {"confirm": v1.Confirmation(edited_args_json="{}")}, "confirm.edited_args_json"
    ),
    "long_note": Wrong(0, {"confirm": v1.Confirmation(note="x" * 4_001)}, "confirm.note"),
    "long_reason": Wrong(1, {"reject": v1.Rejection(note="x" * 4_001)}, "reject.note"),
    "what_a_rejection_does": Wrong(
        0, {"reject": v1.Rejection(on_reject=v1.ON_REJECT_CANCEL)}, "reject.on_reject"
    ),
    "no_values": Wrong(1, {"user_input": v1.UserInput()}, "user_input.values_json"),
    "values_are_no_object": Wrong(
        1, {"user_input": v1.UserInput(values_json='["Ann"]')}, "user_input.values_json"
    ),
    "missing_value": Wrong(
        1, {"user_input": v1.UserInput(values_json="{}")}, "user_input.values_json.to"
    ),
    "null_is_not_missing": Wrong(
        1, {"user_input": v1.UserInput(values_json='{"to": null}')}, "user_input.values_json.to"
    ),
    "number_for_text": Wrong(
        1, {"user_input": v1.UserInput(values_json='{"to": 7}')}, "user_input.values_json.to"
    ),
    "text_for_number": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "count": "many"}')},
        "user_input.values_json.count",
    ),
    "digits_for_number": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "count": "5"}')},
        "user_input.values_json.count",
    ),
    "yes_for_number": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "count": true}')},
        "user_input.values_json.count",
    ),
    "fraction_for_whole_number": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "count": 1.5}')},
        "user_input.values_json.count",
    ),
    "unknown_value": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "cc": "Ben"}')},
        "user_input.values_json.cc",
        "there is no such field; the fields are: count, to",
    ),
    "unknown_value_that_is_no_text": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "\\ud800": "Ben"}')},
        "user_input.values_json.\ufffd",
        "there is no such field; the fields are: count, to",
    ),
    "value_that_the_agent_fixed": Wrong(
        1,
        {"user_input": v1.UserInput(values_json='{"to": "Ann", "subject": "Pay me"}')},
        "user_input.values_json.subject",
        "the agent fixed this value, and it cannot be changed; leave it out",
    ),
    "no_outcome": Wrong(2, {"external_result": v1.ExternalResult()}, "external_result.outcome"),
    "empty_result": Wrong(
        2,
        {"external_result": v1.ExternalResult(result_json="")},
        "external_result.result_json",
        "is missing; give JSON",
    ),
    "long_error": Wrong(
        2,
        {"external_result": v1.ExternalResult(error_message="x" * 4_001)},
        "external_result.error_message",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_answer_is_refused_with_the_path_of_what_is_wrong(
    scene: Scene, name: str
) -> None:
    wrong = WRONG[name]
    asked = scene.waiting[wrong.position]
    resolution = v1.RequirementResolution(requirement_id=asked.requirement_id, **wrong.answer)
    answers = [confirm(scene.waiting[0]), resolution] if wrong.position else [resolution]
    path = f"resolutions[{len(answers) - 1}]"
    for method, request, prefix in (
        (
            "ContinueRun",
            v1.ContinueRunRequest(run_id=scene.run.run_id, resolutions=answers),
            path,
        ),
        ("ResolveRequirement", v1.ResolveRequirementRequest(resolution=resolution), "resolution"),
    ):
        problem = await refusal_of(scene, method, request)
        assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
        assert list(problem.fields) == [f"{prefix}.{wrong.path}"]
        if wrong.text:
            assert list(problem.fields.values()) == [wrong.text]


async def test_all_wrong_values_are_named_at_once(scene: Scene) -> None:
    values = user_input(scene.waiting[1], '{"to": 7, "count": "many"}')
    request = v1.ResolveRequirementRequest(resolution=values)
    problem = await refusal_of(scene, "ResolveRequirement", request)
    path = "resolution.user_input.values_json"
    assert set(problem.fields) == {f"{path}.to", f"{path}.count"}


async def test_two_answers_to_one_question_are_refused(scene: Scene) -> None:
    asked = scene.waiting[0]
    request = v1.ContinueRunRequest(
        run_id=scene.run.run_id, resolutions=[confirm(asked), reject(asked)]
    )
    problem = await refusal_of(scene, "ContinueRun", request)
    assert (problem.code, problem.reason) == (INVALID, "INVALID_FIELD")
    assert problem.fields == {
        "resolutions[1].requirement_id": "is answered by resolutions[0] too; give one answer"
    }


async def test_an_etag_that_does_not_match_aborts(scene: Scene) -> None:
    asked = scene.waiting[0]
    stale = confirm(asked)
    stale.etag = "0"
    for method, request, etag in (
        (
            "ContinueRun",
            v1.ContinueRunRequest(
                run_id=scene.run.run_id, resolutions=[confirm(asked)], etag="nonsense"
            ),
            scene.run.etag,
        ),
        ("ContinueRun", v1.ContinueRunRequest(run_id=scene.run.run_id, etag="0"), scene.run.etag),
        ("ContinueRun", v1.ContinueRunRequest(run_id=scene.run.run_id, resolutions=[stale]), "1"),
        ("ResolveRequirement", v1.ResolveRequirementRequest(resolution=stale), "1"),
    ):
        problem = await refusal_of(scene, method, request)
        assert (problem.code, problem.reason) == (ABORTED, "ETAG_MISMATCH")
        assert problem.metadata == {"etag": etag}


async def test_one_wrong_answer_spoils_all(scene: Scene) -> None:
    """All or none: what was right in a refused request was not recorded either."""
    right = [confirm(scene.waiting[0]), user_input(scene.waiting[1], '{"to": "Ann"}')]
    wrong = external_result(scene.waiting[2], "{")
    request = v1.ContinueRunRequest(run_id=scene.run.run_id, resolutions=[*right, wrong])
    assert (await refusal_of(scene, "ContinueRun", request)).code is INVALID
    assert open_requirements(await get(scene.service, scene.run)) == scene.waiting
