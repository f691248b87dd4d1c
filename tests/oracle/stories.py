"""Stories: all that can be seen of a run, in a form in which two runs can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Any

from google.protobuf.message import Message
from tests.oracle.watching import Happening, Log, arranged, forks_of
from tests.oracle.worlds import is_gated
from tests.support.memory import End

from interlock import v1
from interlock_server import jsontext

OF_PAUSES = frozenset(
    {
        "step_executor_paused",
        "step_executor_continued",
        "step_paused",
        "step_continued",
        "workflow_paused",
        "workflow_continued",
        "requirement_resolved",
    }
)
_OF_ASKING: tuple[Any, ...] = (
    *("requirement_id", "run_id", "workflow_id", "session_id", "state", "etag"),
    *("create_time", "resolution", "resolved_by", "resolve_time"),
)
_TIMES = re.compile(r" *create_time \{[^}]*\}\n")
_OF_RUNS = frozenset(
    {"workflow_started", "workflow_completed", "workflow_failed", "workflow_cancelled"}
)


@dataclass(frozen=True)
class Story:
    """A run that has ended. Two runs are equal when their stories are."""

    end: Any
    effects: Any
    questions: Any
    events: Any
    results: Any
    session: Any


def story(
    end: End,
    log: Log,
    questions: Mapping[str, v1.Requirement],
    events: Iterable[tuple[str, v1.RunEvent]],
    session: Mapping[str, Any],
) -> Story:
    """What is told of a run; `events` come in their order, and all with their keys."""
    told = [(key, event) for key, event in events if kind_of(event) not in OF_PAUSES | _OF_RUNS]
    return Story(
        end=_end(end),
        effects=arranged(log.happenings),
        questions={key: _question(one) for key, one in questions.items() if not _is_doubt(one)},
        events=arranged(_happening(key, event) for key, event in told),
        results=sorted(shown(one) for _, event in told if (one := _result(event))),
        session=dict(session),
    )


def shown(message: Message) -> str:
    """A message as text, without the times at which calls were made."""
    return _TIMES.sub("", str(message))


def kind_of(event: v1.RunEvent) -> str:
    """What happened, as the contract names it."""
    return event.WhichOneof("event") or ""


def differences(one: Story, other: Story) -> str:
    """Where two stories part; empty when they are equal."""
    found = []
    for part in fields(Story):
        first, second = getattr(one, part.name), getattr(other, part.name)
        if first != second:
            found.append(f"{part.name}{_parting(first, second)}")
    return "\n".join(found)


def _parting(one: Any, other: Any, at: str = "") -> str:
    """The innermost things that differ, and where they are."""
    if isinstance(one, dict) and isinstance(other, dict):
        name = next(name for name in {**one, **other} if one.get(name) != other.get(name))
        return _parting(one.get(name), other.get(name), f"{at}/{name}")
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip_longest(one, other)
        number, pair = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
        return _parting(*pair, f"{at}[{number}]")
    return f"{at}\n  {one}\nbecame\n  {other}"


def _end(end: End) -> tuple[str, str, str]:
    if end.cancelled:
        return "", "", f"cancelled: {end.cancelled}"
    output = jsontext.dumps(end.output.content) if end.output else ""
    return output, str(end.error or ""), str(end.usage)


def _is_doubt(question: v1.Requirement) -> bool:
    return question.kind == v1.REQUIREMENT_KIND_IN_DOUBT


def _question(question: v1.Requirement) -> str:
    """A question without what its being asked adds to it."""
    bare = v1.Requirement()
    bare.CopyFrom(question)
    for name in _OF_ASKING:
        bare.ClearField(name)
    return shown(bare)


def _happening(key: str, event: v1.RunEvent) -> Happening:
    bare = v1.RunEvent()
    bare.CopyFrom(event)
    for name in ("run_id", "sequence", "event_time"):
        bare.ClearField(name)
    return Happening(key, forks_of(key, in_order=is_gated(_tool_of(event))), shown(bare))


def _tool_of(event: v1.RunEvent) -> str:
    started = event.tool_call_started.tool_execution.tool_name
    return started or event.tool_call_completed.tool_execution.tool_name


def _result(event: v1.RunEvent) -> v1.StepResult | None:
    happened: Message = getattr(event, kind_of(event))
    result = getattr(happened, "result", None)
    return result if isinstance(result, v1.StepResult) and happened.HasField("result") else None
