"""Requirements: what a run waits for, and the ways to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

from interlock import v1
from interlock._convert import enum_name, moment
from interlock._nodes import AboutNode
from interlock._places import AtStep, WithExecutor
from interlock.decisions import Decision, OnReject
from interlock.questions import FeedbackQuestion, UserInputField
from interlock.tools import ToolExecution

_ANSWERS = {
    "confirm": "be confirmed",
    "reject": "be rejected",
    "user_input": "take user input",
    "user_feedback": "take user feedback",
    "external_result": "take an external result",
    "edited_output": "take an edited output",
    "route_choice": "take a choice of routes",
    "retry": "be retried",
    "skip": "be skipped",
    "fail": "be failed",
}
"""The answers of `RequirementResolution`, in words."""

_FITTING = {
    "CONFIRMATION": {"confirm", "reject"},
    "USER_INPUT": {"user_input", "reject"},
    "EXTERNAL_EXECUTION": {"external_result", "reject"},
    "USER_FEEDBACK": {"user_feedback", "user_input", "reject"},
    "STEP_CONFIRMATION": {"confirm", "reject"},
    "STEP_INPUT": {"user_input", "reject"},
    "OUTPUT_REVIEW": {"confirm", "reject", "edited_output", "retry"},
    "ROUTE_SELECTION": {"route_choice", "reject"},
    "ITERATION_REVIEW": {"confirm", "reject", "retry"},
    "ERROR_DECISION": {"retry", "skip", "fail", "edited_output", "reject"},
    "IN_DOUBT": {"retry", "external_result", "fail", "reject"},
}
"""Which answers fit which kind. A kind that is newer than this client takes any."""


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a requirement, so that no two workers execute one call.

    Attributes:
        worker_id: Who holds it.
        epoch: Grows with every claim, from 1. Greater than 1 means that an earlier worker gave
            up or died, and may have executed the call in part.
        expires_at: When it ends unless it is renewed.
    """

    worker_id: str
    epoch: int
    expires_at: datetime

    @classmethod
    def of(cls, message: v1.RequirementClaim) -> Claim:
        """A claim as the server sent it."""
        return cls(message.worker_id, message.epoch, message.expire_time.ToDatetime(tzinfo=UTC))


