"""What a person is asked to fill in or to choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interlock import jsontext, v1

_TYPES = {
    v1.UserInputFieldType.USER_INPUT_FIELD_TYPE_STRING: "str",
    v1.UserInputFieldType.USER_INPUT_FIELD_TYPE_INTEGER: "int",
    v1.UserInputFieldType.USER_INPUT_FIELD_TYPE_NUMBER: "float",
    v1.UserInputFieldType.USER_INPUT_FIELD_TYPE_BOOLEAN: "bool",
    v1.UserInputFieldType.USER_INPUT_FIELD_TYPE_ARRAY: "list",
    v1.UserInputFieldType.USER_INPUT_FIELD_TYPE_OBJECT: "dict",
}


@dataclass(frozen=True)
class UserInputField:
    """One value that a person must supply.

    Attributes:
        name: Name of the value; for a tool, of the argument.
        field_type: `"str"`, `"int"`, `"float"`, `"bool"`, `"list"`, `"dict"`, or `"any"`.
        description: Text to show to the person.
        value: What the agent proposed; None when it proposed nothing, or null.
        required: Whether a value must be given.
        allowed_values: The values to choose from; None means any of the type.
    """

    name: str
    field_type: str
    description: str
    value: Any
    required: bool
    allowed_values: list[Any] | None

    @classmethod
    def of(cls, message: v1.UserInputField) -> UserInputField:
        """Reads a field of a requirement."""
        allowed = [jsontext.loads(value) for value in message.allowed_values_json]
        return cls(
            name=message.name,
            field_type=_TYPES.get(message.type, "any"),
            description=message.description,
            value=jsontext.loads(message.value_json),
            required=message.required,
            allowed_values=allowed or None,
        )


@dataclass(frozen=True)
class FeedbackOption:
    """One option of a question.

    Attributes:
        label: The text that is chosen.
        description: What choosing it means.
    """

    label: str
    description: str


@dataclass(frozen=True)
class FeedbackQuestion:
    """A structured question of an agent.

    Attributes:
        id: Identifies the question within its requirement.
        question: The question.
        header: Short title.
        multi_select: Whether several options may be chosen.
        options: The options to choose from.
    """

    id: str
    question: str
    header: str
    multi_select: bool
    options: list[FeedbackOption]

    @classmethod
    def of(cls, message: v1.FeedbackQuestion) -> FeedbackQuestion:
        """Reads a question of a requirement."""
        return cls(
            id=message.question_id,
            question=message.question,
            header=message.header,
            multi_select=message.multi_select,
            options=[FeedbackOption(one.label, one.description) for one in message.options],
        )
