"""The models an author can give to an agent without a provider at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock_server.authoring.conversation import (
    ModelError,
    ModelRequest,
    ModelTurn,
    ToolCall,
)


@dataclass(frozen=True)
class OpenAIResponses:
    """OpenAI's Responses API, named as in the code that people port to Interlock.

    Args:
        id: the model's name, for example `"gpt-5.4"`.
        base_url: another server that speaks the same API; unset means OpenAI's.
        api_key: unset means the environment variable `OPENAI_API_KEY`.
        settings: provider settings such as `{"temperature": 0}`.
    """

    id: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One scripted tool call; `args` may also be raw text, to play a model that errs."""

    tool_name: str
    args: Mapping[str, Any] | str
    tool_call_id: str = ""


def call(tool_name: str, /, **args: Any) -> Call:
    """Scripts a call of `tool_name` with these arguments."""
    return Call(tool_name, args)


Turn = str | Call | Sequence[str | Call]


class ScriptedModel:
    """A model that plays a script: for demos, tests, and trying an integration offline.

    Each turn is a text, a call, or a list of both. The turn to play follows from
    the conversation alone, so a script goes on where it stood in any process:

        ScriptedModel([call("get_the_weather", city="Tokyo"), "It is 70 degrees."])

    A turn may also be a function of the `ModelRequest` that gives such a value.
    """

    def __init__(self, turns: Sequence[Turn | Callable[[ModelRequest], Turn]]) -> None:
        self.turns = tuple(turns)

    async def request(
        self, request: ModelRequest, on_text: Callable[[str], None] | None = None
    ) -> ModelTurn:
        """Plays the next turn.

        Raises:
            ModelError: the script has no turn left.
        """
        played = sum(isinstance(message, ModelTurn) for message in request.messages)
        if played >= len(self.turns):
            raise ModelError(
                f"the scripted model has {len(self.turns)} turn(s) and was asked for one more; "
                f"it was last told {_last_words(request)!r}"
            )
        turn = self.turns[played]
        if callable(turn):
            turn = turn(request)
        parts = [turn] if isinstance(turn, str | Call) else turn
        text = "".join(part for part in parts if isinstance(part, str))
        if on_text is not None:
            for word in re.findall(r"\S+\s*|\s+", text):
                on_text(word)
        calls = [part for part in parts if isinstance(part, Call)]
        return ModelTurn(
            text=text,
            tool_calls=tuple(
                ToolCall(
                    tool_call_id=one.tool_call_id or f"call_{played + 1}_{number}",
                    tool_name=one.tool_name,
                    args_json=one.args if isinstance(one.args, str) else json.dumps(one.args),
                )
                for number, one in enumerate(calls, start=1)
            ),
        )


def _last_words(request: ModelRequest) -> str:
    return str(request.messages[-1])[:200] if request.messages else ""
