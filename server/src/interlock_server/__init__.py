"""Interlock: agent workflows that stop for people, served over gRPC.

Everything an author needs to define workflows is here; `interlock serve`
serves them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock_server.app import Interlock
    from interlock_server.authoring.agents import Agent, Team
    from interlock_server.authoring.asking import ask_user, get_user_input
    from interlock_server.authoring.compile import DefinitionError
    from interlock_server.authoring.conversation import ModelRequest, ToolResults
    from interlock_server.authoring.models import Call, OpenAIResponses, ScriptedModel, call
    from interlock_server.authoring.reviews import HumanReview, OnReject, UserInputField
    from interlock_server.authoring.steps import (
        Condition,
        Loop,
        Parallel,
        Router,
        Step,
        Steps,
        Workflow,
    )
    from interlock_server.authoring.tools import Tool, tool
    from interlock_server.engine.context import RunContext
    from interlock_server.engine.values import StepInput, StepOutput
    from interlock_server.settings import Settings

__all__ = [
    "Agent",
    "Call",
    "Condition",
    "DefinitionError",
    "HumanReview",
    "Interlock",
    "Loop",
    "ModelRequest",
    "OnReject",
    "OpenAIResponses",
    "Parallel",
    "Router",
    "RunContext",
    "ScriptedModel",
    "Settings",
    "Step",
    "StepInput",
    "StepOutput",
    "Steps",
    "Team",
    "Tool",
    "ToolResults",
    "UserInputField",
    "Workflow",
    "ask_user",
    "call",
    "get_user_input",
    "tool",
]

_HOMES = {
    "app": ["Interlock"],
    "authoring.agents": ["Agent", "Team"],
    "authoring.asking": ["ask_user", "get_user_input"],
    "authoring.compile": ["DefinitionError"],
    "authoring.conversation": ["ModelRequest", "ToolResults"],
    "authoring.models": ["Call", "OpenAIResponses", "ScriptedModel", "call"],
    "authoring.reviews": ["HumanReview", "OnReject", "UserInputField"],
    "authoring.steps": [
        "Condition",
        "Loop",
        "Parallel",
        "Router",
        "Step",
        "Steps",
        "Workflow",
    ],
    "authoring.tools": ["Tool", "tool"],
    "engine.context": ["RunContext"],
    "engine.values": ["StepInput", "StepOutput"],
    "settings": ["Settings"],
}
"""Which module each name comes from. A name is imported when it is first asked for: the command
line is in this package too, and a client command has no use for a database or a model library."""

if not TYPE_CHECKING:  # A type checker would take any name for defined.

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                value = getattr(import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
