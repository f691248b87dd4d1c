"""Reviews: how people take part in a step itself, and what waiting for them may cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

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


@dataclass(frozen=True, kw_only=True)
class HumanReview:
    """How people take part in a step itself.

    Args:
        timeout: how long each question of the step waits.
        on_timeout: what happens after that; `"cancel"` when nothing is said.
    """

    timeout: Timeout = None
    on_timeout: OnTimeout | None = None


def seconds_of(timeout: Timeout) -> float:
    """A timeout in seconds; 0 when there is none."""
    if timeout is None:
        return 0.0
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
