"""A local server that speaks OpenAI's Responses API and plays a script.

    with OpenAIWire([FunctionCall("get_weather", {"city": "Tokyo"}), "It is 20 degrees."]) as wire:
        model = OpenAIResponses("gpt-5.4", base_url=wire.base_url, api_key="sk-test")

It checks what it receives as strictly as OpenAI does: a request that breaks the
protocol gets HTTP 400 in OpenAI's words and is noted in `violations`.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Json = dict[str, Any]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PIECE_CHARACTERS = 5
# Shared by all servers of the process, so that a conversation may move from one to the next.
_numbers = itertools.count(1)


@dataclass(frozen=True)
class FunctionCall:
    """A call of a tool; `arguments` may be raw text, to play a model that errs."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    call_id: str = ""


@dataclass(frozen=True)
class Reasoning:
    """A reasoning item; whatever follows it in the turn may not come back without it."""

    summary: str = ""
    encrypted: str = "gAAAA-reasoning"


@dataclass(frozen=True)
class Refusal:
    """The model's own refusal to answer."""

    text: str


Part = str | FunctionCall | Reasoning | Refusal


@dataclass(frozen=True)
class CutOff:
    """A turn that ends before it is complete, because of `reason`."""

    parts: Sequence[Part] = ()
    reason: str = "max_output_tokens"


@dataclass(frozen=True)
class Failed:
    """A turn that fails after the response has begun."""

    code: str = "server_error"
    message: str = "The model produced invalid content."


@dataclass(frozen=True)
class HttpError:
    """An answer with an error status."""

    status: int
    message: str = "Something went wrong."
    code: str | None = None
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """A connection that breaks: at once, or when streaming after so many events.

    With `politely`, the stream ends like a complete one, only without its last events.
    """

    parts: Sequence[Part] = ()
    after_events: int = 0
    politely: bool = False


@dataclass(frozen=True)
class Silence:
    """No answer until the client gives up or the server closes."""


Turn = Part | Sequence[Part] | CutOff | Failed | HttpError | Broken | Silence


