"""What steps are given and what they give: the two nouns that authors' functions see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class StepOutput:
    """What one node gave.

    A function step may return any JSON value, or a `StepOutput` to say more:

    Args:
        content: a JSON value (or something that pydantic turns into one).
        stop: end the whole run here, as completed.
        success: `False` makes the step fail, with `error` as the reason.
    """

    content: Any = None
    stop: bool = False
    success: bool = True
    error: str | None = None
    step_name: str = ""
    skipped: bool = False
    steps: tuple[StepOutput, ...] = ()

    def named(self, name: str) -> StepOutput:
        """The same output under the name of its node."""
        return replace(self, step_name=name)

    def find(self, name: str) -> StepOutput | None:
        """The output of `name`: this one, or the newest below it."""
        if self.step_name == name:
            return self
        for child in reversed(self.steps):
            if found := child.find(name):
                return found
        return None


@dataclass(frozen=True)
class StepInput:
    """What one node is given.

    Args:
        input: what the run was started with.
        previous_step_content: what the node before gave; for `Parallel`, a dict
            of its branches by name. `None` at the beginning.
        previous_step_outputs: every earlier node by name, containers included.
    """

    input: Any = None
    previous_step_content: Any = None
    previous_step_outputs: Mapping[str, StepOutput] = field(default_factory=dict)

    def after(self, output: StepOutput) -> StepInput:
        """What the next node is given; a skipped node leaves no content behind."""
        if output.skipped:
            return self
        return replace(
            self,
            previous_step_content=output.content,
            previous_step_outputs={**self.previous_step_outputs, output.step_name: output},
        )

    @property
    def message(self) -> Any:
        """What an agent is asked: the content of the node before, or the run's input."""
        return self.input if self.previous_step_content is None else self.previous_step_content

    def get_step_output(self, name: str) -> StepOutput | None:
        """The newest output of the node `name`, inside containers too."""
        for output in self._newest_first():
            if found := output.find(name):
                return found
        return None

    def get_step_content(self, name: str) -> Any:
        """The content of that output, or `None`."""
        output = self.get_step_output(name)
        return output.content if output else None

    def get_last_step_content(self) -> Any:
        """The content of the node before, or `None`."""
        return self.previous_step_content

    def get_all_previous_content(self) -> str:
        """The contents of all earlier nodes as one text, a heading for each."""
        return headed({name: one.content for name, one in self.previous_step_outputs.items()})

    def _newest_first(self) -> Iterator[StepOutput]:
        return reversed(list(self.previous_step_outputs.values()))


def headed(contents: Mapping[str, Any]) -> str:
    """Several contents as one text for a reader, each under its name."""
    return "\n\n".join(f"=== {name} ===\n{content}" for name, content in contents.items())
