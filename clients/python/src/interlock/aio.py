"""The client for asyncio."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, overload

import grpc

from interlock import v1
from interlock._core.inbox import requirement_filter
from interlock._core.runs import RunRef, run_filter
from interlock._core.service import Service, WorkflowRef, refuse_wait
from interlock._core.wire import CHANNEL_OPTIONS, Metadata, call_metadata
from interlock._nonblocking import AsyncRunStream, AsyncStream, AsyncWire
from interlock.decisions import Decision
from interlock.events import Event
from interlock.handles import AsyncWorkflowHandle
from interlock.requirements import Claim, Requirement, Resolved
from interlock.run import RunOutput
from interlock.session import Session


class AsyncClient:
    """A connection to an Interlock server, for asyncio.

    The arguments and methods are those of `Client`. Methods that give one thing are
    awaited; those that give many are iterated with `async for`, without an await. A client
    belongs to the event loop in which it is first used.
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
        _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        _clock: Callable[[], float] = time.monotonic,
        _random: Callable[[], float] = random.random,
    ) -> None:
        def connect() -> grpc.aio.Channel:
            if credentials is None:
                return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
            return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)

        self._wire = AsyncWire(
            connect, call_metadata(metadata, token), sleep=_sleep, clock=_clock, random=_random
        )
        self._service = Service(self._wire, timeout=timeout, retry_timeout=retry_timeout)

    async def close(self) -> None:
        """Closes the connection; calls that are under way end with an error."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def workflow(self, workflow_id: str, *, version: int | None = None) -> AsyncWorkflowHandle:
        """A handle for running a workflow. Asks the server nothing.

        Args:
            workflow_id: Name of the workflow.
            version: The version to run; None means the newest.
        """
        return AsyncWorkflowHandle(self._service, WorkflowRef(workflow_id, version))

    # Runs.

    @overload
    def continue_run(
        self, run: RunRef, *, stream: Literal[False] = False, wait_timeout: float | None = None
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def continue_run(self, run: RunRef, *, stream: Literal[True]) -> AsyncRunStream: ...
    @overload
    def continue_run(
        self, run: RunRef, *, stream: bool
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream: ...
    def continue_run(
        self, run: RunRef, *, stream: bool = False, wait_timeout: float | None = None
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Sends the decisions made on a run and lets it go on; see `Client.continue_run`.

        With `stream=True` it is not awaited.
        """
        if not stream:
            return self._service.runs.continue_run(run, wait_timeout)
        refuse_wait(wait_timeout)
        return AsyncRunStream(self._service.runs.continue_stream(run))

    async def get_run(self, run_id: str) -> RunOutput:
        """Gets a run."""
        return await self._service.runs.get(run_id)

    async def wait_run(self, run: RunRef, *, wait_timeout: float | None = None) -> RunOutput:
        """Waits until a run pauses or ends; see `Client.wait_run`."""
        return await self._service.runs.wait(run, wait_timeout)

    async def cancel_run(self, run: RunRef, *, reason: str | None = None) -> RunOutput:
        """Cancels a run; see `Client.cancel_run`."""
        return await self._service.runs.cancel(run, reason)

    def watch_run(
        self, run: RunRef, *, after_sequence: int = 0, end_on_pause: bool = False
    ) -> AsyncRunStream:
        """Streams the events of a run, those that have happened first; see `Client.watch_run`."""
        return AsyncRunStream(
            self._service.runs.watch(run, after_sequence, end_on_pause=end_on_pause)
        )

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
    ) -> AsyncIterator[RunOutput]:
        """Lists runs, newest first; see `Client.list_runs`."""
        selected = run_filter(
            workflow_id=workflow_id,
            session_id=session_id,
            states=states,
            labels=labels,
            create_time_min=create_time_min,
            create_time_max=create_time_max,
            stuck=stuck,
        )
        return AsyncStream(self._service.runs.list(selected))

    def list_run_events(self, run: RunRef, *, after_sequence: int = 0) -> AsyncIterator[Event[Any]]:
        """Lists the stored events of a run; see `Client.list_run_events`."""
        return AsyncStream(self._service.runs.list_events(run, after_sequence))

    # The inbox.

    async def get_requirement(self, requirement_id: str) -> Requirement:
        """Gets a requirement."""
        return await self._service.inbox.get(requirement_id)

    def list_requirements(
        self,
        *,
        run_id: str | None = None,
        workflow_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[str] = (),
        kinds: Iterable[str] = (),
        tool_names: Iterable[str] = (),
    ) -> AsyncIterator[Requirement]:
        """Lists requirements of all runs; see `Client.list_requirements`."""
        selected = requirement_filter(
            run_id=run_id,
            workflow_id=workflow_id,
            session_id=session_id,
            states=states,
            kinds=kinds,
            tool_names=tool_names,
        )
        return AsyncStream(self._service.inbox.list(selected))

    def watch_requirements(
        self,
        *,
        run_id: str | None = None,
        workflow_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[str] = (),
        kinds: Iterable[str] = (),
        tool_names: Iterable[str] = (),
    ) -> AsyncStream[Requirement]:
        """Streams requirements as they change; see `Client.watch_requirements`."""
        selected = requirement_filter(
            run_id=run_id,
            workflow_id=workflow_id,
            session_id=session_id,
            states=states,
            kinds=kinds,
            tool_names=tool_names,
        )
        return AsyncStream(self._service.inbox.watch(selected))

    async def resolve(
        self,
        requirement: Requirement | str,
        decision: Decision | None = None,
        *,
        hold_run: bool = False,
        claim_epoch: int | None = None,
    ) -> Resolved:
        """Resolves one requirement; see `Client.resolve`."""
        return await self._service.inbox.resolve(
            requirement, decision, hold_run=hold_run, claim_epoch=claim_epoch
        )

    # Claims, from which `AsyncWorker` is made.

    async def claim_requirement(
        self,
        tool_names: Iterable[str],
        *,
        worker_id: str,
        workflow_id: str | None = None,
        lease: float = 30.0,
        wait_timeout: float | None = None,
    ) -> Requirement | None:
        """Takes a call of an external tool; see `Client.claim_requirement`."""
        return await self._service.inbox.claim(
            tool_names,
            worker_id=worker_id,
            workflow_id=workflow_id,
            lease=lease,
            wait_timeout=wait_timeout,
        )

    async def renew_claim(
        self, requirement_id: str, claim_epoch: int, *, lease: float = 30.0
    ) -> Claim:
        """Keeps a claim for longer; see `Client.renew_claim`."""
        return await self._service.inbox.renew_claim(requirement_id, claim_epoch, lease)

    async def release_claim(self, requirement_id: str, claim_epoch: int) -> None:
        """Gives a claim back without a result; see `Client.release_claim`."""
        await self._service.inbox.release_claim(requirement_id, claim_epoch)

    # What the server can run.

    def list_workflows(self) -> AsyncIterator[v1.Workflow]:
        """Lists the workflows that can be started, by name, newest version only."""
        return AsyncStream(self._service.catalog.list_workflows())

    async def get_workflow(self, workflow_id: str, *, version: int | None = None) -> v1.Workflow:
        """Gets a version of a workflow; None means the newest."""
        return await self._service.catalog.get_workflow(workflow_id, version)

    def list_executors(self) -> AsyncIterator[v1.Executor]:
        """Lists agents, teams and functions that steps name, by type and name."""
        return AsyncStream(self._service.catalog.list_executors())

    # Sessions.

    async def get_session(self, session_id: str) -> Session:
        """Gets a session; `list_runs` gives its runs."""
        return await self._service.sessions.get(session_id)

    def list_sessions(self) -> AsyncIterator[Session]:
        """Lists sessions, newest first, page by page."""
        return AsyncStream(self._service.sessions.list())

    async def update_session(
        self,
        session_id: str,
        state: Mapping[str, Any],
        *,
        etag: str | None = None,
        allow_missing: bool = False,
    ) -> Session:
        """Replaces the state of a session; see `Client.update_session`."""
        return await self._service.sessions.update(
            session_id, state, etag=etag, allow_missing=allow_missing
        )

    async def delete_session(self, session_id: str, *, etag: str | None = None) -> None:
        """Deletes a session with its ended runs; see `Client.delete_session`."""
        await self._service.sessions.delete(session_id, etag=etag)
