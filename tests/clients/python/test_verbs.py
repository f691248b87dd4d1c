"""Every other verb: what it asks the server, and what it gives."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.clients.python import samples
from tests.clients.python.faces import Face
from tests.clients.python.samples import batch
from tests.clients.python.scripted import SERVICES, UNAVAILABLE, ScriptedServer

import interlock
from interlock import (
    AsyncClient,
    AsyncWorkflowHandle,
    Claim,
    Client,
    Decision,
    Requirement,
    WorkflowHandle,
    v1,
)


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert public(Client) == public(AsyncClient)


def test_both_handles_have_the_same_methods() -> None:
    blocking = public(WorkflowHandle) - {"workflow_id"}
    assert {f"a{name}" for name in blocking} == public(AsyncWorkflowHandle) - {"workflow_id"}


def test_run(server: ScriptedServer, face: Face) -> None:
    server.script("Run", v1.RunResponse(run=samples.run()))
    face.workflow("run", {"a": 1}, session_id="s", labels={"x": "y"}, request_id="mine")
    (request,) = server.requests("Run")
    assert request.request_id == "mine"
    assert request.spec == v1.RunSpec(
        workflow_id="greet", session_id="s", input_json='{"a":1}', labels={"x": "y"}
    )


def test_run_without_anything(server: ScriptedServer, face: Face) -> None:
    server.script("Run", v1.RunResponse(run=samples.run()))
    face.workflow("run")
    (request,) = server.requests("Run")
    assert request.spec == v1.RunSpec(workflow_id="greet")


def test_version_of_a_workflow(server: ScriptedServer) -> None:
    server.script("Run", v1.RunResponse(run=samples.run()))
    with Client(server.target) as client:
        client.workflow("greet", version=3).run()
    (request,) = server.requests("Run")
    assert request.spec.workflow_version == 3


def test_get_run(server: ScriptedServer, face: Face) -> None:
    server.answer("GetRun", lambda _: iter([v1.GetRunResponse(run=samples.run())]))
    assert face.client("get_run", "run-1").run_id == "run-1"
    assert face.workflow("get_run", "run-1").run_id == "run-1"
    assert server.requests("GetRun") == [v1.GetRunRequest(run_id="run-1")] * 2


def test_cancel_run(server: ScriptedServer, face: Face) -> None:
    reply = v1.CancelRunResponse(run=samples.run("CANCELLED"))
    server.answer("CancelRun", lambda _: iter([reply]))
    run = face.client("cancel_run", "run-1", reason="enough")
    assert run.is_cancelled
    assert face.workflow("cancel_run", run).is_cancelled
    first, second = server.requests("CancelRun")
    assert (first.run_id, first.reason) == ("run-1", "enough")
    assert (second.run_id, second.reason) == ("run-1", "")


def test_watch(server: ScriptedServer, face: Face) -> None:
    server.script(
        "WatchRun",
        v1.WatchRunResponse(snapshot=samples.paused_run()),
        v1.WatchRunResponse(heartbeat=v1.Heartbeat(sequence=4)),
        batch(v1.WatchRunResponse, samples.step_started(5, "a"), v1.RunEvent(sequence=6)),
        batch(v1.WatchRunResponse, samples.completed(7)),
    )
    events = list(face.workflow("watch", "run-1", 4, end_on_pause=True))
    assert [event.sequence for event in events] == [5, 7]
    expected = v1.WatchRunRequest(run_id="run-1", after_sequence=4, end_on_pause=True)
    assert server.requests("WatchRun") == [expected]


def test_snapshot(server: ScriptedServer) -> None:
    server.script(
        "WatchRun",
        v1.WatchRunResponse(snapshot=samples.paused_run()),
        batch(v1.WatchRunResponse, samples.started()),
    )
    with Client(server.target) as client, client.watch_run("run-1") as events:
        snapshots = [events.snapshot]
        next(events)
        snapshots.append(events.snapshot)
    before, after = snapshots
    assert before is None
    assert after is not None
    assert after.is_paused


def test_list_runs(server: ScriptedServer, face: Face) -> None:
    """Pages are read as they are needed; an empty one is not the last."""
    server.script(
        "ListRuns", v1.ListRunsResponse(runs=[samples.run(run_id="a")], next_page_token="1")
    )
    server.script("ListRuns", v1.ListRunsResponse(next_page_token="2"))
    server.script("ListRuns", UNAVAILABLE)
    server.script("ListRuns", v1.ListRunsResponse(runs=[samples.run(run_id="b")]))
    time = datetime(2026, 1, 2, tzinfo=UTC)
    runs = face.client(
        "list_runs",
        workflow_id="greet",
        session_id="s",
        states=["PAUSED", "running"],
        labels={"x": "y"},
        create_time_min=time,
    )
    assert next(runs).run_id == "a"
    assert len(server.calls) == 1
    assert [run.run_id for run in runs] == ["b"]
    requests = server.requests("ListRuns")
    assert [request.page_token for request in requests] == ["", "1", "2", "2"]
    expected = v1.RunFilter(
        workflow_id="greet",
        session_id="s",
        states=[v1.RunState.RUN_STATE_PAUSED, v1.RunState.RUN_STATE_RUNNING],
        labels={"x": "y"},
        create_time_min=Timestamp(seconds=1767312000),
    )
    assert all(request.filter == expected for request in requests)


def test_wrong_filters(face: Face) -> None:
    with pytest.raises(ValueError, match="'PAUSE' is not one of PENDING, RUNNING, PAUSED"):
        face.client("list_runs", states=["PAUSE"])
    with pytest.raises(ValueError, match="time zone"):
        face.client("list_runs", create_time_max=datetime(2026, 1, 2))  # noqa: DTZ001 # the mistake


def test_list_run_events(server: ScriptedServer, face: Face) -> None:
    server.script(
        "ListRunEvents",
        v1.ListRunEventsResponse(
            events=[samples.started(), v1.RunEvent(sequence=2)], next_page_token="x"
        ),
    )
    done = [samples.step_completed(3, "text", "a"), samples.completed(4, "text")]
    server.script("ListRunEvents", v1.ListRunEventsResponse(events=done))
    events = list(face.client("list_run_events", "run-1", after_sequence=0))
    assert [event.sequence for event in events] == [1, 3, 4]
    assert [event.content for event in events[1:]] == ["text", "text"]


def test_requirements(server: ScriptedServer, face: Face) -> None:
    reply = v1.GetRequirementResponse(requirement=samples.requirement())
    server.script("GetRequirement", reply)
    assert face.client("get_requirement", "req-1").id == "req-1"
    server.script(
        "ListRequirements", v1.ListRequirementsResponse(requirements=[samples.requirement()])
    )
    selection: dict[str, Any] = {
        "run_id": "r",
        "workflow_id": "w",
        "session_id": "s",
        "states": ["PENDING"],
        "kinds": ["CONFIRMATION"],
        "tool_names": ["send_money"],
    }
    (requirement,) = face.client("list_requirements", **selection)
    assert requirement.needs_confirmation
    (request,) = server.requests("ListRequirements")
    assert request.filter == v1.RequirementFilter(
        run_id="r",
        workflow_id="w",
        session_id="s",
        states=[samples.PENDING],
        kinds=[v1.RequirementKind.REQUIREMENT_KIND_CONFIRMATION],
        tool_names=["send_money"],
    )


def test_watch_requirements_goes_on(server: ScriptedServer, face: Face) -> None:
    server.script(
        "WatchRequirements",
        v1.WatchRequirementsResponse(requirement=samples.requirement(), resume_token="1"),
        v1.WatchRequirementsResponse(heartbeat=v1.Heartbeat(), resume_token="2"),
        UNAVAILABLE,
    )
    other = samples.requirement(requirement_id="req-2")
    server.script(
        "WatchRequirements", v1.WatchRequirementsResponse(requirement=other, resume_token="3")
    )
    watched = face.client("watch_requirements", tool_names=["send_money"])
    assert [requirement.id for requirement in watched] == ["req-1", "req-2"]
    selected = v1.RequirementFilter(tool_names=["send_money"])
    assert server.requests("WatchRequirements") == [
        v1.WatchRequirementsRequest(filter=selected),
        v1.WatchRequirementsRequest(filter=selected, resume_token="2"),
    ]


def test_resolve(server: ScriptedServer, face: Face) -> None:
    reply = v1.ResolveRequirementResponse(
        requirement=samples.requirement(), run_state=v1.RunState.RUN_STATE_RUNNING
    )
    server.answer("ResolveRequirement", lambda _: iter([reply]))
    mine = Requirement(samples.requirement())
    mine.reject("no")
    resolved = face.client("resolve", mine)
    assert (resolved.requirement.id, resolved.run_state) == ("req-1", "RUNNING")
    face.client("resolve", "req-2", Decision.confirm(), hold_run=True)
    other = Requirement(samples.requirement(requirement_id="req-3"))
    face.client("resolve", other, Decision.confirm())
    assert other.is_resolved
    requests = server.requests("ResolveRequirement")
    assert [request.resolution for request in requests] == [
        v1.RequirementResolution(requirement_id="req-1", reject=v1.Rejection(note="no")),
        v1.RequirementResolution(requirement_id="req-2", confirm=v1.Confirmation()),
        v1.RequirementResolution(requirement_id="req-3", confirm=v1.Confirmation()),
    ]
    assert [request.hold_run for request in requests] == [False, True, False]
    assert all(request.request_id for request in requests)


def test_claims(server: ScriptedServer, face: Face) -> None:
    claim = v1.RequirementClaim(worker_id="w", epoch=2, expire_time=Timestamp(seconds=60))
    held = samples.requirement("EXTERNAL_EXECUTION", claim=claim)
    server.script("ClaimRequirement", UNAVAILABLE)
    server.script("ClaimRequirement", v1.ClaimRequirementResponse())
    server.script("ClaimRequirement", v1.ClaimRequirementResponse(requirement=held))
    asked: dict[str, Any] = {"worker_id": "w", "workflow_id": "greet", "lease": 1.5}
    requirement = face.client("claim_requirement", ["send_money"], **asked)
    assert requirement.claim == Claim("w", 2, datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    first, again, then = server.requests("ClaimRequirement")
    assert first == again
    assert first.request_id not in ("", then.request_id)
    assert first.tool_names == ["send_money"]
    assert (first.worker_id, first.workflow_id) == ("w", "greet")
    assert first.lease_duration.ToNanoseconds() == 1.5e9
    assert first.wait_timeout.seconds == 30

    server.script("RenewClaim", v1.RenewClaimResponse(claim=claim))
    assert face.client("renew_claim", "req-1", 2) == requirement.claim
    (renewal,) = server.requests("RenewClaim")
    assert (renewal.requirement_id, renewal.claim_epoch) == ("req-1", 2)
    assert renewal.lease_duration.seconds == 30

    server.script("ReleaseClaim", v1.ReleaseClaimResponse())
    assert face.client("release_claim", "req-1", 2) is None
    assert server.requests("ReleaseClaim") == [
        v1.ReleaseClaimRequest(requirement_id="req-1", claim_epoch=2)
    ]

    server.script("ResolveRequirement", v1.ResolveRequirementResponse(requirement=held))
    face.client("resolve", "req-1", Decision.external_result(1), claim_epoch=2)
    (answer,) = server.requests("ResolveRequirement")
    assert answer.claim_epoch == 2


def test_nothing_to_claim(server: ScriptedServer, face: Face) -> None:
    server.script("ClaimRequirement", v1.ClaimRequirementResponse())
    assert face.client("claim_requirement", ["a"], worker_id="w", wait_timeout=0) is None
    (request,) = server.requests("ClaimRequirement")
    assert request.HasField("wait_timeout")
    assert request.wait_timeout.ToNanoseconds() == 0
    with pytest.raises(ValueError, match="negative"):
        face.client("claim_requirement", ["a"], worker_id="w", wait_timeout=-1)


def test_nobody_holds_what_has_no_claim() -> None:
    assert Requirement(samples.requirement()).claim is None


def test_resolving_needs_a_decision(face: Face) -> None:
    with pytest.raises(ValueError, match="nothing is decided on requirement 'req-1'"):
        face.client("resolve", "req-1")


def test_catalog(server: ScriptedServer, face: Face) -> None:
    workflow = v1.Workflow(workflow_id="greet", version=2)
    server.script("GetWorkflow", v1.GetWorkflowResponse(workflow=workflow))
    assert face.client("get_workflow", "greet", version=0) == workflow
    (request,) = server.requests("GetWorkflow")
    assert request.HasField("version")
    server.script("ListWorkflows", v1.ListWorkflowsResponse(workflows=[workflow]))
    assert list(face.client("list_workflows")) == [workflow]
    executor = v1.Executor(display_name="Teller")
    server.script("ListExecutors", v1.ListExecutorsResponse(executors=[executor]))
    assert list(face.client("list_executors")) == [executor]


def test_sessions(server: ScriptedServer, face: Face) -> None:
    message = v1.Session(session_id="s", user_id="ada", state_json='{"n":1}', etag="e")
    server.script("GetSession", v1.GetSessionResponse(session=message))
    session = face.client("get_session", "s")
    assert (session.session_id, session.user_id, session.etag) == ("s", "ada", "e")
    assert session.state == {"n": 1}
    server.script("ListSessions", v1.ListSessionsResponse(sessions=[message]))
    assert [one.session_id for one in face.client("list_sessions")] == ["s"]
    server.script("UpdateSession", v1.UpdateSessionResponse(session=message))
    face.client("update_session", "s", {"n": 2}, etag="e", allow_missing=True)
    (update,) = server.requests("UpdateSession")
    assert update.session == v1.Session(session_id="s", state_json='{"n":2}', etag="e")
    assert list(update.update_mask.paths) == ["state_json"]
    assert update.allow_missing
    server.script("DeleteSession", v1.DeleteSessionResponse())
    assert face.client("delete_session", "s", etag="e") is None
    (delete,) = server.requests("DeleteSession")
    assert (delete.session_id, delete.etag) == ("s", "e")
    assert len({update.request_id, delete.request_id, ""}) == 3


def test_session_of_the_latest_run(server: ScriptedServer, face: Face) -> None:
    with pytest.raises(ValueError, match="session_id"):
        face.workflow("get_session")
    server.script("Run", v1.RunResponse(run=samples.run()))
    face.workflow("run")
    for _ in range(2):
        server.script(
            "GetSession", v1.GetSessionResponse(session=v1.Session(session_id="session-1"))
        )
        server.script("ListRuns", v1.ListRunsResponse())
    assert face.workflow("get_session").runs == []
    face.workflow("get_session", "other", runs_max=7)
    asked = [request.filter.session_id for request in server.requests("ListRuns")]
    assert asked == ["session-1", "other"]
    assert server.requests("ListRuns")[1].page_size == 7


def test_session_of_a_run_that_is_continued(server: ScriptedServer, face: Face) -> None:
    server.script("GetRun", v1.GetRunResponse(run=samples.paused_run()))
    server.script("ContinueRun", v1.ContinueRunResponse(run=samples.run()))
    face.workflow("continue_run", face.workflow("get_run", "run-1"))
    server.script("GetSession", v1.GetSessionResponse())
    server.script("ListRuns", v1.ListRunsResponse())
    face.workflow("get_session")
    assert server.requests("GetSession")[0].session_id == "session-1"


def test_every_method_of_the_contract_is_used() -> None:
    assert interlock.__file__ is not None
    sources = [path.read_text() for path in Path(interlock.__file__).parent.glob("_core/*.py")]
    used = set(re.findall(r"stubs\.\w+\.(\w+)", "".join(sources)))
    assert used == {method.name for service in SERVICES for method in service.methods}
