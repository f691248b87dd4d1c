"""Calls of external tools, as the handlers of a worker get them."""

from __future__ import annotations

import threading
from typing import Any, Literal

from interlock.requirements import Requirement

Outcome = Literal["running", "reported", "failed", "lost", "released"]
"""How a call ended for a worker: its result was taken, its error was taken, its claim was lost or
somebody else decided, or it was given back. Until then it is running."""


class Call:
    """One call of an external tool, claimed by a worker.

    Attributes:
        requirement: What waits for the result, with all that is known of it.
        outcome: How it ended for this worker.
        error: What its handler raised; None when it raised nothing.
    """

    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement
        self.outcome: Outcome = "running"
        self.error: BaseException | None = None
        self._is_cancelled = threading.Event()

    @property
    def requirement_id(self) -> str:
        """The same whenever this call is executed again: a good idempotency key."""
        return self.requirement.id

    @property
    def epoch(self) -> int:
        """How often it was claimed.

        Greater than 1 means that an earlier worker gave up or died, and may have executed it
        in part.
        """
        return self.requirement.message.claim.epoch

    @property
    def tool_name(self) -> str:
        """Name of the tool."""
        return self.requirement.tool_execution.tool_name

    @property
    def args(self) -> dict[str, Any]:
        """The arguments."""
        return self.requirement.tool_execution.tool_args

    @property
    def run_id(self) -> str:
        """The run that waits."""
        return self.requirement.run_id

    @property
    def is_cancelled(self) -> bool:
        """Whether there is no point in going on: its claim is lost, or the worker stops."""
        return self._is_cancelled.is_set()

    def wait_cancelled(self, timeout: float) -> bool:
        """Waits so many seconds; True as soon as there is no point in going on.

        For handlers in threads. In asyncio the handler's task is cancelled instead.
        """
        return self._is_cancelled.wait(timeout)

    def cancel(self) -> None:
        """Tells the handler that there is no point in going on."""
        self._is_cancelled.set()

    def __repr__(self) -> str:
        return f"<Call {self.tool_name!r} {self.requirement_id!r} {self.outcome}>"
