"""The narrow waist: everything a run does that anyone could see passes through a `Context`.

To pause is to raise `Suspended`; to go on is to run the same function again over
a journal that hands back every recorded result without repeating it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from interlock import v1
from interlock_server.engine.gates import Grant
from interlock_server.engine.keys import Key

T = TypeVar("T")


@dataclass
class RunContext:
    """The run, as a tool or function sees it when it asks for `run_context`.

    Args:
        started_by: who started the run; the same after every pause.
        labels: the labels that the run was started with.
        session_state: a dict shared by the runs of a session; changes to its
            entries are kept together with the result of the call that made them.
        idempotency_key: unique to this call and the same on every attempt of it,
            for services that detect repeated requests; a function gets it too
            when it asks for `idempotency_key` itself.
    """

    run_id: str
    session_id: str
    workflow_id: str
    started_by: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    session_state: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""


@dataclass(frozen=True)
class Performance:
    """What an effect is handed when it is performed.

    Args:
        run: the run, with a session state of its own to change.
        publish: shows an event to whoever watches now; it is not recorded.
        is_watched: whether anybody does.
    """

    run: RunContext
    publish: Callable[[v1.RunEvent], None]
    is_watched: bool


@dataclass(frozen=True)
class Once:
    """That an effect starts once: its start is stored before it happens.

    Args:
        doubt: the question to ask when a process died between its start and its
            record; without one it counts as failed then.
        grant: the decision without which it may not start.
        is_repeatable: start it again then, without asking anybody.
        adopt: makes the effect's value of an outcome that somebody supplied.
    """

    doubt: v1.Requirement | None = None
    grant: Grant | None = None
    is_repeatable: bool = False
    adopt: Callable[[Any], Any] = lambda supplied: supplied


@dataclass(frozen=True)
class Effect:
    """Something that happens outside of the interpreter and is recorded once.

    Args:
        perform: does it, and returns a JSON value; raises `EffectFailed` for a
            failure that shall be recorded.
        once: for an effect that must not be repeated. One without it is simply
            performed again when a process died before it was recorded.
        check: raises `CodeMissing` when it cannot be performed here, so that it
            is not even begun.
        identity: what the effect is the same as, for its idempotency key; empty
            means that its own key says so.
    """

    perform: Callable[[Performance], Awaitable[Any]]
    once: Once | None = None
    check: Callable[[], object] = lambda: None
    identity: str = ""


class Context(Protocol):
    """All that the interpreter and the executors can do to the world."""

    async def call(self, key: Key, effect: Effect) -> Any:
        """The recorded result of `key`; else performs the effect and records it.

        Raises:
            EffectFailed: the effect raised, now or when it was recorded.
            LimitExceeded: the run has done as much as it may.
        """
        ...

    async def ask(self, key: Key, question: v1.Requirement) -> v1.RequirementResolution:
        """The recorded answer of `key`; else records the question, once, and suspends.

        Raises:
            Suspended: nobody has answered yet.
        """
        ...

    def recorded(self, key: Key) -> Any:
        """The value that was recorded under `key`, or `None`."""
        ...

    def record(self, key: Key, value: Any) -> None:
        """Records a JSON value that spares a later leg work, unless it is too large to keep."""
        ...

    def emit(self, key: Key, event: v1.RunEvent) -> None:
        """Records an event, once for each key and kind of event."""
        ...

    def now(self) -> datetime:
        """The time."""
        ...

    def new_id(self) -> str:
        """A random identifier."""
        ...


class Suspended(BaseException):
    """Ends a leg of a run that waits; no error, so authors' `except Exception` lets it pass."""

    def __init__(self, requirements: Sequence[v1.Requirement]) -> None:
        super().__init__(f"{len(requirements)} requirement(s) wait")
        self.requirements = tuple(requirements)


class Cancelled(BaseException):
    """Ends a run that was cancelled, before its next effect.

    Args:
        reason: why, when a decision on a question of the run cancels it.
        key: of that question.
    """

    def __init__(self, reason: str = "", key: Key | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key


class CodeMissing(BaseException):
    """A run's definition names something that this process does not have; the run must wait."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not defined here")
        self.name = name


class LimitExceeded(Exception):
    """Ends a run that outgrew what the service allows, whatever its steps do about failures.

    Args:
        reason: UPPER_SNAKE_CASE, for programs.
        message: for the people who run the workflow.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class EffectFailed(Exception):
    """A recorded failure of an effect.

    Args:
        reason: UPPER_SNAKE_CASE, for programs.
        message: for the people who run the workflow.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


async def gather_all(*branches: Awaitable[T]) -> list[T]:
    """Runs branches side by side until each is done or suspended, then speaks for all of them.

    A branch that suspends must not stop its siblings, and neither must one that
    fails: what the run does may not depend on who waited for whom. A wait
    outranks a failure, because the failure still stands when the wait is over.

    Raises:
        Suspended: some branches wait; carries the requirements of all of them.
        Exception: the first failure, in the order of the branches.
    """
    if len(branches) == 1:
        return [await branches[0]]
    results = await asyncio.gather(*branches, return_exceptions=True)
    problems = [one for one in results if isinstance(one, BaseException)]
    for problem in problems:
        if not isinstance(problem, Suspended | Exception):
            raise problem
    if waiting := [one for one in problems if isinstance(one, Suspended)]:
        raise Suspended([one for each in waiting for one in each.requirements])
    for problem in problems:
        raise problem
    return [one for one in results if not isinstance(one, BaseException)]
