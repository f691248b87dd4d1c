"""Plays a workflow on the engine alone, without a database, and shows what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from interlock import v1
from interlock_server import (
    Agent,
    ScriptedModel,
    Step,
    StepOutput,
    Team,
    Workflow,
    call,
    tool,
)
from interlock_server.authoring.compile import compile_workflows
from interlock_server.authoring.conversation import ModelRequest, ToolResult, ToolResults
from interlock_server.executors.registry import Registry
from tests.support.memory import Shelf, leg

Decide = Callable[[v1.Requirement], v1.RequirementResolution]


class RunFailed(Exception):
    """The run ended with an error."""

    def __init__(self, error: v1.RunError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass
class Played:
    """One run, played leg by leg."""

    workflow: v1.Workflow
    registry: Registry
    shelf: Shelf = field(default_factory=lambda: Shelf("in"))

    @classmethod
    def of(cls, *steps: Any) -> Played:
        """A run of a workflow of these steps."""
        compiled = compile_workflows([Workflow(name="W", steps=steps)])
        registry, problems = Registry.load(compiled.catalog)
        assert [*compiled.problems, *problems] == []
        return cls(compiled.workflows["W"], registry)

    async def go(self, run_input: Any = "in") -> StepOutput | None:
        """One leg; `None` when the run waits."""
        self.shelf.run_input = run_input
        end = await leg(self.shelf, self.registry, self.workflow)
        if end is not None and end.error is not None:
            raise RunFailed(end.error)
        return end.output if end else None

    async def decide(self, decide: Decide, run_input: Any = "in") -> StepOutput | None:
        """Decides everything that waits, and goes on."""
        for one in self.shelf.open():
            self.shelf.answer(one, decide(one.requirement))
        return await self.go(run_input)

    def answer(self, position: int, decide: Decide) -> None:
        """Decides one of what waits."""
        asked = self.shelf.open()[position]
        self.shelf.answer(asked, decide(asked.requirement))

    @property
    def waiting(self) -> list[v1.Requirement]:
        """What waits."""
        return [one.requirement for one in self.shelf.open()]

    @property
    def asked(self) -> int:
        """How many questions there were."""
        return len(self.shelf.answers())

    @property
    def events(self) -> list[v1.RunEvent]:
        """All events, in order."""
        return [v1.RunEvent.FromString(body) for body in self.shelf.events.values()]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events, in order."""
        return [str(event.WhichOneof("event")) for event in self.events]

    def happened(self, kind: str) -> list[Any]:
        """All events of a kind."""
        return [getattr(one, kind) for one in self.events if one.WhichOneof("event") == kind]


class Listening(ScriptedModel):
    """A scripted model that keeps what it was asked."""

    def __init__(self, turns: Any) -> None:
        super().__init__(turns)
        self.requests: list[ModelRequest] = []

    async def request(self, request: ModelRequest, on_text: Any = None) -> Any:
        self.requests.append(request)
        return await super().request(request, on_text)

    @property
    def told(self) -> list[ToolResult]:
        """All tool results of the longest conversation."""
        longest = max(self.requests, key=lambda one: len(one.messages))
        groups = [one for one in longest.messages if isinstance(one, ToolResults)]
        return [result for group in groups for result in group.results]


def agent_step(model: Any, *tools: Any, **more: Any) -> Step:
    """A step `work` with an agent `worker`."""
    return Step(name="work", agent=Agent(name="worker", model=model, tools=tools, **more))


def gated(name: str) -> Step:
    """A step whose agent makes one call that waits for a yes."""

    @tool(requires_confirmation=True)
    async def act() -> str:
        return name

    model = ScriptedModel([call("act"), f"{name} done"])
    return Step(name=name, agent=Agent(name=f"agent {name}", model=model, tools=[act]))


def team_step(model: Any, *members: Any, **more: Any) -> Step:
    """A step `work` with a team `crew`."""
    return Step(name="work", team=Team(name="crew", model=model, members=members, **more))


def yes(requirement: v1.Requirement) -> v1.RequirementResolution:
    return v1.RequirementResolution(confirm=v1.Confirmation())


def no(note: str) -> Decide:
    return lambda _: v1.RequirementResolution(reject=v1.Rejection(note=note))


def values(text: str) -> Decide:
    return lambda _: v1.RequirementResolution(user_input=v1.UserInput(values_json=text))


def result(text: str) -> Decide:
    external = v1.ExternalResult(result_json=text)
    return lambda _: v1.RequirementResolution(external_result=external)


def failed(text: str) -> Decide:
    external = v1.ExternalResult(error_message=text)
    return lambda _: v1.RequirementResolution(external_result=external)


def paths(output: StepOutput) -> Iterator[tuple[str, Any]]:
    """Names and contents of an output and all below it, depth first."""
    yield output.step_name, output.content
    for child in output.steps:
        yield from paths(child)
