"""The constructs of a workflow: an author nests them, `compile` checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from interlock_server.authoring.agents import Agent, Team
from interlock_server.authoring.reviews import (
    Gated,
    HumanReview,
    Judged,
    OnInterrupt,
    Timeout,
    UserInputField,
)


@dataclass(frozen=True, kw_only=True)
class Step(Judged):
    """Runs one executor: exactly one of `agent`, `team`, `executor` (a function) or `workflow`.

    Args:
        on_error: what a failure does: `"fail"` ends the run, `"skip"` goes on
            without the step, `"pause"` asks a person.
        max_retries: how often a failed step is tried again.
        on_interrupt: what happens when the process dies while the function
            runs; it runs again when nothing is said. Agents and teams go on
            where they stood, and their tools say this for themselves.
        others: where people take part; see `HumanReview`.
    """

    name: str
    agent: Agent | None = None
    team: Team | None = None
    executor: Callable[..., Any] | None = None
    workflow: Workflow | None = None
    description: str = ""
    on_error: Literal["fail", "skip", "pause"] = "fail"
    max_retries: int = 0
    user_input_schema: Sequence[UserInputField | Mapping[str, Any]] = ()
    on_interrupt: OnInterrupt | None = None


@dataclass(frozen=True, kw_only=True)
class Steps(Gated):
    """Runs its steps one after the other as a group."""

    name: str
    steps: Sequence[Node]
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Condition(Gated):
    """Runs `steps` when its evaluator says so, else `else_steps`.

    Args:
        evaluator: a bool, or a function of the `StepInput` that gives one. It is
            asked once, and its answer is recorded. With `requires_confirmation` a
            person decides instead.
    """

    name: str
    steps: Sequence[Node]
    evaluator: bool | Callable[..., Any] = True
    else_steps: Sequence[Node] = ()
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Loop(Gated):
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
    requires_iteration_review: bool = False
    iteration_review_message: str = ""


@dataclass(frozen=True, kw_only=True)
class Router(Judged):
    """Runs the routes that its selector names, or that a person chooses, in that order.

    Args:
        choices: the routes; a list among them becomes a group named
            `steps_group_<position>`.
        selector: a function of the `StepInput` that gives a name, a step, or a
            list of them; `None` or an empty list runs nothing. Where a person
            chooses, it only proposes, and may be left out.
    """

    name: str
    choices: Sequence[Node | Sequence[Node]]
    selector: Callable[..., Any] | None = None
    description: str = ""
    allow_multiple_selections: bool = False


@dataclass(frozen=True, init=False)
class Parallel:
    """Runs its steps side by side and waits for all of them.

    The steps may be given one by one, `Parallel(a, b, name="both")`, or as
    `Parallel(name="both", steps=[a, b])`. People take part in its branches, not in
    itself, so `human_review` is refused.
    """

    name: str
    steps: Sequence[Node]
    description: str = ""
    human_review: HumanReview | None = None

    def __init__(
        self,
        *branches: Node,
        name: str,
        steps: Sequence[Node] = (),
        description: str = "",
        human_review: HumanReview | None = None,
    ) -> None:
        object.__setattr__(self, "human_review", human_review)
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
