"""Builds a world: from data to the workflow that an author would have written."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from tests.oracle.watching import Log, Watched, seen
from tests.oracle.worlds import (
    CallPlan,
    Choice,
    GatePlan,
    NodePlan,
    SpeakerPlan,
    ToolPlan,
    Turn,
    World,
)

from interlock import v1
from interlock_server import (
    Agent,
    Condition,
    HumanReview,
    Loop,
    Parallel,
    Router,
    RunContext,
    ScriptedModel,
    Step,
    StepOutput,
    Steps,
    Team,
    Tool,
    Workflow,
    jsontext,
)
from interlock_server.authoring.compile import compile_workflows
from interlock_server.authoring.conversation import ModelRequest, ModelTurn
from interlock_server.authoring.models import Call
from interlock_server.engine.gates import ACCEPTED, may_retry, options_of, refusal
from interlock_server.executors.registry import Registry


class Answer(BaseModel):
    """What a structured agent answers."""

    value: int


@dataclass(frozen=True)
class Code:
    """A world's workflow with its code, as one process has it; it tells the log what it does."""

    workflow: v1.Workflow
    registry: Watched
    log: Log


def build(world: World, log: Log, name: str = "World") -> Code:
    """Compiles a world and loads its code, as a process does when it starts."""
    workflow = Workflow(name=name, steps=_Builder(log).nodes(world.nodes))
    compiled = compile_workflows([workflow])
    loaded, problems = Registry.load(compiled.catalog)
    assert not compiled.problems + problems, compiled.problems + problems
    return Code(compiled.workflows[name], Watched(loaded, log), log)


def decide(world: World, key: str, question: v1.Requirement) -> v1.RequirementResolution:
    """What people decide about a question: the same wherever and whenever it is asked."""
    choice = world.choices[zlib.crc32(key.encode()) % len(world.choices)]
    if not question.HasField("tool_execution"):
        return decide_node(choice, key, question)
    answer = v1.RequirementResolution(requirement_id=question.requirement_id)
    if not choice.says_yes:
        answer.reject.note = choice.note
    elif question.kind == v1.REQUIREMENT_KIND_CONFIRMATION:
        answer.confirm.note = choice.note
    elif question.kind == v1.REQUIREMENT_KIND_USER_INPUT:
        answer.user_input.values_json = jsontext.dumps(_values(choice, question))
    elif choice.reports_error:
        answer.external_result.error_message = choice.note
    else:
        answer.external_result.result_json = jsontext.dumps({"outside": key})
    return answer


def decide_node(choice: Choice, key: str, question: v1.Requirement) -> v1.RequirementResolution:
    """What people decide about a whole node."""
    answer = v1.RequirementResolution(requirement_id=question.requirement_id)
    if question.kind == v1.REQUIREMENT_KIND_ERROR_DECISION:
        return _settle(choice, key, question, answer)
    if not choice.says_yes:
        _refuse(choice, question, answer)
        # A run that is cancelled ends at once, whatever its other branches do.
        cancels = refusal(question, answer).leads_to == v1.ON_REJECT_CANCEL
        if not cancels or not re.search(r"(^|/)par\d", key):
            return answer
    return approve(question, choice, key)


def approve(
    question: v1.Requirement, choice: Choice | None = None, key: str = ""
) -> v1.RequirementResolution:
    """The yes that fits; without a choice, one that changes nothing."""
    answer = v1.RequirementResolution(requirement_id=question.requirement_id)
    match question.kind:
        case v1.REQUIREMENT_KIND_STEP_INPUT:
            required = [one.name for one in question.user_input_schema if one.required]
            values: dict[str, Any] = dict.fromkeys(required, "kind")
            if choice and choice.fills_optional:
                values["level"] = 9007199254740993
            answer.user_input.values_json = jsontext.dumps(values)
        case v1.REQUIREMENT_KIND_ROUTE_SELECTION:
            answer.route_choice.routes.extend(_routes(question.route_selection, choice))
        case v1.REQUIREMENT_KIND_OUTPUT_REVIEW if choice and choice.way % 3 == 0:
            answer.edited_output.output_json = jsontext.dumps({"edited": key})
        case _:
            answer.confirm.note = choice.note if choice else ""
    return answer


