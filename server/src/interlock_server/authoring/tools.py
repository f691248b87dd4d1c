"""Tools: functions that an agent may call, and the gates in front of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

from interlock_server.authoring.reviews import OnInterrupt, OnTimeout, Timeout

INJECTED = frozenset({"run_context", "session_state", "idempotency_key"})
"""Parameters that the service fills in; neither the model nor a person sees them."""


Confirmation: TypeAlias = bool | Callable[[dict[str, Any]], Any]
"""Whether a call waits for a yes: always, never, or as a function of its arguments says."""


@dataclass(frozen=True)
class Tool:
    """A function with its gates; it can still be called like the function.

    Args:
        requires_confirmation: a call waits for a person's yes; or a function of the
            arguments that says whether it does. A call waits as well when that
            function fails, or gives something else than `False`.
        requires_user_input: a call waits for values from a person, for the
            parameters in `user_input_fields` (none named means all of them).
        external_execution: the function never runs here; somebody runs the tool
            elsewhere and supplies the result.
        stop_after_tool_call: the agent ends with the result of this tool.
        timeout: how long a call waits for somebody, in seconds or as a `timedelta`.
        on_timeout: what happens after that; `"cancel"` when nothing is said.
        on_interrupt: what happens when the process dies during a call; with a
            gate a person is asked, and else the call is made again, when
            nothing is said.
        editable_args: whoever confirms a call may change its arguments.
        preview: a function of the arguments that gives a text to show to whoever
            decides, such as what the call would do.
        asks: of the ready-made tools, what the person is asked for.
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    requires_confirmation: Confirmation = False
    requires_user_input: bool = False
    user_input_fields: tuple[str, ...] = ()
    external_execution: bool = False
    stop_after_tool_call: bool = False
    timeout: Timeout = None
    on_timeout: OnTimeout | None = None
    on_interrupt: OnInterrupt | None = None
    editable_args: bool = False
    preview: Callable[[dict[str, Any]], Any] | None = None
    asks: Literal["fields", "questions"] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", getattr(self.function, "__name__", ""))
        # The tool passes for its function wherever signatures are read.
        object.__setattr__(self, "__name__", self.name)
        object.__setattr__(self, "__wrapped__", self.function)
        object.__setattr__(self, "__doc__", self.function.__doc__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def is_gated(self) -> bool:
        """Whether a call waits for somebody, or may."""
        return bool(
            self.requires_confirmation
            or self.requires_user_input
            or self.external_execution
            or self.asks
        )


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    requires_confirmation: Confirmation = False,
    requires_user_input: bool = False,
    user_input_fields: Sequence[str] | None = None,
    external_execution: bool = False,
    stop_after_tool_call: bool = False,
    timeout: Timeout = None,
    on_timeout: OnTimeout | None = None,
    on_interrupt: OnInterrupt | None = None,
    editable_args: bool = False,
    preview: Callable[[dict[str, Any]], Any] | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    requires_confirmation: Confirmation = False,
    requires_user_input: bool = False,
    user_input_fields: Sequence[str] | None = None,
    external_execution: bool = False,
    stop_after_tool_call: bool = False,
    timeout: Timeout = None,
    on_timeout: OnTimeout | None = None,
    on_interrupt: OnInterrupt | None = None,
    editable_args: bool = False,
    preview: Callable[[dict[str, Any]], Any] | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a tool of a function: `@tool`, or `@tool(requires_confirmation=True)`.

    The model is told the function's name, its docstring and its parameters; the
    arguments are checked against the type hints before anybody is asked.
    """

    def make(function: Callable[..., Any]) -> Tool:
        return Tool(
            function,
            name=name,
            description=description,
            requires_confirmation=requires_confirmation,
            requires_user_input=requires_user_input,
            user_input_fields=tuple(user_input_fields or ()),
            external_execution=external_execution,
            stop_after_tool_call=stop_after_tool_call,
            timeout=timeout,
            on_timeout=on_timeout,
            on_interrupt=on_interrupt,
            editable_args=editable_args,
            preview=preview,
        )

    return make if function is None else make(function)
