"""The registry: looks up what definitions name, and does it: the engine's `Executors`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from interlock import v1
from interlock_server.authoring.compile import Catalog, Problem
from interlock_server.engine.context import (
    CodeMissing,
    Context,
    Effect,
    EffectFailed,
    Once,
    Performance,
)
from interlock_server.engine.gates import INTERRUPTED, INTERRUPTED_REASON, waits
from interlock_server.engine.interpreter import Execution, StepFailure
from interlock_server.engine.places import Place
from interlock_server.engine.values import StepInput, StepOutput
from interlock_server.errors import FieldViolation
from interlock_server.executors.conversations import Conversation, Scene
from interlock_server.executors.functions import as_json, asked_for, call_function
from interlock_server.executors.speakers import Speaker, SpeakerLoader
from interlock_server.executors.tools import LoadedTool


class Registry:
    """The code of one app, ready to run."""

    def __init__(
        self, speakers: Mapping[str, Speaker], functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.speakers = speakers
        self.functions = functions

    @classmethod
    def load(cls, catalog: Catalog) -> tuple[Registry, list[Problem]]:
        """Loads models, tools and schemas; sound only when there are no problems."""
        loader = SpeakerLoader()
        for agent in catalog.agents.values():
            loader.load(agent)
        for team in catalog.teams.values():
            loader.load(team)
        return cls(loader.speakers, catalog.functions), loader.problems

    # For the edge.

    def missing(self, nodes: Iterable[v1.WorkflowNode]) -> str:
        """The first name in a stored definition that this code does not have, or nothing."""
        for node in nodes:
            names, inside = _named_in(node)
            for name in names:
                if missing := self.missing_name(name):
                    return missing
            if missing := self.missing(inside):
                return missing
        return ""

    def missing_for(self, requirement: v1.Requirement, answer: v1.RequirementResolution) -> str:
        """The first name that acting on an answer needs and this code does not have, or nothing."""
        if not requirement.executor.executor_id:
            return ""
        missing = self.missing_name(requirement.executor.executor_id)
        if missing or requirement.executor.type == v1.EXECUTOR_TYPE_FUNCTION:
            return missing
        speaker = self.speakers[requirement.executor.executor_id]
        for name in requirement.member_path:
            if name not in speaker.members:
                return f"{speaker.name}.{name}"
            speaker = speaker.members[name]
        tool_name = requirement.tool_execution.tool_name
        is_call = answer.WhichOneof("resolution") in ("confirm", "user_input", "retry")
        return f"{speaker.name}.{tool_name}" if is_call and tool_name not in speaker.tools else ""

    def missing_tool(self, agent_name: str, tool_name: str) -> str:
        """The name of an agent or its tool when this code does not have it, or nothing."""
        if agent_name not in self.speakers:
            return agent_name
        has_tool = tool_name in self.speakers[agent_name].tools
        return "" if has_tool else f"{agent_name}.{tool_name}"

    def missing_name(self, name: str) -> str:
        """The name itself when this code does not have it, or nothing."""
        return "" if name in self.speakers or name in self.functions else name

    def listed(self) -> list[v1.Executor]:
        """All executors, by type and name."""
        return [
            *(one.listed(_ref_of(one)) for _, one in sorted(self.speakers.items())),
            *(_listed_function(name, one) for name, one in sorted(self.functions.items())),
        ]

    def check_values(
        self, requirement: v1.Requirement, values: Mapping[str, Any]
    ) -> list[FieldViolation] | None:
        """What is wrong with a person's values for a tool; `None` when the tool is gone."""
        tool = self._tool_of(requirement)
        args_json = requirement.tool_execution.tool_args_json
        return tool.check_values(args_json, values) if tool else None

    def check_args(
        self, requirement: v1.Requirement, args: Mapping[str, Any]
    ) -> list[FieldViolation] | None:
        """What is wrong with arguments that a person wrote; `None` when the tool is gone."""
        tool = self._tool_of(requirement)
        return tool.check_args(args) if tool else None

    def _tool_of(self, requirement: v1.Requirement) -> LoadedTool | None:
        speaker = self.speakers.get(requirement.tool_execution.agent_name)
        return speaker.tools.get(requirement.tool_execution.tool_name) if speaker else None

    # For the interpreter.

    def _speaker(self, name: str) -> Speaker:
        if name not in self.speakers:
            raise CodeMissing(name)
        return self.speakers[name]

    def _function(self, name: str) -> Callable[..., Any]:
        if name not in self.functions:
            raise CodeMissing(name)
        return self.functions[name]

    async def execute(
        self, context: Context, place: Place, node: v1.WorkflowNode, given: StepInput
    ) -> Execution:
        """Runs a step's executor."""
        ref = node.step.executor
        if ref.type == v1.EXECUTOR_TYPE_FUNCTION:
            return await self._execute_function(context, place, node, given)
        speaker = self._speaker(ref.executor_id)
        scene = Scene(context, place, ref, speaker.name)
        conversation = Conversation(scene, speaker, place.key)
        content = await conversation.run(given.task)
        return Execution(StepOutput(content=content), conversation.executions, scene.usage)

    async def _execute_function(
        self, context: Context, place: Place, node: v1.WorkflowNode, given: StepInput
    ) -> Execution:
        name = node.step.executor.executor_id
        once = self._once(context, place, node)
        record = await self._call(context, place, "function", name, given, _as_output, once=once)
        output = StepOutput(**record)
        if not output.success:
            raise StepFailure(
                "STEP_UNSUCCESSFUL", output.error or f"{place.name!r} gave success=False"
            )
        return Execution(output)

    def _once(self, context: Context, place: Place, node: v1.WorkflowNode) -> Once | None:
        """What protects a function from being repeated, where its step says that it must not be."""
        match node.step.on_interrupt:
            case v1.ON_INTERRUPT_ASK:
                return Once(doubt=self._doubt(context, place, node), adopt=_as_output)
            case v1.ON_INTERRUPT_FAIL:
                return Once()
            case _:
                return None

    def _doubt(self, context: Context, place: Place, node: v1.WorkflowNode) -> v1.Requirement:
        ref = node.step.executor
        question = v1.Requirement(
            step=place.ref,
            executor=ref,
            executor_name=getattr(self._function(ref.executor_id), "__name__", ref.executor_id),
            executor_run_id=place.key,
            kind=v1.REQUIREMENT_KIND_IN_DOUBT,
            step_failure=v1.StepFailure(reason=INTERRUPTED_REASON, message=INTERRUPTED),
            attempt=place.tried,
        )
        review = node.human_review
        if review.HasField("timeout"):
            waits(question, review.timeout.ToTimedelta(), review.on_timeout, context.now())
        return question

    async def evaluate(
        self, context: Context, place: Place, function: str, given: StepInput
    ) -> bool:
        """Decides a condition."""
        answer: bool = await self._call(context, place, "evaluator", function, given, _as_bool)
        return answer

    async def ends(
        self, context: Context, place: Place, function: str, outputs: Sequence[StepOutput]
    ) -> bool:
        """Decides after an iteration whether its loop ends."""
        answer: bool = await self._call(
            context, place, "end_condition", function, list(outputs), _as_bool
        )
        return answer

    async def needs_review(
        self, context: Context, place: Place, function: str, output: StepOutput
    ) -> bool:
        """Decides whether a person must see an output; yes as well when it cannot tell."""
        try:
            answer: bool = await self._call(
                context, place, "review_predicate", function, output, _as_bool
            )
        except StepFailure:
            return True
        return answer

    async def select(
        self,
        context: Context,
        place: Place,
        function: str,
        given: StepInput,
        routes: Sequence[str],
    ) -> list[str]:
        """Chooses routes, in the order in which they run."""

        def as_routes(value: Any) -> list[str]:
            names = list(_route_names(value))
            for name in names:
                if name not in routes:
                    known = ", ".join(routes)
                    raise EffectFailed(
                        "SELECTOR_FAILED", f"selected {name!r}; the routes are: {known}"
                    )
            return names

        chosen: list[str] = await self._call(
            context, place, "selector", function, given, as_routes, step_choices=list(routes)
        )
        return chosen

    async def _call(
        self,
        context: Context,
        place: Place,
        role: str,
        name: str,
        given: Any,
        convert: Callable[[Any], Any],
        once: Once | None = None,
        **offered: Any,
    ) -> Any:
        """Calls a function as an effect; its converted result is what is recorded."""
        function = self._function(name)
        reason = f"{role.upper()}_FAILED"

        async def perform(performance: Performance) -> Any:
            extra = {key: offered[key] for key in asked_for(function, offered)}
            result = await call_function(function, (given,), {}, performance.run, reason, **extra)
            return convert(result)

        try:
            # A step that is tried again calls its function again, and it is still the same call.
            identity = f"{place.ref.step_id}:{role}" if place.tried else ""
            effect = Effect(perform, once, lambda: self._function(name), identity)
            return await context.call(place.key.part(role), effect)
        except EffectFailed as failure:
            raise StepFailure(
                failure.reason, failure.message, step_name=place.name, function=name
            ) from failure


