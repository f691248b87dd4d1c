"""Sessions: state that runs share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from interlock import jsontext, v1
from interlock._convert import moment
from interlock.run import RunOutput


class Session:
    """Groups runs that share state.

    Attributes:
        message: The session as the server sent it.
    """

    def __init__(self, message: v1.Session) -> None:
        self.message = message

    @property
    def session_id(self) -> str:
        """Chosen by the caller, or made by the service."""
        return self.message.session_id

    @property
    def user_id(self) -> str:
        """Who owns it."""
        return self.message.user_id

    @cached_property
    def state(self) -> dict[str, Any]:
        """What functions, tools and agents of its runs can read and change."""
        state: dict[str, Any] = jsontext.loads(self.message.state_json) or {}
        return state

    @property
    def etag(self) -> str:
        """Changes whenever the session changes."""
        return self.message.etag

    @property
    def created_at(self) -> datetime | None:
        """When it was created."""
        return moment(self.message, "create_time")

    @property
    def updated_at(self) -> datetime | None:
        """When it last changed."""
        return moment(self.message, "update_time")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session_id!r}>"


class WorkflowSession(Session):
    """A session with one workflow's runs in it.

    Attributes:
        runs: The runs, oldest first, so that `runs[-1]` is the newest. Only the newest
            has its `step_results`; `get_run` reads those of the others.
    """

    def __init__(self, message: v1.Session, runs: Sequence[RunOutput]) -> None:
        super().__init__(message)
        self.runs = list(runs)
