"""Reviews: where people take part in a step or another construct, as an author writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from interlock import v1

Timeout: TypeAlias = float | timedelta | None
"""How long something may take: seconds, or a `timedelta`; `None` means for ever."""

OnTimeout: TypeAlias = Literal["cancel", "reject", "approve", "skip", "fail"]
"""What happens when nobody answers in time: the run is cancelled, the answer counts as no or as
yes, the step is skipped, or the step fails."""

OnInterrupt: TypeAlias = Literal["ask", "retry", "fail"]
"""What happens when a process dies during a call, so that nobody knows whether it happened: a
person is asked, it is made again, or it counts as failed."""

ON_TIMEOUT = {
    "cancel": v1.ON_TIMEOUT_CANCEL,
    "reject": v1.ON_TIMEOUT_REJECT,
    "approve": v1.ON_TIMEOUT_APPROVE,
    "skip": v1.ON_TIMEOUT_SKIP,
    "fail": v1.ON_TIMEOUT_FAIL,
}
ON_INTERRUPT = {
    "ask": v1.ON_INTERRUPT_ASK,
    "retry": v1.ON_INTERRUPT_RETRY,
    "fail": v1.ON_INTERRUPT_FAIL,
}


class OnReject(StrEnum):
    """What a rejection does; the plain words `"skip"` and so on do as well."""

    skip = "skip"
    cancel = "cancel"
    else_branch = "else"
    retry = "retry"


@dataclass(frozen=True, kw_only=True)
class UserInputField:
    """One value that a person is asked for before a step runs.

    Args:
        field_type: `"str"`, `"int"`, `"float"`, `"bool"`, `"list"`, `"dict"`, or
            that type itself.
        required: whether a value must be given; an optional one may have a default.
        value: what counts when none is given; `None` is no default.
        allowed_values: the values to choose from; none means any of the type.
    """

    name: str
    field_type: str | type = "str"
    description: str = ""
    required: bool = True
    value: Any = None
    allowed_values: Sequence[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class HumanReview:
    """Where people take part in one construct; the same may be written on the construct itself.

    Args:
        requires_confirmation: it waits for a yes before it runs.
        requires_user_input: a step waits for the values of `user_input_schema`
            before it runs; of a router, a person chooses the routes.
        allow_multiple_selections: several routes may be chosen.
        requires_output_review: what a step or router gave waits for a judgement; or
            a function of the `StepOutput` that says whether it does.
        requires_iteration_review: each iteration of a loop waits for a judgement.
        on_reject: what a no does: `"skip"` the construct, `"cancel"` the run, run
            the `"else"` branch of a condition, or `"retry"` with what the person
            said. Several let the person choose; the first counts if they do not.
            By default a condition takes its other branch and the rest is skipped.
        max_retries: how often people may send the construct back; 3 by default.
        on_error: as for `Step`.
        timeout: how long each question of the construct waits.
        on_timeout: what happens after that; `"cancel"` when nothing is said.
    """

    requires_confirmation: bool = False
    confirmation_message: str = ""
    requires_user_input: bool = False
    user_input_message: str = ""
    user_input_schema: Sequence[UserInputField | Mapping[str, Any]] = ()
    allow_multiple_selections: bool = False
    requires_output_review: bool | Callable[..., Any] = False
    output_review_message: str = ""
    requires_iteration_review: bool = False
    iteration_review_message: str = ""
    on_reject: str | Sequence[str] | None = None
    max_retries: int | None = None
    on_error: str | None = None
    timeout: Timeout = None
    on_timeout: OnTimeout | None = None


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What every construct but `Parallel` may ask of people; see `HumanReview`."""

    human_review: HumanReview | None = None
    requires_confirmation: bool = False
    confirmation_message: str = ""
    on_reject: str | Sequence[str] | None = None
    hitl_max_retries: int | None = None


@dataclass(frozen=True, kw_only=True)
class Judged(Gated):
    """What a step or router may ask besides; see `HumanReview`."""

    requires_user_input: bool = False
    user_input_message: str = ""
    requires_output_review: bool | Callable[..., Any] = False
    output_review_message: str = ""


def flags_of(construct: Any) -> HumanReview:
    """What is written on a construct itself, where `max_retries` means those of the service."""
    written = {
        one.name: getattr(construct, one.name)
        for one in fields(HumanReview)
        if hasattr(construct, one.name) and one.name not in ("max_retries", "on_error")
    }
    return HumanReview(**written, max_retries=getattr(construct, "hitl_max_retries", None))


def seconds_of(timeout: Timeout) -> float:
    """A timeout in seconds; 0 when there is none."""
    if timeout is None:
        return 0.0
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
