"""Interlock: agent workflows that stop for people, served over gRPC.

Everything an author needs to define workflows is here; `interlock serve`
serves them.
"""

from interlock_server.app import Interlock
from interlock_server.authoring.agents import Agent, Team
from interlock_server.authoring.compile import DefinitionError
from interlock_server.authoring.models import OpenAIResponses, ScriptedModel, call
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
    "Condition",
    "DefinitionError",
    "Interlock",
    "Loop",
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
    "Workflow",
    "call",
    "tool",
]
