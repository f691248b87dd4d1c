"""Events: what happens in a run, one class for each kind.

`content` is what an event *adds* to a stream, so that printing the `content` of every event
that has one prints each text once: pieces of text while an agent writes, and the output of
a step, or of the run, only where the stream has not yet delivered it. `output` is always
the whole.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from interlock import jsontext, v1
from interlock._convert import enum_name
from interlock._event import CLASSES, ResultEvent
from interlock._event import Event as Event
from interlock._places import WithExecutor
from interlock.decisions import Decision
from interlock.requirements import Requirement, StepRequirement
from interlock.run import RunError, StepResult, Usage
from interlock.tools import ToolExecution


def from_message(message: v1.RunEvent) -> Event[Any] | None:
    """The event in a message; None when its kind is newer than this client."""
    case = message.WhichOneof("event")
    return CLASSES[case](message) if case else None


# The run.


class WorkflowStartedEvent(Event[v1.WorkflowStarted], case="workflow_started"):
    """The run started."""

    @property
    def workflow_id(self) -> str:
        """The workflow."""
        return self.payload.workflow_id

    @property
    def workflow_version(self) -> int:
        """Its version."""
        return self.payload.workflow_version

    @property
    def session_id(self) -> str:
        """The session."""
        return self.payload.session_id

    @cached_property
    def input(self) -> Any:
        """The input; None when there was none."""
        return jsontext.loads(self.payload.input_json)


class WorkflowPausedEvent(Event[v1.WorkflowPaused], case="workflow_paused"):
    """The run waits. Always the last event before it does."""

    @property
    def pause_kind(self) -> str:
        """Why it waits: `"executor"`, `"step"` or `"error"`."""
        return enum_name(v1.PauseKind, self.payload.pause_kind).lower()

    @cached_property
    def step_requirements(self) -> list[StepRequirement]:
        """What it waits for."""
        return [StepRequirement(one) for one in self.payload.step_requirements]


class WorkflowContinuedEvent(Event[v1.WorkflowContinued], case="workflow_continued"):
    """The run goes on after a pause."""

    @property
    def continued_by(self) -> str:
        """Who continued it."""
        return self.payload.continued_by


class WorkflowCompletedEvent(Event[v1.WorkflowCompleted], case="workflow_completed"):
    """The run ended well.

    Attributes:
        content: The output, unless the stream has delivered it before as the content of a
            step; then None.
    """

    def __init__(self, message: v1.RunEvent) -> None:
        super().__init__(message)
        self.content: Any = self.output

    @cached_property
    def output(self) -> Any:
        """What the run gave: a JSON value; None when it gave none."""
        return jsontext.loads(self.payload.output_json)

    @property
    def usage(self) -> Usage:
        """What the run used."""
        return Usage.of(self.payload.usage)


class WorkflowFailedEvent(Event[v1.WorkflowFailed], case="workflow_failed"):
    """The run ended with an error."""

    @property
    def error(self) -> RunError:
        """Why it failed."""
        return RunError.of(self.payload.error)

    @property
    def usage(self) -> Usage:
        """What the run used."""
        return Usage.of(self.payload.usage)


class WorkflowCancelledEvent(Event[v1.WorkflowCancelled], case="workflow_cancelled"):
    """The run was cancelled."""

    @property
    def reason(self) -> str:
        """Why it was cancelled, as the caller gave it."""
        return self.payload.reason

    @property
    def cancelled_by(self) -> str:
        """Who cancelled it."""
        return self.payload.cancelled_by


# Steps.


class StepStartedEvent(Event[v1.StepStarted], WithExecutor, case="step_started"):
    """A step started."""

    def __init__(self, message: v1.RunEvent) -> None:
        super().__init__(message)
        self._executor = self.payload.executor

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.payload.attempt


class StepExecutorPausedEvent(
    Event[v1.StepExecutorPaused], WithExecutor, case="step_executor_paused"
):
    """The agent or team of a step waits."""

    def __init__(self, message: v1.RunEvent) -> None:
        super().__init__(message)
        self._executor = self.payload.step_requirement.executor

    @property
    def executor_name(self) -> str:
        """Display name of the executor."""
        return self.payload.step_requirement.executor_name

    @property
    def executor_run_id(self) -> str:
        """Identifies this execution of the executor."""
        return self.payload.step_requirement.executor_run_id

    @cached_property
    def step_requirement(self) -> StepRequirement:
        """What the step waits for."""
        return StepRequirement(self.payload.step_requirement)

    @property
    def executor_requirements(self) -> list[Requirement]:
        """One entry for each tool call that waits, in call order."""
        return self.step_requirement.executor_requirements


class StepExecutorContinuedEvent(
    Event[v1.StepExecutorContinued], WithExecutor, case="step_executor_continued"
):
    """The agent or team of a step goes on after a pause."""

    def __init__(self, message: v1.RunEvent) -> None:
        super().__init__(message)
        self._executor = self.payload.executor

    @property
    def executor_name(self) -> str:
        """Display name of the executor."""
        return self.payload.executor_name

    @property
    def executor_run_id(self) -> str:
        """Identifies this execution of the executor."""
        return self.payload.executor_run_id


class StepCompletedEvent(ResultEvent[v1.StepCompleted], case="step_completed"):
    """A step ended well.

    Attributes:
        content: The output, or the part of it that the stream has not yet delivered in
            pieces; None when it has delivered all of it.
    """

    def __init__(self, message: v1.RunEvent) -> None:
        super().__init__(message)
        self.content: Any = self.output

    @property
    def output(self) -> Any:
        """What the step gave: a JSON value; None when it gave none."""
        return self.result.content


class StepFailedEvent(Event[v1.StepFailed], case="step_failed"):
    """A step failed."""

    @property
    def error(self) -> RunError:
        """Why it failed."""
        return RunError.of(self.payload.error)

    @property
    def will_retry(self) -> bool:
        """Whether another attempt follows."""
        return self.payload.will_retry

    @cached_property
    def result(self) -> StepResult | None:
        """Its result; None when another attempt follows."""
        return StepResult(self.payload.result) if self.payload.HasField("result") else None


class StepSkippedEvent(ResultEvent[v1.StepSkipped], case="step_skipped"):
    """A node was skipped."""

    @property
    def reason(self) -> str:
        """Why it was skipped."""
        return self.payload.reason


class StepPausedEvent(Event[v1.StepPaused], case="step_paused"):
    """A node itself waits for a person."""

    @cached_property
    def step_requirement(self) -> StepRequirement:
        """What it waits for."""
        return StepRequirement(self.payload.step_requirement)


class StepContinuedEvent(Event[v1.StepContinued], case="step_continued"):
    """A node goes on with what a person decided."""

    @property
    def requirement_id(self) -> str:
        """The requirement that was resolved."""
        return self.payload.requirement_id

    @property
    def kind(self) -> str:
        """Its kind, for example `"OUTPUT_REVIEW"`."""
        return enum_name(v1.RequirementKind, self.payload.kind)


class StepRejectedEvent(Event[v1.StepRejected], case="step_rejected"):
    """A person refused a node or its output."""

    @property
    def kind(self) -> str:
        """The kind of the requirement that was refused, for example `"OUTPUT_REVIEW"`."""
        return enum_name(v1.RequirementKind, self.payload.kind)

    @property
    def note(self) -> str:
        """What the person said about it."""
        return self.payload.note

    @property
    def on_reject(self) -> str:
        """What happens now: `"SKIP"`, `"CANCEL"`, `"ELSE"` or `"RETRY"`."""
        return enum_name(v1.OnReject, self.payload.on_reject)


class OutputEditedEvent(ResultEvent[v1.OutputEdited], case="output_edited"):
    """A person replaced or supplied an output."""

    @property
    def output(self) -> Any:
        """What the node gives now: a JSON value."""
        return self.result.content


# Containers.


class StepsStartedEvent(Event[v1.StepsStarted], case="steps_started"):
    """A group of steps started."""

    @property
    def node_count(self) -> int:
        """How many nodes it has."""
        return self.payload.node_count


class StepsCompletedEvent(ResultEvent[v1.StepsCompleted], case="steps_completed"):
    """A group of steps ended."""

    @property
    def executed_count(self) -> int:
        """How many nodes ran."""
        return self.payload.executed_count


class ConditionStartedEvent(Event[v1.ConditionStarted], case="condition_started"):
    """A condition chose its branch."""

    @property
    def condition_result(self) -> bool:
        """What its evaluator answered."""
        return self.payload.result


class ConditionCompletedEvent(ResultEvent[v1.ConditionCompleted], case="condition_completed"):
    """The branch of a condition ended."""

    @property
    def condition_result(self) -> bool:
        """What its evaluator answered."""
        return self.payload.condition_result

    @property
    def executed_count(self) -> int:
        """How many nodes ran."""
        return self.payload.executed_count


class LoopStartedEvent(Event[v1.LoopStarted], case="loop_started"):
    """A loop started."""

    @property
    def max_iterations(self) -> int:
        """Upper bound on iterations."""
        return self.payload.max_iterations


class LoopIterationStartedEvent(Event[v1.LoopIterationStarted], case="loop_iteration_started"):
    """An iteration of a loop started."""

    @property
    def iteration(self) -> int:
        """Which iteration, from 1."""
        return self.payload.iteration


class LoopIterationCompletedEvent(
    Event[v1.LoopIterationCompleted], case="loop_iteration_completed"
):
    """An iteration of a loop ended."""

    @property
    def iteration(self) -> int:
        """Which iteration, from 1."""
        return self.payload.iteration

    @property
    def will_continue(self) -> bool:
        """Whether another iteration follows."""
        return self.payload.will_continue


class LoopCompletedEvent(ResultEvent[v1.LoopCompleted], case="loop_completed"):
    """A loop ended."""

    @property
    def iteration_count(self) -> int:
        """How many iterations ran."""
        return self.payload.iteration_count


class RouterStartedEvent(Event[v1.RouterStarted], case="router_started"):
    """A router chose its routes."""

    @property
    def selected_routes(self) -> tuple[str, ...]:
        """Names of the chosen routes, in the order in which they run."""
        return tuple(self.payload.selected_routes)


class RouterCompletedEvent(ResultEvent[v1.RouterCompleted], case="router_completed"):
    """The routes of a router ended."""

    @property
    def selected_routes(self) -> tuple[str, ...]:
        """Names of the chosen routes."""
        return tuple(self.payload.selected_routes)

    @property
    def executed_count(self) -> int:
        """How many nodes ran."""
        return self.payload.executed_count


class RouteSelectedEvent(Event[v1.RouteSelected], case="route_selected"):
    """A person chose the routes of a router."""

    @property
    def selected_routes(self) -> list[str]:
        """Names of the routes, in the order in which they run."""
        return list(self.payload.selected_routes)


class ParallelStartedEvent(Event[v1.ParallelStarted], case="parallel_started"):
    """Parallel nodes started."""

    @property
    def node_count(self) -> int:
        """How many nodes started."""
        return self.payload.node_count


class ParallelCompletedEvent(ResultEvent[v1.ParallelCompleted], case="parallel_completed"):
    """Parallel nodes ended. The content of the result is a dictionary by branch name."""

    @property
    def executed_count(self) -> int:
        """How many nodes ran."""
        return self.payload.executed_count


class NestedWorkflowStartedEvent(Event[v1.NestedWorkflowStarted], case="nested_workflow_started"):
    """A nested workflow started."""

    @property
    def workflow_id(self) -> str:
        """Name of the nested workflow."""
        return self.payload.workflow_id


class NestedWorkflowCompletedEvent(
    ResultEvent[v1.NestedWorkflowCompleted], case="nested_workflow_completed"
):
    """A nested workflow ended."""

    @property
    def workflow_id(self) -> str:
        """Name of the nested workflow."""
        return self.payload.workflow_id


# Inside a step.


class ToolCallStartedEvent(Event[v1.ToolCallStarted], case="tool_call_started"):
    """An agent began a tool call."""

    @cached_property
    def tool_execution(self) -> ToolExecution:
        """The call."""
        return ToolExecution(self.payload.tool_execution)


class ToolCallCompletedEvent(Event[v1.ToolCallCompleted], case="tool_call_completed"):
    """A tool call ended."""

    @cached_property
    def tool_execution(self) -> ToolExecution:
        """The call, with its outcome."""
        return ToolExecution(self.payload.tool_execution)


class RequirementResolvedEvent(Event[v1.RequirementResolved], case="requirement_resolved"):
    """A requirement was resolved."""

    @property
    def requirement_id(self) -> str:
        """The requirement."""
        return self.payload.resolution.requirement_id

    @property
    def decision(self) -> Decision:
        """The answer."""
        return Decision(self.payload.resolution)

    @property
    def resolved_by(self) -> str:
        """Who gave it."""
        return self.payload.resolved_by


class RequirementExpiredEvent(Event[v1.RequirementExpired], case="requirement_expired"):
    """Nobody answered a requirement in time."""

    @property
    def requirement_id(self) -> str:
        """The requirement."""
        return self.payload.requirement_id

    @property
    def on_timeout(self) -> str:
        """What happens now: `"CANCEL"`, `"REJECT"`, `"APPROVE"`, `"SKIP"` or `"FAIL"`."""
        return enum_name(v1.OnTimeout, self.payload.on_timeout)

    @property
    def decision(self) -> Decision | None:
        """The answer that it counts as; None when the run is cancelled."""
        resolution = self.payload.resolution
        return Decision(resolution) if resolution.WhichOneof("resolution") else None


class RunContentEvent(Event[v1.ContentDelta], case="content_delta"):
    """A piece of text from an agent. It is not stored, so a stream that is late misses it."""

    @property
    def content(self) -> str:
        """The text to append."""
        return self.payload.text

    @property
    def index(self) -> int:
        """Position of the piece within its step, from 1."""
        return self.payload.index

    @property
    def agent_name(self) -> str:
        """Name of the agent that writes."""
        return self.payload.agent_name
