"""What users put in comes out exactly, at every place, or is refused with a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import pytest
from tests.support.service import (
    Served,
    confirm,
    external_result,
    reject,
    served,
    user_input,
)
from tests.support.workbench import (
    Caller,
    Ledger,
    agent,
    agent_app,
    app_of,
    events_of,
    get,
    kind_of,
    only,
    refused,
    responses,
    rest,
    result_of,
    untouched,
)

from interlock import v1
from interlock_server import (
    Interlock,
    Parallel,
    RunContext,
    Step,
    Steps,
    Tool,
    call,
    jsontext,
    limits,
    tool,
)
from interlock_server.authoring.models import Call


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


EXACT: dict[str, Any] = {
    "null": None,
    "false": False,
    "zero": 0,
    "beyond_doubles": 2**53 + 1,
    "beyond_64_bits": -(2**64) - 1,
    "a_thousand_digits": 10**1_000 + 7,
    "smallest_double": 5e-324,
    "largest_double": 1.7976931348623157e308,
    "negative_zero": -0.0,
    "empty_text": "",
    "not_ascii": "na\u00efve \u4e2d\u6587 \U0001f600",
    "combined": "e\u0301 \u200d \u202e",
    "nul": "a\0b",
    "controls": "\x01\x1b\x7f\u0085\u2028\u2029",
    "quotes": "\"\\/'<&>",
    "byte_order_mark": "\ufeffa",
    "keys": {"\0": 1, "": 2, "b": 4, "a": 5, "\u00e9": 6},
    "empty": [[], {}, [[]], [{}]],
    "mixed": [1, "1", 1.0, True, None, {"1": 1}],
    "deep": nested(90),
    "wide": list(range(20_000)),
    "long": "\u00e9" * 150_000,
}
SURROGATES = "high \ud800 low \udfff"
"""JSON can say it, escaped; it is no text, and no UTF-8 can carry it."""


def same(text: str, value: Any) -> bool:
    """Whether JSON text says exactly this: types, order and digits included."""
    return repr(json.loads(text)) == repr(value)


def escaped(value: Any) -> str:
    """As a client writes it that escapes everything."""
    return json.dumps(value, ensure_ascii=True, indent=1)


# Exact.


async def test_input_comes_through_exactly(database_url: str) -> None:
    seen: list[Any] = []

    def echo(given: Any) -> Any:
        seen.append(given.input)
        return given.input

    async with served(app_of(Step(name="echo", executor=echo)), database_url) as service:
        for value in (*EXACT.values(), [SURROGATES]):
            run = await service.run("Work", input_json=escaped(value))
            assert run.state == v1.RUN_STATE_COMPLETED
            [first, *_] = await service.events(run)
            assert repr(seen.pop()) == repr(value)
            assert same(run.input_json, value)
            assert same(run.output_json, value)
            assert same(first.workflow_started.input_json, value)
            assert same(result_of(run, "echo").output_json, value)
            assert await get(service, run) == run


@dataclass
class Echo:
    """A tool that notes and gives back what it is called with, and an agent that calls it."""

    wrote: str = "{}"
    seen: list[Any] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def app(self, **gates: Any) -> Interlock:
        """The agent calls the tool with what was written last, and listens to its answer."""
        turns = [lambda _: Call("echo", self.wrote), self.listen]
        return agent_app(turns, self.tool(**gates))

    def tool(self, **gates: Any) -> Tool:
        @tool(name="echo", **gates)
        def echo(value: Any = "nothing") -> Any:
            self.seen.append(value)
            return value

        return echo

    def listen(self, request: Any) -> str:
        self.told.append(request.messages[-1].results[0].text)
        return "done"


@pytest.mark.parametrize("gated", [False, True], ids=["free", "gated"])
async def test_arguments_and_results_of_a_tool_come_through_exactly(
    database_url: str, gated: bool
) -> None:
    """What the model wrote is what a person sees, what the tool gets, and what it gives."""
    echo = Echo()
    async with served(echo.app(requires_confirmation=gated), database_url) as service:
        for value in EXACT.values():
            echo.wrote = json.dumps({"value": value}, ensure_ascii=False)
            run = await service.run("Work")
            if gated:
                asked = only(run)
                assert same(asked.tool_execution.tool_args_json, {"value": value})
                assert echo.seen == []
                run = await service.resolve(run, confirm(asked))
            assert run.state == v1.RUN_STATE_COMPLETED
            [made] = result_of(run, "work").tool_executions
            assert repr(echo.seen.pop()) == repr(value)
            assert same(made.tool_args_json, {"value": value})
            assert same(made.result_json, value)
            assert echo.told.pop() == jsontext.shown(value)


async def test_values_of_a_person_come_through_exactly(database_url: str) -> None:
    echo = Echo()
    async with served(echo.app(requires_user_input=True), database_url) as service:
        for value in EXACT.values():
            paused = await service.run("Work")
            given = user_input(only(paused), escaped({"value": value}))
            run = await service.resolve(paused, given)
            assert run.state == v1.RUN_STATE_COMPLETED
            got = await service.requirements.GetRequirement(
                v1.GetRequirementRequest(requirement_id=only(paused).requirement_id)
            )
            assert repr(echo.seen.pop()) == repr(value)
            assert same(got.requirement.resolution.user_input.values_json, {"value": value})
            [made] = result_of(run, "work").tool_executions
            assert same(made.tool_args_json, {"value": value})


async def test_an_external_result_comes_through_exactly(database_url: str) -> None:
    echo = Echo()
    async with served(echo.app(external_execution=True), database_url) as service:
        for value in (*EXACT.values(), SURROGATES):
            paused = await service.run("Work")
            run = await service.resolve(paused, external_result(only(paused), escaped(value)))
            [made] = result_of(run, "work").tool_executions
            assert same(made.result_json, value)
            assert echo.told.pop() == jsontext.shown(value)
    assert echo.seen == []


async def test_session_state_comes_through_exactly(database_url: str) -> None:
    """Written by a caller, read and written by a function, and read by the next run."""
    seen: list[Any] = []

    def move(given: Any, run_context: RunContext) -> None:
        state = run_context.session_state
        seen.append(state.get("there", state.get("here")))
        state["there"] = state.pop("here", state.get("there"))

    async with served(app_of(Step(name="move", executor=move)), database_url) as service:
        for value in (*EXACT.values(), SURROGATES):
            session = v1.Session(session_id="s", state_json=escaped({"here": value}))
            update = v1.UpdateSessionRequest(session=session, allow_missing=True)
            await service.sessions.UpdateSession(update)
            for _ in range(2):
                run = await service.run("Work", session_id="s")
                assert run.state == v1.RUN_STATE_COMPLETED
                assert repr(seen.pop()) == repr(value)
            got = await service.sessions.GetSession(v1.GetSessionRequest(session_id="s"))
            assert same(got.session.state_json, {"there": value})


# Text that is none.


async def test_lone_surrogates_are_no_arguments(database_url: str) -> None:
    """The model is told so; nobody is asked, and no tool is called."""
    echo = Echo()
    async with served(echo.app(requires_confirmation=True), database_url) as service:
        for wrote in (json.dumps({"value": SURROGATES}), f'{{"value": "{SURROGATES}"}}'):
            echo.wrote = wrote
            run = await service.run("Work")
            assert run.state == v1.RUN_STATE_COMPLETED
            [made] = result_of(run, "work").tool_executions
            assert "lone surrogate" in made.error_message
            assert echo.told.pop() == made.error_message
    assert echo.seen == []


async def test_lone_surrogates_are_no_values(database_url: str) -> None:
    echo = Echo()
    async with served(echo.app(requires_user_input=True), database_url) as service:
        paused = await service.run("Work")
        answer = user_input(only(paused), json.dumps({"value": SURROGATES}))
        async with untouched(service, paused):
            problem = await refused(service.resolve(paused, answer))
    assert problem.code is grpc.StatusCode.INVALID_ARGUMENT
    assert problem.fields == {
        "resolutions[0].user_input.values_json": "Holds a lone surrogate, half of a character"
    }


async def test_lone_surrogates_as_keys_of_a_result_fail_the_step(database_url: str) -> None:
    app = app_of(Step(name="keys", executor=lambda given: {SURROGATES: 1}))
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == "FUNCTION_FAILED"
    assert "cannot be JSON" in run.error.message


# Texts.

TEXTS = {
    "not_ascii": "na\u00efve \u4e2d\u6587 \U0001f600",
    "nul": "a\0b",
    "controls": "\x01\x1b\x7f\u0085\u2028\r\n",
    "long": "\u00e9" * 4_000,
}


async def test_a_note_comes_through_exactly(database_url: str) -> None:
    echo = Echo()
    async with served(echo.app(requires_confirmation=True), database_url) as service:
        for note in TEXTS.values():
            paused = await service.run("Work")
            run = await service.resolve(paused, reject(only(paused), note))
            [decided] = [
                one.requirement_resolved.resolution
                for one in await service.events(run)
                if one.HasField("requirement_resolved")
            ]
            assert echo.told.pop() == note
            assert decided.reject.note == note
            [made] = result_of(run, "work").tool_executions
            assert made.error_message == note


async def test_labels_come_through_exactly(database_url: str) -> None:
    seen: list[dict[str, str]] = []
    labels = {
        "na\u00efve \u4e2d\u6587": "\U0001f600",
        "controls": "\x01\x7f\u2028",
        "quotes": "\"\\'",
        "x" * 63: "\U0001f600" * 255,
        " ": "",
    }

    def look(given: Any, run_context: RunContext) -> None:
        seen.append(run_context.labels)

    async with served(app_of(Step(name="look", executor=look)), database_url) as service:
        run = await service.run("Work", labels=labels)
        selected = v1.RunFilter(labels=labels)
        [listed] = (await service.runs.ListRuns(v1.ListRunsRequest(filter=selected))).runs
    assert dict(run.labels) == dict(listed.labels) == labels
    assert seen == [labels]


async def test_what_an_agent_says_comes_through(database_url: str) -> None:
    """In live text a lone surrogate, which UTF-8 cannot carry, is shown as a replacement."""
    said = "high \ud800, nul \0, \U0001f600"
    async with served(agent_app([said]), database_url) as service:
        for streams in (False, True):
            run = await Caller(service, streams).run()
            assert run.state == v1.RUN_STATE_COMPLETED
            assert same(run.output_json, said)
        stream = service.runs.RunStream(v1.RunStreamRequest(spec=v1.RunSpec(workflow_id="Work")))
        live = [
            event.content_delta.text
            async for one in stream
            for event in one.events.events
            if event.HasField("content_delta")
        ]
    assert "".join(live) == said.replace("\ud800", "\ufffd")


WRONG = ("\ud800 is wrong", "nul \0", "\U0001f600" * 3_000)


async def test_an_error_of_a_tool_comes_through(database_url: str) -> None:
    def fail(number: int) -> str:
        raise ValueError(WRONG[number])

    turn = [call("fail", number=number) for number in range(3)]
    async with served(agent_app([turn, "done"], fail), database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_COMPLETED
    made = result_of(run, "work").tool_executions
    assert [one.error_message for one in made] == [shown(text) for text in WRONG]


async def test_an_error_of_a_step_comes_through(database_url: str) -> None:
    def fail(given: Any) -> str:
        raise ValueError(WRONG[given.input])

    steps = [Step(name="skipped", executor=fail, on_error="skip"), Step(name="f", executor=fail)]
    async with served(app_of(*steps), database_url) as service:
        for number, text in enumerate(WRONG):
            run = await service.run("Work", input_json=str(number))
            assert run.state == v1.RUN_STATE_FAILED
            assert run.error.message == shown(text)


def shown(text: str) -> str:
    """As a person may read it: a part is enough."""
    return text.replace("\ud800", "\ufffd")[:2_000]


async def test_a_tool_that_does_not_exist_may_have_any_name(database_url: str) -> None:
    calls = [Call(name, "{}") for name in ("\ud800", "a\0b", "x" * 10_000, "")]
    async with served(agent_app([calls, "done"]), database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_COMPLETED
    made = result_of(run, "work").tool_executions
    assert [one.error_message[:17] for one in made] == ["There is no tool "] * 4


async def test_a_model_that_cannot_write_json_is_told_so(database_url: str) -> None:
    echo = Echo()
    async with served(echo.app(requires_confirmation=True), database_url) as service:
        for wrote in (
            "{",
            "[1]",
            "1",
            '{"value": NaN}',
            "[" * 1_000,
            '{"value": 1e999}',
            "\ud800",
            "\0",
            '"' + "x" * 1_000_000 + '"',
        ):
            echo.wrote = wrote
            run = await service.run("Work")
            assert run.state == v1.RUN_STATE_COMPLETED
            [made] = result_of(run, "work").tool_executions
            assert made.error_message.startswith("The arguments of echo ")
    assert echo.seen == []


# Too large, too deep.

DEEP = limits.json_depth_max
LONG = limits.json_characters_max
Big = Callable[[], Any]
BIG: dict[str, tuple[Big, Big]] = {
    "deep": (lambda: nested(DEEP), lambda: nested(DEEP + 1)),
    "long": (lambda: "x" * (LONG - 2), lambda: "x" * (LONG - 1)),
    "digits": (lambda: 10**4_000, lambda: 10**5_000),
}


@pytest.fixture(params=BIG)
def just_fits(request: pytest.FixtureRequest) -> Any:
    return BIG[request.param][0]()


@pytest.fixture(params=BIG)
def too_big(request: pytest.FixtureRequest) -> Any:
    return BIG[request.param][1]()


def assert_not_inside(run: v1.Run) -> None:
    """Whatever came of it, it is no puzzle for the operator."""
    assert run.state in (v1.RUN_STATE_COMPLETED, v1.RUN_STATE_FAILED)
    assert run.error.reason != "INTERNAL"
    for one in run.step_results:
        assert one.error.reason != "INTERNAL"


async def test_a_result_of_a_step_that_just_fits_is_exact(
    database_url: str, just_fits: Any
) -> None:
    app = app_of(Step(name="big", executor=lambda given: just_fits))
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_COMPLETED, run.error
    assert jsontext.loads(run.output_json) == just_fits


async def test_a_result_of_a_step_that_is_too_big_fails_it(database_url: str, too_big: Any) -> None:
    app = app_of(Step(name="big", executor=lambda given: too_big))
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == "FUNCTION_FAILED"
    assert any(word in run.error.message for word in ("deeper", "longer", "digits"))


async def test_a_result_of_a_tool_that_just_fits_is_exact(
    database_url: str, just_fits: Any
) -> None:
    async with served(
        agent_app([call("big"), "done"], tool(name="big")(lambda: just_fits)), database_url
    ) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_COMPLETED
    [made] = result_of(run, "work").tool_executions
    assert jsontext.loads(made.result_json) == just_fits


async def test_a_result_of_a_tool_that_is_too_big_is_its_failure(
    database_url: str, too_big: Any
) -> None:
    app = agent_app([call("big"), "done"], tool(name="big")(lambda: too_big))
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_COMPLETED
    [made] = result_of(run, "work").tool_executions
    assert any(word in made.error_message for word in ("deeper", "longer", "digits"))


async def test_an_external_result_that_just_fits_is_exact(
    database_url: str, just_fits: Any
) -> None:
    async with served(Echo().app(external_execution=True), database_url) as service:
        paused = await service.run("Work")
        answer = external_result(only(paused), jsontext.dumps(just_fits))
        run = await service.resolve(paused, answer)
    assert run.state == v1.RUN_STATE_COMPLETED
    [made] = result_of(run, "work").tool_executions
    assert jsontext.loads(made.result_json) == just_fits


async def test_values_that_make_arguments_too_big_are_refused(database_url: str) -> None:
    """Each fits alone; together they would not: that is said to whoever gives them."""
    seen: list[str] = []

    @tool(requires_user_input=True, user_input_fields=["more"])
    def join(text: str, more: str) -> str:
        seen.append(text + more)
        return "joined"

    half = "x" * (LONG * 6 // 10)
    app = agent_app([call("join", text=half), "done"], join)
    async with served(app, database_url) as service:
        paused = await service.run("Work")
        answer = user_input(only(paused), jsontext.dumps({"more": half}))
        problem = await refused(service.resolve(paused, answer))
        assert problem.code is grpc.StatusCode.INVALID_ARGUMENT
        assert problem.reason == "INVALID_FIELD"
        assert list(problem.fields) == ["resolutions[0].user_input.values_json"]
        answer = user_input(only(paused), '{"more":"y"}')
        run = await service.resolve(paused, answer)
    assert run.state == v1.RUN_STATE_COMPLETED
    assert seen == [half + "y"]


async def test_what_branches_give_together_may_be_too_much(database_url: str) -> None:
    half = "x" * (LONG * 6 // 10)
    app = app_of(
        Parallel(
            Step(name="a", executor=lambda given: half),
            Step(name="b", executor=lambda given: half),
            name="both",
        )
    )
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert_not_inside(run)
    assert run.state == v1.RUN_STATE_FAILED
    assert "longer" in run.error.message


async def test_what_an_agent_writes_may_be_too_much(database_url: str) -> None:
    """Its turn is recorded whole: text, arguments, and what was found of them."""
    half = "x" * (LONG * 6 // 10)
    app = agent_app([[half, call("echo", value=half)], "done"], Echo().tool())
    async with served(app, database_url) as service:
        run = await service.run("Work")
    assert_not_inside(run)


async def test_what_an_agent_says_may_be_too_much(database_url: str) -> None:
    async with served(agent_app(["x" * LONG]), database_url) as service:
        run = await service.run("Work")
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == "MODEL_FAILED"
    assert run.error.message == "the text of the model is longer than 1,000,000 characters"


async def test_a_session_state_that_grows_too_large_fails_the_call_that_made_it(
    database_url: str,
) -> None:
    """Each entry fits, all of them do not: the run must come to an end all the same."""
    half = "x" * (LONG * 6 // 10)

    def put(given: Any, run_context: RunContext) -> str:
        run_context.session_state[str(len(run_context.session_state))] = half
        return "put"

    app = app_of(Step(name="one", executor=put), Step(name="two", executor=put))
    async with served(app, database_url) as service:
        run = await service.run("Work", session_id="s")
        got = await service.sessions.GetSession(v1.GetSessionRequest(session_id="s"))
    assert_not_inside(run)
    assert run.state == v1.RUN_STATE_FAILED
    assert run.error.reason == "SESSION_STATE_NOT_JSON"
    assert list(jsontext.loads(got.session.state_json)) == ["0"]


async def test_two_runs_that_fill_a_session_together_come_to_an_end(database_url: str) -> None:
    """Neither could know of the other; whatever is lost, nobody waits for ever."""
    half = "x" * (LONG * 6 // 10)
    names = iter("ab")

    def put(given: Any, run_context: RunContext) -> str:
        run_context.session_state[given.input] = half
        return "put"

    wait = tool(requires_confirmation=True, name="wait")(lambda: "waited")
    app = app_of(
        Step(name="wait", agent=agent([call("wait"), "done"], wait)),
        Step(name="put", executor=put),
    )
    async with served(app, database_url) as service:
        runs = [
            await service.run("Work", session_id="s", input_json=f'"{next(names)}"')
            for _ in range(2)
        ]
        ended = [await service.resolve(run, confirm(only(run))) for run in runs]
        assert [one.state for one in ended] == [v1.RUN_STATE_COMPLETED] * 2
        # The next one finds more than it may leave behind; it can read it, and clear it up.
        third = await service.run("Work", session_id="s", input_json='"c"')
        third = await service.resolve(third, confirm(only(third)))
        assert third.error.reason == "SESSION_STATE_NOT_JSON"
        got = await service.sessions.GetSession(v1.GetSessionRequest(session_id="s"))
        assert sorted(json.loads(got.session.state_json)) == ["a", "b"]


async def test_a_big_run_can_still_be_read(database_url: str) -> None:
    """Twenty results of a megabyte: in pieces, since no message may be that large."""
    wide = "x" * (LONG - 2)
    steps = [Step(name=str(number), executor=lambda given: wide) for number in range(20)]
    options = [("grpc.max_receive_message_length", limits.message_bytes_max)]
    spec = v1.RunSpec(workflow_id="Work")
    async with (
        served(app_of(*steps), database_url) as service,
        grpc.aio.insecure_channel(service.target, options=options) as channel,
    ):
        patient = Served(service.target, service.runtime, service.server, channel)
        streamed = await events_of(patient.runs.RunStream(v1.RunStreamRequest(spec=spec)))
        assert kind_of(streamed[-1]) == "workflow_completed"
        [run] = (await patient.runs.ListRuns(v1.ListRunsRequest())).runs
        assert len(run.output_json) == LONG
        events: list[v1.RunEvent] = []
        token = ""
        while token or not events:
            page = await patient.runs.ListRunEvents(
                v1.ListRunEventsRequest(run_id=run.run_id, page_token=token)
            )
            events += page.events
            token = page.next_page_token
        assert events == streamed
        for whole in (
            get(patient, run),
            rest(patient, run),
            responses(patient.runs.WatchRun(v1.WatchRunRequest(run_id=run.run_id))),
        ):
            problem = await refused(whole)
            assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert problem.reason == "SIZE_LIMIT_EXCEEDED"
            assert problem.metadata == {"limit": str(limits.message_bytes_max)}


async def test_an_oversized_message_is_refused(database_url: str) -> None:
    spec = v1.RunSpec(workflow_id="Work", input_json='"' + "x" * limits.message_bytes_max + '"')
    async with served(agent_app(["done"]), database_url) as service:
        problem = await refused(service.runs.Run(v1.RunRequest(spec=spec)))
        assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not (await service.runs.ListRuns(v1.ListRunsRequest())).runs


async def test_oversized_metadata_is_refused(database_url: str) -> None:
    async with served(agent_app(["done"]), database_url) as service:
        request = v1.RunRequest(spec=v1.RunSpec(workflow_id="Work"))
        metadata = [("x-large", "x" * 2 * limits.metadata_bytes_max)]
        problem = await refused(service.runs.Run(request, metadata=metadata))
        assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not (await service.runs.ListRuns(v1.ListRunsRequest())).runs
        # Others on the same connection are none the worse for it.
        run = (await service.runs.Run(request, metadata=[("x-small", "x")])).run
        assert run.state == v1.RUN_STATE_COMPLETED


async def test_names_may_be_long_all_the_way_down(database_url: str) -> None:
    """What identifies a place in a run is stored in indexes, which take only so much."""
    letters = [chr(0x4E00 + number) for number in range(20_000)]
    Random(1).shuffle(letters)
    names = ["".join(letters[start : start + 100]) for start in range(0, 4_500, 100)]
    speaker = agent([call("look", what="it"), "done"], Ledger().gated("look"))
    node: Any = Step(name=names[0], agent=speaker)
    for name in names[1:]:
        node = Steps(name=name, steps=[node])
    async with served(app_of(node), database_url) as service:
        paused = await service.run("Work")
        assert list(only(paused).step.path) == names[::-1]
        ended = await service.resolve(paused, confirm(only(paused)))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert len(ended.step_results) == len(names)
    assert len({one.step.step_id for one in ended.step_results}) == len(names)
