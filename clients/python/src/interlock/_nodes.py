"""What requirements about whole nodes have in common."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from interlock import jsontext, v1
from interlock._convert import enum_name


class AboutNode:
    """A requirement, as far as it is about a whole node and not about a tool call."""

    message: v1.Requirement

    @cached_property
    def content(self) -> Any:
        """What the node was given or, under review, what it gave; None when there is nothing."""
        return jsontext.loads(self.message.step_gate.content_json)

    @property
    def iteration(self) -> int:
        """The iteration of a loop under review, from 1; 0 elsewhere."""
        return self.message.step_gate.iteration

    @property
    def selected_routes(self) -> list[str]:
        """What a router runs after a yes."""
        return list(self.message.step_gate.selected_routes)

    @property
    def available_routes(self) -> list[str]:
        """The routes to choose from."""
        return list(self.message.route_selection.available_routes)

    @property
    def proposed_routes(self) -> list[str]:
        """What the router's own selector, or the choice before this one, proposes."""
        return list(self.message.route_selection.proposed_routes)

    @property
    def allow_multiple_selections(self) -> bool:
        """Whether several routes may be chosen."""
        return self.message.route_selection.allow_multiple

    @property
    def error_message(self) -> str:
        """Why the step failed, or what is in doubt; empty elsewhere."""
        return self.message.step_failure.message

    @property
    def error_reason(self) -> str:
        """The same for programs, in UPPER_SNAKE_CASE."""
        return self.message.step_failure.reason

    @property
    def on_reject(self) -> str | None:
        """What a rejection does: `"SKIP"`, `"CANCEL"`, `"ELSE"` or `"RETRY"`; None for calls."""
        return enum_name(v1.OnReject, self._options.on_reject) or None

    @property
    def on_reject_choices(self) -> list[str]:
        """What a rejection may do; `reject(on_reject=...)` chooses where there are several."""
        return [enum_name(v1.OnReject, one) for one in self._options.on_reject_choices]

    @property
    def retry_count(self) -> int:
        """How often people have sent the node back so far."""
        return self._options.retry_count

    @property
    def max_retries(self) -> int:
        """How often they may."""
        return self._options.max_retries

    @property
    def _options(self) -> v1.StepGate | v1.RouteSelection:
        if self.message.HasField("route_selection"):
            return self.message.route_selection
        return self.message.step_gate
