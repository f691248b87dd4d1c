"""Prompts: asks the person at the terminal to decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from interlock_server.cli.screen import Screen
from interlock_server.cli.text import as_json, safe
from interlock_server.cli.values import Unreadable, read_json, read_value
from interlock_server.cli.waiting import show_requirement

if TYPE_CHECKING:
    from interlock import Requirement, UserInputField

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


def _choice(screen: Screen, question: str, choices: dict[str, str]) -> str:
    options = ", ".join(f"{key} = {meaning}" for key, meaning in choices.items())
    while True:
        typed = _line(screen, f"{question} ({options}) ").strip().lower()
        for key, meaning in choices.items():
            if typed in (key, meaning):
                return key


def _line(screen: Screen, question: str) -> str:
    return screen.out.input(Text(f"    {question}", style="bold"))
