"""Parts: containers of a run, and what the long ones gave, so that no leg goes through them twice.

A leg replays what is recorded of its run. A container that has ended gives the
same again, however often it is replayed; so when a run pauses, what its long ones
gave is recorded with it, and the next leg takes that for all that is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from interlock import v1
from interlock_server import limits
from interlock_server.engine.context import Context
from interlock_server.engine.keys import Key
from interlock_server.engine.values import StepOutput

_FINISHED = "finished"


@dataclass(frozen=True)
class Finished:
    """A container that has ended.

    Args:
        steps: how many steps ran in it.
        is_recorded: the journal has it.
    """

    output: StepOutput
    steps: int
    usage: v1.Usage
    is_recorded: bool = False


@dataclass
class Part:
    """A container under way: what has happened in it, and which containers in it have ended."""

    steps: int = 0
    usage: v1.Usage = field(default_factory=v1.Usage)
    finished: dict[Key, Finished] = field(default_factory=dict)
    output: StepOutput | None = None

    def count(self, steps: int, usage: v1.Usage) -> None:
        """Takes note of steps that ran in it, and what they took."""
        self.steps += steps
        self.usage.input_tokens += usage.input_tokens
        self.usage.output_tokens += usage.output_tokens
        self.usage.model_requests += usage.model_requests


_part: ContextVar[Part] = ContextVar("part")
"""The innermost container that this task is in."""


class Parts:
    """The containers of one leg."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.whole = Part()
        self._under_way = [self.whole]
        _part.set(self.whole)

    def ran(self, usage: v1.Usage) -> None:
        """A step has run."""
        _part.get().count(1, usage)

    def known(self, key: Key) -> StepOutput | None:
        """What a container gave in an earlier leg, where that is recorded."""
        recorded = self._context.recorded(key.part(_FINISHED))
        if recorded is None:
            return None
        usage = v1.Usage(**recorded["usage"])
        finished = Finished(_output(recorded["output"]), recorded["steps"], usage, True)
        _end(_part.get(), key, finished)
        return finished.output

    @contextmanager
    def entered(self, key: Key) -> Iterator[Part]:
        """A container, until it has ended: with an output, or not."""
        parent, part = _part.get(), Part()
        self._under_way.append(part)
        token = _part.set(part)
        try:
            yield part
        finally:
            _part.reset(token)
            if part.output is not None:
                self._under_way.remove(part)
                _end(parent, key, Finished(part.output, part.steps, part.usage))
            else:
                parent.count(part.steps, part.usage)

    def record(self) -> None:
        """Records what long containers gave that the journal does not have."""
        for part in self._under_way:
            for key, one in part.finished.items():
                if not one.is_recorded and one.steps >= limits.finished_steps_min:
                    self._context.record(key.part(_FINISHED), _as_json(one))


def _end(parent: Part, key: Key, finished: Finished) -> None:
    parent.count(finished.steps, finished.usage)
    parent.finished[key] = finished


def _as_json(finished: Finished) -> dict[str, Any]:
    usage = {one.name: value for one, value in finished.usage.ListFields()}
    return {"output": _written(finished.output), "steps": finished.steps, "usage": usage}


def _written(output: StepOutput) -> dict[str, Any]:
    """An output as JSON; what is as usual is left out."""
    written: dict[str, Any] = {"content": output.content, "step_name": output.step_name}
    if output.stop:
        written["stop"] = True
    if output.skipped:
        written["skipped"] = True
    if not output.success:
        written |= {"success": False, "error": output.error}
    if output.steps:
        written["steps"] = [_written(one) for one in output.steps]
    return written


def _output(written: dict[str, Any]) -> StepOutput:
    # There may be ten thousands of them, and to set each field of one that is frozen takes thrice
    # as long as to set all together.
    output = object.__new__(StepOutput)
    fields = {
        "content": written["content"],
        "stop": written.get("stop", False),
        "success": written.get("success", True),
        "error": written.get("error"),
        "step_name": written["step_name"],
        "skipped": written.get("skipped", False),
        "steps": tuple([_output(one) for one in written.get("steps", ())]),
    }
    object.__setattr__(output, "__dict__", fields)
    return output
