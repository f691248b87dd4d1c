"""Ready-made tools by which an agent asks a person; their answer is the tool's result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interlock_server.authoring.tools import Tool


@dataclass(frozen=True)
class Option:
    """One option of a question: its label, and what choosing it means."""

    label: str
    description: str = ""


@dataclass(frozen=True)
class Question:
    """A question with options; with `multi_select` several may be chosen."""

    question: str
    options: list[Option] = field(default_factory=list)
    header: str = ""
    multi_select: bool = False


@dataclass(frozen=True)
class InputField:
    """One value to ask for."""

    field_name: str
    field_type: Literal["str", "int", "float", "bool", "list", "dict"] = "str"
    field_description: str = ""


def _ask_user(questions: list[Question]) -> str:
    """Asks the user questions, each with options to choose from, and gives what they chose."""
    raise AssertionError("a person answers instead")


def _get_user_input(user_input_fields: list[InputField]) -> str:
    """Asks the user for values that are missing, and gives what they filled in."""
    raise AssertionError("a person answers instead")


ask_user = Tool(_ask_user, name="ask_user", asks="questions")
"""A tool for questions with options."""

get_user_input = Tool(_get_user_input, name="get_user_input", asks="fields")
"""A tool for values."""
