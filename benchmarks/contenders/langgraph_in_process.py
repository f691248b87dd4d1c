"""LangGraph in process, with its PostgreSQL checkpointer: the graph runs where it is driven from.

A checkpointer lets one operation at a time reach the database, whatever the
size of its pool. So there are as many of them as connections, each with a graph
compiled for it, and the cycles take turns on them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import uuid
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks import lanes
from benchmarks.contenders import case


class Script(BaseChatModel):  # type: ignore[misc]
    """A model that calls the tool, and with its result gives the answer."""

    @property
    def _llm_type(self) -> str:
        return "script"

    def _generate(self, messages: list[BaseMessage], *_args: Any, **_kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_next_turn(messages))])

    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        return self._generate(messages, *args, **kwargs)


def _next_turn(messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(case.answer_to(messages[-1].content))
    arguments = {"order": case.ORDER, "amount": case.AMOUNT}
    return AIMessage("", tool_calls=[{"id": "call-1", "name": "refund", "args": arguments}])


@tool  # type: ignore[untyped-decorator]
async def refund(order: str, amount: int) -> str:
    """Pays back what was paid for an order."""
    if not interrupt({"tool": "refund", "order": order, "amount": amount}):
        return "refused"
    return case.refund_text(order, amount)


class State(MessagesState):  # type: ignore[misc]
    """The conversation, and what came of it."""

    receipt: str


def graph(checkpointer: AsyncPostgresSaver) -> Any:
    """The case: the model and its tool in turn, then a function."""
    model = Script()

    async def ask(state: State) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def receipt(state: State) -> dict[str, Any]:
        return {"receipt": case.receipt_text(state["messages"][-1].content)}

    def calls_tool(state: State) -> str:
        return "tools" if state["messages"][-1].tool_calls else "receipt"

    built = StateGraph(State)
    built.add_node("ask", ask)
    built.add_node("tools", ToolNode([refund]))
    built.add_node("receipt", receipt)
    built.add_edge(START, "ask")
    built.add_conditional_edges("ask", calls_tool, ["tools", "receipt"])
    built.add_edge("tools", "ask")
    built.add_edge("receipt", END)
    return built.compile(checkpointer=checkpointer)


async def main(database_url: str, durability: str, connections: int) -> None:
    pool: Any = AsyncConnectionPool(
        database_url,
        min_size=connections,
        max_size=connections,
        open=False,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    async with pool:
        savers = [AsyncPostgresSaver(pool) for _ in range(connections)]
        await savers[0].setup()
        graphs = itertools.cycle([graph(saver) for saver in savers])

        async def cycle() -> None:
            one = next(graphs)
            config = {"configurable": {"thread_id": uuid.uuid4().hex}}
            given = {"messages": [HumanMessage(case.QUESTION)]}
            paused = await one.ainvoke(given, config, durability=durability)
            assert paused["__interrupt__"], paused
            ended = await one.ainvoke(Command(resume=True), config, durability=durability)
            assert ended["receipt"] == case.RECEIPT, ended

        await lanes.obey(lanes.driver(cycle))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    parser.add_argument("--durability", default="async")
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.database_url, arguments.durability, arguments.connections))