class Requirement(AtStep, WithExecutor, AboutNode):
    """One thing that waits for a person or for an outside system.

    Its methods only note a decision on this object. `continue_run` and `resolve` send it.

    Every method that decides raises `ValueError` when the answer does not fit the kind
    of the requirement, or when it is already resolved.

    Attributes:
        message: The requirement as the server sent it.
    """

    def __init__(self, message: v1.Requirement) -> None:
        self.message = message
        self._step = message.step
        self._executor = message.executor
        self._decision: Decision | None = None

    # What it is about.

    @property
    def id(self) -> str:
        """Unique in the service."""
        return self.message.requirement_id

    @property
    def kind(self) -> str:
        """Name of the `RequirementKind` without its prefix, for example `"CONFIRMATION"`."""
        return enum_name(v1.RequirementKind, self.message.kind)

    @property
    def state(self) -> str:
        """`"PENDING"`, `"RESOLVED"`, `"EXPIRED"` or `"CANCELLED"`, as the server sent it."""
        return enum_name(v1.RequirementState, self.message.state)

    @property
    def run_id(self) -> str:
        """The run that waits."""
        return self.message.run_id

    @property
    def workflow_id(self) -> str:
        """The workflow of that run."""
        return self.message.workflow_id

    @property
    def session_id(self) -> str:
        """The session of that run."""
        return self.message.session_id

    @property
    def executor_name(self) -> str:
        """Display name of the step's executor."""
        return self.message.executor_name

    @property
    def executor_run_id(self) -> str:
        """Identifies this execution of the executor."""
        return self.message.executor_run_id

    @property
    def member_path(self) -> tuple[str, ...]:
        """Names of team members down to the agent that made the call; empty without a team."""
        return tuple(self.message.member_path)

    @property
    def member_agent_name(self) -> str | None:
        """The team member that made the call; None when the executor made it itself."""
        return self.member_path[-1] if self.member_path else None

    @cached_property
    def tool_execution(self) -> ToolExecution:
        """The tool call; an empty one when the requirement is about a step."""
        return ToolExecution(self.message.tool_execution, requirement=self)

    @property
    def prompt(self) -> str:
        """Text to show to the person; empty means none."""
        return self.message.message

    @cached_property
    def user_input_schema(self) -> list[UserInputField]:
        """The fields to fill in.

        What the agent fixed is not among them: `tool_execution.tool_args` shows it.
        """
        return [
            UserInputField.of(field)
            for field in self.message.user_input_schema
            if not field.read_only
        ]

    @cached_property
    def feedback_questions(self) -> list[FeedbackQuestion]:
        """The questions to answer."""
        return [FeedbackQuestion.of(question) for question in self.message.feedback_questions]

    @property
    def attempt(self) -> int:
        """Which attempt of its step this is about, from 1."""
        return self.message.attempt

    @property
    def created_at(self) -> datetime | None:
        """When it began to wait."""
        return moment(self.message, "create_time")

    @property
    def expires_at(self) -> datetime | None:
        """When it stops waiting by itself; None means never."""
        return moment(self.message, "expire_time")

    @property
    def on_timeout(self) -> str | None:
        """What happens then: `"CANCEL"`, `"REJECT"`, `"APPROVE"`, `"SKIP"` or `"FAIL"`."""
        return enum_name(v1.OnTimeout, self.message.on_timeout) or None

    @property
    def claim(self) -> Claim | None:
        """The worker that executes the call, as the server sent it; None when none does."""
        return Claim.of(self.message.claim) if self.message.HasField("claim") else None

    # What it needs, for as long as nothing is decided.

    @property
    def needs_confirmation(self) -> bool:
        """Whether it waits for a yes or a no, to a tool call or to a whole step."""
        return self._needs("CONFIRMATION", "STEP_CONFIRMATION")

    @property
    def needs_user_input(self) -> bool:
        """Whether it waits for values, of a tool call or of a whole step."""
        return self._needs("USER_INPUT", "STEP_INPUT")

    @property
    def needs_external_execution(self) -> bool:
        """Whether it waits for the result of a tool that runs elsewhere."""
        return self._needs("EXTERNAL_EXECUTION")

    @property
    def needs_user_feedback(self) -> bool:
        """Whether it waits for answers to an agent's questions."""
        return self._needs("USER_FEEDBACK")

    @property
    def needs_output_review(self) -> bool:
        """Whether it waits for a judgement of an output or of a loop's iteration."""
        return self._needs("OUTPUT_REVIEW", "ITERATION_REVIEW")

    @property
    def needs_route_selection(self) -> bool:
        """Whether it waits for a choice between routes."""
        return self._needs("ROUTE_SELECTION")

    @property
    def needs_error_decision(self) -> bool:
        """Whether it waits for what to do about a failed step."""
        return self._needs("ERROR_DECISION")

    @property
    def needs_doubt_resolution(self) -> bool:
        """Whether an effect may have happened when its process died.

        `retry`, `fail`, `set_external_execution_result` and `set_external_execution_error`
        answer it.
        """
        return self._needs("IN_DOUBT")

    # How it was resolved.

    @property
    def is_resolved(self) -> bool:
        """Whether it is decided, here or on the server, or waits no longer."""
        return self._decision is not None or (
            self.message.state != v1.RequirementState.REQUIREMENT_STATE_PENDING
        )

    @property
    def decision(self) -> Decision | None:
        """What was decided on this object; None when nothing was."""
        return self._decision

    @property
    def resolution(self) -> v1.RequirementResolution | None:
        """The answer that was given, here or on the server; None while there is none."""
        if self._decision is not None:
            return self._decision.resolving(self.id)
        return self.message.resolution if self.message.HasField("resolution") else None

    @property
    def confirmation(self) -> bool | None:
        """True when confirmed, False when rejected, else None."""
        answer = self.resolution
        answered = answer.WhichOneof("resolution") if answer else None
        return {"confirm": True, "reject": False}.get(answered or "")

    @property
    def confirmation_note(self) -> str | None:
        """The note of a confirmation or rejection; None when there is none."""
        answer = self.resolution
        return (answer.confirm.note or answer.reject.note or None) if answer else None

    @property
    def resolved_by(self) -> str:
        """Who resolved it, as the server sent it."""
        return self.message.resolved_by

    @property
    def resolved_at(self) -> datetime | None:
        """When it was resolved, as the server sent it."""
        return moment(self.message, "resolve_time")

    # Ways to answer.

    def confirm(
        self, note: str | None = None, *, edited_args: Mapping[str, Any] | None = None
    ) -> None:
        """Lets the tool, the step or the output pass; see `Decision.confirm`."""
        self.decide(Decision.confirm(note, edited_args=edited_args))

    def reject(self, note: str | None = None, *, on_reject: OnReject | None = None) -> None:
        """Keeps the tool or the step from running; see `Decision.reject`. Fits every kind."""
        self.decide(Decision.reject(note, on_reject=on_reject))

    def provide_user_input(self, values: Mapping[str, Any]) -> None:
        """Supplies values by field name; a field that is left out keeps its value or default."""
        self.decide(Decision.user_input(values))

    def provide_user_feedback(self, answers: Mapping[str, str | Sequence[str]]) -> None:
        """Answers questions: one label or several, by the question's id or its text."""
        by_text = {question.question: question.id for question in self.feedback_questions}
        self.decide(
            Decision.user_feedback(
                {
                    by_text.get(question, question): [chosen] if isinstance(chosen, str) else chosen
                    for question, chosen in answers.items()
                }
            )
        )

    def set_external_execution_result(self, result: Any) -> None:
        """Supplies what the tool that ran elsewhere gave back: any JSON value.

        `requirement.tool_execution.result = result` does the same.
        """
        self.decide(Decision.external_result(result))

    def set_external_execution_error(self, message: str) -> None:
        """Says why the tool that ran elsewhere failed; the agent is told."""
        self.decide(Decision.external_error(message))

    def edit_output(self, output: Any) -> None:
        """Replaces the output under review, or supplies that of a failed step: any JSON value."""
        self.decide(Decision.edit_output(output))

    def select_routes(self, *routes: str) -> None:
        """Chooses routes, in the order in which they shall run."""
        self.decide(Decision.select_routes(*routes))

    def retry(self, feedback: str | None = None) -> None:
        """Runs it again, with what to do better."""
        self.decide(Decision.retry(feedback))

    def skip(self) -> None:
        """Passes over the step that failed."""
        self.decide(Decision.skip())

    def fail(self, message: str | None = None) -> None:
        """Lets it fail, with what is recorded as the error."""
        self.decide(Decision.fail(message))

    def decide(self, decision: Decision) -> None:
        """Notes any decision; the methods above are short for it."""
        words = _ANSWERS[decision.kind]
        if decision.kind not in _FITTING.get(self.kind, _ANSWERS):
            raise ValueError(f"requirement {self.id!r} is of kind {self.kind}: it cannot {words}")
        if self.is_resolved:
            how = repr(self._decision) if self._decision else self.state
            raise ValueError(
                f"requirement {self.id!r} is already resolved ({how}): it cannot {words}"
            )
        self._decision = decision

    def _needs(self, *kinds: str) -> bool:
        return self.kind in kinds and not self.is_resolved

    def __repr__(self) -> str:
        state = repr(self._decision) if self._decision else self.state
        return f"<Requirement {self.id!r} {self.kind} {state}>"


