"""Handles: one workflow, ready to run."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Literal, overload

from interlock._blocking import RunStream, finish
from interlock._core.runs import RunRef
from interlock._core.service import Service, WorkflowRef, refuse_wait
from interlock._nonblocking import AsyncRunStream
from interlock.run import RunOutput
from interlock.session import WorkflowSession


class WorkflowHandle:
    """Runs one workflow and blocks meanwhile; made by `Client.workflow`."""

    def __init__(self, service: Service, ref: WorkflowRef) -> None:
        self._service = service
        self._ref = ref

    @property
    def workflow_id(self) -> str:
        """Name of the workflow."""
        return self._ref.workflow_id

    @overload
    def run(
        self,
        input: Any = None,
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        wait_timeout: float | None = None,
        request_id: str | None = None,
        stream: Literal[False] = False,
    ) -> RunOutput: ...
    @overload
    def run(
        self,
        input: Any = None,
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        request_id: str | None = None,
        stream: Literal[True],
    ) -> RunStream: ...
    @overload
    def run(
        self,
        input: Any = None,
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        request_id: str | None = None,
        stream: bool,
    ) -> RunOutput | RunStream: ...
    def run(
        self,
        input: Any = None,  # noqa: A002 # the name in the contract
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        wait_timeout: float | None = None,
        request_id: str | None = None,
        stream: bool = False,
    ) -> RunOutput | RunStream:
        """Starts a run.

        Args:
            input: Any JSON value; None means none.
            session_id: The session to run in; None means a new one.
            labels: Labels for the run, at most 64.
            run_timeout: How long the run may take, its pauses included, in seconds; after
                that it fails. None means as the workflow says.
            wait_timeout: Longest time to wait until the run pauses or ends, in seconds;
                the run as it is when the time is over is returned. None means as long as
                it takes, 0 means not at all.
            request_id: At most 64 characters. Calls with the same one start one run
                between them. None means a new one.
            stream: Whether to get the events until the run pauses or ends, instead of the
                run as it is then. The run starts when the first event is asked for.
        """
        spec = self._ref.spec(input, session_id, labels, run_timeout)
        if stream:
            refuse_wait(wait_timeout)
            return RunStream(self._service.runs.run_stream(spec, request_id, self._ref.remember))
        run = finish(self._service.runs.run(spec, request_id, wait_timeout))
        self._ref.remember(run.session_id)
        return run

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
        """Sends the decisions made on a run and lets it go on; see `Client.continue_run`."""
        self._ref.remember_run(run)
        if not stream:
            return finish(self._service.runs.continue_run(run, wait_timeout))
        refuse_wait(wait_timeout)
        return RunStream(self._service.runs.continue_stream(run))

    def get_session(self, session_id: str | None = None, *, runs_max: int = 50) -> WorkflowSession:
        """Gets a session with this workflow's runs in it.

        Args:
            session_id: The session; None means that of this handle's latest run.
            runs_max: At most so many runs, the newest.

        Raises:
            ValueError: neither is a session given nor has this handle run anything.
        """
        session_id = self._ref.session_id(session_id)
        return finish(self._service.sessions.get_with_runs(session_id, self.workflow_id, runs_max))

    def get_run(self, run_id: str) -> RunOutput:
        """Gets a run."""
        return finish(self._service.runs.get(run_id))

    def cancel_run(self, run: RunRef, *, reason: str | None = None) -> RunOutput:
        """Cancels a run; see `Client.cancel_run`."""
        return finish(self._service.runs.cancel(run, reason))

    def watch(
        self, run: RunRef, after_sequence: int = 0, *, end_on_pause: bool = False
    ) -> RunStream:
        """Streams the events of a run; see `Client.watch_run`."""
        return RunStream(self._service.runs.watch(run, after_sequence, end_on_pause=end_on_pause))

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.workflow_id!r}>"


class AsyncWorkflowHandle:
    """Runs one workflow without blocking; made by `AsyncClient.workflow`.

    Its methods are those of `WorkflowHandle`, each with an `a` before its name. There are
    none without it, so that code that forgot to await fails at once.
    """

    def __init__(self, service: Service, ref: WorkflowRef) -> None:
        self._service = service
        self._ref = ref

    @property
    def workflow_id(self) -> str:
        """Name of the workflow."""
        return self._ref.workflow_id

    @overload
    def arun(
        self,
        input: Any = None,
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        wait_timeout: float | None = None,
        request_id: str | None = None,
        stream: Literal[False] = False,
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def arun(
        self,
        input: Any = None,
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        request_id: str | None = None,
        stream: Literal[True],
    ) -> AsyncRunStream: ...
    @overload
    def arun(
        self,
        input: Any = None,
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        request_id: str | None = None,
        stream: bool,
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream: ...
    def arun(
        self,
        input: Any = None,  # noqa: A002 # the name in the contract
        *,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        run_timeout: float | None = None,
        wait_timeout: float | None = None,
        request_id: str | None = None,
        stream: bool = False,
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Starts a run; see `WorkflowHandle.run`.

        With `stream=True` it is not awaited: `async for event in handle.arun(..., stream=True)`.
        """
        spec = self._ref.spec(input, session_id, labels, run_timeout)
        runs = self._service.runs
        if stream:
            refuse_wait(wait_timeout)
            return AsyncRunStream(runs.run_stream(spec, request_id, self._ref.remember))
        return self._remembering(runs.run(spec, request_id, wait_timeout))

    @overload
    def acontinue_run(
        self, run: RunRef, *, stream: Literal[False] = False, wait_timeout: float | None = None
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def acontinue_run(self, run: RunRef, *, stream: Literal[True]) -> AsyncRunStream: ...
    @overload
    def acontinue_run(
        self, run: RunRef, *, stream: bool
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream: ...
    def acontinue_run(
        self, run: RunRef, *, stream: bool = False, wait_timeout: float | None = None
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Sends the decisions made on a run and lets it go on; see `Client.continue_run`.

        With `stream=True` it is not awaited.
        """
        self._ref.remember_run(run)
        if not stream:
            return self._service.runs.continue_run(run, wait_timeout)
        refuse_wait(wait_timeout)
        return AsyncRunStream(self._service.runs.continue_stream(run))

    async def aget_session(
        self, session_id: str | None = None, *, runs_max: int = 50
    ) -> WorkflowSession:
        """Gets a session with this workflow's runs in it; see `WorkflowHandle.get_session`."""
        session_id = self._ref.session_id(session_id)
        return await self._service.sessions.get_with_runs(session_id, self.workflow_id, runs_max)

    async def aget_run(self, run_id: str) -> RunOutput:
        """Gets a run."""
        return await self._service.runs.get(run_id)

    async def acancel_run(self, run: RunRef, *, reason: str | None = None) -> RunOutput:
        """Cancels a run; see `Client.cancel_run`."""
        return await self._service.runs.cancel(run, reason)

    def awatch(
        self, run: RunRef, after_sequence: int = 0, *, end_on_pause: bool = False
    ) -> AsyncRunStream:
        """Streams the events of a run; see `Client.watch_run`."""
        return AsyncRunStream(
            self._service.runs.watch(run, after_sequence, end_on_pause=end_on_pause)
        )

    async def _remembering(self, running: Coroutine[Any, Any, RunOutput]) -> RunOutput:
        run = await running
        self._ref.remember(run.session_id)
        return run

    def __repr__(self) -> str:
        return f"<AsyncWorkflowHandle {self.workflow_id!r}>"
