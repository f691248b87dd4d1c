"""What a stream has delivered of what agents wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interlock.events import (
    Event,
    RunContentEvent,
    StepCompletedEvent,
    StepFailedEvent,
    StepSkippedEvent,
    StepStartedEvent,
    WorkflowCompletedEvent,
)


@dataclass
class _Writing:
    """The text of one step so far."""

    pieces: list[str] = field(default_factory=list)
    last_index: int = 0
    skipped_until: int = 0


class Transcript:
    """Keeps pieces of text from coming twice, and outputs from repeating them.

    Pieces are not stored by the server. After a lost connection some may come again and
    some never come; the output of the step then makes up for them.
    """

    def __init__(self) -> None:
        self._writing: dict[str, _Writing] = {}
        self._ended_steps: set[str] = set()
        self._outputs: set[int] = set()
        """Hashes of outputs, which may be long."""

    def resume(self) -> None:
        """The connection was lost: pieces that were delivered may come again."""
        for writing in self._writing.values():
            writing.skipped_until = writing.last_index

    def admits(self, event: Event[Any]) -> bool:
        """Notes an event, and leaves in its `content` only what is new.

        Returns:
            Whether the event is to be delivered.
        """
        match event:
            case RunContentEvent():
                return self._admits_piece(event)
            case StepStartedEvent():
                self._writing.pop(event.step_id, None)
                self._ended_steps.discard(event.step_id)
            case StepCompletedEvent():
                self._end(event)
            case StepFailedEvent() | StepSkippedEvent():
                self._writing.pop(event.step_id, None)
                self._ended_steps.add(event.step_id)
            case WorkflowCompletedEvent() if hash(event.payload.output_json) in self._outputs:
                event.content = None
        return True

    def _admits_piece(self, event: RunContentEvent) -> bool:
        if event.step_id in self._ended_steps:
            return False
        writing = self._writing.setdefault(event.step_id, _Writing())
        if event.index <= writing.skipped_until:
            return False
        writing.last_index = event.index
        writing.pieces.append(event.content)
        return True

    def _end(self, event: StepCompletedEvent) -> None:
        writing = self._writing.pop(event.step_id, None)
        if writing is not None and isinstance(event.output, str):
            event.content = undelivered(event.output, "".join(writing.pieces))
        self._ended_steps.add(event.step_id)
        self._outputs.add(hash(event.payload.result.output_json))


def undelivered(output: str, delivered: str) -> str | None:
    """The part of a step's output that its pieces have not delivered; None when they have.

    The pieces may hold more than the output: what the agent wrote before tool calls.
    When some of them were lost, text rather comes twice than never.
    """
    if delivered.rstrip().endswith(output.strip()):
        return None
    return output.removeprefix(delivered)
