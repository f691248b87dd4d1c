"""Tool calls."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from interlock import jsontext, v1
from interlock._convert import moment


class _Answerable(Protocol):
    """What a tool call needs of the requirement that it belongs to."""

    @property
    def resolution(self) -> v1.RequirementResolution | None: ...
    def set_external_execution_result(self, result: Any) -> None: ...


class ToolExecution:
    """A tool call made by an agent.

    Attributes:
        message: The call as the server sent it.
    """

    def __init__(
        self, message: v1.ToolExecution, *, requirement: _Answerable | None = None
    ) -> None:
        self.message = message
        self._requirement = requirement

    @property
    def tool_call_id(self) -> str:
        """The identifier that the model gave the call; not unique in a run."""
        return self.message.tool_call_id

    @property
    def tool_name(self) -> str:
        """Name of the tool."""
        return self.message.tool_name

    @cached_property
    def tool_args(self) -> dict[str, Any]:
        """The arguments, exactly as the tool gets them. Changing them here has no effect."""
        args: dict[str, Any] = jsontext.loads(self.message.tool_args_json) or {}
        return args

    @property
    def agent_name(self) -> str:
        """Name of the agent that made the call."""
        return self.message.agent_name

    @property
    def result(self) -> Any:
        """What the tool gave back; None while it waits, and when it failed.

        Setting it on a requirement's call supplies the result of a tool that ran elsewhere.

        Raises:
            ValueError: when set, and the call does not wait for a result.
        """
        return jsontext.loads(self._outcome.result_json)

    @result.setter
    def result(self, result: Any) -> None:
        if self._requirement is None:
            raise ValueError(f"the call of tool {self.tool_name!r} does not wait for a result")
        self._requirement.set_external_execution_result(result)

    @property
    def error_message(self) -> str | None:
        """Why the call failed or was refused; None when it did not."""
        outcome = self._outcome
        return outcome.error_message if outcome.HasField("error_message") else None

    @property
    def tool_call_error(self) -> bool:
        """Whether the call failed or was refused."""
        return self._outcome.HasField("error_message")

    @property
    def stop_after_tool_call(self) -> bool:
        """Whether the agent ends with the result of this call."""
        return self.message.stop_after_tool_call

    @property
    def created_at(self) -> datetime | None:
        """When the agent made the call."""
        return moment(self.message, "create_time")

    @property
    def _outcome(self) -> v1.ToolExecution | v1.ExternalResult:
        if self._requirement is None or self.message.WhichOneof("outcome"):
            return self.message
        answer = self._requirement.resolution
        return answer.external_result if answer else self.message

    def __repr__(self) -> str:
        return f"<ToolExecution {self.tool_name!r} {self.message.tool_args_json}>"