class StepRequirement(AtStep, WithExecutor):
    """Everything that one paused step waits for.

    Attributes:
        message: The step requirement as the server sent it.
        executor_requirements: One entry for each tool call that waits, in call order.
        step_requirements: What the step itself waits for: its gate, its input, its
            review, its route, or a decision about its failure.
    """

    def __init__(self, message: v1.StepRequirement) -> None:
        self.message = message
        self._step = message.step
        self._executor = message.executor
        self.executor_requirements = [Requirement(one) for one in message.executor_requirements]
        self.step_requirements = [Requirement(one) for one in message.step_requirements]

    @property
    def executor_name(self) -> str:
        """Display name of the executor that paused; empty when the step itself waits."""
        return self.message.executor_name

    @property
    def executor_run_id(self) -> str:
        """Identifies this execution of the executor."""
        return self.message.executor_run_id

    @property
    def requires_executor_input(self) -> bool:
        """Whether tool calls inside the step wait."""
        return bool(self.executor_requirements)

    @property
    def requirements(self) -> list[Requirement]:
        """All requirements of the step, those of its executor first."""
        return [*self.executor_requirements, *self.step_requirements]

    # What the step itself waits for, and the ways to answer it.

    @property
    def requires_confirmation(self) -> bool:
        """Whether the step waits for a yes before it runs."""
        return self._asks("STEP_CONFIRMATION")

    @property
    def requires_user_input(self) -> bool:
        """Whether the step waits for values before it runs."""
        return self._asks("STEP_INPUT")

    @property
    def requires_route_selection(self) -> bool:
        """Whether the router waits for a choice of its routes."""
        return self._asks("ROUTE_SELECTION")

    @property
    def requires_output_review(self) -> bool:
        """Whether an output, or an iteration of a loop, waits for a judgement."""
        return self._asks("OUTPUT_REVIEW", "ITERATION_REVIEW")

    @property
    def requires_error_decision(self) -> bool:
        """Whether a failed step waits for a decision."""
        return self._asks("ERROR_DECISION")

    @property
    def question(self) -> Requirement:
        """What the step itself waits for.

        Raises:
            ValueError: only tool calls inside it wait; they are `executor_requirements`.
        """
        if not self.step_requirements:
            raise ValueError(f"step {self.step_name!r} waits for tool calls, not for itself")
        return self.step_requirements[0]

    def confirm(self, note: str | None = None) -> None:
        """Lets the step or its output pass; see `Requirement.confirm`."""
        self.question.confirm(note)

    def reject(self, feedback: str | None = None, *, on_reject: OnReject | None = None) -> None:
        """Keeps the step from running, or refuses its output; see `Requirement.reject`."""
        self.question.reject(feedback, on_reject=on_reject)

    def edit(self, output: Any) -> None:
        """Replaces the output, or supplies that of a failed step; see `Requirement.edit_output`."""
        self.question.edit_output(output)

    def set_user_input(self, **values: Any) -> None:
        """Supplies the step's values by name; one that is left out keeps its default."""
        self.question.provide_user_input(values)

    def select(self, *routes: str) -> None:
        """Chooses routes, in the order in which they shall run; see `Requirement.select_routes`."""
        self.question.select_routes(*routes)

    def retry(self, feedback: str | None = None) -> None:
        """Runs it again, with what to do better; see `Requirement.retry`."""
        self.question.retry(feedback)

    def skip(self) -> None:
        """Passes over a failed step; see `Requirement.skip`."""
        self.question.skip()

    def fail(self, message: str | None = None) -> None:
        """Lets a failed step fail; see `Requirement.fail`."""
        self.question.fail(message)

    def _asks(self, *kinds: str) -> bool:
        return any(one.kind in kinds for one in self.step_requirements)

    @property
    def is_resolved(self) -> bool:
        """Whether every requirement is resolved, so that the step can go on."""
        return all(requirement.is_resolved for requirement in self.requirements)

    def __repr__(self) -> str:
        return f"<StepRequirement {self.step_name!r} {self.requirements!r}>"


class Resolved(NamedTuple):
    """What `Client.resolve` gives.

    Attributes:
        requirement: The requirement as it is now.
        run_state: State of its run after the answer, for example `"RUNNING"`.
    """

    requirement: Requirement
    run_state: str
