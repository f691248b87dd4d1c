"""What each example must do, however it is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock import Requirement

NOTE = "Not today."


@dataclass(frozen=True)
class Pause:
    """What a run waits for at one of its pauses: one tool call."""

    path: str
    executor: str
    tool: str
    args: Mapping[str, Any]
    kind: str = "CONFIRMATION"
    member: str | None = None

    @classmethod
    def of(cls, asked: Requirement) -> Pause:
        """The same facts, as a client sees them."""
        return cls(
            "/".join(asked.step_path),
            f"{asked.executor_name} ({asked.executor_type})",
            asked.tool_execution.tool_name,
            asked.tool_execution.tool_args,
            asked.kind,
            asked.member_agent_name,
        )


@dataclass(frozen=True)
class Case:
    """One example: what goes in, where it waits, and what comes of it.

    Args:
        calls: what its tools get, when everybody says yes.
        results: the nodes that finish, in that order.
        refused: what the run gives when everybody says no, with `NOTE`.
        refusals: how often they are asked then.
    """

    example: str
    workflow: str
    input: str
    pauses: tuple[Pause, ...]
    calls: tuple[tuple[str, dict[str, Any]], ...]
    content: str
    results: tuple[str, ...]
    refused: str = f"Not done: {NOTE}"
    refusals: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)


_WEATHER = {
    "input": "What is the weather in Tokyo?",
    "pauses": (Pause("get_weather", "WeatherAgent (agent)", "get_the_weather", {"city": "Tokyo"}),),
    "calls": (("get_the_weather", {"city": "Tokyo"}),),
    "content": "It is 70 degrees and cloudy in Tokyo",
    "results": ("get_weather",),
}

_STAGES = (10, 50, 100)

CASES = (
    Case("agent_confirmation", "WeatherWorkflow", **_WEATHER),  # type: ignore[arg-type]
    Case("agent_confirmation_stream", "WeatherStream", **_WEATHER),  # type: ignore[arg-type]
    Case(
        "team_in_step",
        "Support",
        "Please delete my account. My user id is ada.",
        (
            Pause(
                "support",
                "SupportTeam (team)",
                "delete_user",
                {"user_id": "ada"},
                member="AccountAgent",
            ),
        ),
        (("delete_user", {"user_id": "ada"}),),
        "The account of ada is deleted.",
        ("support",),
    ),
    Case(
        "confirmation_in_condition",
        "ConditionExecutorHITL",
        "Look at acme in detail.",
        (
            Pause(
                "analysis_decision/detailed_analysis",
                "AnalysisAgent (agent)",
                "scan_full_history",
                {"customer": "acme"},
            ),
        ),
        (("scan_full_history", {"customer": "acme"}),),
        "REPORT\nacme made 412 orders, 9 of them this week: seven times the usual rate.",
        (
            "gather_data",
            "analysis_decision/detailed_analysis",
            "analysis_decision",
            "report",
        ),
        refused=f"REPORT\nNot done: {NOTE}",
    ),
    Case(
        "confirmation_in_loop",
        "LoopExecutorHITL",
        "Roll out release 2.4. Nobody has it yet.",
        tuple(
            Pause(f"stages/{turn}/stage", "ReleaseAgent (agent)", "roll_out", {"percent": percent})
            for turn, percent in enumerate(_STAGES, start=1)
        ),
        tuple(("roll_out", {"percent": percent}) for percent in _STAGES),
        "The release is out to 100% of the users.",
        (*(f"stages/{turn}/stage" for turn in (1, 2, 3)), "stages"),
        refusals=5,
    ),
    Case(
        "confirmation_in_steps",
        "StepsExecutorHITL",
        "Grace",
        (
            Pause(
                "onboarding/create_account",
                "AccountAgent (agent)",
                "create_account",
                {"login": "grace"},
            ),
        ),
        (("create_account", {"login": "grace"}),),
        "Ticket closed: The account grace exists. A welcome is on its way.",
        (
            "onboarding/choose_login",
            "onboarding/create_account",
            "onboarding/send_welcome",
            "onboarding",
            "close_ticket",
        ),
        refused=f"Ticket closed: Not done: {NOTE} A welcome is on its way.",
    ),
    Case(
        "confirmation_in_router",
        "RouterExecutorHITL",
        "I want my money back for order A-17: 49.50 euros.",
        (
            Pause(
                "desk/refund",
                "RefundAgent (agent)",
                "refund",
                {"order_id": "A-17", "euros": 49.5},
            ),
        ),
        (("refund", {"order_id": "A-17", "euros": 49.5}),),
        "49.50 euros for order A-17 are on their way back.",
        ("desk/refund", "desk"),
    ),
    Case(
        "agent_user_input",
        "Payment",
        "Pay the rent for May: 250.",
        (
            Pause(
                "pay",
                "BankAgent (agent)",
                "send_money",
                {"amount": 250, "note": "Rent for May"},
                "USER_INPUT",
            ),
        ),
        (("send_money", {"amount": 250.0, "recipient": "Ada", "note": "Rent for May"}),),
        "Sent 250.00 to Ada: Rent for May",
        ("pay",),
        values={"recipient": "Ada"},
    ),
    Case(
        "executor_continued_event",
        "Restart",
        "Restart the server db-1.",
        (
            Pause("restart", "Operator (agent)", "stop_server", {"name": "db-1"}),
            Pause("restart", "Operator (agent)", "start_server", {"name": "db-1"}),
        ),
        (("stop_server", {"name": "db-1"}), ("start_server", {"name": "db-1"})),
        "db-1 is up again.",
        ("restart",),
        refusals=2,
    ),
    Case(
        "external_execution",
        "Sales",
        "Which city sells most?",
        (
            Pause(
                "ask",
                "Analyst (agent)",
                "run_query",
                {"sql": "SELECT city, sum(euros) FROM sales GROUP BY city ORDER BY 2 DESC"},
                "EXTERNAL_EXECUTION",
            ),
        ),
        (),
        '[["Tokyo",780.5]]',
        ("ask",),
    ),
)
