"""The door to the model library: models behind our protocol, and the schemas that models read.

Importing this package is cheap. What needs the library lives in `library`, the
one module that imports it, and is imported when the first model is resolved
that is not scripted, or the first tool is read.
"""

from __future__ import annotations

from typing import cast

from interlock_server.authoring.conversation import Model
from interlock_server.authoring.models import ScriptedModel
from interlock_server.executors.models.schemas import (
    ArgumentErrors,
    ToolSchema,
    output_spec,
    parse_output,
    tool_schema,
)

__all__ = [
    "ArgumentErrors",
    "ToolSchema",
    "output_spec",
    "parse_output",
    "resolve_model",
    "tool_schema",
]


def resolve_model(model: object) -> Model:
    """Gives the model that an author named.

    Nothing is connected before the first request, and no API key is needed.

    Args:
        model: `"provider:model"`, where `"openai:"` and `"openai-responses:"`
            both mean OpenAI's Responses API and `"openai-chat:"` its older one;
            `OpenAIResponses`; a model object of `pydantic_ai`; or an object
            with a `request` method like `Model`'s, which is given back as it is.

    Raises:
        ValueError: it is none of these, or names a provider that is unknown or
            not installed.
    """
    if isinstance(model, ScriptedModel):
        return model
    from interlock_server.executors.models.library import find_model

    found = find_model(model)
    if found is not None:
        return found
    if not isinstance(model, type) and callable(getattr(model, "request", None)):
        return cast("Model", model)
    raise ValueError(
        f"{model!r} is not a model; give a name such as 'openai-responses:gpt-5.4', "
        "OpenAIResponses(id=...), ScriptedModel([...]), or a model object of pydantic_ai"
    )
