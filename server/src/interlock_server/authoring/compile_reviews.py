"""Compiles where people take part in a construct, and refuses what could not work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.authoring.reviews import HumanReview, UserInputField, flags_of
from interlock_server.authoring.steps import Condition, Loop, Parallel, Router, Step, Steps
from interlock_server.engine.fields import violation

Report = Callable[[str, str], None]
Register = Callable[[Any, str, str], str]
"""Registers a function of a place and slot, and gives its name."""

_RETRIES_DEFAULT = 3
_RETRIES_MAX = 100
_ON_REJECT = {
    "skip": v1.ON_REJECT_SKIP,
    "cancel": v1.ON_REJECT_CANCEL,
    "else": v1.ON_REJECT_ELSE,
    "retry": v1.ON_REJECT_RETRY,
}
_TYPES = {
    "str": v1.USER_INPUT_FIELD_TYPE_STRING,
    "int": v1.USER_INPUT_FIELD_TYPE_INTEGER,
    "float": v1.USER_INPUT_FIELD_TYPE_NUMBER,
    "bool": v1.USER_INPUT_FIELD_TYPE_BOOLEAN,
    "list": v1.USER_INPUT_FIELD_TYPE_ARRAY,
    "dict": v1.USER_INPUT_FIELD_TYPE_OBJECT,
}
_HOMES: dict[str, tuple[type, ...]] = {
    "requires_confirmation": (Step, Steps, Condition, Loop, Router),
    "requires_user_input": (Step, Router),
    "requires_output_review": (Step, Router),
    "requires_iteration_review": (Loop,),
}
"""Which constructs can have which level."""

_LEVEL_OF = {
    "confirmation_message": "requires_confirmation",
    "user_input_message": "requires_user_input",
    "user_input_schema": "requires_user_input",
    "allow_multiple_selections": "requires_user_input",
    "output_review_message": "requires_output_review",
    "iteration_review_message": "requires_iteration_review",
}
"""Which level each of the other fields belongs to."""


def review_of(construct: Any, place: str, report: Report) -> HumanReview:
    """What is asked of people, wherever it is written."""
    written = flags_of(construct)
    given: Any = construct.human_review
    if given is None:
        return written
    if not isinstance(given, HumanReview):
        report(place, f"human_review is {given!r}; use HumanReview(...)")
        return written
    if written != HumanReview():
        names = [one.name for one in fields(written) if getattr(written, one.name) != one.default]
        report(place, f"has human_review and {' and '.join(names)}; write all of it in one place")
    return given


def compile_review(
    construct: Any, review: HumanReview, place: str, report: Report, register: Register
) -> v1.HumanReview:
    """A construct's part of the definition that says what it asks; empty when it asks nothing."""
    levels = [one for one in _HOMES if getattr(review, one)]
    _check_fit(construct, review, levels, place, report)
    if not levels:
        return v1.HumanReview()
    is_router = isinstance(construct, Router)
    compiled = v1.HumanReview(
        requires_confirmation=bool(review.requires_confirmation),
        requires_user_input=bool(review.requires_user_input) and not is_router,
        requires_route_selection=bool(review.requires_user_input) and is_router,
        allow_multiple_selections=bool(review.allow_multiple_selections),
        requires_output_review=bool(review.requires_output_review),
        requires_iteration_review=bool(review.requires_iteration_review),
        confirmation_message=_text(review.confirmation_message),
        output_review_message=_text(review.output_review_message),
        iteration_review_message=_text(review.iteration_review_message),
        on_reject=_on_reject(construct, review, place, report),
        max_retries=_retries(review, place, report),
    )
    message = _text(review.user_input_message)
    if is_router:
        compiled.route_selection_message = message
    else:
        compiled.user_input_message = message
    if callable(review.requires_output_review):
        compiled.output_review_function = register(
            review.requires_output_review, place, "requires_output_review"
        )
    if compiled.requires_user_input:
        compiled.user_input_schema.extend(_fields(review.user_input_schema, place, report))
    return compiled


def asks(review: v1.HumanReview) -> bool:
    """Whether a node has a level at which it asks somebody."""
    return (
        review.requires_confirmation
        or review.requires_user_input
        or review.requires_route_selection
        or review.requires_output_review
        or review.requires_iteration_review
    )


def _check_fit(
    construct: Any, review: HumanReview, levels: Sequence[str], place: str, report: Report
) -> None:
    if isinstance(construct, Parallel):
        if review == HumanReview():
            return
        report(place, "people cannot take part in Parallel itself; gate its branches")
        return
    for level in _HOMES:
        value = getattr(review, level)
        is_predicate = level == "requires_output_review" and callable(value)
        if not isinstance(value, bool) and not is_predicate:
            report(place, f"{level} is {value!r}; use True or False")
        elif value and not isinstance(construct, _HOMES[level]):
            homes = " and ".join(home.__name__ for home in _HOMES[level])
            report(place, f"{type(construct).__name__} cannot have {level}; only {homes} can")
    for name, level in _LEVEL_OF.items():
        if getattr(review, name) and level not in levels:
            report(place, f"has {name} without {level}=True")
        if name.endswith("_message"):
            _check_text(place, name, getattr(review, name), report)
    for name in ("on_reject", "max_retries"):
        if getattr(review, name) is not None and not levels:
            report(place, f"has {name}, and nothing that a person could reject")
    _check_input(construct, review, place, report)


