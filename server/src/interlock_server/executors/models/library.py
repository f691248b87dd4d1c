"""The one module that imports `pydantic_ai`, which takes more than a second.

Import it inside functions.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from pydantic import ValidationError
from pydantic.errors import PydanticUserError
from pydantic_ai import direct, exceptions
from pydantic_ai import messages as native
from pydantic_ai import models as library
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers import infer_provider_class
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import Tool, ToolDefinition

from interlock_server import jsontext
from interlock_server.authoring.conversation import (
    Correction,
    Model,
    ModelError,
    ModelRequest,
    ModelTurn,
    OutputSpec,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSpec,
    UserMessage,
)
from interlock_server.authoring.models import OpenAIResponses

# Finding a model.


def find_model(model: object) -> Model | None:
    """Gives the library's model for what an author named, if it is a matter of the library.

    Raises:
        ValueError: it names a provider that is unknown or not installed.
    """
    match model:
        case str():
            _check_provider(model)
            return _LibraryModel(model, lambda: library.infer_model(model))
        case OpenAIResponses():
            _check_provider(f"openai-responses:{model.id}")
            return _LibraryModel(model.id, lambda: _open_openai(model))
        case library.Model():
            return _LibraryModel(model.model_name, lambda: model)
    return None


def _check_provider(name: str) -> None:
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        example = f"openai-responses:{name.strip(':') or 'gpt-5.4'}"
        raise ValueError(
            f"{name!r} is not a model name; write it with its provider, for example {example!r}"
        )
    try:
        infer_provider_class(provider)
    except ImportError as error:
        raise ValueError(f"{name!r} needs a package that is not installed: {error}") from None
    except (ValueError, exceptions.UserError):
        raise ValueError(
            f"{name!r} names the provider {provider!r}, which is not known; "
            "the providers' names are those of pydantic_ai, for example 'openai-responses'"
        ) from None


def _open_openai(model: OpenAIResponses) -> library.Model:
    # Imported here because the packages of the providers are slow to import as well.
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    try:
        provider = OpenAIProvider(base_url=model.base_url, api_key=model.api_key or None)
    except exceptions.UserError:
        raise ModelError(
            f"The model {model.id} has no API key: set the environment variable "
            "OPENAI_API_KEY on the server, or give OpenAIResponses an api_key."
        ) from None
    settings = cast("ModelSettings", dict(model.settings))
    return OpenAIResponsesModel(model.id, provider=provider, settings=settings)


class _LibraryModel:
    """A model of the library, behind the protocol of ours.

    Requests that overlap share their connections, which close with the last of
    them. So nothing has to be closed by anybody, whichever event loop asks, and
    a request that is alone spends some 30 ms on a connection of its own.
    """

    def __init__(self, name: str, open_model: Callable[[], library.Model]) -> None:
        self.name = name
        self._open = functools.cache(open_model)

    async def request(
        self, request: ModelRequest, on_text: Callable[[str], None] | None = None
    ) -> ModelTurn:
        """Gives the next turn, see `Model.request`.

        Where the final answer has to be fetched through a tool, because the model
        knows no other way to give JSON, `on_text` is not called.
        """
        if on_text is None:
            with self._failures():
                exchange = self._exchange(request)
                async with exchange.model:
                    return exchange.turn(await exchange.whole())
        async with aclosing(self._stream(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ModelTurn):
                    return piece
                # Outside of `_failures`: what the listener raises is no failure of the model.
                on_text(piece)
        raise ModelError(f"The model {self.name} gave no answer.")

    async def _stream(self, request: ModelRequest) -> AsyncGenerator[str | ModelTurn]:
        """Yields the pieces of the text, and then the turn."""
        with self._failures():
            exchange = self._exchange(request)
            async with exchange.model, exchange.streamed() as stream:
                previous = -1
                async for event in stream:
                    text = _text_in(event)
                    if text is None or exchange.answer_tool:
                        continue
                    index, piece = text
                    yield _gap(previous, index) + piece
                    previous = index
                turn = exchange.turn(stream.get())
            yield turn

    def _exchange(self, request: ModelRequest) -> _Exchange:
        try:
            model = self._open()
        except (ModelError, ImportError, exceptions.UserError):
            raise
        except Exception as error:
            raise ModelError(
                f"The model {self.name} cannot be set up: its API key or its address is not usable."
            ) from error
        return _prepared(self.name, model, request)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns whatever the library raises into a `ModelError`."""
        try:
            yield
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - providers' packages raise what they like
            cause = None if _quotes_key(error) else error
            raise ModelError(f"The model {self.name} {_reason(error)}.") from cause


# One request: our conversation in the library's words.