class OpenAIWire:
    """The server; use it in a `with` block.

    Args:
        turns: what to answer, one per accepted request; a function gets the
            request's body and gives the turn.
        api_key: the only key that is accepted; unset accepts every key.
        usage: the input and output tokens that each answer reports.
    """

    def __init__(
        self,
        turns: Iterable[Turn | Callable[[Json], Turn]] = (),
        *,
        api_key: str | None = None,
        usage: tuple[int, int] = (12, 5),
    ) -> None:
        self.requests: list[Json] = []
        self.violations: list[str] = []
        self.closing = threading.Event()
        self._turns = list(turns)
        self._api_key = api_key
        self._usage = usage
        self._reasoning_of: dict[str, str] = {}
        self._encrypted: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def base_url(self) -> str:
        """What to give to the client as its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def turns_left(self) -> int:
        """How many turns were not asked for yet."""
        return len(self._turns)

    def __enter__(self) -> OpenAIWire:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def accept(self, authorization: str, raw: bytes) -> tuple[Json, Turn]:
        """Checks one request and gives its body and the turn to play."""
        if refusal := self._key_error(authorization):
            return {}, refusal
        body = json.loads(raw)
        with self._lock:
            self.requests.append(body)
            found = problems(body, self._reasoning_of, self._encrypted)
            self.violations += found
            if found:
                return body, _final_error(400, found[0])
            if not self._turns:
                self.violations.append("the script has no turn left")
                return body, _final_error(400, "the script has no turn left")
            turn = self._turns.pop(0)
        return body, turn(body) if callable(turn) else turn

    def respond(self, body: Json, parts: Sequence[Part]) -> Json:
        """Builds the complete response object of a turn."""
        output = [self._item(part, body) for part in parts]
        self._remember(output)
        input_tokens, output_tokens = self._usage
        return {
            "id": f"resp_{next(_numbers):08}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "metadata": {},
            "model": f"{body.get('model')}-2026-03-05",
            "output": output,
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": body.get("store", True),
            "temperature": body.get("temperature", 1.0),
            "text": body.get("text", {"format": {"type": "text"}}),
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools", []),
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": {
                "input_tokens": input_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input_tokens + output_tokens,
            },
            "user": None,
        }

    def _key_error(self, authorization: str) -> HttpError | None:
        kind, _, key = authorization.partition(" ")
        if kind != "Bearer" or not key:
            return _final_error(401, "You didn't provide an API key.")
        if self._api_key is not None and key != self._api_key:
            text = f"Incorrect API key provided: {key}."
            return _final_error(401, text, code="invalid_api_key")
        return None

    def _item(self, part: Part, body: Json) -> Json:
        number = f"{next(_numbers):08}"
        match part:
            case FunctionCall():
                raw = part.arguments
                return {
                    "id": f"fc_{number}",
                    "type": "function_call",
                    "status": "completed",
                    "name": part.name,
                    "call_id": part.call_id or f"call_{number}",
                    "arguments": raw if isinstance(raw, str) else json.dumps(raw),
                }
            case Reasoning():
                wanted = "reasoning.encrypted_content" in (body.get("include") or ())
                return {
                    "id": f"rs_{number}",
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": part.summary}]
                    if part.summary
                    else [],
                    "encrypted_content": f"{part.encrypted}-{number}" if wanted else None,
                }
            case Refusal():
                return _message(number, {"type": "refusal", "refusal": part.text})
            case str():
                text = {"type": "output_text", "text": part, "annotations": [], "logprobs": []}
                return _message(number, text)

    def _remember(self, output: Sequence[Json]) -> None:
        reasoning = ""
        for item in output:
            if item["type"] == "reasoning":
                reasoning = item["id"]
                self._encrypted[reasoning] = item["encrypted_content"]
            elif reasoning:
                # Only the item right behind it is bound to the reasoning.
                self._reasoning_of[item["id"]] = reasoning
                reasoning = ""


def _message(number: str, content: Json) -> Json:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [content],
    }


def problems(
    body: Json,
    reasoning_of: Mapping[str, str] | None = None,
    encrypted: Mapping[str, str] | None = None,
) -> list[str]:
    """What OpenAI would refuse in the body of a request, in its words."""
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not body.get("model"):
        return ["you must provide a model parameter"]
    if not items:
        return ["Missing required parameter: 'input'."]
    return [
        *_wrong_ids(items),
        *_wrong_calls(items),
        *_wrong_reasoning(items, reasoning_of or {}, encrypted or {}),
        *_wrong_tools(body.get("tools") or []),
        *_wrong_format((body.get("text") or {}).get("format") or {}),
    ]


def _wrong_ids(items: Sequence[Json]) -> Iterator[str]:
    seen: set[str] = set()
    for item in items:
        item_id = item.get("id")
        if item_id is None:
            continue
        if item_id in seen:
            yield f"Duplicate item found with id {item_id}. Remove duplicate items from your input."
        seen.add(item_id)


def _wrong_calls(items: Sequence[Json]) -> Iterator[str]:
    """Each call is answered once, before anything else is said."""
    calls: set[str] = set()
    waiting: set[str] = set()
    answering = False
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call_output":
            answering = True
            call_id = item.get("call_id", "")
            if not isinstance(item.get("output"), str | list):
                yield f"Invalid type for 'output' of the function call output {call_id}."
            if call_id not in waiting:
                problem = "Duplicate" if call_id in calls else "No tool call found for"
                yield f"{problem} function call output with call_id {call_id}."
            waiting.discard(call_id)
            continue
        if waiting and (answering or item.get("role") in ("user", "system", "developer")):
            yield f"No tool output found for function call {min(waiting)}."
            waiting.clear()
        answering = False
        if kind == "function_call":
            yield from _wrong_call(item, calls)
            calls.add(item.get("call_id", ""))
            waiting.add(item.get("call_id", ""))
    if waiting:
        yield f"No tool output found for function call {min(waiting)}."


def _wrong_call(item: Json, calls: set[str]) -> Iterator[str]:
    call_id, name = item.get("call_id"), item.get("name")
    if not isinstance(call_id, str) or not call_id or len(call_id) > 64:
        yield f"Invalid 'call_id' of a function call: {call_id!r}."
    if call_id in calls:
        yield f"Duplicate function call with call_id {call_id}."
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"Invalid 'name' of a function call: {name!r}."
    if not isinstance(item.get("arguments"), str):
        yield f"Invalid type for 'arguments' of the function call {call_id}."


def _wrong_reasoning(
    items: Sequence[Json], reasoning_of: Mapping[str, str], encrypted: Mapping[str, str]
) -> Iterator[str]:
    for before, item in zip([{}, *items], items, strict=False):
        item_id = item.get("id", "")
        needed = reasoning_of.get(item_id)
        if needed and before.get("id") != needed:
            yield (
                f"Item '{item_id}' of type '{item['type']}' was provided without its required "
                f"'reasoning' item: '{needed}'."
            )
    for item, after in zip(items, [*items[1:], {}], strict=True):
        if item.get("type") != "reasoning":
            continue
        if after.get("type") not in ("function_call", "message", "reasoning"):
            yield (
                f"Item '{item['id']}' of type 'reasoning' was provided without its required "
                "following item."
            )
        if item["id"] in encrypted and item.get("encrypted_content") != encrypted[item["id"]]:
            yield f"The encrypted content for item {item['id']} could not be verified."


def _wrong_tools(tools: Sequence[Json]) -> Iterator[str]:
    names = [tool.get("name") for tool in tools]
    for tool in tools:
        name, schema = tool.get("name"), tool.get("parameters") or {}
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"Invalid 'name' of a tool: {name!r}."
        if names.count(name) > 1:
            yield f"Duplicate tool name: {name!r}."
        if schema.get("type") != "object":
            yield f"Invalid schema for function '{name}': schema must be a JSON Schema of an object"
        if tool.get("strict"):
            yield from _not_strict(schema, f"function '{name}'")


def _wrong_format(form: Json) -> Iterator[str]:
    if form.get("type") != "json_schema":
        return
    name, schema = form.get("name"), form.get("schema") or {}
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"Invalid 'text.format.name': {name!r}."
    if schema.get("type") != "object":
        yield f"Invalid schema for response_format '{name}': schema must be an object"
    if form.get("strict"):
        yield from _not_strict(schema, f"response_format '{name}'")


def _not_strict(schema: Json, where: str) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield f"Invalid schema for {where}: 'additionalProperties' is required to be false"
    if set(schema.get("required", ())) != set(schema.get("properties", {})):
        yield f"Invalid schema for {where}: 'required' must include every key in properties"


def _final_error(status: int, message: str, code: str | None = None) -> HttpError:
    # The header keeps OpenAI's client from trying again.
    return HttpError(status, message, code, headers={"x-should-retry": "false"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, wire: OpenAIWire) -> None:
        self.wire = wire
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests go away at will."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Answers one request; the connection is closed after each."""
        self.close_connection = True
        wire = self.server.wire
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/responses":
            self._send_error(HttpError(404, f"Invalid URL (POST {self.path})"))
            return
        body, turn = wire.accept(self.headers.get("authorization", ""), raw)
        match turn:
            case HttpError():
                self._send_error(turn)
            case Silence():
                wire.closing.wait()
            case Broken():
                self._break(body, turn)
            case _:
                self._answer(body, turn)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""

    def _answer(self, body: Json, turn: Part | Sequence[Part] | CutOff | Failed) -> None:
        response = self.server.wire.respond(body, _parts(turn))
        if isinstance(turn, CutOff):
            response["status"] = "incomplete"
            response["incomplete_details"] = {"reason": turn.reason}
        if isinstance(turn, Failed):
            response["status"] = "failed"
            response["error"] = {"code": turn.code, "message": turn.message}
        if body.get("stream"):
            self._send_events(stream_events(response))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._send_json(200, response)

    def _break(self, body: Json, turn: Broken) -> None:
        if body.get("stream") and turn.after_events:
            response = self.server.wire.respond(body, turn.parts)
            self._send_events(itertools.islice(stream_events(response), turn.after_events))
            if turn.politely:
                self.wfile.write(b"0\r\n\r\n")
                return
        # Closing with a zero linger time makes the system reset the connection.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send_error(self, turn: HttpError) -> None:
        error = {"message": turn.message, "type": turn.type, "param": None, "code": turn.code}
        self._send_json(turn.status, {"error": error}, turn.headers)

    def _send_json(
        self, status: int, value: Json, headers: Mapping[str, str] | None = None
    ) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        sent = {"content-type": "application/json", "content-length": str(len(data))}
        for name, text in {**sent, **(headers or {}), "connection": "close"}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def _send_events(self, sent: Iterable[Json]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")
        self.end_headers()
        for event in sent:
            data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _parts(turn: Part | Sequence[Part] | CutOff | Failed) -> Sequence[Part]:
    match turn:
        case Failed():
            return ()
        case CutOff():
            return turn.parts
        case str() | FunctionCall() | Reasoning() | Refusal():
            return (turn,)
        case _:
            return turn


def stream_events(response: Json) -> Iterator[Json]:
    """The stream that builds up to a complete response."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "error": None}
    begun["incomplete_details"] = None
    sequence = itertools.count()
    yield {"type": "response.created", "response": begun, "sequence_number": next(sequence)}
    yield {"type": "response.in_progress", "response": begun, "sequence_number": next(sequence)}
    for index, item in enumerate(response["output"]):
        for event in _item_events(item):
            yield {**event, "output_index": index, "sequence_number": next(sequence)}
    last = f"response.{response['status']}"
    yield {"type": last, "response": response, "sequence_number": next(sequence)}


def _item_events(item: Json) -> Iterator[Json]:
    empty: Json = {"status": "in_progress"} if "status" in item else {}
    match item["type"]:
        case "function_call":
            empty["arguments"] = ""
            inner = _call_events(item)
        case "reasoning":
            empty["summary"] = []
            inner = _reasoning_events(item)
        case _:
            empty["content"] = []
            inner = _message_events(item)
    yield {"type": "response.output_item.added", "item": {**item, **empty}}
    for event in inner:
        yield {**event, "item_id": item["id"]}
    yield {"type": "response.output_item.done", "item": item}


def _call_events(item: Json) -> Iterator[Json]:
    for piece in _pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", "delta": piece}
    done = {"name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.function_call_arguments.done", **done}


def _reasoning_events(item: Json) -> Iterator[Json]:
    for index, summary in enumerate(item["summary"]):
        where = {"summary_index": index}
        part = {"type": "summary_text", "text": ""}
        yield {"type": "response.reasoning_summary_part.added", "part": part, **where}
        for piece in _pieces(summary["text"]):
            yield {"type": "response.reasoning_summary_text.delta", "delta": piece, **where}
        done = {"text": summary["text"], **where}
        yield {"type": "response.reasoning_summary_text.done", **done}
        yield {"type": "response.reasoning_summary_part.done", "part": summary, **where}


def _message_events(item: Json) -> Iterator[Json]:
    for index, content in enumerate(item["content"]):
        where = {"content_index": index}
        key = "refusal" if content["type"] == "refusal" else "text"
        kind = "response.refusal" if key == "refusal" else "response.output_text"
        more: Json = {} if key == "refusal" else {"logprobs": []}
        part = {**content, key: ""}
        yield {"type": "response.content_part.added", "part": part, **where}
        for piece in _pieces(content[key]):
            yield {"type": f"{kind}.delta", "delta": piece, **more, **where}
        yield {"type": f"{kind}.done", key: content[key], **more, **where}
        yield {"type": "response.content_part.done", "part": content, **where}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield text[start : start + _PIECE_CHARACTERS]
