"""Runs and their results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from interlock import jsontext, v1
from interlock._convert import enum_name, moment
from interlock._places import AtStep, WithExecutor
from interlock.requirements import Requirement, StepRequirement
from interlock.tools import ToolExecution


@dataclass(frozen=True)
class Usage:
    """What model calls used: numbers of tokens and of requests."""

    input_tokens: int
    output_tokens: int
    model_requests: int

    @classmethod
    def of(cls, message: v1.Usage) -> Usage:
        """Reads the usage of a run or a step."""
        return cls(message.input_tokens, message.output_tokens, message.model_requests)


@dataclass(frozen=True)
class RunError:
    """Why a run or a step failed.

    Attributes:
        reason: Stable, in UPPER_SNAKE_CASE.
        message: Text for a developer.
        metadata: Facts behind the message.
    """

    reason: str
    message: str
    metadata: dict[str, str]

    @classmethod
    def of(cls, message: v1.RunError) -> RunError:
        """Reads the error of a run or a step."""
        return cls(message.reason, message.message, dict(message.metadata))

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class StepResult(AtStep, WithExecutor):
    """What one finished node gave.

    Attributes:
        message: The result as the server sent it.
        steps: Results of the nodes inside this one, oldest first. Only in
            `RunOutput.step_results`, where they make a tree.
        is_superseded: Whether a later result counts instead, because a person edited,
            refused or sent back this one.
    """

    def __init__(self, message: v1.StepResult) -> None:
        self.message = message
        self._step = message.step
        self._executor = message.executor
        self.steps: list[StepResult] = []
        self.is_superseded = False

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.step_name

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the root down to the node; a loop is followed by its iteration's number."""
        return self.step_path

    @cached_property
    def content(self) -> Any:
        """What it gave: a JSON value; None when it gave none."""
        return jsontext.loads(self.message.output_json)

    @property
    def outcome(self) -> str:
        """`"COMPLETED"`, `"FAILED"` or `"SKIPPED"`."""
        return enum_name(v1.StepOutcome, self.message.outcome)

    @property
    def success(self) -> bool:
        """Whether it gave a result."""
        return self.outcome == "COMPLETED"

    @property
    def error(self) -> RunError | None:
        """Why it failed; None when it did not."""
        return RunError.of(self.message.error) if self.message.HasField("error") else None

    @cached_property
    def tool_executions(self) -> list[ToolExecution]:
        """Tool calls that its executor made, in call order."""
        return [ToolExecution(call) for call in self.message.tool_executions]

    @property
    def usage(self) -> Usage | None:
        """What it used; None when that is not known."""
        return Usage.of(self.message.usage) if self.message.HasField("usage") else None

    @property
    def stop(self) -> bool:
        """Whether it asked the whole run to stop."""
        return self.message.stop

    def __repr__(self) -> str:
        return f"<StepResult {'/'.join(self.path)} {self.outcome}>"


