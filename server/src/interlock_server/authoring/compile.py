"""Compiles what an author wrote into data and a catalog, and reports every mistake at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.authoring.agents import Agent, Team
from interlock_server.authoring.compile_reviews import asks, compile_review, review_of
from interlock_server.authoring.reviews import (
    ON_INTERRUPT,
    ON_TIMEOUT,
    HumanReview,
    seconds_of,
)
from interlock_server.authoring.steps import (
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    Steps,
    Workflow,
)
from interlock_server.authoring.tools import INJECTED, Tool

_ON_ERROR = {
    "fail": v1.ON_STEP_ERROR_FAIL,
    "skip": v1.ON_STEP_ERROR_SKIP,
    "pause": v1.ON_STEP_ERROR_PAUSE,
}
_NAMED = (Step, Steps, Condition, Loop, Router, Parallel, Workflow, Agent, Team)


@dataclass(frozen=True)
class Problem:
    """One mistake: the place in the definition, what is wrong, and the remedy."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class DefinitionError(Exception):
    """The definitions have mistakes; `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
        listing = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{count} in the definitions:\n{listing}")
        self.problems = tuple(problems)


@dataclass
class Catalog:
    """The code that definitions name: what a run looks up when it needs it."""

    agents: dict[str, Agent] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Compiled:
    """All workflows of an app as data, by name, with the catalog they share."""

    workflows: dict[str, v1.Workflow]
    catalog: Catalog
    problems: list[Problem]


def compile_workflows(workflows: Iterable[Any]) -> Compiled:
    """Compiles workflows; what it gives is sound only when it has no problems."""
    compiler = _Compiler()
    compiled: dict[str, v1.Workflow] = {}
    for workflow in workflows:
        if not isinstance(workflow, Workflow):
            compiler.report("app", f"{workflow!r} is not a Workflow")
        elif workflow.name in compiled:
            compiler.report(f"workflow {workflow.name!r}", "the name is taken; rename one of them")
        else:
            compiled[workflow.name] = compiler.workflow(workflow)
    return Compiled(compiled, compiler.catalog, compiler.problems)


class _Compiler:
    """Walks definitions; collects the catalog and the problems on the way."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.problems: list[Problem] = []
        self._open: list[Workflow] = []
        self._checked: set[int] = set()

    def report(self, place: str, text: str) -> None:
        problem = Problem(place, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def workflow(self, workflow: Workflow) -> v1.Workflow:
        place = f"workflow {workflow.name!r}"
        compiled = v1.Workflow(
            workflow_id=self._name(place, workflow.name),
            description=self._description(place, workflow.description),
            nodes=self._inside(workflow, place),
        )
        if seconds := self._timeout(place, "run_timeout", workflow.run_timeout):
            compiled.run_timeout.FromTimedelta(timedelta(seconds=seconds))
        return compiled

    # Nodes.

    def _inside(self, workflow: Workflow, place: str) -> list[v1.WorkflowNode]:
        if any(one is workflow for one in self._open):
            self.report(place, "the workflow contains itself; break the circle")
            return []
        if len(self._open) > limits.nested_workflows_max:
            self.report(place, f"nested deeper than {limits.nested_workflows_max} workflows")
            return []
        self._open.append(workflow)
        nodes = self._nodes(workflow.steps, place, "steps")
        self._open.pop()
        return nodes

    def _nodes(self, steps: Any, place: str, slot: str, least: int = 1) -> list[v1.WorkflowNode]:
        if not isinstance(steps, Sequence) or isinstance(steps, str):
            self.report(place, f"{slot} is {steps!r}; give a list of steps")
            return []
        if len(steps) < least:
            self.report(place, f"{slot} is empty; give at least one step")
        nodes = [self._node(step, place) for step in steps]
        self._check_unique(place, slot, [node.name for node in nodes if node is not None])
        return [node for node in nodes if node is not None]

    def _node(self, step: Any, place: str) -> v1.WorkflowNode | None:
        if place.count(" > ") >= limits.tree_depth_max:
            self.report(place, f"nested deeper than {limits.tree_depth_max} levels")
            return None
        if not isinstance(step, _NAMED) and not callable(step):
            self.report(place, f"{step!r} is not a step; use Step(...) or another construct")
            return None
        if isinstance(step, Tool):
            self.report(place, f"{step.name!r} is a tool; give it to an agent, not to a workflow")
            return None
        name = step.name if isinstance(step, _NAMED) else _function_name(step)
        here = f"{place} > {name!r}"
        node = v1.WorkflowNode(
            name=self._name(here, name),
            description=self._description(here, getattr(step, "description", "")),
        )
        self._fill(node, step, here)
        if isinstance(step, Step | Steps | Condition | Loop | Router | Parallel):
            self._review(node, step, here)
        return node

    def _review(self, node: v1.WorkflowNode, step: Any, place: str) -> None:
        review = review_of(step, place, self.report)
        if review.on_error is not None and not isinstance(step, Step):
            self.report(place, "has on_error; only a Step can, so give it to the steps inside")
        compiled = compile_review(
            step, review, place, self.report, lambda one, at, slot: self._function(one, at, slot, 1)
        )
        seconds, on_timeout = self._wait(place, review.timeout, review.on_timeout)
        if seconds:
            compiled.timeout.FromTimedelta(timedelta(seconds=seconds))
            compiled.on_timeout = on_timeout
        node.human_review.CopyFrom(compiled)
        if compiled == v1.HumanReview():
            node.ClearField("human_review")
        if step.human_review == HumanReview():
            self.report(place, "human_review asks nothing; leave it out")
        self._check_patience(node, place)

    def _check_patience(self, node: v1.WorkflowNode, place: str) -> None:
        """Whether there is something to wait for, and whether the clock can answer it."""
        asks_of_step = (
            node.step.on_interrupt == v1.ON_INTERRUPT_ASK
            or node.step.on_error == v1.ON_STEP_ERROR_PAUSE
        )
        review = node.human_review
        if review.HasField("timeout") and not (asks_of_step or asks(review)):
            self.report(place, "has a timeout, but nothing in it waits for anybody; leave it out")
        if review.on_timeout != v1.ON_TIMEOUT_APPROVE:
            return
        if not asks(review):
            text = "a call in doubt or a failure cannot be approved"
            self.report(place, f"on_timeout is 'approve', but {text}")
        if any(one.required and not one.value_json for one in review.user_input_schema):
            self.report(place, "on_timeout is 'approve', but a required value has no default")
        if review.requires_route_selection and not node.router.selector_function:
            self.report(place, "on_timeout is 'approve', but without a selector there is no route")

    def _fill(self, node: v1.WorkflowNode, step: Any, place: str) -> None:
        match step:
            case Step():
                self._step(node, step, place)
            case Steps():
                node.steps.nodes.extend(self._nodes(step.steps, place, "steps"))
                node.steps.SetInParent()
            case Condition():
                self._condition(node.condition, step, place)
            case Loop():
                self._loop(node.loop, step, place)
            case Router():
                self._router(node.router, step, place)
            case Parallel():
                self._parallel(node.parallel, step, place)
            case Workflow():
                self._nested(node.workflow, step, place)
            case Agent() | Team():
                node.step.executor.CopyFrom(self._executor(step, place))
                node.step.on_error = v1.ON_STEP_ERROR_FAIL
            case _:
                node.step.executor.CopyFrom(self._function_ref(step, place))
                node.step.on_error = v1.ON_STEP_ERROR_FAIL

    def _step(self, node: v1.WorkflowNode, step: Step, place: str) -> None:
        slots = (step.agent, step.team, step.executor, step.workflow)
        given = [one for one in slots if one is not None]
        if len(given) != 1:
            self.report(
                place,
                f"has {len(given)} executors; give exactly one of agent, team, executor, workflow",
            )
            return
        if step.workflow:
            if self._on_error(step, place) != v1.ON_STEP_ERROR_FAIL or step.max_retries:
                text = "a workflow fails or is retried by its own steps"
                self.report(place, f"has on_error or max_retries; {text}")
            if step.on_interrupt is not None:
                self.report(place, "on_interrupt is for functions; give it to those inside")
            self._nested(node.workflow, step.workflow, place)
            return
        if isinstance(given[0], Agent | Team):
            node.step.executor.CopyFrom(self._executor(given[0], place))
        else:
            node.step.executor.CopyFrom(self._function_ref(given[0], place))
        self._interruption(node, step, place)
        node.step.on_error = self._on_error(step, place)
        if type(step.max_retries) is not int or not 0 <= step.max_retries <= 100:
            self.report(place, f"max_retries is {step.max_retries!r}; use a number from 0 to 100")
        elif step.max_retries:
            node.step.retry_policy.max_attempts = step.max_retries + 1

    def _on_error(self, step: Step, place: str) -> v1.OnStepError.ValueType:
        review: Any = step.human_review
        given: Any = review.on_error if isinstance(review, HumanReview) else None
        if given is not None and step.on_error != "fail":
            self.report(place, "has on_error here and in human_review; write it in one place")
        word = given if given is not None else step.on_error
        if word not in _ON_ERROR:
            self.report(place, f"on_error is {word!r}; use one of: {', '.join(_ON_ERROR)}")
        return _ON_ERROR.get(word, v1.ON_STEP_ERROR_FAIL)

    def _interruption(self, node: v1.WorkflowNode, step: Step, place: str) -> None:
        """What happens when the process dies during the step."""
        is_function = node.step.executor.type == v1.EXECUTOR_TYPE_FUNCTION
        if step.on_interrupt is not None and not is_function:
            self.report(place, "on_interrupt is for functions; give it to the tools of the agent")
        node.step.on_interrupt = self._on_interrupt(place, step.on_interrupt)

    def _parallel(self, node: v1.ParallelNode, step: Parallel, place: str) -> None:
        node.nodes.extend(self._nodes(step.steps, place, "steps"))
        node.SetInParent()
        if len(node.nodes) > limits.parallel_branches_max:
            most = limits.parallel_branches_max
            self.report(place, f"has {len(node.nodes)} branches; the limit is {most}")

    def _condition(self, node: v1.ConditionNode, step: Condition, place: str) -> None:
        evaluator: Any = step.evaluator
        if isinstance(evaluator, bool):
            node.constant = evaluator
        elif callable(evaluator):
            node.function = self._function(evaluator, place, "evaluator", 1)
        else:
            self.report(place, f"evaluator is {evaluator!r}; use a bool or a function")
        node.nodes.extend(self._nodes(step.steps, place, "steps"))
        node.else_nodes.extend(self._nodes(step.else_steps, place, "else_steps", least=0))

    def _loop(self, node: v1.LoopNode, step: Loop, place: str) -> None:
        most = limits.loop_iterations_max
        if type(step.max_iterations) is not int or not 1 <= step.max_iterations <= most:
            self.report(
                place, f"max_iterations is {step.max_iterations!r}; use a number from 1 to {most}"
            )
        else:
            node.max_iterations = step.max_iterations
        node.forward_iteration_output = step.forward_iteration_output
        if step.end_condition is not None:
            node.end_condition_function = self._function(
                step.end_condition, place, "end_condition", 1
            )
        node.nodes.extend(self._nodes(step.steps, place, "steps"))

    def _router(self, node: v1.RouterNode, step: Router, place: str) -> None:
        if step.selector is not None:
            node.selector_function = self._function(step.selector, place, "selector", 1)
        elif not review_of(step, place, self.report).requires_user_input:
            self.report(place, "has no selector; give one, or let a person choose its routes")
        choices: Any = step.choices
        if isinstance(choices, list | tuple):
            choices = [
                Steps(name=f"steps_group_{position}", steps=choice)
                if isinstance(choice, list | tuple)
                else choice
                for position, choice in enumerate(choices)
            ]
        node.routes.extend(self._nodes(choices, place, "choices"))

    def _nested(self, node: v1.NestedWorkflowNode, workflow: Workflow, place: str) -> None:
        if workflow.run_timeout is not None:
            self.report(
                place, "has a run_timeout, which is for whole runs; give it to the outer one"
            )
        node.workflow_id = self._name(place, workflow.name)
        node.nodes.extend(self._inside(workflow, place))

    # Executors.

    def _executor(self, speaker: Agent | Team, place: str) -> v1.ExecutorRef:
        self._speaker(speaker, place, ())
        is_team = isinstance(speaker, Team)
        return v1.ExecutorRef(
            type=v1.EXECUTOR_TYPE_TEAM if is_team else v1.EXECUTOR_TYPE_AGENT,
            executor_id=jsontext.clean(str(speaker.name)),
        )

    def _speaker(self, speaker: Agent | Team, place: str, above: tuple[Any, ...]) -> None:
        kind = "team" if isinstance(speaker, Team) else "agent"
        here = f"{kind} {speaker.name!r}"
        name = self._name(here, speaker.name)
        known = self.catalog.agents.get(name) or self.catalog.teams.get(name)
        if any(one is speaker for one in above):
            self.report(here, "the team contains itself; break the circle")
            return
        if known is not None and known is not speaker:
            self.report(here, "another agent or team has this name; names are unique in an app")
            return
        if id(speaker) in self._checked:
            return
        self._checked.add(id(speaker))
        self._description(here, speaker.description)
        self._check_speaker(speaker, here)
        if isinstance(speaker, Team):
            self.catalog.teams[name] = speaker
            self._members(speaker, here, (*above, speaker))
        else:
            self.catalog.agents[name] = speaker

    def _members(self, team: Team, place: str, above: tuple[Any, ...]) -> None:
        members: Any = team.members
        if not isinstance(members, Sequence) or isinstance(members, str):
            self.report(place, f"members is {members!r}; give a list of agents and teams")
            return
        if not members:
            self.report(place, "has no members; give at least one agent or team")
        for member in members:
            if isinstance(member, Agent | Team):
                self._speaker(member, place, above)
            else:
                self.report(place, f"member {member!r} is neither an Agent nor a Team")
        names = [str(one.name) for one in members if isinstance(one, Agent | Team)]
        self._check_unique(place, "members", names)

    def _check_speaker(self, speaker: Agent | Team, place: str) -> None:
        turns: Any = speaker.max_turns
        if type(turns) is not int or not 1 <= turns <= limits.turns_max:
            self.report(place, f"max_turns is {turns!r}; use a number from 1 to {limits.turns_max}")
        given: Any = speaker.tools
        if not isinstance(given, Sequence) or isinstance(given, str):
            self.report(place, f"tools is {given!r}; give a list of functions")
            return
        for one in given:
            if not callable(one):
                self.report(place, f"tool {one!r} is not a function; decorate one with @tool")
        tools = [as_tool(one) for one in given if callable(one)]
        self._check_unique(place, "tools", [one.name for one in tools])
        for tool in tools:
            self._check_tool(tool, f"{place} > tool {tool.name!r}")

    def _check_tool(self, tool: Tool, place: str) -> None:
        if isinstance(tool.function, Tool):
            self.report(place, "is a tool already; decorate it once")
            return
        self._name(place, tool.name)
        gates = ("requires_confirmation", "requires_user_input", "external_execution")
        flags = [flag for flag in gates if getattr(tool, flag)]
        if len(flags) > 1:
            self.report(place, f"has {' and '.join(flags)}; a tool can have only one of them")
        self._check_deciding(tool, place)
        if tool.user_input_fields and not tool.requires_user_input:
            self.report(place, "has user_input_fields without requires_user_input=True")
        self._check_not_generator(tool.function, place)
        parameters = self._parameters(tool.function, place)
        self._check_wait(tool, parameters, place)
        for name in tool.user_input_fields:
            if name not in parameters or name in INJECTED:
                known = ", ".join(sorted(set(parameters) - INJECTED)) or "none"
                self.report(
                    place, f"user_input_fields names {name!r}, not a parameter; it has: {known}"
                )

    def _check_deciding(self, tool: Tool, place: str) -> None:
        """Whether what a tool shows and allows to those who decide can work."""
        given: Any = tool.requires_confirmation
        if callable(given):
            self._check_signature(given, place, "requires_confirmation", 1)
        elif not isinstance(given, bool):
            self.report(place, f"requires_confirmation is {given!r}; use True, False or a function")
        if tool.editable_args and not given:
            self.report(place, "has editable_args without requires_confirmation")
        preview: Any = tool.preview
        if preview is not None and not callable(preview):
            self.report(place, f"preview is {preview!r}; use a function of the arguments")
        elif preview is not None:
            self._check_signature(preview, place, "preview", 1)
        if preview is not None and not tool.is_gated:
            self.report(place, "has a preview, but no call of it waits for anybody; leave it out")

    def _check_wait(self, tool: Tool, parameters: dict[str, inspect.Parameter], place: str) -> None:
        """Whether what a tool says about time and interruption can be kept."""
        on_interrupt = self._on_interrupt(place, tool.on_interrupt)
        _, on_timeout = self._wait(place, tool.timeout, tool.on_timeout)
        if tool.external_execution and tool.on_interrupt is not None:
            self.report(place, "on_interrupt is for tools that run here, and this one does not")
        asks = tool.is_gated or on_interrupt == v1.ON_INTERRUPT_ASK
        if tool.timeout is not None and not asks:
            self.report(place, "has a timeout, but no call of it waits for anybody; leave it out")
        if on_timeout != v1.ON_TIMEOUT_APPROVE:
            return
        if tool.external_execution or tool.asks or not tool.is_gated:
            self.report(place, "on_timeout is 'approve', but a yes alone gives no result")
        fields = tool.user_input_fields or tuple(parameters)
        empty = inspect.Parameter.empty
        if tool.requires_user_input and any(
            parameters[name].default is empty for name in fields if name in parameters
        ):
            self.report(
                place, "on_timeout is 'approve', but a field that a person fills in has no default"
            )

    def _on_interrupt(self, place: str, given: Any) -> v1.OnInterrupt.ValueType:
        if given is not None and given not in ON_INTERRUPT:
            self.report(place, f"on_interrupt is {given!r}; use 'ask', 'retry' or 'fail'")
        return ON_INTERRUPT.get(given, v1.ON_INTERRUPT_UNSPECIFIED)

    def _wait(
        self, place: str, timeout: Any, on_timeout: Any
    ) -> tuple[float, v1.OnTimeout.ValueType]:
        """How long somebody has to answer, in seconds, and what happens then."""
        if on_timeout is not None and timeout is None:
            self.report(place, "has on_timeout without a timeout")
        if on_timeout is not None and on_timeout not in ON_TIMEOUT:
            known = ", ".join(map(repr, ON_TIMEOUT))
            self.report(place, f"on_timeout is {on_timeout!r}; use one of {known}")
        seconds = self._timeout(place, "timeout", timeout)
        return seconds, ON_TIMEOUT.get(on_timeout, v1.ON_TIMEOUT_CANCEL)

    def _timeout(self, place: str, slot: str, timeout: Any) -> float:
        """A span of time in seconds; 0 when there is none, or none that can be used."""
        if timeout is None:
            return 0.0
        is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        seconds = seconds_of(timeout) if is_number or isinstance(timeout, timedelta) else 0.0
        if not 0 < seconds <= limits.timeout_seconds_max:
            self.report(place, f"{slot} is {timeout!r}; use seconds above 0, or a timedelta")
            return 0.0
        return seconds

    # Functions.

    def _function_ref(self, function: Any, place: str) -> v1.ExecutorRef:
        return v1.ExecutorRef(
            type=v1.EXECUTOR_TYPE_FUNCTION,
            executor_id=self._function(function, place, "executor", 1),
        )

    def _function(self, function: Any, place: str, slot: str, takes: int) -> str:
        """Checks a function and gives the name it is registered under.

        A function of a module has a name of its own, which survives when its
        step is renamed; a lambda or a closure is known by its place only.
        """
        if not callable(function):
            self.report(place, f"{slot} is {function!r}; use a function")
            return ""
        if isinstance(function, Tool):
            self.report(
                place,
                f"{slot} {function.name!r} is a tool; give it to an agent, or use the function "
                "itself",
            )
            return ""
        self._check_not_generator(function, place)
        self._check_signature(function, place, slot, takes)
        qualified = getattr(function, "__qualname__", "")
        if qualified and "<" not in qualified and getattr(function, "__module__", ""):
            name = f"{function.__module__}:{qualified}"
        else:
            name = f"{place}:{slot}"
        if self.catalog.functions.setdefault(name, function) is not function:
            name = f"{place}:{slot}"
            self.catalog.functions[name] = function
        return name

    def _check_signature(self, function: Any, place: str, slot: str, takes: int) -> None:
        parameters = self._parameters(function, place)
        own = [
            one
            for name, one in parameters.items()
            if name not in INJECTED | {"step_choices"}
            and one.default is inspect.Parameter.empty
            and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters.values())
        if len(own) != takes and not (takes_any and len(own) < takes):
            extra = ", ".join(sorted(INJECTED))
            self.report(
                place,
                f"{slot} {_function_name(function)!r} takes {len(own)} arguments; it must take "
                f"{takes}, and may ask for {extra} by name",
            )

    def _check_not_generator(self, function: Any, place: str) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            self.report(place, f"{_function_name(function)!r} is a generator; return one value")

    def _parameters(self, function: Any, place: str) -> dict[str, inspect.Parameter]:
        try:
            return dict(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            self.report(place, f"the signature of {_function_name(function)!r} cannot be read")
            return {}

    # Names.

    def _name(self, place: str, name: Any) -> str:
        """Checks a name, and gives it in a form in which the compiler can go on."""
        most = limits.name_characters_max
        if not isinstance(name, str) or not 0 < len(name) <= most or jsontext.has_controls(name):
            self.report(
                place, f"name is {name!r}; use 1 to {most} characters without control characters"
            )
        return jsontext.clean(str(name))

    def _description(self, place: str, text: Any) -> str:
        if not isinstance(text, str):
            self.report(place, f"description is {text!r}; use a text")
        return jsontext.clean(str(text))

    def _check_unique(self, place: str, slot: str, names: Sequence[str]) -> None:
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                self.report(place, f"{slot} has {names.count(name)} of the name {name!r}; rename")


def as_tool(one: Tool | Callable[..., Any]) -> Tool:
    """A plain function is a tool without a gate."""
    return one if isinstance(one, Tool) else Tool(one)


def _function_name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)