def _as_output(value: Any) -> dict[str, Any]:
    if not isinstance(value, StepOutput):
        value = StepOutput(content=value)
    return {
        "content": as_json(value.content, "FUNCTION_FAILED"),
        "stop": bool(value.stop),
        "success": bool(value.success),
        "error": None if value.error is None else str(value.error),
    }


def _as_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EffectFailed(
            "WRONG_TYPE", f"must give True or False, and gave {type(value).__name__}"
        )
    return value


def _route_names(value: Any) -> Iterable[str]:
    if value is None:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _route_names(one)
    elif isinstance(name := getattr(value, "name", None), str):
        yield name
    else:
        raise EffectFailed(
            "WRONG_TYPE", f"must give names of routes or steps, and gave {type(value).__name__}"
        )


def _named_in(node: v1.WorkflowNode) -> tuple[list[str], list[v1.WorkflowNode]]:
    """The names of code in one node, and the nodes inside it."""
    names, inside = _named_by_kind(node)
    predicate = node.human_review.output_review_function
    return [*names, predicate] if predicate else names, inside


def _named_by_kind(node: v1.WorkflowNode) -> tuple[list[str], list[v1.WorkflowNode]]:
    match node.WhichOneof("node"):
        case "step":
            return [node.step.executor.executor_id], []
        case "condition":
            names = [node.condition.function] if node.condition.function else []
            return names, [*node.condition.nodes, *node.condition.else_nodes]
        case "loop":
            names = [node.loop.end_condition_function] if node.loop.end_condition_function else []
            return names, list(node.loop.nodes)
        case "router":
            names = [node.router.selector_function] if node.router.selector_function else []
            return names, list(node.router.routes)
        case kind:
            assert kind is not None
            return [], list(getattr(node, kind).nodes)


def _ref_of(speaker: Speaker) -> v1.ExecutorRef:
    is_team = bool(speaker.members)
    kind = v1.EXECUTOR_TYPE_TEAM if is_team else v1.EXECUTOR_TYPE_AGENT
    return v1.ExecutorRef(type=kind, executor_id=speaker.name)


def _listed_function(name: str, function: Callable[..., Any]) -> v1.Executor:
    return v1.Executor(
        ref=v1.ExecutorRef(type=v1.EXECUTOR_TYPE_FUNCTION, executor_id=name),
        display_name=getattr(function, "__name__", name),
        description=(inspect.getdoc(function) or "").partition("\n")[0],
    )
