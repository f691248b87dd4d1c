"""Speakers: agents and teams as a run needs them, with models, tools and members at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from interlock import v1
from interlock_server import jsontext
from interlock_server.authoring.agents import Agent, Team
from interlock_server.authoring.compile import Problem, as_tool
from interlock_server.authoring.conversation import Model, OutputSpec, ToolSpec
from interlock_server.executors.functions import describe
from interlock_server.executors.models import output_spec, resolve_model
from interlock_server.executors.tools import LoadedTool

DELEGATE = "delegate_task_to_member"
"""The tool by which a team hands a task to a member."""


@dataclass(frozen=True)
class Speaker:
    """An agent, or a team, which is an agent with members."""

    definition: Agent | Team
    model: Model
    tools: Mapping[str, LoadedTool]
    members: Mapping[str, Speaker]
    output: OutputSpec | None
    specs: tuple[ToolSpec, ...] = field(init=False)

    def __post_init__(self) -> None:
        specs = [tool.spec for tool in self.tools.values()]
        if self.members:
            specs.append(_delegation(self.members))
        object.__setattr__(self, "specs", tuple(specs))

    @property
    def name(self) -> str:
        """Display name."""
        return self.definition.name

    @property
    def instructions(self) -> str:
        """What the model is told at the top; a team is also told who its members are."""
        given = self.definition.instructions
        lines = [given] if isinstance(given, str) else list(given)
        if self.members:
            lines.append(f"You lead a team. Hand work to its members with {DELEGATE}.")
            lines += [
                f"- {one.name}: {one.definition.description}" for one in self.members.values()
            ]
        return "\n".join(line for line in lines if line)

    def listed(self, ref: v1.ExecutorRef) -> v1.Executor:
        """The speaker as the contract lists it."""
        return v1.Executor(
            ref=ref,
            display_name=self.name,
            description=self.definition.description,
            tools=[_listed(tool) for tool in self.tools.values()],
            member_names=list(self.members),
        )


class SpeakerLoader:
    """Loads agents and teams, each once, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.speakers: dict[str, Speaker] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def load(self, definition: Agent | Team) -> Speaker | None:
        """The loaded speaker; `None` when `problems`, or those of the compiler, say why not."""
        if id(definition) in self._seen:
            return self.speakers.get(definition.name)
        self._seen.add(id(definition))
        kind = "team" if isinstance(definition, Team) else "agent"
        place = f"{kind} {definition.name!r}"
        before = len(self.problems)
        model = self._model(definition, place)
        tools = self._tools(definition, place)
        members = self._members(definition, place)
        output = self._output(definition, place)
        if model is None or len(self.problems) > before:
            return None
        speaker = Speaker(definition, model, tools, members, output)
        self.speakers[definition.name] = speaker
        return speaker

    def _model(self, definition: Agent | Team, place: str) -> Model | None:
        try:
            return resolve_model(definition.model)
        except ValueError as error:
            self.problems.append(Problem(place, f"model: {error}"))
            return None

    def _tools(self, definition: Agent | Team, place: str) -> dict[str, LoadedTool]:
        loaded: dict[str, LoadedTool] = {}
        for tool in (as_tool(one) for one in _listed_in(definition.tools) if callable(one)):
            here = f"{place} > tool {tool.name!r}"
            if tool.name == DELEGATE and isinstance(definition, Team):
                self.problems.append(Problem(here, "a team has a tool of this name; rename yours"))
            try:
                loaded[tool.name] = LoadedTool.load(tool)
            except Exception as error:  # noqa: BLE001 - whatever an author's types raise
                text = f"no schema can be made of its parameters: {describe(error)}"
                self.problems.append(Problem(here, text))
        return loaded

    def _members(self, definition: Agent | Team, place: str) -> dict[str, Speaker]:
        if not isinstance(definition, Team):
            return {}
        members = [one for one in _listed_in(definition.members) if isinstance(one, Agent | Team)]
        loaded = [self.load(member) for member in members]
        return {one.name: one for one in loaded if one is not None}

    def _output(self, definition: Agent | Team, place: str) -> OutputSpec | None:
        if definition.output_schema is None:
            return None
        try:
            return output_spec(definition.output_schema)
        except Exception as error:  # noqa: BLE001 - whatever an author's types raise
            text = f"output_schema: no JSON Schema can be made of it: {describe(error)}"
            self.problems.append(Problem(place, text))
            return None


def _listed_in(given: Any) -> Sequence[Any]:
    """What a list holds; nothing when it is none, which the compiler reports."""
    return given if isinstance(given, list | tuple) else ()


def _delegation(members: Mapping[str, Speaker]) -> ToolSpec:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "member_name": {"type": "string", "enum": list(members)},
            "task": {"type": "string", "description": "What the member shall do."},
        },
        "required": ["member_name", "task"],
        "additionalProperties": False,
    }
    return ToolSpec(DELEGATE, "Hands a task to a member of the team and gives its answer.", schema)


def _listed(tool: LoadedTool) -> v1.Tool:
    listed = v1.Tool(
        name=tool.name,
        description=tool.description,
        requires_confirmation=bool(tool.tool.requires_confirmation),
        user_input_fields=sorted(tool.user_fields),
        external_execution=tool.tool.external_execution,
        parameters_schema_json=jsontext.dumps(tool.schema.parameters_schema),
        on_timeout=tool.on_timeout,
        on_interrupt=tool.on_interrupt,
    )
    if tool.timeout:
        listed.timeout.FromTimedelta(timedelta(seconds=tool.timeout))
    return listed
