"""Answers to the questions of whole nodes, and steps that note what they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interlock import v1
from interlock_server import Step, StepInput

Answer = Callable[[v1.Requirement], v1.RequirementResolution]


def answer(**resolution: Any) -> Answer:
    """Answers a requirement with one field of `RequirementResolution`."""

    def to(requirement: v1.Requirement) -> v1.RequirementResolution:
        return v1.RequirementResolution(requirement_id=requirement.requirement_id, **resolution)

    return to


def yes() -> Answer:
    return answer(confirm=v1.Confirmation())


def no(note: str = "", on_reject: v1.OnReject.ValueType = v1.ON_REJECT_UNSPECIFIED) -> Answer:
    return answer(reject=v1.Rejection(note=note, on_reject=on_reject))


def again(feedback: str = "") -> Answer:
    return answer(retry=v1.Retry(feedback=feedback))


def edit(output_json: str) -> Answer:
    return answer(edited_output=v1.EditedOutput(output_json=output_json))


def routes(*names: str) -> Answer:
    return answer(route_choice=v1.RouteChoice(routes=names))


def values(values_json: str) -> Answer:
    return answer(user_input=v1.UserInput(values_json=values_json))


@dataclass
class Trail:
    """What steps did, and what they were given."""

    done: list[str] = field(default_factory=list)
    given: list[StepInput] = field(default_factory=list)

    def wipe(self) -> None:
        """Forgets everything, for another run."""
        self.done.clear()
        self.given.clear()

    def step(self, name: str, **gates: Any) -> Step:
        """A step that notes that it ran, and gives its name and how often it ran by now."""

        def act(given: StepInput) -> str:
            self.done.append(name)
            self.given.append(given)
            return f"{name} {self.done.count(name)}"

        return Step(name=name, executor=act, **gates)

    def failing(self, name: str, times: int, **gates: Any) -> Step:
        """A step that fails so many times before it succeeds."""

        def act(given: StepInput) -> str:
            self.done.append(name)
            self.given.append(given)
            if self.done.count(name) <= times:
                raise ValueError(f"{name} is broken")
            return f"{name} {self.done.count(name)}"

        return Step(name=name, executor=act, **gates)

    def seen(self, name: str) -> list[Any]:
        """The content that each run of a step saw as that of the step before it."""
        pairs = zip(self.done, self.given, strict=True)
        return [given.previous_step_content for done, given in pairs if done == name]