def _routes(selection: v1.RouteSelection, choice: Choice | None) -> list[str]:
    if choice is None or choice.way % 2:
        proposed = list(selection.proposed_routes)
        if proposed and (selection.allow_multiple or len(proposed) == 1):
            return proposed
    available = list(reversed(selection.available_routes))
    return available[: 2 if selection.allow_multiple else 1]


def _refuse(choice: Choice, question: v1.Requirement, answer: v1.RequirementResolution) -> None:
    options = options_of(question)
    if "retry" in ACCEPTED[question.kind] and choice.way % 2 and may_retry(options):
        answer.retry.feedback = choice.note
        return
    answer.reject.note = choice.note
    wishes = options.on_reject_choices
    if choice.way % 4 and wishes:
        wish = wishes[choice.way % len(wishes)]
        if wish != v1.ON_REJECT_RETRY or may_retry(options):
            answer.reject.on_reject = wish


def _settle(
    choice: Choice, key: str, question: v1.Requirement, answer: v1.RequirementResolution
) -> v1.RequirementResolution:
    """What shall become of a failed step; it is not tried for ever."""
    match choice.way % 6:
        case 0 | 1 if question.attempt < 3:
            answer.retry.feedback = choice.note
        case 2:
            answer.fail.message = choice.note
        case 3:
            answer.reject.note = choice.note
        case 4:
            answer.edited_output.output_json = jsontext.dumps({"supplied": key})
        case _:
            answer.skip.SetInParent()
    return answer


def _values(choice: Choice, question: v1.Requirement) -> dict[str, Any]:
    wanted = [
        one
        for one in question.user_input_schema
        if not one.read_only and (one.required or choice.fills_optional)
    ]
    return {
        one.name: 7 if one.type == v1.USER_INPUT_FIELD_TYPE_INTEGER else "by hand" for one in wanted
    }


class _Model(ScriptedModel):
    """A script that notes what it is told."""

    def __init__(self, name: str, turns: Sequence[Any], log: Log) -> None:
        super().__init__(turns)
        self._name = name
        self._log = log

    async def request(
        self, request: ModelRequest, on_text: Callable[[str], None] | None = None
    ) -> ModelTurn:
        self._log.told.append(request.messages)
        tools = [tool.name for tool in request.tools]
        self._log.note(f"{self._name} hears {request.messages} {tools}")
        return await super().request(request, on_text)


