"""Agents and teams at work: turns, calls, gates, and what the model reads of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel
from tests.support.played import (
    Listening,
    Played,
    RunFailed,
    agent_step,
    failed,
    no,
    result,
    team_step,
    values,
    yes,
)

from interlock import v1
from interlock_server import Agent, RunContext, ScriptedModel, StepOutput, Team, Tool, call, tool
from interlock_server.authoring.conversation import Correction
from interlock_server.authoring.models import Call


class Log(list[Any]):
    """What tools did."""

    def tool(self, name: str, **gates: Any) -> Tool:
        async def function(what: str = "") -> str:
            self.append((name, what))
            return f"{name} {what}"

        return tool(name=name, **gates, description="Does it.")(function)


def content(output: StepOutput | None) -> Any:
    assert output is not None, "the run waits"
    return output.content


async def test_free_calls_run_before_the_pause_and_gated_ones_in_call_order_after_it() -> None:
    log = Log()
    turn = [call("pay", what="1"), call("look", what="2"), call("pay", what="3")]
    model = Listening([turn, "done"])
    pay = log.tool("pay", requires_confirmation=True)
    run = Played.of(agent_step(model, pay, log.tool("look")))
    assert await run.go() is None
    assert log == [("look", "2")]
    assert len(run.waiting) == 2
    assert content(await run.decide(yes)) == "done"
    assert log == [("look", "2"), ("pay", "1"), ("pay", "3")]
    assert [one.text for one in model.told] == ["pay 1", "look 2", "pay 3"]
    assert len(model.requests) == 2


async def test_half_an_answer_runs_nothing() -> None:
    log = Log()
    pay = log.tool("pay", requires_confirmation=True)
    model = ScriptedModel([[call("pay", what="1"), call("pay", what="2")], "done"])
    run = Played.of(agent_step(model, pay))
    await run.go()
    run.answer(0, yes)
    assert await run.go() is None
    assert log == []
    assert content(await run.decide(no("not this one"))) == "done"
    assert log == [("pay", "1")]


async def test_a_rejection_is_told_to_the_model_word_for_word() -> None:
    log = Log()
    model = Listening([call("pay", what="1"), "understood"])
    run = Played.of(agent_step(model, log.tool("pay", requires_confirmation=True)))
    await run.go()
    assert content(await run.decide(no("too expensive"))) == "understood"
    assert log == []
    [told] = model.told
    assert (told.text, told.is_error, told.is_refusal) == ("too expensive", True, True)
    assert "tool_call_started" not in run.kinds


async def test_a_chain_of_gated_calls_pauses_for_each() -> None:
    log = Log()
    model = ScriptedModel([call("pay", what="1"), call("pay", what="2"), "done"])
    run = Played.of(agent_step(model, log.tool("pay", requires_confirmation=True)))
    assert await run.go() is None
    assert await run.decide(yes) is None
    assert content(await run.decide(yes)) == "done"
    assert log == [("pay", "1"), ("pay", "2")]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ("{broken", "not valid JSON"),
        ("[1]", "JSON object"),
        ('{"what": []}', "what"),
        ('{"other": 1}', "other"),
    ],
)
async def test_invalid_arguments_go_back_to_the_model_and_nobody_is_asked(
    args: str, complaint: str
) -> None:
    log = Log()
    model = Listening([Call("pay", args), "sorry"])
    run = Played.of(agent_step(model, log.tool("pay", requires_confirmation=True)))
    assert content(await run.go()) == "sorry"
    [told] = model.told
    assert told.is_error
    assert complaint in told.text
    assert log == []


async def test_an_unknown_tool_is_told_which_ones_there_are() -> None:
    model = Listening([call("fly"), "sorry"])
    run = Played.of(agent_step(model, Log().tool("look")))
    assert content(await run.go()) == "sorry"
    assert "look" in model.told[0].text


async def test_a_confirmed_tool_that_raises_tells_the_model_and_the_step_goes_on() -> None:
    @tool(requires_confirmation=True)
    def pay() -> None:
        raise ValueError("no funds")

    model = Listening([call("pay"), "sorry"])
    run = Played.of(agent_step(model, pay))
    await run.go()
    assert content(await run.decide(yes)) == "sorry"
    assert (model.told[0].text, model.told[0].is_error) == ("no funds", True)


async def test_a_tool_that_exits_does_not_take_the_server_along() -> None:
    def leave() -> None:
        raise SystemExit("bye")

    model = Listening([call("leave"), "still here"])
    assert content(await Played.of(agent_step(model, leave)).go()) == "still here"
    assert model.told[0].text == "bye"


async def test_stop_after_tool_call_holds_after_a_confirmation() -> None:
    @tool(requires_confirmation=True, stop_after_tool_call=True)
    def pay(amount: int) -> dict[str, int]:
        return {"paid": amount}

    run = Played.of(agent_step(ScriptedModel([call("pay", amount=3)]), pay))
    await run.go()
    assert content(await run.decide(yes)) == {"paid": 3}


async def test_a_rejected_call_does_not_stop_the_agent() -> None:
    @tool(requires_confirmation=True, stop_after_tool_call=True)
    def pay(amount: int) -> int:
        return amount

    run = Played.of(agent_step(ScriptedModel([call("pay", amount=3), "not paid"]), pay))
    await run.go()
    assert content(await run.decide(no("no"))) == "not paid"


class Verdict(BaseModel):
    """A judgement."""

    good: bool
    score: int


async def test_a_structured_answer_is_checked_and_becomes_the_content() -> None:
    model = Listening(['{"good": "perhaps"}', '{"good": true, "score": 3}'])
    run = Played.of(agent_step(model, output_schema=Verdict))
    assert content(await run.go()) == {"good": True, "score": 3}
    assert any(isinstance(one, Correction) for one in model.requests[-1].messages)


async def test_an_agent_that_never_ends_fails_its_step() -> None:
    model = ScriptedModel([call("look")] * 5)
    run = Played.of(agent_step(model, Log().tool("look"), max_turns=3))
    with pytest.raises(RunFailed) as failure:
        await run.go()
    assert failure.value.error.reason == "TURN_LIMIT_EXCEEDED"


async def test_a_model_that_fails_fails_the_step_and_is_never_its_content() -> None:
    run = Played.of(agent_step(ScriptedModel([])))
    with pytest.raises(RunFailed, match="asked for one more") as failure:
        await run.go()
    assert failure.value.error.reason == "MODEL_FAILED"
    assert "step_completed" not in run.kinds


async def test_too_many_calls_in_one_turn_fail_the_step() -> None:
    run = Played.of(agent_step(ScriptedModel([[call("look")] * 101]), Log().tool("look")))
    with pytest.raises(RunFailed) as failure:
        await run.go()
    assert failure.value.error.reason == "TOOL_CALL_LIMIT_EXCEEDED"


async def test_session_state_is_shared_by_tools_and_kept() -> None:
    def count(session_state: dict[str, Any]) -> int:
        session_state["n"] = session_state.get("n", 0) + 1
        return int(session_state["n"])

    def who(run_context: RunContext) -> str:
        return f"{run_context.run_id} {run_context.idempotency_key}"

    model = Listening([call("count"), call("count"), call("who"), "done"])
    run = Played.of(agent_step(model, count, who))
    await run.go()
    assert run.shelf.session == {"n": 2}
    assert model.told[2].text.startswith("run ")
    assert "run/work@1:turn3:call1" in model.told[2].text
    assert [spec.parameters_schema["properties"] for spec in model.requests[0].tools] == [{}, {}]


# Values from a person.


@tool(requires_user_input=True, user_input_fields=["recipient", "note"])
def send_money(amount: float, recipient: str, note: str = "thanks") -> str:
    """Sends money.

    Args:
        amount: how much
        recipient: to whom
        note: what for
    """
    return f"{amount} to {recipient}: {note}"


async def test_a_person_fills_in_what_the_model_does_not_see() -> None:
    model = Listening([call("send_money", amount=5), "done"])
    run = Played.of(agent_step(model, send_money))
    await run.go()
    [spec] = model.requests[0].tools
    assert list(spec.parameters_schema["properties"]) == ["amount"]
    [requirement] = run.waiting
    fields = requirement.user_input_schema
    assert [one.name for one in fields] == ["amount", "recipient", "note"]
    assert [one.read_only for one in fields] == [True, False, False]
    assert [one.required for one in fields] == [False, True, False]
    assert fields[0].value_json == "5"
    assert fields[1].description == "to whom"
    await run.decide(values('{"recipient": "Ada"}'))
    assert model.told[0].text == "5.0 to Ada: thanks"


async def test_two_calls_of_one_input_tool_keep_their_values_apart() -> None:
    model = Listening([[call("send_money", amount=1), call("send_money", amount=2)], "done"])
    run = Played.of(agent_step(model, send_money))
    await run.go()
    run.answer(0, values('{"recipient": "Ada"}'))
    run.answer(0, values('{"recipient": "Bob", "note": "x"}'))
    await run.go()
    assert [one.text for one in model.told] == ["1.0 to Ada: thanks", "2.0 to Bob: x"]


async def test_user_input_without_named_fields_asks_for_all_of_them() -> None:
    @tool(requires_user_input=True)
    def book(city: str, nights: int) -> str:
        return f"{city} {nights}"

    model = Listening([call("book"), "done"])
    run = Played.of(agent_step(model, book))
    await run.go()
    assert all(one.required for one in run.waiting[0].user_input_schema)
    await run.decide(values('{"city": "Rome", "nights": 2}'))
    assert model.told[0].text == "Rome 2"


# Tools that run elsewhere.


@pytest.mark.parametrize(
    ("decide", "text", "is_error"),
    [(result('{"rows": 2}'), '{"rows":2}', False), (failed("timeout"), "timeout", True)],
)
async def test_an_external_outcome_is_the_tools_and_its_body_never_runs(
    decide: Any, text: str, is_error: bool
) -> None:
    @tool(external_execution=True)
    def run_query(sql: str) -> str:
        raise AssertionError("must not run")

    model = Listening([call("run_query", sql="select 1"), "done"])
    run = Played.of(agent_step(model, run_query))
    await run.go()
    assert json.loads(run.waiting[0].tool_execution.tool_args_json) == {"sql": "select 1"}
    assert content(await run.decide(decide)) == "done"
    assert (model.told[0].text, model.told[0].is_error) == (text, is_error)
    assert "tool_call_started" not in run.kinds


# Teams.


def delegate(member: str, task: str) -> Any:
    return call("delegate_task_to_member", member_name=member, task=task)


async def test_a_member_pauses_and_the_leader_reads_its_answer() -> None:
    log = Log()
    member = Agent(
        name="emailer",
        model=Listening([call("send", what="hi"), "sent it"]),
        tools=[log.tool("send", requires_confirmation=True)],
    )
    leader = Listening([delegate("emailer", "send a mail"), "all done"])
    run = Played.of(team_step(leader, member))
    assert await run.go() is None
    [requirement] = run.waiting
    assert list(requirement.member_path) == ["emailer"]
    assert requirement.executor.type == v1.EXECUTOR_TYPE_TEAM
    assert requirement.executor_name == "crew"
    assert requirement.tool_execution.agent_name == "emailer"
    assert content(await run.decide(yes)) == "all done"
    assert [one.text for one in leader.told] == ["sent it"]


async def test_rejecting_a_members_call_is_told_to_the_member() -> None:
    model = Listening([call("send", what="hi"), "was not allowed"])
    send = Log().tool("send", requires_confirmation=True)
    leader = Listening([delegate("emailer", "send"), "ok"])
    run = Played.of(team_step(leader, Agent(name="emailer", model=model, tools=[send])))
    await run.go()
    await run.decide(no("not today"))
    assert [one.text for one in model.told] == ["not today"]
    assert [one.text for one in leader.told] == ["was not allowed"]


async def test_two_members_and_the_same_member_twice_pause_at_once() -> None:
    log = Log()
    send = log.tool("send", requires_confirmation=True)

    def echo(request: Any) -> Any:
        return call("send", what=request.messages[0].text)

    def member(name: str) -> Agent:
        return Agent(name=name, model=ScriptedModel([echo, "ok"]), tools=[send])

    turn = [delegate("a", "1"), delegate("b", "2"), delegate("a", "3")]
    run = Played.of(team_step(ScriptedModel([turn, "done"]), member("a"), member("b")))
    await run.go()
    assert len(run.waiting) == 3
    assert len({one.requirement_id for one in run.waiting}) == 3
    assert content(await run.decide(yes)) == "done"
    assert sorted(log) == [("send", "1"), ("send", "2"), ("send", "3")]


async def test_a_team_in_a_team_shows_the_whole_way_to_who_asks() -> None:
    send = Log().tool("send", requires_confirmation=True)
    inner = Team(
        name="desk",
        model=ScriptedModel([delegate("clerk", "do"), "desk done"]),
        members=[Agent(name="clerk", model=ScriptedModel([call("send"), "ok"]), tools=[send])],
    )
    run = Played.of(team_step(ScriptedModel([delegate("desk", "do"), "all done"]), inner))
    await run.go()
    assert list(run.waiting[0].member_path) == ["desk", "clerk"]
    assert content(await run.decide(yes)) == "all done"


async def test_an_unknown_member_is_told_to_the_leader() -> None:
    leader = Listening([delegate("nobody", "x"), "sorry"])
    member = Agent(name="a", model=ScriptedModel([]))
    assert content(await Played.of(team_step(leader, member)).go()) == "sorry"
    assert leader.told[0].is_error
    assert "a" in leader.told[0].text


async def test_a_member_whose_model_fails_fails_the_step() -> None:
    member = Agent(name="a", model=ScriptedModel([]))
    run = Played.of(team_step(ScriptedModel([delegate("a", "x"), "never"]), member))
    with pytest.raises(RunFailed) as failure:
        await run.go()
    assert failure.value.error.reason == "MODEL_FAILED"
    assert failure.value.error.metadata["agent_name"] == "a"


async def test_results_list_every_call_in_call_order_members_included() -> None:
    look = Log().tool("look")
    member = Agent(name="a", model=ScriptedModel([call("look", what="in"), "ok"]), tools=[look])
    leader = ScriptedModel([[delegate("a", "x"), call("look", what="out")], "done"])
    run = Played.of(team_step(leader, member, tools=[look]))
    await run.go()
    [completed] = run.happened("step_completed")
    names = [(one.tool_name, one.agent_name) for one in completed.result.tool_executions]
    assert names == [("delegate_task_to_member", "crew"), ("look", "a"), ("look", "crew")]
    assert completed.result.usage.model_requests == 4
