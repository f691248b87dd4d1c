"""The real `openai` package talks to a local server through `executors.models`."""

from __future__ import annotations

import asyncio
import functools
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from tests.support.openai_wire import (
    Broken,
    CutOff,
    Failed,
    FunctionCall,
    HttpError,
    OpenAIWire,
    Reasoning,
    Refusal,
    Silence,
    Turn,
    problems,
)

from interlock_server.authoring.conversation import (
    Correction,
    Message,
    Model,
    ModelError,
    ModelRequest,
    ModelTurn,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSpec,
    UserMessage,
)
from interlock_server.authoring.models import OpenAIResponses, ScriptedModel
from interlock_server.executors.models import (
    ArgumentErrors,
    ToolSchema,
    output_spec,
    parse_output,
    resolve_model,
    tool_schema,
)

if TYPE_CHECKING:
    from nowhere import TypeForCheckersOnly  # type: ignore[import-not-found]

Ask = Callable[..., Awaitable[Any]]

KEY = "sk-test-0123456789abcdef"
WEATHER = ToolSpec(
    name="get_weather",
    description="Tells the weather.",
    parameters_schema={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(params=["whole", "streamed"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks a model, once with and once without streaming."""
    return ask_streamed if request.param == "streamed" else ask_whole


async def ask_whole(model: Model, *messages: Message, **more: Any) -> ModelTurn:
    return await model.request(ModelRequest(messages, **more))


async def ask_streamed(model: Model, *messages: Message, **more: Any) -> ModelTurn:
    pieces: list[str] = []
    turn = await model.request(ModelRequest(messages, **more), pieces.append)
    assert "".join(pieces) == turn.text
    return turn


def connect(wire: OpenAIWire, **settings: Any) -> Model:
    """A model at the server; it asks only once, so that failures show at once."""
    return resolve_model(
        OpenAIResponses(
            "gpt-5.4",
            base_url=wire.base_url,
            api_key=KEY,
            settings={"max_retries": 0, **settings},
        )
    )


def connect_without_json(wire: OpenAIWire) -> Model:
    """A model that cannot be held to a JSON Schema when it speaks."""
    provider = OpenAIProvider(base_url=wire.base_url, api_key=KEY)
    profile = OpenAIModelProfile(supports_json_schema_output=False)
    return resolve_model(OpenAIResponsesModel("gpt-5.4", provider=provider, profile=profile))


def results_of(turn: ModelTurn, *texts: str) -> ToolResults:
    return ToolResults(
        tuple(
            ToolResult(call.tool_call_id, call.tool_name, text)
            for call, text in zip(turn.tool_calls, texts, strict=True)
        )
    )


def without_ids(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    dropped = ("id", "call_id", "status")
    return [{key: one[key] for key in one if key not in dropped} for one in items]


HELLO = UserMessage("Hello")


class TestConversation:
    async def test_text(self, ask: Ask) -> None:
        with OpenAIWire(["Good morning, 東京! 🌸"], usage=(31, 7)) as wire:
            turn = await ask(connect(wire), HELLO, instructions="Be kind.")
        assert turn.text == "Good morning, 東京! 🌸"
        assert turn.tool_calls == ()
        assert (turn.input_tokens, turn.output_tokens) == (31, 7)
        (request,) = wire.requests
        assert request["model"] == "gpt-5.4"
        assert request["instructions"] == "Be kind."
        assert request["input"] == [{"role": "user", "content": "Hello"}]
        assert "tools" not in request

    async def test_a_tool_call_its_result_and_the_answer(self, ask: Ask) -> None:
        script: list[Turn] = [FunctionCall("get_weather", {"city": "Łódź"}), "20 degrees."]
        with OpenAIWire(script) as wire:
            model = connect(wire)
            turn = await ask(model, HELLO, tools=(WEATHER,))
            (call,) = turn.tool_calls
            assert (call.tool_name, json.loads(call.args_json)) == (
                "get_weather",
                {"city": "Łódź"},
            )
            assert turn.text == ""
            answer = await ask(model, HELLO, turn, results_of(turn, "20 °C"), tools=(WEATHER,))
        assert answer.text == "20 degrees."
        assert wire.violations == []
        assert [tool["name"] for tool in wire.requests[0]["tools"]] == ["get_weather"]
        *_, result = wire.requests[1]["input"]
        assert result == {
            "type": "function_call_output",
            "call_id": call.tool_call_id,
            "output": "20 °C",
        }

    async def test_several_calls_and_text_in_one_turn(self, ask: Ask) -> None:
        calls = [FunctionCall("get_weather", {"city": city}) for city in ("Rome", "Oslo")]
        with OpenAIWire([["Let me look. ", *calls], "Done."]) as wire:
            model = connect(wire)
            turn = await ask(model, HELLO, tools=(WEATHER,))
            assert turn.text == "Let me look. "
            assert [json.loads(call.args_json)["city"] for call in turn.tool_calls] == [
                "Rome",
                "Oslo",
            ]
            await ask(model, HELLO, turn, results_of(turn, "hot", "cold"), tools=(WEATHER,))
        assert wire.violations == []
        outputs = [one["output"] for one in wire.requests[1]["input"] if "output" in one]
        assert outputs == ["hot", "cold"]

    async def test_a_failed_call_is_told_apart(self) -> None:
        with OpenAIWire([FunctionCall("get_weather"), "Sorry."]) as wire:
            model = connect(wire)
            turn = await ask_whole(model, HELLO)
            (call,) = turn.tool_calls
            failed = ToolResult(call.tool_call_id, call.tool_name, "no such city", is_error=True)
            await ask_whole(model, HELLO, turn, ToolResults((failed,)))
        *_, result = wire.requests[1]["input"]
        assert json.loads(result["output"]) == {"error": "no such city"}

    async def test_a_refusal_is_told_word_for_word(self) -> None:
        with OpenAIWire([FunctionCall("get_weather"), "I see."]) as wire:
            model = connect(wire)
            turn = await ask_whole(model, HELLO)
            (call,) = turn.tool_calls
            refusal = ToolResult(call.tool_call_id, call.tool_name, "not now", True, True)
            await ask_whole(model, HELLO, turn, ToolResults((refusal,)))
        *_, result = wire.requests[1]["input"]
        assert result["output"] == "not now"

    async def test_reasoning_survives_storage(self, ask: Ask) -> None:
        script: list[Turn] = [
            [Reasoning("I must look it up."), FunctionCall("get_weather", {"city": "Rome"})],
            [Reasoning(), "Warm."],
            "Bye.",
        ]
        with OpenAIWire(script) as wire:
            model = connect(wire)
            first = await ask(model, HELLO)
            results = results_of(first, "warm")
            second = await ask(model, HELLO, stored(first), results)
            await ask(model, HELLO, stored(first), results, stored(second), UserMessage("Bye"))
        assert wire.violations == []
        kinds = [item.get("type", item.get("role")) for item in wire.requests[2]["input"]]
        assert kinds == [
            "user",
            "reasoning",
            "function_call",
            "function_call_output",
            "reasoning",
            "message",
            "user",
        ]
        assert wire.requests[2]["input"][1]["encrypted_content"].startswith("gAAAA")

    async def test_goes_on_at_another_server(self) -> None:
        with OpenAIWire([[Reasoning("Hm."), FunctionCall("get_weather")]]) as wire:
            turn = await ask_whole(connect(wire), HELLO)
        with OpenAIWire(["Warm."]) as other:
            answer = await ask_whole(connect(other), HELLO, turn, results_of(turn, "warm"))
        assert answer.text == "Warm."
        assert other.violations == []

    async def test_a_turn_without_record_is_rebuilt(self) -> None:
        call = ToolCall("call_1", "get_weather", '{"city": "Rome"}')
        bare = ToolCall("call_2", "get_weather", "")
        turn = ModelTurn("Let me look.", (call, bare))
        with OpenAIWire(["Warm."]) as wire:
            await ask_whole(connect(wire), HELLO, turn, results_of(turn, "warm", "cold"))
        assert wire.violations == []
        assert without_ids(wire.requests[0]["input"])[1:4] == [
            {"role": "assistant", "content": "Let me look."},
            {"type": "function_call", "name": "get_weather", "arguments": '{"city":"Rome"}'},
            {"type": "function_call", "name": "get_weather", "arguments": "{}"},
        ]

    @pytest.mark.parametrize("native_json", ["{}", "[]", "nonsense", '[{"kind": "other"}]'])
    async def test_a_foreign_record_is_not_used(self, native_json: str) -> None:
        turn = ModelTurn("Good morning.", native_json=native_json)
        with OpenAIWire(["Warm."]) as wire:
            await ask_whole(connect(wire), HELLO, turn, UserMessage("And?"))
        assert wire.requests[0]["input"][1] == {"role": "assistant", "content": "Good morning."}

    @pytest.mark.parametrize("turn", ["", [Reasoning("Hm.")]])
    async def test_an_empty_turn_is_not_sent_back(self, ask: Ask, turn: Turn) -> None:
        with OpenAIWire([turn, "Yes."]) as wire:
            model = connect(wire)
            empty = await ask(model, HELLO)
            assert empty.text == ""
            await ask(model, HELLO, empty, Correction("Say something."))
        assert wire.violations == []

    async def test_a_correction_is_no_user_message(self, ask: Ask) -> None:
        with OpenAIWire(["Twelve.", "12"]) as wire:
            model = connect(wire)
            turn = await ask(model, HELLO)
            await ask(model, HELLO, turn, Correction("Digits, please: 数字"))
        assert wire.violations == []
        *_, correction = wire.requests[1]["input"]
        assert "Digits, please: 数字" in correction["content"]
        assert "not a message from the user" in correction["content"]

    async def test_integers_stay_exact(self, ask: Ask) -> None:
        args = {"big": 2**63, "huge": 10**30, "negative": -(2**70), "list": [2**53 + 1]}
        with OpenAIWire([FunctionCall("get_weather", args), "Done."]) as wire:
            model = connect(wire)
            turn = await ask(model, HELLO)
            assert json.loads(turn.tool_calls[0].args_json) == args
            await ask(model, HELLO, stored(turn), results_of(turn, str(10**30)))
        assert json.loads(wire.requests[1]["input"][1]["arguments"]) == args

    async def test_lone_surrogates_do_no_harm(self, ask: Ask) -> None:
        call = FunctionCall("get_weather", '{"city": "\\ud800"}')
        with OpenAIWire([["bro\ud800ken", call], "Done."]) as wire:
            model = connect(wire)
            turn = await ask(model, UserMessage("ha\udfffha"), instructions="\ud800")
            assert turn.text == "bro\ud800ken"
            assert turn.tool_calls[0].args_json == '{"city": "\\ud800"}'
            await ask(model, HELLO, stored(turn), results_of(turn, "ba\ud800d"))
        assert wire.violations == []

    @pytest.mark.parametrize("raw", ["", "{", "null", "[1]", "not JSON"])
    async def test_what_the_model_wrote_is_passed_on(self, ask: Ask, raw: str) -> None:
        with OpenAIWire([FunctionCall("get_weather", raw), "Done."]) as wire:
            model = connect(wire)
            turn = await ask(model, HELLO)
            assert turn.tool_calls[0].args_json == (raw or "{}")
            await ask(model, HELLO, stored(turn), results_of(turn, "malformed"))
        assert wire.violations == []

    async def test_used_ids_are_replaced(self, ask: Ask) -> None:
        same = FunctionCall("get_weather", call_id="call_1")
        with OpenAIWire([[same, same], [same], "Done."]) as wire:
            model = connect(wire)
            first = await ask(model, HELLO)
            one = results_of(first, "a", "b")
            second = await ask(model, HELLO, stored(first), one)
            two = results_of(second, "c")
            await ask(model, HELLO, stored(first), one, stored(second), two)
        ids = [call.tool_call_id for call in (*first.tool_calls, *second.tool_calls)]
        assert len(set(ids)) == 3
        assert wire.violations == []

    async def test_settings_reach_the_server(self) -> None:
        with OpenAIWire(["Hi."]) as wire:
            model = connect(wire, max_tokens=100, openai_text_verbosity="low")
            await ask_whole(model, HELLO, settings={"max_tokens": 50})
        assert wire.requests[0]["max_output_tokens"] == 50
        assert wire.requests[0]["text"]["verbosity"] == "low"

    async def test_strict_tools_follow_openais_rules(self) -> None:
        loose = ToolSpec("loose", "", {"type": "object", "properties": {"a": {"default": 1}}})
        with OpenAIWire(["Hi."]) as wire:
            await ask_whole(connect(wire), HELLO, tools=(WEATHER, loose))
        assert wire.violations == []

    async def test_concurrent_and_later_requests_share_a_model(self) -> None:
        with OpenAIWire(["Hi."] * 5) as wire:
            model = connect(wire)
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(ask_streamed(model, HELLO))
            await ask_whole(model, HELLO)
        assert wire.turns_left == 0

    def test_a_model_serves_several_event_loops(self) -> None:
        with OpenAIWire(["One.", "Two."]) as wire:
            model = connect(wire)
            assert asyncio.run(ask_whole(model, HELLO)).text == "One."
            assert asyncio.run(ask_streamed(model, HELLO)).text == "Two."


class TestStreaming:
    async def test_text_comes_in_pieces(self) -> None:
        pieces: list[str] = []
        with OpenAIWire([["A long answer with many words.", FunctionCall("get_weather")]]) as wire:
            turn = await connect(wire).request(ModelRequest((HELLO,)), pieces.append)
        assert len(pieces) > 3
        assert "".join(pieces) == turn.text
        assert len(turn.tool_calls) == 1

    async def test_texts_are_set_apart_where_other_things_come_between(self, ask: Ask) -> None:
        with OpenAIWire([["One.", Reasoning("Hm."), "Two.", "Three."]]) as wire:
            turn = await ask(connect(wire), HELLO)
        assert turn.text == "One.\n\nTwo.Three."

    async def test_what_the_listener_raises_is_not_the_models_failure(self) -> None:
        class Stop(Exception):
            pass

        def listen(_: str) -> None:
            raise Stop

        with OpenAIWire(["A long answer."]) as wire, pytest.raises(Stop):
            await connect(wire).request(ModelRequest((HELLO,)), listen)

    async def test_cancelling_passes_through(self) -> None:
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def be_silent(_: object) -> Silence:
            loop.call_soon_threadsafe(asked.set)
            return Silence()

        with OpenAIWire([be_silent]) as wire:
            request = ModelRequest((HELLO,))
            task = asyncio.create_task(connect(wire).request(request, lambda _: None))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


class Verdict(BaseModel):
    """What the judge decides."""

    approved: bool
    reason: str = Field(description="Why, in one sentence.")


VERDICT = output_spec(Verdict)
APPROVED = {"approved": True, "reason": "All is well."}


class TestStructuredOutput:
    async def test_the_model_is_held_to_the_schema(self, ask: Ask) -> None:
        with OpenAIWire([json.dumps(APPROVED)]) as wire:
            turn = await ask(connect(wire), HELLO, output=VERDICT, tools=(WEATHER,))
        assert parse_output(Verdict, turn.text) == APPROVED
        assert wire.violations == []
        form = wire.requests[0]["text"]["format"]
        assert (form["type"], form["name"]) == ("json_schema", "Verdict")
        assert form["description"] == "What the judge decides."
        assert set(form["schema"]["properties"]) == {"approved", "reason"}

    async def test_an_answer_through_a_tool(self) -> None:
        script: list[Turn] = [
            ["I think so.", FunctionCall("Verdict", {"approved": 1})],
            FunctionCall("Verdict", APPROVED),
            "Bye.",
        ]
        pieces: list[str] = []
        with OpenAIWire(script) as wire:
            model = connect_without_json(wire)
            more: dict[str, Any] = {"output": VERDICT, "tools": (WEATHER,)}
            first = await model.request(ModelRequest((HELLO,), **more), pieces.append)
            assert (first.tool_calls, json.loads(first.text)) == ((), {"approved": 1})
            mend = Correction("reason: Field required")
            second = await ask_whole(model, HELLO, stored(first), mend, **more)
            assert parse_output(Verdict, second.text) == APPROVED
            await ask_whole(
                model, HELLO, stored(first), mend, stored(second), UserMessage("Bye"), **more
            )
        assert pieces == []
        assert wire.violations == []
        assert {tool["name"] for tool in wire.requests[0]["tools"]} == {"get_weather", "Verdict"}
        assert wire.requests[0]["tool_choice"] == "required"
        assert "text" not in wire.requests[0]
        outputs = [one["output"] for one in wire.requests[2]["input"] if "output" in one]
        assert outputs == ['{"error":"reason: Field required"}', "The final answer was taken."]

    async def test_an_answer_along_with_calls_came_too_early(self, ask: Ask) -> None:
        answer = FunctionCall("Verdict_", APPROVED)
        with OpenAIWire([[answer, FunctionCall("Verdict"), answer], [answer, answer]]) as wire:
            model = connect_without_json(wire)
            # The tool has the name that the answer would have.
            tool = ToolSpec("Verdict", "", WEATHER.parameters_schema)
            early = await ask(model, HELLO, output=VERDICT, tools=(tool,))
            assert [call.tool_name for call in early.tool_calls] == ["Verdict"]
            assert early.text == ""
            results = results_of(early, "Guilty.")
            final = await ask_whole(model, HELLO, early, results, output=VERDICT, tools=(tool,))
        assert json.loads(final.text) == APPROVED
        assert wire.violations == []

    async def test_a_choice_of_models_answers_through_a_tool(self) -> None:
        def model(wire: OpenAIWire) -> OpenAIResponsesModel:
            provider = OpenAIProvider(base_url=wire.base_url, api_key=KEY)
            return OpenAIResponsesModel("gpt-5.4", provider=provider, settings={"max_retries": 0})

        down = OpenAIWire([HttpError(500)])
        up = OpenAIWire([FunctionCall("Verdict", APPROVED)])
        with down, up:
            choice = resolve_model(FallbackModel(model(down), model(up)))
            turn = await ask_whole(choice, HELLO, output=VERDICT)
        assert json.loads(turn.text) == APPROVED


FAILURES: list[tuple[Turn, str]] = [
    (HttpError(400), "rejected the request (HTTP 400)"),
    (HttpError(400, code="context_length_exceeded"), "conversation of this length"),
    (HttpError(401, f"Incorrect API key provided: {KEY}"), "API key (HTTP 401)"),
    (HttpError(404, code="model_not_found"), "not known to its provider"),
    (HttpError(429, code="rate_limit_exceeded"), "(HTTP 429, rate_limit_exceeded)"),
    (HttpError(429, code="insufficient_quota"), "no quota left"),
    (HttpError(500), "failed on the side of its provider (HTTP 500)"),
    (HttpError(503, code=f"<{KEY}>"), "not available at the moment (HTTP 503)"),
    (Failed(message=f"internal: {KEY}"), "failed on the side of its provider"),
    (Broken(), "connection broke"),
    (Broken(["A long answer."], after_events=6), "connection broke"),
    (CutOff([FunctionCall("get_weather", '{"ci')]), "ran out of output tokens"),
    (CutOff([Reasoning("Hm.")]), "ran out of output tokens"),
    (CutOff(["I will tell"], "content_filter"), "withheld the answer"),
    (Refusal("I'm sorry."), "declined to answer"),
]


class TestFailures:
    @pytest.mark.parametrize(("turn", "text"), FAILURES)
    async def test_says_what_failed(self, turn: Turn, text: str, failing: Ask) -> None:
        with OpenAIWire([turn]) as wire:
            error = await failing(connect(wire))
        assert str(error).startswith("The model gpt-5.4 ")
        assert text in str(error)
        assert wire.base_url not in str(error)

    async def test_a_stream_that_ends_too_early(self) -> None:
        with (
            OpenAIWire([Broken(["A long answer."], after_events=6, politely=True)]) as wire,
            pytest.raises(ModelError, match="broke off in the middle of its answer"),
        ):
            await connect(wire).request(ModelRequest((HELLO,)), lambda _: None)

    async def test_a_cut_text_is_still_an_answer(self, ask: Ask) -> None:
        with OpenAIWire([CutOff(["I was about to"])]) as wire:
            assert (await ask(connect(wire), HELLO)).text == "I was about to"

    async def test_a_cut_json_answer_is_none(self) -> None:
        with (
            OpenAIWire([CutOff(['{"approved": tr'])]) as wire,
            pytest.raises(ModelError, match="ran out of output tokens"),
        ):
            await ask_whole(connect(wire), HELLO, output=VERDICT)

    async def test_nobody_listens(self, failing: Ask) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        model = OpenAIResponses(
            "gpt-5.4",
            base_url=f"http://user:password@127.0.0.1:{port}/v1",
            api_key=KEY,
            settings={"max_retries": 0},
        )
        error = await failing(resolve_model(model))
        assert "could not be reached" in str(error)
        assert "password" not in str(error)

    async def test_no_answer_in_time(self, failing: Ask) -> None:
        with OpenAIWire([Silence()]) as wire:
            error = await failing(connect(wire, request_timeout=0.05))
        assert "did not answer in time" in str(error)

    async def test_passing_trouble_is_overcome(self) -> None:
        trouble = HttpError(500, headers={"retry-after-ms": "1"})
        with OpenAIWire([trouble, trouble, "Hi."]) as wire:
            assert (await ask_whole(connect(wire, max_retries=2), HELLO)).text == "Hi."

    async def test_no_key(self, failing: Ask) -> None:
        for key in (None, ""):
            error = await failing(resolve_model(OpenAIResponses("gpt-5.4", api_key=key)))
            assert "has no API key" in str(error)
            assert "OPENAI_API_KEY" in str(error)
        error = await failing(resolve_model("openai:gpt-5.4"))
        assert "OPENAI_API_KEY" in str(error)

    @pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}ö"])
    async def test_an_unusable_key_stays_out_of_the_logs(self, key: str) -> None:
        with OpenAIWire(["Hi."]) as wire:
            model = OpenAIResponses(
                "gpt-5.4", base_url=wire.base_url, api_key=key, settings={"max_retries": 0}
            )
            with pytest.raises(ModelError, match="API key holds") as caught:
                await ask_whole(resolve_model(model), HELLO)
        assert caught.value.__cause__ is None

    async def test_a_wrong_key(self) -> None:
        with OpenAIWire(["Hi."], api_key="another") as wire, pytest.raises(ModelError) as caught:
            await ask_whole(connect(wire), HELLO)
        assert KEY not in str(caught.value)
        assert caught.value.__cause__ is None

    async def test_an_unusable_address(self, failing: Ask) -> None:
        model = OpenAIResponses("gpt-5.4", base_url="http://[::1", api_key=KEY)
        error = await failing(resolve_model(model))
        assert "cannot be set up" in str(error)

    async def test_no_model_of_a_choice_answers(self) -> None:
        with OpenAIWire([HttpError(500), HttpError(401, KEY)]) as wire:
            provider = OpenAIProvider(base_url=wire.base_url, api_key=KEY)
            one, two = (
                OpenAIResponsesModel(name, provider=provider, settings={"max_retries": 0})
                for name in ("gpt-one", "gpt-two")
            )
            with pytest.raises(ModelError) as caught:
                await ask_whole(resolve_model(FallbackModel(one, two)), HELLO)
        assert "gpt-one failed on the side of its provider (HTTP 500); gpt-two" in str(caught.value)
        assert KEY not in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.fixture(params=["whole", "streamed"])
    def failing(self, request: pytest.FixtureRequest) -> Ask:
        """Asks a model that fails, and gives the error."""

        async def ask(model: Model) -> ModelError:
            listen = None if request.param == "whole" else (lambda _: None)
            with pytest.raises(ModelError) as caught:
                await model.request(ModelRequest((HELLO,), tools=(WEATHER,)), listen)
            assert KEY not in str(caught.value)
            assert str(caught.value).endswith(".")
            return caught.value

        return ask


CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
QUESTION = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi."}
OTHER = CALL | {"call_id": "c2"}


class TestTheServerItself:
    @pytest.mark.parametrize(
        ("items", "problem"),
        [
            ([], "Missing required parameter"),
            ([QUESTION, CALL], "No tool output found for function call c1"),
            ([QUESTION, CALL, QUESTION, OUTPUT], "No tool output found for function call c1"),
            ([CALL, OTHER, OUTPUT, ANSWER], "No tool output found for function call c2"),
            ([QUESTION, OUTPUT], "No tool call found for function call output with call_id c1"),
            ([OUTPUT, CALL], "No tool call found"),
            ([CALL, OUTPUT, OUTPUT], "Duplicate function call output"),
            ([CALL, CALL, OUTPUT], "Duplicate function call with call_id c1"),
            ([CALL | {"arguments": {}}, OUTPUT], "Invalid type for 'arguments'"),
            ([CALL | {"name": "a b"}, OUTPUT], "Invalid 'name'"),
            ([QUESTION | {"id": "m"}, ANSWER | {"id": "m"}], "Duplicate item found with id m"),
            ([{"type": "reasoning", "id": "rs_1"}, QUESTION | {"type": "x"}], "following item"),
        ],
    )
    def test_refuses_what_openai_refuses(self, items: list[Any], problem: str) -> None:
        assert problem in problems({"model": "gpt-5.4", "input": items})[0]

    @pytest.mark.parametrize(
        "items", ["Hello", [QUESTION, ANSWER, CALL, OTHER, OUTPUT, OUTPUT | {"call_id": "c2"}]]
    )
    def test_takes_what_openai_takes(self, items: Any) -> None:
        assert problems({"model": "gpt-5.4", "input": items}) == []

    async def test_notes_violations(self) -> None:
        turn = ModelTurn("", (ToolCall("call_1", "f", "{}"),))
        with OpenAIWire(["Hi."]) as wire:
            with pytest.raises(ModelError, match="HTTP 400"):
                await ask_whole(connect(wire), HELLO, turn)
            with pytest.raises(ModelError, match="HTTP 400"):
                await ask_whole(connect(wire), HELLO, turn, turn)
        assert "No tool output found for function call call_1." in wire.violations[0]
        assert wire.turns_left == 1

    async def test_notes_that_its_script_is_over(self) -> None:
        with OpenAIWire([]) as wire, pytest.raises(ModelError, match="HTTP 400"):
            await ask_whole(connect(wire), HELLO)
        assert wire.violations == ["the script has no turn left"]

    async def test_notes_reasoning_that_is_missing_or_changed(self) -> None:
        with OpenAIWire([[Reasoning("Hm."), FunctionCall("get_weather")]]) as wire:
            model = connect(wire)
            turn = await ask_whole(model, HELLO)
            record = json.loads(turn.native_json)
            record[0]["parts"][0]["signature"] = "changed"
            changed = replace(turn, native_json=json.dumps(record))
            del record[0]["parts"][0]
            missing = replace(turn, native_json=json.dumps(record))
            for broken in (changed, missing):
                with pytest.raises(ModelError, match="HTTP 400"):
                    await ask_whole(model, HELLO, broken, results_of(turn, "warm"))
        assert "could not be verified" in wire.violations[0]
        assert "without its required 'reasoning' item" in wire.violations[1]


class TestResolving:
    @pytest.mark.parametrize("name", ["openai-responses:gpt-5.4", "openai:gpt-5.4"])
    async def test_a_name_means_the_responses_api(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = resolve_model(name)
        with OpenAIWire(["Hi."], api_key=KEY) as wire:
            # Read at the first request, not before.
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
            assert (await ask_whole(model, HELLO)).text == "Hi."

    async def test_a_key_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with OpenAIWire(["Hi."], api_key=KEY) as wire:
            model = resolve_model(OpenAIResponses("gpt-5.4", base_url=wire.base_url))
            assert (await ask_whole(model, HELLO)).text == "Hi."

    async def test_a_local_server_needs_no_key(self) -> None:
        with OpenAIWire(["Hi."]) as wire:
            model = resolve_model(OpenAIResponses("gpt-5.4", base_url=wire.base_url))
            assert (await ask_whole(model, HELLO)).text == "Hi."

    async def test_a_model_object_of_the_library(self) -> None:
        model = resolve_model(TestModel(custom_output_text="Hi."))
        assert (await ask_whole(model, HELLO)).text == "Hi."
        assert (await ask_streamed(model, HELLO)).text == "Hi."

    def test_our_own_models_stay_as_they_are(self) -> None:
        model = ScriptedModel(["Hi."])
        assert resolve_model(model) is model

    @pytest.mark.parametrize(
        ("wrong", "remedy"),
        [
            ("gpt-5.4", "'openai-responses:gpt-5.4'"),
            ("", "'openai-responses:gpt-5.4'"),
            ("openai:", "with its provider"),
            (":gpt-5.4", "'openai-responses:gpt-5.4'"),
            ("opnai:gpt-5.4", "'opnai', which is not known"),
            ("anthropic:claude-sonnet-4-5", "needs a package that is not installed"),
            (OpenAIResponses(""), "is not a model name"),
            (None, "ScriptedModel"),
            (42, "42 is not a model"),
            (ScriptedModel, "is not a model"),
        ],
    )
    def test_a_wrong_value_is_named_with_its_remedy(self, wrong: object, remedy: str) -> None:
        with pytest.raises(ValueError, match=r"is not|needs a package|not known") as caught:
            resolve_model(wrong)
        assert remedy in str(caught.value)


def stored(turn: ModelTurn) -> ModelTurn:
    """The turn as it comes back from a database: its texts went through UTF-8."""
    return replace(turn, native_json=turn.native_json.encode().decode())


# Schemas.


class Priority(Enum):
    LOW = "low"
    HIGH = "high"


class Item(BaseModel):
    name: str
    count: int = 1


class Node(BaseModel):
    """A tree."""

    value: int
    children: list[Node] = []


@dataclass
class Place:
    """Where to go."""

    city: str
    country: str = "JP"


class StrictDay(BaseModel):
    model_config = ConfigDict(strict=True)

    day: date
    pair: tuple[int, int]


def send_email(
    recipient: str,
    items: list[Item],
    priority: Priority = Priority.LOW,
    copies: Literal[1, 2] | None = None,
) -> str:
    """Sends an email.

    Args:
        recipient: Whom it is for.
        items: What to send.
    """
    return recipient


def errors_of(schema: ToolSchema, args: Any) -> dict[str, str]:
    with pytest.raises(ArgumentErrors) as caught:
        schema.validate(args)
    return dict(caught.value.errors)


class TestToolSchema:
    def test_reads_names_docstring_and_defaults(self) -> None:
        schema = tool_schema(send_email)
        assert (schema.name, schema.description) == ("send_email", "Sends an email.")
        parameters = schema.parameters_schema
        assert parameters["required"] == ["recipient", "items"]
        assert parameters["additionalProperties"] is False
        assert parameters["properties"]["recipient"] == {
            "type": "string",
            "description": "Whom it is for.",
        }
        assert list(parameters["properties"]) == ["recipient", "items", "priority", "copies"]

    def test_gives_python_values(self) -> None:
        schema = tool_schema(send_email)
        args = {"recipient": "é@x", "items": [{"name": "a"}], "priority": "high"}
        assert schema.to_call(schema.validate(args)) == (
            (),
            {
                "recipient": "é@x",
                "items": [Item(name="a")],
                "priority": Priority.HIGH,
                "copies": None,
            },
        )

    def test_says_where_the_errors_are(self) -> None:
        schema = tool_schema(send_email)
        args = {"items": [{"name": 7}, {}, 3], "priority": "urgent", "copies": 3, "subject": "x"}
        assert set(errors_of(schema, args)) == {
            "recipient",
            "items[0].name",
            "items[1].name",
            "items[2]",
            "priority",
            "copies",
            "subject",
        }
        assert errors_of(schema, {"items": []}) == {"recipient": "Field required"}
        assert errors_of(schema, [1])[""].startswith("Input should be")

    def test_the_text_of_the_errors(self) -> None:
        with pytest.raises(ArgumentErrors, match=r"^recipient: Field required$"):
            tool_schema(send_email).validate({"items": []})

    def test_union_members_are_no_place(self) -> None:
        def put(target: int | Item | list[int] | dict[str, Item]) -> None: ...

        schema = tool_schema(put)
        assert set(errors_of(schema, {"target": "x"})) == {"target"}
        assert set(errors_of(schema, {"target": [1, "x"]})) == {"target", "target[1]"}
        found = errors_of(schema, {"target": {"a": {"count": 1}}})
        assert {"target", "target.name", "target.a.name"} == set(found)

    def test_tuples_and_keys(self) -> None:
        def put(pair: tuple[int, int], table: dict[int, str]) -> None: ...

        found = errors_of(tool_schema(put), {"pair": [1], "table": {"x": "y"}})
        assert set(found) == {"pair[1]", "table.x"}

    def test_unknown_arguments_are_refused_unless_the_function_takes_any(self) -> None:
        def closed(a: int) -> None: ...

        def opened(a: int, **rest: int) -> None: ...

        assert set(errors_of(tool_schema(closed), {"a": 1, "b": 2})) == {"b"}
        schema = tool_schema(opened)
        assert schema.to_call(schema.validate({"a": 1, "b": 2})) == ((), {"a": 1, "b": 2})
        assert set(errors_of(schema, {"a": 1, "b": "x"})) == {"b"}

    @pytest.mark.parametrize("number", [2**53 + 1, 2**63, 10**30, -(10**40)])
    def test_integers_stay_exact(self, number: int) -> None:
        def put(typed: int, untyped: Any, listed: list[Any]) -> None: ...

        args = {"typed": number, "untyped": {"n": number}, "listed": [number]}
        assert tool_schema(put).validate(args) == args

    def test_json_types_stand_for_pythons(self) -> None:
        def put(
            day: StrictDay, either: date | str, strict: Annotated[Priority, Field(strict=True)]
        ) -> None: ...

        args = {
            "day": {"day": "2026-01-02", "pair": [1, 2]},
            "either": "2026-01-02",
            "strict": "low",
        }
        validated = tool_schema(put).validate(args)
        assert validated["day"] == StrictDay(day=date(2026, 1, 2), pair=(1, 2))
        assert validated["either"] == date(2026, 1, 2)
        assert validated["strict"] is Priority.LOW

    def test_a_lone_surrogate_is_an_argument_error(self) -> None:
        assert errors_of(tool_schema(send_email), {"recipient": "\ud800", "items": []})

    def test_hidden_parameters_are_not_in_the_schema(self) -> None:
        def book(
            run_context: TypeForCheckersOnly,
            city: str,
            session_state: dict[str, Any],
            nights: int = 1,
        ) -> TypeForCheckersOnly:
            """Books a room.

            Args:
                run_context: Not for the model.
                city: Where.
            """

        schema = tool_schema(book, hidden=frozenset({"run_context", "session_state"}))
        assert list(schema.parameters_schema["properties"]) == ["city", "nights"]
        assert "Not for the model" not in json.dumps(schema.parameters_schema)
        assert schema.description == "Books a room."
        assert schema.to_call(schema.validate({"city": "Oslo"})) == (
            (),
            {"city": "Oslo", "nights": 1},
        )
        assert set(errors_of(schema, {"city": "Oslo", "session_state": {}})) == {"session_state"}

    def test_a_model_cannot_pass_a_hidden_parameter_among_others(self) -> None:
        def put(session_state: dict[str, Any], **rest: Any) -> None: ...

        schema = tool_schema(put, hidden=frozenset({"session_state"}))
        assert set(errors_of(schema, {"session_state": {}, "a": 1})) == {"session_state"}

    def test_a_hidden_parameter_must_take_a_keyword(self) -> None:
        def before(run_context: Any, /, a: int) -> None: ...

        def among(run_context: Any, *numbers: int) -> None: ...

        def behind(*numbers: int, run_context: Any) -> None: ...

        hidden = frozenset({"run_context"})
        for function in (before, among):
            with pytest.raises(ValueError, match="run_context by position; move it"):
                tool_schema(function, hidden)
        assert tool_schema(behind, hidden).validate({"numbers": [1]}) == {"numbers": [1]}

    def test_positional_parameters(self) -> None:
        def put(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> Any:
            return a, b, rest, c, more

        schema = tool_schema(put)
        validated = schema.validate({"a": 1, "b": 2, "rest": [7, 8], "d": 4})
        args, kwargs = schema.to_call(validated)
        assert put(*args, **kwargs) == (1, 2, (7, 8), 3, {"d": 4})
        assert "rest" in validated

    def test_a_single_model_gives_its_fields(self) -> None:
        def by_model(item: Item) -> None:
            """Takes one."""

        def by_dataclass(place: Place) -> None: ...

        schema = tool_schema(by_model)
        assert set(schema.parameters_schema["properties"]) == {"name", "count"}
        assert schema.validate({"name": "a"}) == {"item": Item(name="a")}
        assert set(errors_of(schema, {"count": "x"})) == {"name", "count"}
        # As pydantic's models do by themselves.
        assert schema.validate({"name": "a", "unknown": 1}) == {"item": Item(name="a")}
        assert tool_schema(by_dataclass).validate({"city": "Kyoto"}) == {"place": Place("Kyoto")}

    def test_a_recursive_model_has_an_object_at_its_root(self) -> None:
        def plant(node: Node) -> None: ...

        schema = tool_schema(plant)
        assert schema.parameters_schema["type"] == "object"
        tree = {"value": 1, "children": [{"value": "x"}]}
        assert set(errors_of(schema, tree)) == {"children[0].value"}

    def test_visible_schema(self) -> None:
        schema = tool_schema(send_email)
        visible = schema.visible_schema(without={"recipient", "priority"})
        assert list(visible["properties"]) == ["items", "copies"]
        assert visible["required"] == ["items"]
        assert "required" not in schema.visible_schema(without={"recipient", "items"})
        visible["properties"].clear()
        assert "recipient" in schema.parameters_schema["properties"]
        assert schema.visible_schema() == schema.parameters_schema

    async def test_async_functions_methods_partials_and_objects(self) -> None:
        async def wait(seconds: int, why: str = "") -> None:
            """Waits."""

        class Clock:
            def tell(self, zone: str) -> None:
                """Tells the time."""

            def __call__(self, zone: str) -> None:
                """Ticks."""

        @functools.wraps(wait)
        async def wrapped(*args: Any, **kwargs: Any) -> None:
            await wait(*args, **kwargs)

        functions: list[Callable[..., Any]] = [
            wait,
            Clock().tell,
            Clock(),
            functools.partial(wait, why="tea"),
        ]
        named = {
            one.name: (one.description, list(one.parameters_schema["properties"]))
            for one in [tool_schema(function) for function in functions]
        }
        assert named == {
            "wait": ("Waits.", ["seconds", "why"]),
            "tell": ("Tells the time.", ["zone"]),
            "Clock": ("Ticks.", ["zone"]),
        }
        assert tool_schema(wrapped).validate({"seconds": 1}) == {"seconds": 1, "why": ""}

    def test_what_has_no_schema(self) -> None:
        def odd(socket: socket.socket) -> None: ...

        def unknown(thing: TypeForCheckersOnly) -> None: ...

        for function in (odd, unknown):
            with pytest.raises(ValueError, match=f"parameters of {function.__name__}: "):
                tool_schema(function)

    def test_the_librarys_run_context_is_refused(self) -> None:
        from pydantic_ai import RunContext

        def ported(ctx: Any, a: int) -> None: ...

        ported.__annotations__["ctx"] = RunContext[None]
        with pytest.raises(ValueError, match="name the parameter `run_context`"):
            tool_schema(ported)


class TestOutput:
    def test_spec(self) -> None:
        assert (VERDICT.name, VERDICT.description) == ("Verdict", "What the judge decides.")
        assert VERDICT.schema["required"] == ["approved", "reason"]
        assert "description" not in VERDICT.schema
        assert output_spec(Node).schema["type"] == "object"
        assert output_spec(Place).name == "Place"

    @pytest.mark.parametrize("schema", [str, list[int], int | None, socket.socket])
    def test_an_answer_must_be_an_object(self, schema: Any) -> None:
        with pytest.raises(ValueError, match=r"is not an object|no JSON Schema"):
            output_spec(schema)

    def test_parses_to_json(self) -> None:
        assert parse_output(Item, '{"name": "é", "count": 1000000000000000000000}') == {
            "name": "é",
            "count": 10**21,
        }
        assert parse_output(StrictDay, '{"day": "2026-01-02", "pair": [1, 2]}') == {
            "day": "2026-01-02",
            "pair": [1, 2],
        }

    def test_the_value_has_the_names_of_the_schema(self) -> None:
        class Named(BaseModel):
            zip_code: str = Field(alias="zipCode")

        assert "zipCode" in output_spec(Named).schema["properties"]
        assert parse_output(Named, '{"zipCode": "1"}') == {"zipCode": "1"}

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("Twelve.", ""),
            ("", ""),
            ("[]", ""),
            ('{"name": "a", "count": NaN}', ""),
            ('{"name": "\\ud800"}', ""),
            ('{"count": 1}', "name"),
            ('{"name": "a", "count": "x"}', "count"),
        ],
    )
    def test_says_what_is_wrong(self, text: str, path: str) -> None:
        with pytest.raises(ArgumentErrors) as caught:
            parse_output(Item, text)
        assert [place for place, _ in caught.value.errors] == [path]
