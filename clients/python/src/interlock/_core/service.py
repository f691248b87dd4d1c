"""What both clients and both handles are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock import v1
from interlock._core.caller import Caller
from interlock._core.catalog import Catalog
from interlock._core.inbox import Inbox
from interlock._core.runs import RunRef, Runs, run_spec
from interlock._core.sessions import Sessions
from interlock._core.wire import Wire


class Service:
    """All verbs, over one wire."""

    def __init__(self, wire: Wire, *, timeout: float | None, retry_timeout: float) -> None:
        caller = Caller(wire, timeout=timeout, retry_timeout=retry_timeout)
        self.runs = Runs(caller)
        self.inbox = Inbox(caller)
        self.catalog = Catalog(caller)
        self.sessions = Sessions(caller, self.runs)


class WorkflowRef:
    """A workflow, and the session in which a handle last ran it."""

    def __init__(self, workflow_id: str, version: int | None) -> None:
        self.workflow_id = workflow_id
        self.version = version
        self._session_id: str | None = None

    def spec(
        self,
        input: Any,  # noqa: A002 # the name in the contract
        session_id: str | None,
        labels: Mapping[str, str] | None,
        run_timeout: float | None,
    ) -> v1.RunSpec:
        """What to run."""
        return run_spec(self.workflow_id, self.version, input, session_id, labels, run_timeout)

    def remember(self, session_id: str) -> None:
        """Notes the session of the latest run."""
        self._session_id = session_id

    def remember_run(self, run: RunRef) -> None:
        """Notes the session of a run that goes on; nothing when only its id is known."""
        if not isinstance(run, str):
            self._session_id = run.session_id

    def session_id(self, given: str | None) -> str:
        """The session that is given, or that of the latest run.

        Raises:
            ValueError: there is neither.
        """
        session_id = given or self._session_id
        if session_id is None:
            raise ValueError("this handle has not run anything yet: pass a session_id")
        return session_id


def refuse_wait(wait_timeout: float | None) -> None:
    """Checks the arguments of a streaming call.

    Raises:
        ValueError: a stream was given a time to wait.
    """
    if wait_timeout is not None:
        raise ValueError("wait_timeout has no meaning with stream=True: leave the loop instead")