class _Builder:
    """One process's copy of a world."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._speakers: dict[str, Agent | Team] = {}

    # The tree.

    def nodes(self, plans: Sequence[NodePlan]) -> list[Any]:
        return [self._node(plan) for plan in plans]

    def _node(self, plan: NodePlan) -> Any:
        name, nodes = plan.name, self.nodes(plan.nodes)
        match plan.kind:
            case "step":
                return self._step(plan)
            case "function":
                return self._function(plan)
            case "group":
                return Steps(name=name, steps=nodes, **self._gates(plan))
            case "list":
                return nodes
            case "par":
                return Parallel(*nodes, name=name)
            case "cond":
                others, evaluator = self.nodes(plan.else_nodes), self._evaluator(plan)
                return Condition(
                    name=name,
                    steps=nodes,
                    evaluator=evaluator,
                    else_steps=others,
                    **self._gates(plan),
                )
            case "loop":
                return self._loop(plan, nodes)
            case "router":
                selector = self._selector(plan, nodes)
                return Router(name=name, choices=nodes, selector=selector, **self._gates(plan))
            case _:
                inner = Workflow(name=name, steps=nodes)
                if plan.does == "in a step":
                    return Step(name=name, workflow=inner, **self._gates(plan))
                return inner

    def _step(self, plan: NodePlan) -> Step:
        speaker = self._speaker(plan.speaker) if plan.speaker else None
        return Step(
            name=plan.name,
            agent=speaker if isinstance(speaker, Agent) else None,
            team=speaker if isinstance(speaker, Team) else None,
            executor=None if speaker else self._function(plan),
            max_retries=plan.retries,
            **self._gates(plan),
            **self._on_error(plan),
        )

    def _on_error(self, plan: NodePlan) -> dict[str, Any]:
        if plan.gate and plan.gate.asks_errors:
            return {"on_error": "pause"}
        return {"on_error": "skip" if plan.skips_errors else "fail"}

    def _gates(self, plan: NodePlan) -> dict[str, Any]:
        """Where people take part in a node, as its author would have written it."""
        gate = plan.gate or GatePlan()
        flags: dict[str, Any] = {
            "requires_confirmation": gate.confirms,
            "requires_user_input": gate.fills or gate.selects,
            "allow_multiple_selections": gate.selects and gate.several,
            "requires_output_review": self._predicate(gate.reviews, plan),
            "requires_iteration_review": gate.judges,
            "user_input_schema": [
                {"name": "tone", "required": gate.requires, "allowed_values": ["kind", "brief"]},
                {"name": "level", "field_type": int, "required": False},
            ]
            if gate.fills
            else (),
        }
        flags = {name: one for name, one in flags.items() if one}
        if not flags:
            return {}
        flags["on_reject"] = list(gate.on_reject) or None
        if gate.is_object:
            return {"human_review": HumanReview(**flags, max_retries=gate.retries)}
        return {**flags, "hitl_max_retries": gate.retries}

    def _predicate(self, reviews: str, plan: NodePlan) -> Any:
        if reviews in ("", "always"):
            return reviews == "always"

        def predicate(output: Any) -> Any:
            self._log.note(f"predicate {output}")
            return _verdict(reviews, output)

        return predicate

    def _loop(self, plan: NodePlan, nodes: list[Any]) -> Loop:
        return Loop(
            name=plan.name,
            steps=nodes,
            max_iterations=plan.iterations,
            end_condition=self._end_condition(plan) if plan.does else None,
            forward_iteration_output=plan.forwards,
            **self._gates(plan),
        )

    # Functions.

    def _function(self, plan: NodePlan) -> Callable[..., Any]:
        log = self._log

        def act(given: Any, state: dict[str, Any]) -> Any:
            log.note(f"function {given} {seen(state, log.lane())}")
            _touch(plan.does, state, log.lane(), plan.name)
            return _output(plan.does, given, log.attempt_of_step())

        async def function(given: Any, session_state: dict[str, Any]) -> Any:
            await _yield(plan.yields)
            return act(given, session_state)

        def blocking(given: Any, run_context: RunContext) -> Any:
            return act(given, run_context.session_state)

        function.__name__ = blocking.__name__ = plan.name
        return blocking if plan.does == "blocks" else function

    def _evaluator(self, plan: NodePlan) -> Any:
        if plan.does in ("yes", "no"):
            return plan.does == "yes"

        async def evaluator(given: Any, session_state: dict[str, Any]) -> Any:
            self._log.note(f"evaluator {given} {seen(session_state, self._log.lane())}")
            return _verdict(plan.does, given)

        return evaluator

    def _end_condition(self, plan: NodePlan) -> Callable[..., Any]:
        async def end_condition(outputs: Any) -> Any:
            self._log.note(f"end condition {outputs}")
            return _verdict(plan.does, outputs)

        return end_condition

    def _selector(self, plan: NodePlan, nodes: Sequence[Any]) -> Callable[..., Any]:
        by_name = dict(zip((one.name for one in plan.nodes), nodes, strict=True))

        async def selector(given: Any, step_choices: list[str]) -> Any:
            self._log.note(f"selector {given} {step_choices}")
            match plan.does:
                case "raises":
                    raise ValueError("cannot choose")
                case "unknown":
                    return [*plan.picks, "nowhere"]
                case "nothing":
                    return None
                case "depends":
                    return step_choices[_print(given) % len(step_choices)]
                case "nodes":
                    return [_route(by_name, one) for one in plan.picks]
                case _:
                    return list(plan.picks)

        return selector

    # Those who speak.

    def _speaker(self, plan: SpeakerPlan) -> Agent | Team:
        if plan.name not in self._speakers:
            self._speakers[plan.name] = self._new_speaker(plan)
        return self._speakers[plan.name]

    def _new_speaker(self, plan: SpeakerPlan) -> Agent | Team:
        common: dict[str, Any] = {
            "name": plan.name,
            "model": _Model(plan.name, [_turn(turn) for turn in plan.turns], self._log),
            "tools": [self._tool(tool) for tool in plan.tools],
            "output_schema": Answer if plan.is_structured else None,
        }
        if not plan.members:
            return Agent(**common)
        return Team(members=[self._speaker(member) for member in plan.members], **common)

    def _tool(self, plan: ToolPlan) -> Tool:
        log, is_gated = self._log, plan.gate != "free"

        def act(amount: int, note: str, state: dict[str, Any]) -> Any:
            lane = log.lane(in_order=is_gated)
            given = {"amount": amount, "note": note}
            log.note(f"{plan.name} {given} {seen(state, lane)}", in_order=is_gated)
            _touch(plan.does, state, lane, plan.name)
            fails = plan.does == "raises" or (plan.does == "flaky" and log.attempt_of_step() == 1)
            error = f"{plan.name} is broken" if fails else ""
            log.acts(given, error)
            if error:
                raise ValueError(error)
            return given

        async def tool(amount: int, note: str = "none", *, session_state: dict[str, Any]) -> Any:
            await _yield(plan.yields)
            return act(amount, note, session_state)

        def blocking(amount: int, note: str = "none", *, run_context: RunContext) -> Any:
            return act(amount, note, run_context.session_state)

        return Tool(
            blocking if plan.does == "blocks" else tool,
            name=plan.name,
            requires_confirmation=plan.gate == "confirm",
            requires_user_input=plan.gate == "input",
            user_input_fields=plan.fields if plan.gate == "input" else (),
            external_execution=plan.gate == "external",
            stop_after_tool_call=plan.stops,
        )


def _turn(plan: Turn) -> Callable[[ModelRequest], list[str | Call]]:
    def turn(request: ModelRequest) -> list[str | Call]:
        heard = str(_print(request.messages))
        return [
            Call(part.tool, part.args, part.call_id)
            if isinstance(part, CallPlan)
            else part.replace("#", heard)
            for part in plan
        ]

    return turn


def _print(thing: Any) -> int:
    """A fingerprint: what depends on it depends on all that was given."""
    return zlib.crc32(repr(thing).encode()) % 1_000


def _touch(does: str, state: dict[str, Any], lane: str, name: str) -> None:
    if does == "remembers":
        state.setdefault(lane, []).append(name)
    elif does == "forgets":
        state.pop(lane, None)


def _output(does: str, given: Any, attempt: int) -> Any:
    match does:
        case "raises":
            raise ValueError(f"broken by {_print(given)}")
        case "flaky" if attempt == 1:
            raise ValueError("not yet")
        case "unsuccessful":
            return StepOutput(content="half", success=False, error=f"no {_print(given)}")
        case "stops":
            return StepOutput(content="stopped here", stop=True)
        case "lists":
            return ["heard", {"of": _print(given)}]
        case "nothing":
            return None
        case _:
            return f"heard {_print(given)}"


def _verdict(does: str, given: Any) -> Any:
    match does:
        case "raises":
            raise ValueError("cannot tell")
        case "errs":
            return "yes"
        case "depends":
            return _print(given) % 2 == 0
        case _:
            return does in ("says yes", "at once")


def _route(by_name: dict[str, Any], pick: Any) -> Any:
    if isinstance(pick, tuple):
        return [_route(by_name, one) for one in pick]
    node = by_name[pick]
    return node if hasattr(node, "steps") or hasattr(node, "executor") else pick


async def _yield(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)