@dataclass(frozen=True)
class _Exchange:
    """A request in the library's words, and how to read what comes back.

    Args:
        answer_tool: the tool through which the model gives its final answer;
            empty when it simply says it.
        taken_ids: the ids of the tool calls so far.
    """

    name: str
    model: library.Model
    messages: Sequence[native.ModelMessage]
    settings: ModelSettings
    parameters: library.ModelRequestParameters
    answer_tool: str
    taken_ids: frozenset[str]

    async def whole(self) -> native.ModelResponse:
        """The answer at once."""
        return await direct.model_request(
            self.model,
            self.messages,
            model_settings=self.settings,
            model_request_parameters=self.parameters,
        )

    def streamed(self) -> AbstractAsyncContextManager[library.StreamedResponse]:
        """The answer as it comes."""
        return direct.model_request_stream(
            self.model,
            self.messages,
            model_settings=self.settings,
            model_request_parameters=self.parameters,
        )

    def turn(self, response: native.ModelResponse) -> ModelTurn:
        """Reads a complete answer.

        Raises:
            ModelError: the answer is refused or cut off.
        """
        self._check_complete(response)
        response = _with_distinct_ids(response, self.taken_ids)
        answers = [call for call in response.tool_calls if call.tool_name == self.answer_tool]
        calls = [call for call in response.tool_calls if call.tool_name != self.answer_tool]
        # An answer given along with other calls came too early; `_request_parts` says so.
        final = answers[0] if answers and not calls else None
        return ModelTurn(
            text=_args_json(final) if final else _text(response.parts),
            tool_calls=tuple(
                ToolCall(call.tool_call_id, call.tool_name, _args_json(call)) for call in calls
            ),
            input_tokens=response.usage.input_tokens,
            output_tokens=response.usage.output_tokens,
            native_json=_native_json(response),
        )

    def _check_complete(self, response: native.ModelResponse) -> None:
        reason = response.finish_reason
        is_text = self.parameters.output_mode == "text" and _text(response.parts) != ""
        if reason == "content_filter":
            problem = "declined to answer, or its provider withheld the answer"
        elif reason == "error":
            problem = "reported that it failed"
        elif reason == "length" and (response.tool_calls or not is_text):
            problem = (
                "ran out of output tokens before its answer was complete; "
                "a higher `max_tokens` in the agent's settings may help"
            )
        elif response.state == "suspended":
            problem = "answers in the background, which is not supported"
        elif response.state != "complete":
            problem = "broke off in the middle of its answer"
        else:
            return
        raise ModelError(f"The model {self.name} {problem}.")


def _prepared(name: str, model: library.Model, request: ModelRequest) -> _Exchange:
    messages = _history(request)
    answer_tool = ""
    if request.output is not None and not _gives_json(model):
        answer_tool = _free_name(request.output.name, {tool.name for tool in request.tools})
    return _Exchange(
        name=name,
        model=model,
        messages=messages,
        settings=cast("ModelSettings", dict(request.settings)),
        parameters=_parameters(request.tools, request.output, answer_tool),
        answer_tool=answer_tool,
        taken_ids=frozenset(
            call.tool_call_id
            for message in messages
            if isinstance(message, native.ModelResponse)
            for call in message.tool_calls
        ),
    )


def _gives_json(model: library.Model) -> bool:
    """Whether the model can be held to a JSON Schema when it speaks."""
    try:
        return bool(model.profile.get("supports_json_schema_output", False))
    except NotImplementedError:
        # A model that chooses among several has no profile of its own; all of them take tools.
        return False


