"""The constructs of a workflow: an author nests them, `compile` checks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from interlock_server.authoring.agents import Agent, Team
from interlock_server.authoring.reviews import HumanReview, OnInterrupt, Timeout


@dataclass(frozen=True, kw_only=True)
class Step:
    """Runs one executor: exactly one of `agent`, `team`, `executor` (a function) or `workflow`.

    Args:
        on_error: what a failure does: `"fail"` ends the run, `"skip"` goes on
            without the step.
        max_retries: how often a failed step is tried again.
        on_interrupt: what happens when the process dies while the function
            runs; it runs again when nothing is said. Agents and teams go on
            where they stood, and their tools say this for themselves.
        human_review: how people take part in the step itself.
    """

    name: str
    agent: Agent | None = None
    team: Team | None = None
    executor: Callable[..., Any] | None = None
    workflow: Workflow | None = None
    description: str = ""
    on_error: Literal["fail", "skip"] = "fail"
    max_retries: int = 0
    on_interrupt: OnInterrupt | None = None
    human_review: HumanReview | None = None


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Runs its steps one after the other as a group."""

    name: str
    steps: Sequence[Node]
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Runs `steps` when its evaluator says so, else `else_steps`.

    Args:
        evaluator: a bool, or a function of the `StepInput` that gives one. It is
            asked once, and its answer is recorded.
    """

    name: str
    steps: Sequence[Node]
    evaluator: bool | Callable[..., Any] = True
    else_steps: Sequence[Node] = ()
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Repeats its steps.

    Args:
        max_iterations: at least 1, at most 1,000.
        end_condition: a function of the list of `StepOutput` of the iteration
            that just ended; a true answer ends the loop.
        forward_iteration_output: begin each iteration with the last output of
            the one before, rather than with what the loop was given.
    """

    name: str
    steps: Sequence[Node]
    max_iterations: int = 3
    end_condition: Callable[..., Any] | None = None
    forward_iteration_output: bool = False
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Router:
    """Runs the routes that its selector names, in that order.

    Args:
        choices: the routes; a list among them becomes a group named
            `steps_group_<position>`.
        selector: a function of the `StepInput` that gives a name, a step, or a
            list of them; `None` or an empty list runs nothing.
    """

    name: str
    choices: Sequence[Node | Sequence[Node]]
    selector: Callable[..., Any]
    description: str = ""


@dataclass(frozen=True, init=False)
class Parallel:
    """Runs its steps side by side and waits for all of them.

    The steps may be given one by one, `Parallel(a, b, name="both")`, or as
    `Parallel(name="both", steps=[a, b])`.
    """

    name: str
    steps: Sequence[Node]
    description: str = ""

    def __init__(
        self, *branches: Node, name: str, steps: Sequence[Node] = (), description: str = ""
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "steps", (*branches, *steps))
        object.__setattr__(self, "description", description)


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A named tree of steps: what a run runs. Inside another workflow it is a step of it.

    Args:
        run_timeout: how long a run may take, its pauses included, in seconds or
            as a `timedelta`; after that it fails. A caller may say otherwise.
    """

    name: str
    steps: Sequence[Node]
    description: str = ""
    run_timeout: Timeout = None


Node: TypeAlias = (
    Step | Steps | Condition | Loop | Router | Parallel | Workflow | Agent | Team
) | Callable[..., Any]
"""What may stand in a list of steps; a bare agent, team or function is a step of its own name."""
