"""What steps are given and what they give: the two nouns that authors' functions see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from interlock_server import jsontext


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
        user_input: the values that a person gave for this node, by name.
        feedback: what a person said when they sent this node back.
        previous_output: the content that they sent back.
    """

    input: Any = None
    previous_step_content: Any = None
    previous_step_outputs: Mapping[str, StepOutput] = field(default_factory=dict)
    user_input: Mapping[str, Any] = field(default_factory=dict)
    feedback: str = ""
    previous_output: Any = None

    def after(self, output: StepOutput) -> StepInput:
        """What the next node is given; a skipped node leaves no content behind."""
        if output.skipped:
            return self
        return replace(
            self,
            previous_step_content=output.content,
            previous_step_outputs={**self.previous_step_outputs, output.step_name: output},
        )

    def inside(self) -> StepInput:
        """What a nested workflow begins with: it sees nothing of what was before it."""
        return replace(
            self, input=self.message, previous_step_content=None, previous_step_outputs={}
        )

    @property
    def task(self) -> str:
        """What an agent reads: its message, and what people have to say about it."""
        parts = [jsontext.shown(self.message)]
        if self.user_input:
            values = (f"- {name}: {jsontext.shown(one)}" for name, one in self.user_input.items())
            parts.append("\n".join(["A person gave these values:", *values]))
        if self.previous_output is not None:
            parts.append(f"The answer before this one was:\n{jsontext.shown(self.previous_output)}")
        if self.feedback:
            parts.append(f"A person reviewed it and said:\n{self.feedback}")
        return "\n\n".join(parts)

    @property
    def additional_data(self) -> dict[str, Any]:
        """What people have to say, under the names that ported functions look for."""
        said = {
            "user_input": dict(self.user_input),
            "previous_output": self.previous_output,
            "rejection_feedback": self.feedback,
        }
        return {name: one for name, one in said.items() if one not in (None, "", {})}

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
