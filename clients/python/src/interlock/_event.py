"""What all kinds of event have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from interlock import v1
from interlock._places import AtStep
from interlock.run import StepResult

P = TypeVar("P")
"""The message that holds what one kind of event says."""

CLASSES: dict[str, type[Event[Any]]] = {}
"""Event classes by the name of their case in `RunEvent.event`."""


class Event(AtStep, Generic[P]):
    """Something that happened in a run.

    Attributes:
        message: The event as the server sent it.
        payload: What is particular to its kind.
    """

    case: ClassVar[str]
    """Name of the kind in `RunEvent.event`."""

    def __init_subclass__(cls, case: str | None = None) -> None:
        if case is not None:
            cls.case = case
            CLASSES[case] = cls

    def __init__(self, message: v1.RunEvent) -> None:
        self.message = message
        self.payload: P = getattr(message, self.case)
        self._step = message.step

    @property
    def run_id(self) -> str:
        """The run."""
        return self.message.run_id

    @property
    def sequence(self) -> int:
        """Position in the run: 1, 2, 3, with no gaps.

        A `RunContentEvent` is not stored and has that of the stored event before it.
        """
        return self.message.sequence

    @property
    def event_time(self) -> datetime:
        """When it happened, in UTC."""
        return self.message.event_time.ToDatetime(tzinfo=UTC)

    @property
    def created_at(self) -> datetime:
        """The same as `event_time`."""
        return self.event_time

    def __repr__(self) -> str:
        where = "/".join(self.step_path)
        return f"<{type(self).__name__} {self.run_id}#{self.sequence}{where and ' ' + where}>"


class _HasResult(Protocol):
    @property
    def result(self) -> v1.StepResult: ...


R = TypeVar("R", bound=_HasResult)


class ResultEvent(Event[R]):
    """A node ended."""

    @cached_property
    def result(self) -> StepResult:
        """What the node gave, with how it came about."""
        return StepResult(self.payload.result)
