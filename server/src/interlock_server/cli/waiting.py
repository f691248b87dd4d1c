"""What waits, shown so that somebody can decide by it: every argument, in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interlock_server.cli import paint
from interlock_server.cli.screen import Screen
from interlock_server.cli.service import answers_to
from interlock_server.cli.text import as_json, as_text, safe
from interlock_server.cli.times import due, moment

if TYPE_CHECKING:
    from interlock import Requirement, UserInputField
    from interlock.questions import FeedbackQuestion

NEEDS = {
    "CONFIRMATION": "approval",
    "USER_INPUT": "values",
    "EXTERNAL_EXECUTION": "a result",
    "IN_DOUBT": "a decision: it may have happened",
    "USER_FEEDBACK": "answers",
    "STEP_CONFIRMATION": "approval of the step",
    "STEP_INPUT": "values for the step",
    "OUTPUT_REVIEW": "a judgement of its output",
    "ROUTE_SELECTION": "a choice of routes",
    "ITERATION_REVIEW": "a judgement: leave the loop, or go on",
    "ERROR_DECISION": "a decision: it failed",
}
"""What each kind of requirement waits for."""

AT_TIMEOUT = {
    "CANCEL": "the run is cancelled",
    "REJECT": "it counts as rejected",
    "APPROVE": "it counts as approved",
    "SKIP": "the step is skipped",
    "FAIL": "it fails",
}
"""What happens when nobody answers in time."""

_LINE_MAX = 100


def show_waiting(screen: Screen, requirements: Sequence[Requirement]) -> None:
    """Shows requirements with the commands that answer them."""
    for requirement in requirements:
        show_requirement(screen, requirement)
        show_commands(screen, requirement)
        screen.print("")


def show_commands(screen: Screen, requirement: Requirement) -> None:
    """Shows the commands that answer a requirement."""
    for one in answers_to(requirement.kind, requirement.id, screen):
        screen.command(one, indent=4)


def show_requirement(screen: Screen, requirement: Requirement) -> None:
    """Shows one requirement: what it is about, who asks, and every argument."""
    what = safe(requirement.tool_execution.tool_name or requirement.step_name)
    mark = "● " if screen.is_fancy else "* "
    screen.print(
        paint.Text.assemble((mark, "yellow"), (what, "bold"), f" waits for {needs(requirement)}")
    )
    place = f"{safe(requirement.workflow_id)}, step {safe('/'.join(requirement.step_path))}"
    facts = {
        "id": safe(requirement.id),
        "run": f"{safe(requirement.run_id)} of {place}",
        "asks": who_asks(requirement),
        "since": moment(requirement.created_at),
        "until": _until(requirement),
        "held": _held(requirement),
        "says": safe(requirement.prompt),
        **_about_node(requirement),
    }
    for name, fact in facts.items():
        if fact:
            screen.print(paint.Text.assemble((f"{name:<7}", "dim"), fact), indent=4)
    if requirement.content is not None:
        label = "gave" if requirement.needs_output_review else "given"
        _show_args(screen, {label: requirement.content})
    if requirement.tool_execution.tool_name:
        _show_args(screen, requirement.tool_execution.tool_args)
    for field in requirement.user_input_schema:
        _show_field(screen, field)
    for question in requirement.feedback_questions:
        _show_question(screen, question)


def _show_args(screen: Screen, args: Mapping[str, Any]) -> None:
    """Shows the arguments of a call, each in full."""
    if not args:
        screen.print(paint.Text("no arguments", style="dim"), indent=4)
    for name, value in args.items():
        label = paint.Text.assemble((safe(name), "bold"), (" = ", "dim"))
        brief = as_json(value)
        has_lines = isinstance(value, str) and "\n" in value
        if (
            paint.cell_len(label.plain + brief) <= min(_LINE_MAX, screen.out.width - 4)
            and not has_lines
        ):
            screen.print(label.append(brief), indent=4)
        else:
            kind = "text" if isinstance(value, str) else "JSON"
            label.append(f"{kind}, {len(as_text(value)):,} characters", style="dim")
            screen.print(label, indent=4)
            screen.block(as_text(value), indent=6)


def needs(requirement: Requirement) -> str:
    """What a requirement waits for, in a few words, and from which worker."""
    words = NEEDS.get(requirement.kind, safe(requirement.kind.lower().replace("_", " ")))
    return f"{words} from {safe(requirement.claim.worker_id)}" if requirement.claim else words


def _held(requirement: Requirement) -> str:
    """Which worker executes the call, and until when at least."""
    if requirement.claim is None:
        return ""
    return f"by {safe(requirement.claim.worker_id)}; over {due(requirement.claim.expires_at)}"


def _until(requirement: Requirement) -> str:
    """When it stops waiting, and what happens then."""
    if requirement.expires_at is None:
        return ""
    return f"{due(requirement.expires_at)}; then {AT_TIMEOUT.get(requirement.on_timeout or '', '')}"


def _about_node(requirement: Requirement) -> dict[str, str]:
    """The facts of a requirement about a whole node."""
    rejection = ", or ".join(one.lower() for one in requirement.on_reject_choices)
    sent_back = f"{requirement.retry_count} of {requirement.max_retries} times"
    return {
        "failed": safe(requirement.error_message),
        "runs": safe(", ".join(requirement.selected_routes)),
        "routes": safe(", ".join(requirement.available_routes)),
        "offers": safe(", ".join(requirement.proposed_routes)),
        "a no": rejection,
        "sent": f"back {sent_back}" if requirement.retry_count else "",
    }


def _show_question(screen: Screen, question: FeedbackQuestion) -> None:
    how = "one or more" if question.multi_select else "one"
    line = paint.Text.assemble(
        ("answer ", "dim"),
        (safe(question.id), "bold yellow"),
        (f" ({how} of {', '.join(safe(one.label) for one in question.options)}) ", "dim"),
        safe(question.question),
    )
    screen.print(line, indent=4)


def who_asks(requirement: Requirement) -> str:
    """The executor that asks, down to the member of a team that made the call; or the step."""
    if not requirement.executor_name:
        return "the step itself"
    kind = f" ({requirement.executor_type})" if requirement.executor_type else ""
    names = [f"{safe(requirement.executor_name)}{kind}", *map(safe, requirement.member_path)]
    return " > ".join(names)


def _show_field(screen: Screen, field: UserInputField) -> None:
    is_needed = "required" if field.required else "optional"
    line = paint.Text.assemble(
        ("fill in ", "dim"),
        (safe(field.name), "bold yellow"),
        (f" ({field.field_type}, {is_needed}) ", "dim"),
        safe(field.description),
    )
    if field.allowed_values:
        line.append(f" one of {', '.join(map(as_json, field.allowed_values))}")
    screen.print(line, indent=4)
