"""Prompts: asks the person at the terminal to decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from interlock_server.cli import paint
from interlock_server.cli.screen import Screen
from interlock_server.cli.text import as_json, safe
from interlock_server.cli.values import Unreadable, read_json, read_value
from interlock_server.cli.waiting import show_requirement

if TYPE_CHECKING:
    from interlock import Requirement, UserInputField
    from interlock.questions import FeedbackQuestion

_LATER = "l"


def ask_all(screen: Screen, requirements: Sequence[Requirement]) -> None:
    """Asks about each requirement, and notes on it what was decided; nothing when the person
    puts it off."""
    for requirement in requirements:
        screen.print("")
        show_requirement(screen, requirement)
        try:
            _ask(screen, requirement)
        except EOFError:
            screen.print("")
            return


def _ask(screen: Screen, requirement: Requirement) -> None:
    asks: dict[str, Callable[[Screen, Requirement], None]] = {
        "CONFIRMATION": _ask_yes_or_no,
        "USER_INPUT": _ask_values,
        "EXTERNAL_EXECUTION": _ask_result,
        "IN_DOUBT": _ask_about_doubt,
        "USER_FEEDBACK": _ask_questions,
        "STEP_CONFIRMATION": _ask_yes_or_no,
        "STEP_INPUT": _ask_values,
        "OUTPUT_REVIEW": _ask_judgement,
        "ROUTE_SELECTION": _ask_routes,
        "ITERATION_REVIEW": _ask_judgement,
        "ERROR_DECISION": _ask_about_failure,
    }
    ask = asks.get(requirement.kind)
    if ask is None:
        screen.print("This command line cannot ask about it.", style="dim", indent=4)
    else:
        ask(screen, requirement)


def _ask_yes_or_no(screen: Screen, requirement: Requirement) -> None:
    """Asks whether a call may run."""
    match _choice(screen, "Approve?", {"y": "yes", "n": "no", _LATER: "later"}):
        case "y":
            requirement.confirm()
        case "n":
            _reject(screen, requirement)


def _ask_values(screen: Screen, requirement: Requirement) -> None:
    choices = {"y": "yes", "n": "reject", _LATER: "later"}
    match _choice(screen, "Fill in?", choices):
        case "y":
            fields = requirement.user_input_schema
            answers = {field.name: _value(screen, field) for field in fields}
            given = {name: value for name, value in answers.items() if value is not None}
            requirement.provide_user_input(given)
        case "n":
            _reject(screen, requirement)


def _ask_result(screen: Screen, requirement: Requirement) -> None:
    choices = {"r": "result", "e": "error", "n": "reject", _LATER: "later"}
    match _choice(screen, "How did it end?", choices):
        case "r":
            requirement.set_external_execution_result(_result(screen))
        case "e":
            requirement.set_external_execution_error(_line(screen, "Error: "))
        case "n":
            _reject(screen, requirement)


def _ask_questions(screen: Screen, requirement: Requirement) -> None:
    if not requirement.feedback_questions:
        _ask_values(screen, requirement)
        return
    match _choice(screen, "Answer?", {"y": "yes", "n": "reject", _LATER: "later"}):
        case "y":
            questions = requirement.feedback_questions
            requirement.provide_user_feedback({one.id: _options(screen, one) for one in questions})
        case "n":
            _reject(screen, requirement)


def _ask_judgement(screen: Screen, requirement: Requirement) -> None:
    is_output = requirement.kind == "OUTPUT_REVIEW"
    edits = {"e": "edit"} if is_output else {}
    choices = {"y": "yes", **edits, "t": "try again", "n": "reject", _LATER: "later"}
    match _choice(screen, "Is it good?", choices):
        case "y":
            requirement.confirm()
        case "e":
            requirement.edit_output(_result(screen))
        case "t":
            requirement.retry(_line(screen, "What to do better (may be empty): ") or None)
        case "n":
            _reject(screen, requirement)


def _ask_routes(screen: Screen, requirement: Requirement) -> None:
    match _choice(screen, "Choose?", {"y": "yes", "n": "reject", _LATER: "later"}):
        case "y":
            text = _line(screen, "Routes, separated by commas: ")
            requirement.select_routes(*(one.strip() for one in text.split(",")))
        case "n":
            _reject(screen, requirement)


def _ask_about_failure(screen: Screen, requirement: Requirement) -> None:
    choices = {
        "t": "try again",
        "s": "skip it",
        "r": "give its result",
        "f": "let it fail",
        _LATER: "later",
    }
    match _choice(screen, "It failed. What now?", choices):
        case "t":
            requirement.retry(_line(screen, "What to do better (may be empty): ") or None)
        case "s":
            requirement.skip()
        case "r":
            requirement.edit_output(_result(screen))
        case "f":
            requirement.fail()


def _ask_about_doubt(screen: Screen, requirement: Requirement) -> None:
    choices = {
        "t": "try again",
        "r": "it happened: give its result",
        "f": "let it fail",
        "n": "reject",
        _LATER: "later",
    }
    match _choice(screen, "It may have happened. What now?", choices):
        case "t":
            requirement.retry()
        case "r":
            requirement.set_external_execution_result(_result(screen))
        case "f":
            requirement.fail()
        case "n":
            _reject(screen, requirement)


def _reject(screen: Screen, requirement: Requirement) -> None:
    requirement.reject(_line(screen, "Reason, which the agent is told (may be empty): ") or None)


def _result(screen: Screen) -> Any:
    text = _line(screen, "Result, as JSON or as text: ")
    try:
        return read_json(text, "")
    except Unreadable:
        return text


def _value(screen: Screen, field: UserInputField) -> Any:
    """The value of a field; None keeps what the agent proposes, or the default."""
    proposed = "" if field.value is None else f" [{as_json(field.value)}]"
    while True:
        text = _line(screen, f"{safe(field.name)} ({field.field_type}){proposed}: ")
        if not text and (field.value is not None or not field.required):
            return None
        try:
            return read_value(text, field)
        except Unreadable as problem:
            screen.print(safe(str(problem)), style="red", indent=4)


def _options(screen: Screen, question: FeedbackQuestion) -> list[str]:
    """The options that somebody chooses, by their labels or their numbers."""
    labels = [one.label for one in question.options]
    listing = ", ".join(f"{number} = {safe(one)}" for number, one in enumerate(labels, start=1))
    while True:
        text = _line(screen, f"{safe(question.question)} ({listing}) ")
        typed = [text] if text in labels else [one.strip() for one in text.split(",")]
        numbered = {str(number): one for number, one in enumerate(labels, start=1)}
        chosen = [numbered.get(one, one) for one in typed]
        if all(one in labels for one in chosen) and (question.multi_select or len(chosen) == 1):
            return chosen


def _choice(screen: Screen, question: str, choices: dict[str, str]) -> str:
    options = ", ".join(f"{key} = {meaning}" for key, meaning in choices.items())
    while True:
        typed = _line(screen, f"{question} ({options}) ").strip().lower()
        for key, meaning in choices.items():
            if typed in (key, meaning):
                return key


def _line(screen: Screen, question: str) -> str:
    return screen.out.input(paint.Text(f"    {question}", style="bold"))
