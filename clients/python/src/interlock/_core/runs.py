"""Starting, continuing, watching and cancelling runs."""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from interlock import jsontext, v1
from interlock._convert import duration, enum_number, timestamp
from interlock._core.caller import Caller
from interlock._core.cursors import RunCursor, RunReply
from interlock._core.sources import Pages, ResumingStream
from interlock._core.wire import Reader, Wire
from interlock.events import Event, from_message
from interlock.run import RunOutput

RunRef = RunOutput | str
"""A run, or its id."""


class EventStream(ResumingStream[RunReply, Event[Any]]):
    """The events of one run."""

    def __init__(self, caller: Caller, cursor: RunCursor) -> None:
        super().__init__(caller, cursor)
        self._run_cursor = cursor

    @property
    def snapshot(self) -> RunOutput | None:
        """The run as it was when the server began to send; None where it does not say."""
        return self._run_cursor.snapshot


SLICE_SECONDS = 30.0
"""Longest wait in one call, so that no proxy takes it for dead."""

_SETTLED = frozenset(
    {
        v1.RunState.RUN_STATE_PAUSED,
        v1.RunState.RUN_STATE_COMPLETED,
        v1.RunState.RUN_STATE_FAILED,
        v1.RunState.RUN_STATE_CANCELLED,
    }
)


def new_request_id() -> str:
    """A request id that nobody else uses."""
    return str(uuid.uuid4())


def run_id_of(run: RunRef) -> str:
    """The id of a run."""
    return run if isinstance(run, str) else run.run_id


def resolutions_of(run: RunRef) -> list[v1.RequirementResolution]:
    """The decisions that were made on a run's requirements, and nothing else of it."""
    requirements = [] if isinstance(run, str) else run.requirements
    return [
        requirement.decision.resolving(requirement.id)
        for requirement in requirements
        if requirement.decision is not None
    ]


def run_spec(
    workflow_id: str,
    version: int | None,
    input: Any,  # noqa: A002 # the name in the contract
    session_id: str | None,
    labels: Mapping[str, str] | None,
    run_timeout: float | None,
) -> v1.RunSpec:
    """What to run. None as input or as timeout means none."""
    return v1.RunSpec(
        workflow_id=workflow_id,
        workflow_version=version,
        session_id=session_id or "",
        input_json="" if input is None else jsontext.dumps(input),
        labels=labels or {},
        run_timeout=None if run_timeout is None else duration(run_timeout),
    )


