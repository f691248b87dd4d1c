"""Agents and teams: who talks to a model, with which tools, and to whom they delegate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock_server import limits
from interlock_server.authoring.tools import Tool


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A model with instructions and tools.

    Args:
        name: unique among the agents of an app.
        model: a provider string such as `"openai-responses:gpt-5.4"`,
            `OpenAIResponses(id=...)`, a `ScriptedModel`, or any model object of
            `pydantic_ai`.
        tools: tools, or plain functions, which are tools without a gate.
        instructions: what the model is told at the top of every conversation.
        output_schema: a pydantic model or other type; the final answer must
            satisfy it and becomes the step's content as JSON.
        max_turns: how often the model may speak in one step before it fails.
        settings: provider settings such as `{"temperature": 0}`.
    """

    name: str
    model: Any
    tools: Sequence[Tool | Callable[..., Any]] = ()
    instructions: str | Sequence[str] = ""
    description: str = ""
    output_schema: Any = None
    max_turns: int = limits.turns_default
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Team:
    """An agent that leads others: it may delegate to its members, which are agents or teams.

    Args:
        members: at least one; names are unique within the team.
        others: as for `Agent`.
    """

    name: str
    model: Any
    members: Sequence[Agent | Team]
    tools: Sequence[Tool | Callable[..., Any]] = ()
    instructions: str | Sequence[str] = ""
    description: str = ""
    output_schema: Any = None
    max_turns: int = limits.turns_default
    settings: Mapping[str, Any] = field(default_factory=dict)
