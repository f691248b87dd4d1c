"""Progress: the events of a run, shown as they happen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from interlock import events as on
from interlock_server.cli.screen import Screen
from interlock_server.cli.text import as_call, as_json, as_text, cut, safe, safe_lines
from interlock_server.cli.waiting import AT_TIMEOUT, needs

if TYPE_CHECKING:
    from interlock import Event

_LIVE_LINES = 6
"""Lines of text under way that are shown at most; all of it is printed when it is complete."""


class Progress:
    """Shows events; for programs, each as JSON on a line of its own.

    Args:
        screen: where to.
        on_pause: is told each time that the run pauses.
    """

    def __init__(
        self, screen: Screen, on_pause: Callable[[on.WorkflowPausedEvent], None] | None = None
    ) -> None:
        self._screen = screen
        self._on_pause = on_pause
        self._now = _Now()
        self._marks = _MARKS if screen.is_fancy else _PLAIN_MARKS
        self.run_id = ""
        self.last_sequence = 0

    def show(self, events: Iterable[Event[Any]]) -> None:
        """Shows events until there are no more."""
        if self._screen.as_json:
            for event in events:
                self._note(event)
                self._screen.line(event.message)
        elif self._screen.is_live:
            with Live(self._now, console=self._screen.out, transient=True, refresh_per_second=8):
                self._show_all(events)
        else:
            self._show_all(events)

    def _show_all(self, events: Iterable[Event[Any]]) -> None:
        for event in events:
            self._note(event)
            self._now.follow(event)
            self._show(event)

    def _note(self, event: Event[Any]) -> None:
        self.run_id = event.run_id
        self.last_sequence = max(self.last_sequence, event.sequence)

    def _show(self, event: Event[Any]) -> None:
        match event:
            case on.RunContentEvent():
                self._hear(event)
            case on.WorkflowPausedEvent():
                self._paused(event)
            case on.StepCompletedEvent():
                self._step_completed(event)
            case on.ToolCallStartedEvent():
                self._tool_started(event)
            case on.ToolCallCompletedEvent():
                self._tool_completed(event)
            case on.WorkflowCompletedEvent():
                self._completed(event)
            case _:
                self._other(event)

    def _line(self, mark: str, words: Text | str, event: Event[Any]) -> None:
        symbol, style = self._marks[mark]
        self._screen.print(Text.assemble((f"{symbol} ", style), words), indent=_indent(event))

    def _hear(self, event: on.RunContentEvent) -> None:
        """Text under way; what another agent said in the same step is complete by now."""
        said = self._now.texts.get(event.step_id)
        if said and said[0] != event.agent_name:
            self._say(event)
        _, text = self._now.texts.get(event.step_id, ("", ""))
        self._now.texts[event.step_id] = (event.agent_name, text + event.content)

    def _say(self, event: Event[Any]) -> None:
        """Prints what was said in a step so far."""
        agent, text = self._now.texts.pop(event.step_id, ("", ""))
        if text.strip():
            self._line("says", Text(safe(agent), style="dim"), event)
            self._screen.block(text.strip(), indent=_indent(event) + 2)

    def _tool_started(self, event: on.ToolCallStartedEvent) -> None:
        self._say(event)
        call = event.tool_execution
        self._line("call", cut(as_call(call.tool_name, call.tool_args)), event)

    def _tool_completed(self, event: on.ToolCallCompletedEvent) -> None:
        call = event.tool_execution
        name = safe(call.tool_name)
        if call.error_message is not None:
            self._line("error", f"{name}: {cut(safe(call.error_message))}", event)
        else:
            self._line("result", f"{name}: {cut(as_json(call.result))}", event)

    def _step_completed(self, event: on.StepCompletedEvent) -> None:
        self._now.texts.pop(event.step_id, None)  # The output has it all.
        self._line("done", safe(event.step_name), event)
        if event.output is not None:
            self._screen.block(as_text(event.output), indent=_indent(event) + 2)

    def _completed(self, event: on.WorkflowCompletedEvent) -> None:
        self._line("done", "completed", event)
        if event.content is not None:  # Else it was shown as the output of a step.
            self._screen.block(as_text(event.content), indent=2)

    def _other(self, event: Event[Any]) -> None:
        self._say(event)  # Whatever happens in a step, what its agent said came before it.
        for mark, words in _lines(event):
            self._line(mark, words, event)

    def _paused(self, event: on.WorkflowPausedEvent) -> None:
        count = sum(len(step.requirements) for step in event.step_requirements)
        self._line("pause", f"paused, waits for {_answers(count)}", event)
        if self._on_pause is not None:
            self._on_pause(event)


class _Now:
    """What goes on at this moment: the last lines of the screen, while it is live."""

    def __init__(self) -> None:
        self.texts: dict[str, tuple[str, str]] = {}
        self._steps: dict[str, str] = {}
        self._spinner = Spinner("dots")

    def follow(self, event: Event[Any]) -> None:
        """Notes which steps are under way."""
        match event:
            case on.StepStartedEvent():
                self._steps[event.step_id] = "/".join(event.step_path)
            case on.StepCompletedEvent() | on.StepFailedEvent() | on.StepSkippedEvent():
                self._steps.pop(event.step_id, None)
            case on.StepExecutorPausedEvent():
                self._steps.pop(event.step_id, None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Another thread draws: it looks at copies.
        for agent, text in list(self.texts.values()):
            yield Text(safe(agent), style="dim")
            for line in safe_lines(text)[-_LIVE_LINES:]:
                yield Text(f"  │ {line[4 - options.max_width :]}")
        steps = safe(", ".join(list(self._steps.values())))
        self._spinner.update(text=Text(steps or "…", style="dim"))
        yield self._spinner


_MARKS = {
    "start": ("▸", "bold blue"),
    "says": ("“", "dim"),
    "call": ("→", "blue"),
    "result": ("←", "blue"),
    "done": ("✓", "green"),
    "error": ("✗", "red"),
    "skip": ("○", "dim"),
    "pause": ("‖", "bold yellow"),
    "branch": ("◇", "dim"),
    "answer": ("●", "yellow"),
}
_PLAIN_MARKS = {
    **{mark: ("*", style) for mark, (_, style) in _MARKS.items()},
    "call": (">", "blue"),
    "result": ("<", "blue"),
    "error": ("!", "red"),
}


_INSIDE = (
    on.RunContentEvent,
    on.StepExecutorPausedEvent,
    on.RequirementResolvedEvent,
    on.RequirementExpiredEvent,
    on.ToolCallStartedEvent,
    on.ToolCallCompletedEvent,
)
"""Events inside a step, which stand a little to the right of it."""


def _lines(event: Event[Any]) -> Iterable[tuple[str, Text | str]]:
    """The lines of an event that needs no more than its own words."""
    name = safe(event.step_name)
    match event:
        case on.WorkflowStartedEvent():
            what = f"run {safe(event.run_id)} of {safe(event.workflow_id)}"
            yield "start", f"{what} version {event.workflow_version}"
        case on.WorkflowContinuedEvent():
            yield "start", f"goes on{_by(event.continued_by)}"
        case on.WorkflowFailedEvent():
            yield "error", f"failed: {_flat(str(event.error))}"
        case on.WorkflowCancelledEvent():
            reason = f": {_flat(event.reason)}" if event.reason else ""
            yield "error", f"cancelled{_by(event.cancelled_by)}{reason}"
        case on.StepStartedEvent():
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            who = f"  {event.executor_type} {safe(event.executor_id)}{again}"
            yield "start", Text.assemble((name, "bold"), (who, "dim"))
        case on.StepExecutorPausedEvent():
            for one in event.executor_requirements:
                yield "pause", f"{safe(one.tool_execution.tool_name)} waits"
        case on.StepPausedEvent():
            yield "pause", f"{name} waits for {_what(event)}"
        case on.StepRejectedEvent():
            note = f": {_flat(event.note)}" if event.note else ""
            yield "skip", f"{name}: {event.on_reject.lower()}{note}"
        case on.OutputEditedEvent():
            yield "answer", f"{name}: {_flat(as_json(event.output))}"
        case on.StepFailedEvent():
            again = " (is tried again)" if event.will_retry else ""
            yield "error", f"{name}: {_flat(str(event.error))}{again}"
        case on.StepSkippedEvent():
            yield "skip", f"{name}: {_flat(event.reason)}"
        case on.RequirementResolvedEvent():
            yield "answer", f"{_decision(event)}{_by(event.resolved_by)}"
        case on.RequirementExpiredEvent():
            yield "answer", f"nobody in time: {AT_TIMEOUT.get(event.on_timeout, '')}"
        case _:
            yield from _branches(event, name)


def _branches(event: Event[Any], name: str) -> Iterable[tuple[str, str]]:
    """The lines of events about containers."""
    match event:
        case on.ConditionStartedEvent():
            yield "branch", f"{name}: {str(event.condition_result).lower()}"
        case on.RouterStartedEvent():
            yield "branch", f"{name}: {', '.join(map(safe, event.selected_routes)) or 'nothing'}"
        case on.LoopIterationStartedEvent():
            yield "branch", f"{name}: iteration {event.iteration}"
        case on.ParallelStartedEvent():
            yield "branch", f"{name}: {event.node_count} side by side"
        case on.NestedWorkflowStartedEvent():
            yield "branch", f"{name}: workflow {safe(event.workflow_id)}"
        case on.StepsStartedEvent():
            yield "branch", name


def _what(event: on.StepPausedEvent) -> str:
    return " and ".join(map(needs, event.step_requirement.step_requirements))


def _decision(event: on.RequirementResolvedEvent) -> str:
    answer = event.decision.message
    match event.decision.kind:
        case "confirm":
            words, note = "approved", answer.confirm.note
        case "reject":
            words, note = "rejected", answer.reject.note
        case "user_input":
            words, note = "answered", answer.user_input.values_json
        case kind:
            words, note = kind.replace("_", " "), ""
    return f"{words}: {_flat(note)}" if note else words


def _by(who: str) -> str:
    return f" by {safe(who)}" if who else ""


def _flat(text: str) -> str:
    return cut(safe(text))


def _answers(count: int) -> str:
    return "one answer" if count == 1 else f"{count} answers"


def _indent(event: Event[Any]) -> int:
    depth = max(0, len(event.step_path) - 1)
    return 2 * (depth + isinstance(event, _INSIDE))