class RunOutput:
    """A run as it was when the server sent it.

    Decisions are made on the requirements in it, and sent by `continue_run`.

    Attributes:
        message: The run as the server sent it.
        step_requirements: What it waits for, one entry for each paused step.
    """

    def __init__(self, message: v1.Run) -> None:
        self.message = message
        self.step_requirements = [StepRequirement(one) for one in message.step_requirements]

    @property
    def run_id(self) -> str:
        """Unique in the service."""
        return self.message.run_id

    @property
    def workflow_id(self) -> str:
        """The workflow that runs."""
        return self.message.workflow_id

    @property
    def workflow_version(self) -> int:
        """The version that the run is pinned to."""
        return self.message.workflow_version

    @property
    def session_id(self) -> str:
        """The session that the run belongs to."""
        return self.message.session_id

    @property
    def started_by(self) -> str:
        """Who started it."""
        return self.message.started_by

    @property
    def status(self) -> str:
        """`"PENDING"`, `"RUNNING"`, `"PAUSED"`, `"COMPLETED"`, `"FAILED"` or `"CANCELLED"`."""
        return enum_name(v1.RunState, self.message.state)

    @property
    def state(self) -> str:
        """The same as `status`, by its name in the contract."""
        return self.status

    @property
    def is_paused(self) -> bool:
        """Whether it waits for requirements to be resolved."""
        return self.status == "PAUSED"

    @property
    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self.status == "COMPLETED"

    @property
    def is_failed(self) -> bool:
        """Whether it ended with an error."""
        return self.status == "FAILED"

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.status == "CANCELLED"

    @property
    def pause_kind(self) -> str | None:
        """Why it is paused: `"executor"`, `"step"` or `"error"`; None when it is not."""
        return enum_name(v1.PauseKind, self.message.pause_kind).lower() or None

    @property
    def paused_step_name(self) -> str | None:
        """Name of the top-level step in which it is paused; None when it is not.

        When several steps wait, the first.
        """
        if not self.is_paused or not self.step_requirements:
            return None
        paused = self.step_requirements[0]
        return paused.step_path[0] if paused.step_path else paused.step_name

    @cached_property
    def input(self) -> Any:
        """The input it was started with; None when there was none."""
        return jsontext.loads(self.message.input_json)

    @cached_property
    def content(self) -> Any:
        """The result: a JSON value; None until it has completed."""
        return jsontext.loads(self.message.output_json)

    @cached_property
    def step_results(self) -> list[StepResult]:
        """Results of finished top-level nodes, oldest first; `StepResult.steps` is what is inside.

        While a container is unfinished, the results inside it stand in this list.
        Empty on runs that were listed.
        """
        return _tree(self.message.step_results)

    @property
    def requirements(self) -> list[Requirement]:
        """All requirements of all steps."""
        return [one for step in self.step_requirements for one in step.requirements]

    @property
    def active_requirements(self) -> list[Requirement]:
        """The requirements on which nothing is decided."""
        return [one for one in self.requirements if not one.is_resolved]

    @property
    def requirements_requiring_confirmation(self) -> list[Requirement]:
        """The requirements that wait for a yes or a no."""
        return [one for one in self.requirements if one.needs_confirmation]

    @property
    def requirements_requiring_user_input(self) -> list[Requirement]:
        """The requirements that wait for values."""
        return [one for one in self.requirements if one.needs_user_input]

    @property
    def requirements_requiring_external_execution(self) -> list[Requirement]:
        """The requirements that wait for the result of a tool that runs elsewhere."""
        return [one for one in self.requirements if one.needs_external_execution]

    @property
    def steps_requiring_confirmation(self) -> list[StepRequirement]:
        """The steps that wait for a yes before they run."""
        return [one for one in self.step_requirements if one.requires_confirmation]

    @property
    def steps_requiring_user_input(self) -> list[StepRequirement]:
        """The steps that wait for values before they run."""
        return [one for one in self.step_requirements if one.requires_user_input]

    @property
    def steps_requiring_route(self) -> list[StepRequirement]:
        """The routers that wait for a choice of their routes."""
        return [one for one in self.step_requirements if one.requires_route_selection]

    @property
    def steps_requiring_output_review(self) -> list[StepRequirement]:
        """The steps whose output waits for a judgement, and the loops between iterations."""
        return [one for one in self.step_requirements if one.requires_output_review]

    @property
    def steps_with_errors(self) -> list[StepRequirement]:
        """The failed steps that wait for a decision."""
        return [one for one in self.step_requirements if one.requires_error_decision]

    @property
    def error(self) -> RunError | None:
        """Why it failed; None when it did not."""
        return RunError.of(self.message.error) if self.message.HasField("error") else None

    @property
    def usage(self) -> Usage | None:
        """What it used; None until it has ended."""
        return Usage.of(self.message.usage) if self.message.HasField("usage") else None

    @property
    def labels(self) -> dict[str, str]:
        """User-defined labels."""
        return dict(self.message.labels)

    @property
    def etag(self) -> str:
        """Changes whenever the run changes."""
        return self.message.etag

    @property
    def last_sequence(self) -> int:
        """Sequence of its newest event."""
        return self.message.last_sequence

    @property
    def created_at(self) -> datetime | None:
        """When it was accepted."""
        return moment(self.message, "create_time")

    @property
    def updated_at(self) -> datetime | None:
        """When it last changed."""
        return moment(self.message, "update_time")

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return moment(self.message, "end_time")

    @property
    def expires_at(self) -> datetime | None:
        """When it ends by itself, as failed, unless it ended before; None means never."""
        return moment(self.message, "expire_time")

    @property
    def missing_executor(self) -> str | None:
        """Name of code that it needs and that the server lacks; None when it can go on."""
        return self.message.missing_executor or None

    def __repr__(self) -> str:
        return f"<RunOutput {self.run_id!r} of {self.workflow_id!r} {self.status}>"


def _tree(messages: Iterable[v1.StepResult]) -> list[StepResult]:
    results = [StepResult(message) for message in messages]
    containers = {result.step_id: result for result in results}
    newest = {result.path: result for result in results}
    roots: list[StepResult] = []
    for result in results:
        result.is_superseded = newest[result.path] is not result
    for result in results:
        parent = containers.get(result.parent_step_id)
        (roots if parent is None else parent.steps).append(result)
    return roots
