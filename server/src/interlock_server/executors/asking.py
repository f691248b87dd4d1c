"""Asking: what an agent wants to know from a person, as the person sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock import v1

_TYPES = {
    "str": v1.USER_INPUT_FIELD_TYPE_STRING,
    "int": v1.USER_INPUT_FIELD_TYPE_INTEGER,
    "float": v1.USER_INPUT_FIELD_TYPE_NUMBER,
    "bool": v1.USER_INPUT_FIELD_TYPE_BOOLEAN,
    "list": v1.USER_INPUT_FIELD_TYPE_ARRAY,
    "dict": v1.USER_INPUT_FIELD_TYPE_OBJECT,
}


def questions_of(args: Mapping[str, Any]) -> list[v1.FeedbackQuestion]:
    """The questions of an `ask_user` call; each has an id of its own.

    Raises:
        ValueError: nobody could answer them; the text tells the model what to mend.
    """
    asked = args["questions"]
    if not asked:
        raise ValueError("ask at least one question")
    for one in asked:
        labels = [option["label"] for option in one.get("options", ())]
        if len(set(labels)) < max(2, len(labels)):
            raise ValueError(f"give {one['question']!r} at least two options, all different")
    return [
        v1.FeedbackQuestion(
            question_id=f"q{number}",
            question=one["question"],
            header=one.get("header", ""),
            multi_select=one.get("multi_select", False),
            options=[
                v1.FeedbackOption(label=option["label"], description=option.get("description", ""))
                for option in one["options"]
            ],
        )
        for number, one in enumerate(asked, start=1)
    ]


def fields_of(args: Mapping[str, Any]) -> list[v1.UserInputField]:
    """The fields of a `get_user_input` call.

    Raises:
        ValueError: nobody could fill them in; the text tells the model what to mend.
    """
    asked: Sequence[Mapping[str, Any]] = args["user_input_fields"]
    names = [one["field_name"] for one in asked]
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError("ask for at least one field, each with a name of its own")
    return [
        v1.UserInputField(
            name=one["field_name"],
            type=_TYPES[one.get("field_type", "str")],
            description=one.get("field_description", ""),
            required=True,
        )
        for one in asked
    ]
