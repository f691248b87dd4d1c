"""Where streams stand: what was received, and how to go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from interlock import v1
from interlock._core.transcript import Transcript
from interlock._core.wire import Reader, Wire
from interlock.events import (
    Event,
    RunContentEvent,
    WorkflowCancelledEvent,
    WorkflowCompletedEvent,
    WorkflowFailedEvent,
    WorkflowPausedEvent,
    WorkflowStartedEvent,
    from_message,
)
from interlock.requirements import Requirement
from interlock.run import RunOutput

RunReply = v1.RunStreamResponse | v1.ContinueRunStreamResponse | v1.WatchRunResponse

_ENDS = (WorkflowCompletedEvent, WorkflowFailedEvent, WorkflowCancelledEvent)


class RunCursor:
    """The position in the events of one run.

    Args:
        opening: Starts the first call. Until it has brought an event, it is also what is
            repeated, with the same request id, so that nothing starts twice.
        watch: What to watch after that, in place of `opening`. Its `run_id` and
            `after_sequence` are kept up to date.
        is_leg: Whether the stream ends when the run pauses.
        on_session: Is told the session of a run that starts.
    """

    def __init__(
        self,
        opening: Callable[[Wire], Reader[RunReply]] | None,
        watch: v1.WatchRunRequest,
        *,
        is_leg: bool,
        on_session: Callable[[str], None] | None = None,
    ) -> None:
        self._opening = opening
        self._watch = watch
        self._is_leg = is_leg
        self._on_session = on_session
        self._transcript = Transcript()
        self.snapshot: RunOutput | None = None
        self.is_finished = False

    def open(self, wire: Wire) -> Reader[RunReply]:
        """Starts the call that goes on from here."""
        self._transcript.resume()
        if self._opening is not None:
            return self._opening(wire)
        request = v1.WatchRunRequest()
        request.CopyFrom(self._watch)
        return wire.open(wire.stubs.runs.WatchRun, request)

    def receive(self, reply: RunReply) -> list[Event[Any]] | None:
        """The new events in a reply; a snapshot brings none and is no progress."""
        if isinstance(reply, v1.WatchRunResponse) and reply.HasField("snapshot"):
            self.snapshot = RunOutput(reply.snapshot)
            return None
        return self._events(reply.events.events)

    def _events(self, messages: Iterable[v1.RunEvent]) -> list[Event[Any]]:
        events = []
        for message in messages:
            event = from_message(message)
            if self._is_new(message) and event is not None and self._transcript.admits(event):
                self._note(event)
                events.append(event)
        return events

    def _is_new(self, message: v1.RunEvent) -> bool:
        """Whether an event was not yet received. Only stored events move the position."""
        if message.HasField("content_delta"):
            return True
        is_new = message.sequence > self._watch.after_sequence
        if is_new:
            self._opening = None
            self._watch.run_id = message.run_id
            self._watch.after_sequence = message.sequence
        return is_new

    def _note(self, event: Event[Any]) -> None:
        if isinstance(event, WorkflowStartedEvent) and self._on_session is not None:
            self._on_session(event.session_id)
        if not isinstance(event, RunContentEvent):
            self.is_finished = isinstance(event, _ENDS) or (
                self._is_leg and isinstance(event, WorkflowPausedEvent)
            )


class InboxCursor:
    """The position in the changes of requirements."""

    is_finished = False

    def __init__(self, request: v1.WatchRequirementsRequest) -> None:
        self._request = request

    def open(self, wire: Wire) -> Reader[v1.WatchRequirementsResponse]:
        """Starts the call that goes on from here."""
        request = v1.WatchRequirementsRequest()
        request.CopyFrom(self._request)
        return wire.open(wire.stubs.requirements.WatchRequirements, request)

    def receive(self, reply: v1.WatchRequirementsResponse) -> list[Requirement]:
        """The requirement in a reply, if it holds one."""
        self._request.resume_token = reply.resume_token or self._request.resume_token
        return [Requirement(reply.requirement)] if reply.HasField("requirement") else []