class Runs:
    """The verbs of `RunService`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def run(
        self, spec: v1.RunSpec, request_id: str | None, wait_timeout: float | None
    ) -> RunOutput:
        """Starts a run and waits until it pauses or ends, or the wait is over."""

        async def start(seconds: float) -> v1.Run:
            request = v1.RunRequest(
                spec=spec,
                request_id=request_id or new_request_id(),
                wait_timeout=duration(seconds),
            )
            method = self._caller.stubs.runs.Run
            return (await self._caller.call(method, request, wait=seconds)).run

        return await self._settle(start, wait_timeout)

    async def continue_run(self, run: RunRef, wait_timeout: float | None) -> RunOutput:
        """Sends decisions and waits until the run pauses again or ends, or the wait is over."""

        async def start(seconds: float) -> v1.Run:
            request = v1.ContinueRunRequest(
                run_id=run_id_of(run),
                resolutions=resolutions_of(run),
                request_id=new_request_id(),
                wait_timeout=duration(seconds),
            )
            method = self._caller.stubs.runs.ContinueRun
            return (await self._caller.call(method, request, wait=seconds)).run

        return await self._settle(start, wait_timeout)

    async def wait(self, run: RunRef, wait_timeout: float | None) -> RunOutput:
        """Waits until a run pauses or ends, or the wait is over."""
        run_id = run_id_of(run)
        return await self._settle(lambda seconds: self._wait_once(run_id, seconds), wait_timeout)

    def run_stream(
        self, spec: v1.RunSpec, request_id: str | None, on_session: Callable[[str], None]
    ) -> EventStream:
        """Starts a run and streams its events until it pauses or ends."""
        request = v1.RunStreamRequest(spec=spec, request_id=request_id or new_request_id())

        def opening(wire: Wire) -> Reader[RunReply]:
            return wire.open(wire.stubs.runs.RunStream, request)

        watch = v1.WatchRunRequest(end_on_pause=True)
        return EventStream(
            self._caller, RunCursor(opening, watch, is_leg=True, on_session=on_session)
        )

    def continue_stream(self, run: RunRef) -> EventStream:
        """Sends decisions and streams events until the run pauses again or ends."""
        request = v1.ContinueRunStreamRequest(
            run_id=run_id_of(run), resolutions=resolutions_of(run), request_id=new_request_id()
        )

        def opening(wire: Wire) -> Reader[RunReply]:
            return wire.open(wire.stubs.runs.ContinueRunStream, request)

        watch = v1.WatchRunRequest(run_id=request.run_id, end_on_pause=True)
        return EventStream(self._caller, RunCursor(opening, watch, is_leg=True))

    def watch(self, run: RunRef, after_sequence: int, *, end_on_pause: bool) -> EventStream:
        """Streams the events of a run from any position."""
        request = v1.WatchRunRequest(
            run_id=run_id_of(run), after_sequence=after_sequence, end_on_pause=end_on_pause
        )
        return EventStream(self._caller, RunCursor(None, request, is_leg=False))

    async def get(self, run_id: str) -> RunOutput:
        """Gets a run."""
        request = v1.GetRunRequest(run_id=run_id)
        return RunOutput((await self._caller.call(self._caller.stubs.runs.GetRun, request)).run)

    def list(self, run_filter: v1.RunFilter, page_size: int = 0) -> Pages[RunOutput]:
        """Lists runs, newest first."""

        async def read(token: str) -> tuple[Iterable[RunOutput], str]:
            request = v1.ListRunsRequest(page_size=page_size, page_token=token, filter=run_filter)
            reply = await self._caller.call(self._caller.stubs.runs.ListRuns, request)
            return map(RunOutput, reply.runs), reply.next_page_token

        return Pages(read)

    def list_events(self, run: RunRef, after_sequence: int) -> Pages[Event[Any]]:
        """Lists the stored events of a run, oldest first."""

        async def read(token: str) -> tuple[Iterable[Event[Any]], str]:
            request = v1.ListRunEventsRequest(
                run_id=run_id_of(run), page_token=token, after_sequence=after_sequence
            )
            reply = await self._caller.call(self._caller.stubs.runs.ListRunEvents, request)
            return filter(None, map(from_message, reply.events)), reply.next_page_token

        return Pages(read)

    async def cancel(self, run: RunRef, reason: str | None) -> RunOutput:
        """Cancels a run."""
        request = v1.CancelRunRequest(
            run_id=run_id_of(run), reason=reason or "", request_id=new_request_id()
        )
        reply = await self._caller.call(self._caller.stubs.runs.CancelRun, request)
        return RunOutput(reply.run)

    async def _wait_once(self, run_id: str, seconds: float) -> v1.Run:
        request = v1.WaitRunRequest(run_id=run_id, wait_timeout=duration(seconds))
        method = self._caller.stubs.runs.WaitRun
        return (await self._caller.call(method, request, wait=seconds)).run

    async def _settle(
        self, start: Callable[[float], Awaitable[v1.Run]], wait_timeout: float | None
    ) -> RunOutput:
        """Waits in slices: first in the call that starts the wait, then in `WaitRun`."""
        clock = self._caller.wire.clock
        end = clock() + (math.inf if wait_timeout is None else not_negative(wait_timeout))
        run = await start(max(0.0, min(SLICE_SECONDS, end - clock())))
        while run.state not in _SETTLED and (remaining := end - clock()) > 0:
            run = await self._wait_once(run.run_id, min(SLICE_SECONDS, remaining))
        return RunOutput(run)


def run_filter(
    *,
    workflow_id: str | None,
    session_id: str | None,
    states: Iterable[str],
    labels: Mapping[str, str] | None,
    create_time_min: datetime | None,
    create_time_max: datetime | None,
    stuck: bool,
) -> v1.RunFilter:
    """Selects runs; None and empty select all."""
    return v1.RunFilter(
        workflow_id=workflow_id or "",
        session_id=session_id or "",
        states=[enum_number(v1.RunState, state) for state in states],
        labels=labels or {},
        create_time_min=timestamp(create_time_min),
        create_time_max=timestamp(create_time_max),
        stuck=stuck,
    )


def not_negative(seconds: float) -> float:
    """Checks a time to wait.

    Raises:
        ValueError: it is negative.
    """
    if seconds < 0:
        raise ValueError(f"wait_timeout is {seconds!r} seconds: it cannot be negative")
    return seconds
