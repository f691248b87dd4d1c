"""What an agent and its model say to each other, free of any provider.

A conversation is a list of messages that begins with a `UserMessage`; each
`ModelTurn` that calls tools is followed by the `ToolResults` that answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class ToolSpec:
    """A tool as the model sees it."""

    name: str
    description: str
    parameters_schema: Mapping[str, Any]


@dataclass(frozen=True)
class OutputSpec:
    """The JSON Schema that the final answer must satisfy."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """One call in a model's turn; `args_json` is what the model wrote, unchecked."""

    tool_call_id: str
    tool_name: str
    args_json: str


@dataclass(frozen=True)
class UserMessage:
    """What the agent was asked."""

    text: str


@dataclass(frozen=True)
class ModelTurn:
    """One answer of the model: text, tool calls, or both.

    `native_json` is the provider's own record of the turn. It is handed back to
    the same model unchanged, so that provider state such as reasoning survives
    a pause; a model that needs nothing of the kind leaves it empty.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    native_json: str = ""


@dataclass(frozen=True)
class ToolResult:
    """The answer to one `ToolCall`; when a person refused it, `text` is their word."""

    tool_call_id: str
    tool_name: str
    text: str
    is_error: bool = False
    is_refusal: bool = False


@dataclass(frozen=True)
class ToolResults:
    """The answers to all calls of the turn before, in call order."""

    results: tuple[ToolResult, ...]


@dataclass(frozen=True)
class Correction:
    """Tells the model why its final answer was not accepted."""

    text: str


Message = UserMessage | ModelTurn | ToolResults | Correction


@dataclass(frozen=True)
class ModelRequest:
    """All that a model needs to give its next turn."""

    messages: tuple[Message, ...]
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    output: OutputSpec | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """Something that continues a conversation."""

    async def request(
        self, request: ModelRequest, on_text: Callable[[str], None] | None = None
    ) -> ModelTurn:
        """Gives the next turn; with `on_text`, streams its text in pieces as they come.

        Raises:
            ModelError: the model cannot be reached, refused, or failed.
        """
        ...


class ModelError(Exception):
    """A model call failed; the text is safe to show to the workflow's users."""