def _free_name(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _parameters(
    tools: Sequence[ToolSpec], output: OutputSpec | None, answer_tool: str
) -> library.ModelRequestParameters:
    functions = [_definition(one.name, one.description, one.parameters_schema) for one in tools]
    if output is None:
        return library.ModelRequestParameters(function_tools=functions)
    if answer_tool:
        answer = _definition(answer_tool, output.description, output.schema)
        return library.ModelRequestParameters(
            function_tools=functions,
            output_mode="tool",
            output_tools=[replace(answer, kind="output")],
            allow_text_output=False,
        )
    return library.ModelRequestParameters(
        function_tools=functions,
        output_mode="native",
        output_object=OutputObjectDefinition(
            name=output.name,
            description=output.description or None,
            json_schema=dict(output.schema),
        ),
    )


def _definition(name: str, description: str, schema: Mapping[str, Any]) -> ToolDefinition:
    return ToolDefinition(
        name=name, description=description or None, parameters_json_schema=dict(schema)
    )


def _history(request: ModelRequest) -> list[native.ModelMessage]:
    """The conversation, with all that is said between two turns of the model in one message."""
    history: list[native.ModelMessage] = []
    parts: list[native.ModelRequestPart] = []
    unanswered: list[native.ToolCallPart] = []

    def say() -> None:
        if parts:
            instructions = jsontext.clean(request.instructions) or None
            history.append(native.ModelRequest(parts=[*parts], instructions=instructions))
            parts.clear()

    for message in request.messages:
        if isinstance(message, ModelTurn):
            response = _response(message)
            if all(isinstance(part, native.ThinkingPart) for part in response.parts):
                # Providers refuse a turn that is empty, or in which nothing follows a thought.
                continue
            say()
            history.append(response)
            told = {call.tool_call_id for call in message.tool_calls}
            unanswered = [call for call in response.tool_calls if call.tool_call_id not in told]
        else:
            parts += _request_parts(message, unanswered)
            unanswered = []
    say()
    return history


def _request_parts(
    message: UserMessage | ToolResults | Correction, unanswered: Sequence[native.ToolCallPart]
) -> list[native.ModelRequestPart]:
    """What one message becomes.

    Args:
        unanswered: the calls of the turn before that nobody was told of: final
            answers given through a tool. Each call must get a result.
    """
    text = "" if isinstance(message, ToolResults) else jsontext.clean(message.text)
    match message:
        case UserMessage():
            taken = _closed(unanswered, "The final answer was taken.")
            return [*taken, native.UserPromptPart(content=text)]
        case ToolResults():
            early = "Not taken: answer again when you have the results of your other calls."
            return [*map(_tool_return, message.results), *_closed(unanswered, early)]
        case Correction() if unanswered:
            first, *others = unanswered
            return [
                native.ToolReturnPart(first.tool_name, text, first.tool_call_id, outcome="retried"),
                *_closed(others, "Not taken: give one final answer."),
            ]
        case Correction():
            cause = native.RetryInfo[native.RetryFeedbackCause](cause="model_retry")
            return [native.RetryFeedbackPart(content=text, retry=cause)]


def _closed(
    calls: Sequence[native.ToolCallPart], text: str
) -> Iterator[native.ToolReturnPart[Any]]:
    for call in calls:
        yield native.ToolReturnPart(call.tool_name, text, call.tool_call_id)


def _tool_return(result: ToolResult) -> native.ToolReturnPart[Any]:
    # A failure is marked as one, in the provider's way; a refusal is told word for word.
    outcome: Literal["success", "failed", "denied"] = "failed" if result.is_error else "success"
    return native.ToolReturnPart(
        tool_name=result.tool_name,
        content=jsontext.clean(result.text),
        tool_call_id=result.tool_call_id,
        outcome="denied" if result.is_refusal else outcome,
    )


def _response(turn: ModelTurn) -> native.ModelResponse:
    """A turn as the model gave it, or at least what it said and called."""
    return _native_response(turn.native_json) or native.ModelResponse(
        parts=[
            *([native.TextPart(jsontext.clean(turn.text))] if turn.text else []),
            *(
                native.ToolCallPart(
                    call.tool_name, jsontext.clean(call.args_json) or "{}", call.tool_call_id
                )
                for call in turn.tool_calls
            ),
        ]
    )


def _native_response(native_json: str) -> native.ModelResponse | None:
    try:
        messages = native.ModelMessagesTypeAdapter.validate_json(native_json or "[]")
    except ValidationError:
        # Another kind of model wrote it, before the agent was given this one.
        return None
    match messages:
        case [native.ModelResponse() as response]:
            return response
    return None


def _native_json(response: native.ModelResponse) -> str:
    # Written by `json` because pydantic's own writer refuses lone surrogates.
    value = native.ModelMessagesTypeAdapter.dump_python([response], mode="json")
    return jsontext.clean(json.dumps(value, ensure_ascii=False))


def _with_distinct_ids(
    response: native.ModelResponse, taken_ids: Collection[str]
) -> native.ModelResponse:
    """The same answer, with a fresh id for each call whose id is missing or was used before.

    Some servers number the calls of every turn anew, but a result must find its call.
    """
    seen = {"", *taken_ids}
    parts: list[native.ModelResponsePart] = []
    for part in response.parts:
        if isinstance(part, native.ToolCallPart):
            if part.tool_call_id in seen:
                part = replace(part, tool_call_id=f"call_{uuid.uuid4().hex}")
            seen.add(part.tool_call_id)
        parts.append(part)
    return replace(response, parts=parts)


def _args_json(call: native.ToolCallPart) -> str:
    if isinstance(call.args, str):
        return call.args or "{}"
    return json.dumps(call.args or {}, ensure_ascii=False)


def _text(parts: Sequence[native.ModelResponsePart]) -> str:
    pieces, previous = [], -1
    for index, part in enumerate(parts):
        if isinstance(part, native.TextPart) and part.content:
            pieces.append(_gap(previous, index) + part.content)
            previous = index
    return "".join(pieces)


def _text_in(event: native.ModelResponseStreamEvent) -> tuple[int, str] | None:
    """The text that an event adds, and to which part of the answer."""
    match event:
        case native.PartStartEvent(part=native.TextPart(content=text)) if text:
            return event.index, text
        case native.PartDeltaEvent(delta=native.TextPartDelta(content_delta=text)) if text:
            return event.index, text
    return None


def _gap(previous: int, index: int) -> str:
    """What stands between two parts of a text: a blank line, if other things came between."""
    return "" if previous < 0 or index - previous <= 1 else "\n\n"


# Failures, in words that a workflow's user may read.

_REASONS: Sequence[tuple[type[Exception], str]] = (
    (exceptions.ModelAuthenticationError, "did not accept the server's API key"),
    (exceptions.ModelNotFoundError, "is not known to its provider"),
    (exceptions.ModelQuotaExceededError, "cannot be used: the server's account has no quota left"),
    (exceptions.ModelRateLimitError, "was asked too much in too short a time"),
    (exceptions.ModelContextWindowExceededError, "cannot take in a conversation of this length"),
    (exceptions.ModelRequestRejectedError, "rejected the request"),
    (exceptions.ModelUnavailableError, "is not available at the moment"),
    (exceptions.ModelServerError, "failed on the side of its provider"),
    (exceptions.ModelTimeoutError, "did not answer in time"),
    (exceptions.ModelRequestTimeout, "did not answer in time"),
    (exceptions.ModelConnectionError, "could not be reached, or the connection broke"),
    (exceptions.ModelAPIError, "could not answer"),
    (exceptions.ContentFilterError, "declined to answer, or its provider withheld the answer"),
    (exceptions.UsageLimitExceeded, "has reached its usage limit"),
    (exceptions.ConcurrencyLimitExceeded, "has too many requests waiting"),
    (exceptions.UnexpectedModelBehavior, "gave an answer that cannot be understood"),
    (ImportError, "needs a package that is not installed on the server"),
)
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _reason(error: Exception) -> str:
    """Why a request failed; of the provider's own words only its short error code.

    The rest of what providers and libraries say may hold keys, addresses or the
    conversation; it stays in the exception's cause.
    """
    if isinstance(error, exceptions.FallbackExceptionGroup):
        reasons = [f"{_model_name(one)} {_reason(one)}" for one in error.exceptions]
        return f"gave no answer: {'; '.join(reasons)}"
    if isinstance(error, exceptions.UserError):
        # The library's advice to the author of the agent, without its advertisement.
        return f"is not set up correctly: {error.message.split(' To try ')[0].rstrip('.')}"
    if _has_unsendable_header(error):
        return "could not be asked: its API key holds a line break or another unusable character"
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason + _details(error)
    return f"failed unexpectedly ({type(error).__name__})"


def _quotes_key(error: Exception) -> bool:
    """Whether the exception's text may hold the API key, so that it must not get into a log."""
    if isinstance(error, exceptions.FallbackExceptionGroup):
        return any(map(_quotes_key, error.exceptions))
    return isinstance(error, exceptions.ModelAuthenticationError) or _has_unsendable_header(error)


def _has_unsendable_header(error: BaseException | None) -> bool:
    while error is not None:
        # Known by its name, since each HTTP library has one of its own.
        if isinstance(error, UnicodeEncodeError) or type(error).__name__ == "LocalProtocolError":
            return True
        error = error.__cause__
    return False


def _details(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    code = getattr(error, "provider_error_code", None) or ""
    known = [f"HTTP {status}" if status else "", code if _ERROR_CODE.fullmatch(code) else ""]
    listing = ", ".join(one for one in known if one)
    return f" ({listing})" if listing else ""


def _model_name(error: Exception) -> str:
    return str(getattr(error, "model_name", "") or "a model")


# Reading a function.


def read_function(function: Callable[..., Any]) -> Tool[Any]:
    """Makes the schema of a function's parameters.

    Raises:
        ValueError: no schema can be made of them.
    """
    name = function.__name__
    try:
        tool = Tool[Any](function)
    except (exceptions.UserError, PydanticUserError, NameError, TypeError) as error:
        raise ValueError(f"no schema can be made of the parameters of {name}: {error}") from error
    if tool.takes_ctx:
        raise ValueError(
            f"{name} takes a RunContext of pydantic_ai, which does not exist here; "
            "name the parameter `run_context` to get the RunContext of Interlock"
        )
    return tool
