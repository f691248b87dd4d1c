"""Decisions: answers to requirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from interlock import jsontext, v1
from interlock._convert import enum_number

OnReject = Literal["SKIP", "CANCEL", "ELSE", "RETRY"]


class Decision:
    """An answer that is not yet tied to a requirement.

    `Client.resolve` ties it to one by its id. On a `Requirement` object call its own
    methods instead: they also check that the answer fits.
    """

    def __init__(self, message: v1.RequirementResolution) -> None:
        self._message = message

    @classmethod
    def confirm(
        cls, note: str | None = None, *, edited_args: Mapping[str, Any] | None = None
    ) -> Decision:
        """Lets the tool, the step or the output pass.

        Args:
            note: Recorded with the decision, at most 4,000 characters.
            edited_args: Arguments to use instead, where the tool allows edits.
        """
        edited = "" if edited_args is None else jsontext.dumps(dict(edited_args))
        confirmation = v1.Confirmation(note=note or "", edited_args_json=edited)
        return cls(v1.RequirementResolution(confirm=confirmation))

    @classmethod
    def reject(cls, note: str | None = None, *, on_reject: OnReject | None = None) -> Decision:
        """Keeps the tool or the step from running, or refuses the output.

        Args:
            note: The reason, which the agent is told, at most 4,000 characters.
            on_reject: What follows, where the requirement leaves a choice.
        """
        rejection = v1.Rejection(note=note or "")
        if on_reject is not None:
            rejection.on_reject = enum_number(v1.OnReject, on_reject)
        return cls(v1.RequirementResolution(reject=rejection))

    @classmethod
    def user_input(cls, values: Mapping[str, Any]) -> Decision:
        """Supplies values by field name; a field that is left out keeps its value or default."""
        user_input = v1.UserInput(values_json=jsontext.dumps(dict(values)))
        return cls(v1.RequirementResolution(user_input=user_input))

    @classmethod
    def user_feedback(cls, answers: Mapping[str, Sequence[str]]) -> Decision:
        """Answers questions: the labels that were chosen, by question id."""
        feedback = v1.UserFeedback()
        for question_id, labels in answers.items():
            feedback.answers.add(question_id=question_id, selected_options=labels)
        return cls(v1.RequirementResolution(user_feedback=feedback))

    @classmethod
    def external_result(cls, result: Any) -> Decision:
        """Supplies what a tool that ran elsewhere gave back: any JSON value."""
        outcome = v1.ExternalResult(result_json=jsontext.dumps(result))
        return cls(v1.RequirementResolution(external_result=outcome))

    @classmethod
    def external_error(cls, message: str) -> Decision:
        """Says why a tool that ran elsewhere failed; the agent is told."""
        outcome = v1.ExternalResult(error_message=message)
        return cls(v1.RequirementResolution(external_result=outcome))

    @classmethod
    def edit_output(cls, output: Any) -> Decision:
        """Replaces the output under review with any JSON value."""
        edited = v1.EditedOutput(output_json=jsontext.dumps(output))
        return cls(v1.RequirementResolution(edited_output=edited))

    @classmethod
    def select_routes(cls, *routes: str) -> Decision:
        """Chooses routes, in the order in which they shall run."""
        return cls(v1.RequirementResolution(route_choice=v1.RouteChoice(routes=routes)))

    @classmethod
    def retry(cls, feedback: str | None = None) -> Decision:
        """Runs it again, with what to do better."""
        return cls(v1.RequirementResolution(retry=v1.Retry(feedback=feedback or "")))

    @classmethod
    def skip(cls) -> Decision:
        """Passes over it."""
        return cls(v1.RequirementResolution(skip=v1.Skip()))

    @classmethod
    def fail(cls, message: str | None = None) -> Decision:
        """Lets it fail, with what is recorded as the error."""
        return cls(v1.RequirementResolution(fail=v1.Fail(message=message or "")))

    @property
    def kind(self) -> str:
        """Which answer it is, by its name in `RequirementResolution.resolution`."""
        return self._message.WhichOneof("resolution") or ""

    @property
    def message(self) -> v1.RequirementResolution:
        """A copy of the answer as it is sent, without the requirement's id."""
        return self.resolving("")

    def resolving(self, requirement_id: str) -> v1.RequirementResolution:
        """The answer as it is sent for one requirement."""
        resolution = v1.RequirementResolution()
        resolution.CopyFrom(self._message)
        resolution.requirement_id = requirement_id
        return resolution

    def __repr__(self) -> str:
        return f"Decision.{self.kind}"