def _check_input(construct: Any, review: HumanReview, place: str, report: Report) -> None:
    if isinstance(construct, Router):
        if review.user_input_schema:
            report(place, "a router's person chooses routes; ask for values in its steps")
    elif review.requires_user_input and not review.user_input_schema:
        report(place, "has requires_user_input without user_input_schema; name a field at least")
    elif review.allow_multiple_selections:
        report(place, "has allow_multiple_selections; only a Router can")


def _check_text(place: str, name: str, text: Any, report: Report) -> None:
    most = limits.note_characters_max
    if not isinstance(text, str) or len(text) > most:
        report(place, f"{name} is not a text of at most {most:,} characters")


def _text(text: Any) -> str:
    return jsontext.clean(str(text))


def _on_reject(
    construct: Any, review: HumanReview, place: str, report: Report
) -> list[v1.OnReject.ValueType]:
    given: Any = review.on_reject
    is_condition = isinstance(construct, Condition)
    if given is None:
        return [v1.ON_REJECT_ELSE if is_condition else v1.ON_REJECT_SKIP]
    words = [given] if isinstance(given, str) else list(given) if _is_list(given) else []
    known = [word for word in _ON_REJECT if is_condition or word != "else"]
    if not words or len(set(words)) < len(words) or any(word not in known for word in words):
        report(place, f"on_reject is {given!r}; use one or some of: {', '.join(known)}")
    return [_ON_REJECT[word] for word in words if word in known]


def _retries(review: HumanReview, place: str, report: Report) -> int:
    given: Any = review.max_retries
    if given is None:
        return _RETRIES_DEFAULT
    if type(given) is not int or not 0 <= given <= _RETRIES_MAX:
        report(
            place, f"max_retries of a review is {given!r}; use a number from 0 to {_RETRIES_MAX}"
        )
        return 0
    return given


def _fields(schema: Any, place: str, report: Report) -> list[v1.UserInputField]:
    if not _is_list(schema):
        report(place, f"user_input_schema is {schema!r}; give a list of UserInputField(...)")
        return []
    compiled: list[v1.UserInputField] = []
    for one in schema:
        try:
            field = UserInputField(**one) if isinstance(one, Mapping) else one
        except TypeError as error:
            report(place, f"user_input_schema: {one!r} is no field: {error}")
            continue
        if not isinstance(field, UserInputField):
            report(place, f"user_input_schema: {one!r} is no field; use UserInputField(...)")
            continue
        compiled.append(_field(field, f"{place} > field {field.name!r}", report))
    for name in dict.fromkeys(one.name for one in compiled):
        if [one.name for one in compiled].count(name) > 1:
            report(place, f"user_input_schema has several fields {name!r}; rename")
    return compiled


def _field(field: UserInputField, place: str, report: Report) -> v1.UserInputField:
    name: Any = field.name
    most = limits.name_characters_max
    if not isinstance(name, str) or not 0 < len(name) <= most or jsontext.has_controls(name):
        report(place, f"name is {name!r}; use 1 to {most} characters without control characters")
    given = field.field_type
    word = given.__name__ if isinstance(given, type) else given
    if word not in _TYPES:
        report(place, f"field_type is {given!r}; use one of: {', '.join(_TYPES)}")
    compiled = v1.UserInputField(
        name=jsontext.clean(str(name)),
        type=_TYPES.get(word, v1.USER_INPUT_FIELD_TYPE_STRING),
        description=_text(field.description),
        required=field.required is True,
    )
    allowed: Any = field.allowed_values
    if allowed is not None and not (_is_list(allowed) and allowed):
        report(place, f"allowed_values is {allowed!r}; give a list of values")
        return compiled
    try:
        values = [jsontext.dumps(one) for one in allowed or ()]
        default = "" if field.value is None else jsontext.dumps(field.value)
    except jsontext.JsonError as error:
        report(place, f"a value {error}")
        return compiled
    for one in allowed or ():
        if wrong := violation(compiled, one):
            report(place, f"allowed value {one!r} {wrong}")
    compiled.allowed_values_json.extend(values)
    if default and (wrong := violation(compiled, field.value)):
        report(place, f"value {field.value!r} {wrong}")
    compiled.value_json = default
    return compiled


def _is_list(given: Any) -> bool:
    return isinstance(given, list | tuple)
