"""The blocking client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, overload

import grpc

from interlock import v1
from interlock._blocking import BlockingWire, RunStream, Stream, finish
from interlock._core.inbox import requirement_filter
from interlock._core.runs import RunRef, run_filter
from interlock._core.service import Service, WorkflowRef, refuse_wait
from interlock._core.wire import CHANNEL_OPTIONS, Metadata, call_metadata
from interlock.decisions import Decision
from interlock.events import Event
from interlock.handles import WorkflowHandle
from interlock.requirements import Claim, Requirement, Resolved
from interlock.run import RunOutput
from interlock.session import Session


class Client:
    """A connection to an Interlock server.

    It is safe to share between threads. Every method that calls the server raises
    `InterlockError`.

    Args:
        target: Where the server is, for example `"localhost:50051"`.
        timeout: Deadline of every call that does not wait for a run, in seconds, its
            retries included; None means none. Waiting for a run has a limit of its own,
            `wait_timeout`.
        retry_timeout: For how long to try again while the server is unavailable, in
            seconds. Nothing happens twice by it.
        metadata: What to send with every call.
        token: Sent with every call as `authorization: Bearer TOKEN`.
        credentials: For TLS, see `grpc.ssl_channel_credentials`; None means no encryption.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float | None = None,
        retry_timeout: float = 30.0,
        metadata: Metadata | None = None,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        _sleep: Callable[[float], None] = time.sleep,
        _clock: Callable[[], float] = time.monotonic,
        _random: Callable[[], float] = random.random,
    ) -> None:
        if credentials is None:
            channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        else:
            channel = grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)
        self._wire = BlockingWire(
            channel, call_metadata(metadata, token), sleep=_sleep, clock=_clock, random=_random
        )
        self._service = Service(self._wire, timeout=timeout, retry_timeout=retry_timeout)

    def close(self) -> None:
        """Closes the connection; calls that are under way end with an error."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def workflow(self, workflow_id: str, *, version: int | None = None) -> WorkflowHandle:
        """A handle for running a workflow. Asks the server nothing.

        Args:
            workflow_id: Name of the workflow.
            version: The version to run; None means the newest.
        """
        return WorkflowHandle(self._service, WorkflowRef(workflow_id, version))

    # Runs.

    @overload
    def continue_run(
        self, run: RunRef, *, stream: Literal[False] = False, wait_timeout: float | None = None
    ) -> RunOutput: ...
    @overload
    def continue_run(self, run: RunRef, *, stream: Literal[True]) -> RunStream: ...
    @overload
    def continue_run(self, run: RunRef, *, stream: bool) -> RunOutput | RunStream: ...
    def continue_run(
        self, run: RunRef, *, stream: bool = False, wait_timeout: float | None = None
    ) -> RunOutput | RunStream:
        """Sends the decisions that were made on a paused run, and lets it go on.

        Requirements on which nothing was decided still wait afterwards. Nothing but the
        decisions is sent: what is executed is what the server has on record.

        Args:
            run: The run, or its id when there are no decisions to send.
            stream: Whether to get the events until the run pauses again or ends, instead
                of the run as it is then.
            wait_timeout: Longest time to wait for that, in seconds; the run as it is when
                the time is over is returned. None means as long as it takes.
        """
        if not stream:
            return finish(self._service.runs.continue_run(run, wait_timeout))
        refuse_wait(wait_timeout)
        return RunStream(self._service.runs.continue_stream(run))

    def get_run(self, run_id: str) -> RunOutput:
        """Gets a run."""
        return finish(self._service.runs.get(run_id))

    def wait_run(self, run: RunRef, *, wait_timeout: float | None = None) -> RunOutput:
        """Waits until a run pauses or ends.

        Args:
            run: The run, or its id.
            wait_timeout: Longest time to wait, in seconds; the run as it is when the time
                is over is returned. None means as long as it takes.
        """
        return finish(self._service.runs.wait(run, wait_timeout))

    def cancel_run(self, run: RunRef, *, reason: str | None = None) -> RunOutput:
        """Cancels a run: a paused one at once, a running one before its next effect.

        Args:
            run: The run, or its id.
            reason: Recorded with the run, at most 4,000 characters.
        """
        return finish(self._service.runs.cancel(run, reason))

    def watch_run(
        self, run: RunRef, *, after_sequence: int = 0, end_on_pause: bool = False
    ) -> RunStream:
        """Streams the events of a run, those that have happened first.

        Args:
            run: The run, or its id.
            after_sequence: Begin after the event with this sequence.
            end_on_pause: End when the run pauses, not only when it ends.
        """
        return RunStream(self._service.runs.watch(run, after_sequence, end_on_pause=end_on_pause))

    def list_runs(
        self,
        *,
        workflow_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        create_time_min: datetime | None = None,
        create_time_max: datetime | None = None,
        stuck: bool = False,
    ) -> Iterator[RunOutput]:
        """Lists runs without their step results, newest first, page by page.

        A run must match everything that is given.

        Args:
            workflow_id: Of this workflow.
            session_id: Of this session.
            states: In one of these states, for example `["PAUSED"]`.
            labels: With all of these labels.
            create_time_min: Created at or after this time, which needs a zone.
            create_time_max: Created before this time.
            stuck: Have not ended, and need code that the server lacks; see
                `RunOutput.missing_executor`.
        """
        selected = run_filter(
            workflow_id=workflow_id,
            session_id=session_id,
            states=states,
            labels=labels,
            create_time_min=create_time_min,
            create_time_max=create_time_max,
            stuck=stuck,
        )
        return Stream(self._service.runs.list(selected))

    def list_run_events(self, run: RunRef, *, after_sequence: int = 0) -> Iterator[Event[Any]]:
        """Lists the stored events of a run, oldest first, page by page.

        Args:
            run: The run, or its id.
            after_sequence: Begin after the event with this sequence.
        """
        return Stream(self._service.runs.list_events(run, after_sequence))

    # The inbox.

    def get_requirement(self, requirement_id: str) -> Requirement:
        """Gets a requirement."""
        return finish(self._service.inbox.get(requirement_id))

    def list_requirements(
        self,
        *,
        run_id: str | None = None,
        workflow_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[str] = (),
        kinds: Iterable[str] = (),
        tool_names: Iterable[str] = (),
    ) -> Iterator[Requirement]:
        """Lists requirements of all runs, oldest first, page by page.

        A requirement must match everything that is given.

        Args:
            run_id: Of this run.
            workflow_id: Of this workflow.
            session_id: Of this session.
            states: In one of these states; none means `["PENDING"]`.
            kinds: Of one of these kinds, for example `["CONFIRMATION"]`.
            tool_names: For one of these tools.
        """
        selected = requirement_filter(
            run_id=run_id,
            workflow_id=workflow_id,
            session_id=session_id,
            states=states,
            kinds=kinds,
            tool_names=tool_names,
        )
        return Stream(self._service.inbox.list(selected))

    def watch_requirements(
        self,
        *,
        run_id: str | None = None,
        workflow_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[str] = (),
        kinds: Iterable[str] = (),
        tool_names: Iterable[str] = (),
    ) -> Stream[Requirement]:
        """Streams requirements as they appear and change, those that wait first; never ends.

        A requirement may come more than once. The arguments are those of
        `list_requirements`, except that no `states` mean every state.
        """
        selected = requirement_filter(
            run_id=run_id,
            workflow_id=workflow_id,
            session_id=session_id,
            states=states,
            kinds=kinds,
            tool_names=tool_names,
        )
        return Stream(self._service.inbox.watch(selected))

    def resolve(
        self,
        requirement: Requirement | str,
        decision: Decision | None = None,
        *,
        hold_run: bool = False,
        claim_epoch: int | None = None,
    ) -> Resolved:
        """Resolves one requirement. When its step waits for no other, the step goes on.

        The same decision again gets the same answer.

        Args:
            requirement: The requirement, or its id.
            decision: The answer; may be left out when it was made on the requirement.
            hold_run: Keep the run paused until somebody calls `continue_run`.
            claim_epoch: Of the claim under which the call was executed, if it was claimed.

        Raises:
            AlreadyResolvedError: somebody decided otherwise before.
            RequirementClaimedError: a worker executes the call, so the result is to come from it.
            ClaimLostError: the call was claimed again, or given back.
        """
        return finish(
            self._service.inbox.resolve(
                requirement, decision, hold_run=hold_run, claim_epoch=claim_epoch
            )
        )

    # Claims, from which `Worker` is made.

    def claim_requirement(
        self,
        tool_names: Iterable[str],
        *,
        worker_id: str,
        workflow_id: str | None = None,
        lease: float = 30.0,
        wait_timeout: float | None = None,
    ) -> Requirement | None:
        """Takes the oldest call of an external tool that no worker holds, and waits for one.

        Answer with `resolve` and the claim's epoch. Until then keep the claim with
        `renew_claim`, about three times per lease. `Worker` does all of that.

        Args:
            tool_names: The tools whose calls the worker executes.
            worker_id: Who claims, at most 64 characters; different for each worker.
            workflow_id: Only calls of this workflow.
            lease: How long the claim holds unless it is renewed, in seconds, from 1 to 3,600.
            wait_timeout: How long to wait, in seconds; None means until there is one.

        Returns:
            The requirement with its `claim`; None when there was none in time.
        """
        return finish(
            self._service.inbox.claim(
                tool_names,
                worker_id=worker_id,
                workflow_id=workflow_id,
                lease=lease,
                wait_timeout=wait_timeout,
            )
        )

    def renew_claim(self, requirement_id: str, claim_epoch: int, *, lease: float = 30.0) -> Claim:
        """Keeps a claim for longer: `lease` seconds from now.

        Raises:
            ClaimLostError: it was given back, or another worker has the call.
            FailedPreconditionError: the requirement waits no longer.
        """
        return finish(self._service.inbox.renew_claim(requirement_id, claim_epoch, lease))

    def release_claim(self, requirement_id: str, claim_epoch: int) -> None:
        """Gives a claim back without a result, so that another worker can take the call at once.

        Giving back what is not held any more changes nothing.
        """
        finish(self._service.inbox.release_claim(requirement_id, claim_epoch))

    # What the server can run.

    def list_workflows(self) -> Iterator[v1.Workflow]:
        """Lists the workflows that can be started, by name, newest version only."""
        return Stream(self._service.catalog.list_workflows())

    def get_workflow(self, workflow_id: str, *, version: int | None = None) -> v1.Workflow:
        """Gets a version of a workflow; None means the newest."""
        return finish(self._service.catalog.get_workflow(workflow_id, version))

    def list_executors(self) -> Iterator[v1.Executor]:
        """Lists agents, teams and functions that steps name, by type and name."""
        return Stream(self._service.catalog.list_executors())

    # Sessions.

    def get_session(self, session_id: str) -> Session:
        """Gets a session; `list_runs` gives its runs."""
        return finish(self._service.sessions.get(session_id))

    def list_sessions(self) -> Iterator[Session]:
        """Lists sessions, newest first, page by page."""
        return Stream(self._service.sessions.list())

    def update_session(
        self,
        session_id: str,
        state: Mapping[str, Any],
        *,
        etag: str | None = None,
        allow_missing: bool = False,
    ) -> Session:
        """Replaces the state of a session.

        Args:
            session_id: The session.
            state: The new state.
            etag: When given, the session must still have it.
            allow_missing: Create the session when it does not exist.
        """
        return finish(
            self._service.sessions.update(session_id, state, etag=etag, allow_missing=allow_missing)
        )

    def delete_session(self, session_id: str, *, etag: str | None = None) -> None:
        """Deletes a session with its ended runs.

        Args:
            session_id: The session.
            etag: When given, the session must still have it.
        """
        finish(self._service.sessions.delete(session_id, etag=etag))
