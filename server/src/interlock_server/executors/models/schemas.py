"""Schemas: of a tool's arguments, and of an agent's final answer."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails, SchemaValidator

from interlock_server import jsontext
from interlock_server.authoring.conversation import OutputSpec


class ArgumentErrors(Exception):
    """A value does not fit its schema: each place, such as `items[0].name`, and what is wrong."""

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = tuple(errors)
        super().__init__(
            "; ".join(f"{path}: {text}" if path else text for path, text in self.errors)
        )


@dataclass(frozen=True, eq=False)
class ToolSchema:
    """What a function takes, as a model must write it.

    When the only parameter is a pydantic model or dataclass, its fields are the
    arguments. Unknown arguments are refused, unless the function has `**kwargs`
    or that one model lets them pass, as pydantic models do by default.
    """

    name: str
    description: str
    parameters_schema: dict[str, Any]
    _function: Signature = field(repr=False)
    _hidden: frozenset[str] = field(repr=False)
    _validator: SchemaValidator = field(repr=False)

    def visible_schema(self, without: Collection[str] = ()) -> dict[str, Any]:
        """A copy of the schema that does not mention some of the parameters."""
        schema = copy.deepcopy(self.parameters_schema)
        for name in without:
            schema.get("properties", {}).pop(name, None)
        required = [name for name in schema.pop("required", ()) if name not in without]
        return {**schema, "required": required} if required else schema

    def validate(self, args: Any, *, strict: bool = False) -> dict[str, Any]:
        """Checks JSON values and converts them to what the parameters are annotated with.

        Args:
            args: a value as `json.loads` gives it.
            strict: take no text for a number, and nothing else that the JSON
                Schema does not allow. Models are forgiven such slips.

        Returns:
            All parameters by name, with their defaults where nothing is given.

        Raises:
            ArgumentErrors: something is missing, unknown, or of the wrong type.
        """
        # Through JSON text, because only there does pydantic take JSON's types for all of
        # Python's: a text for a strict date, an array for a strict tuple.
        text = json.dumps(args, ensure_ascii=False)
        if not text.isascii() and jsontext.clean(text) != text:
            raise ArgumentErrors([("", "Holds a lone surrogate, half of a character")])
        validate = functools.partial(self._validator.validate_json, strict=strict or None)
        validated: dict[str, Any] = _checked(validate, text, args)
        smuggled = sorted(self._hidden & validated.keys())
        if smuggled:
            raise ArgumentErrors((name, "Unexpected argument") for name in smuggled)
        return validated

    def to_call(self, validated: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arranges what `validate` gave as positional and keyword arguments.

        The hidden parameters are the caller's to add, by keyword.
        """
        args: list[Any] = []
        kwargs = dict(validated)
        for parameter in _positional(self._function):
            if parameter.name in kwargs:
                value = kwargs.pop(parameter.name)
                args += value if parameter.kind is Parameter.VAR_POSITIONAL else [value]
        return tuple(args), kwargs


def tool_schema(function: Callable[..., Any], hidden: Collection[str] = frozenset()) -> ToolSchema:
    """Reads a function's signature, annotations and docstring.

    Args:
        hidden: parameters that are not the model's; the caller passes them by keyword.

    Raises:
        ValueError: a parameter has a type that no schema can be made of, or a
            hidden parameter cannot be passed by keyword.
    """
    from interlock_server.executors.models.library import read_function

    signature = inspect.signature(function)
    name = _name(function)
    _check_hidden(name, signature, hidden)
    schema = read_function(_view(function, signature, hidden)).function_schema
    return ToolSchema(
        name=name,
        description=schema.description or "",
        parameters_schema=_without_root_reference(schema.json_schema),
        _function=signature,
        _hidden=frozenset(hidden),
        _validator=schema.validator,
    )


def output_spec(schema: Any) -> OutputSpec:
    """What a model is told about the type of its final answer.

    Raises:
        ValueError: no JSON Schema of an object can be made of the type.
    """
    name = getattr(schema, "__name__", "") or str(schema)
    try:
        document = _without_root_reference(TypeAdapter(schema).json_schema())
    except (PydanticUserError, NameError) as error:
        raise ValueError(f"no JSON Schema can be made of {name}: {error}") from error
    if document.get("type") != "object":
        raise ValueError(
            f"{name} is not an object in JSON; make the answer a field of a pydantic model"
        )
    return OutputSpec(
        name=re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "answer",
        description=document.pop("description", ""),
        schema=document,
    )


def parse_output(schema: Any, text: str) -> Any:
    """Checks a final answer and gives it as a JSON value that satisfies the schema.

    Raises:
        ArgumentErrors: the text is not JSON, or does not fit the type.
    """
    try:
        written = jsontext.loads(text)
    except jsontext.JsonError as error:
        raise ArgumentErrors([("", f"The answer {error}")]) from None
    adapter = TypeAdapter[Any](schema)
    value = _checked(adapter.validate_json, text, written)
    return adapter.dump_python(value, mode="json", by_alias=True)


def _checked(validate: Callable[[str], Any], text: str, value: Any) -> Any:
    try:
        return validate(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise ArgumentErrors((_path(one, value), one["msg"]) for one in problems) from None


def _path(problem: ErrorDetails, value: Any) -> str:
    """Where in the value the problem is.

    Pydantic's location also names the members of unions that it tried; these are
    not in the value and are left out.
    """
    path = ""
    for step in problem["loc"]:
        if isinstance(value, list) and isinstance(step, int) and step < len(value):
            path += f"[{step}]"
            value = value[step]
        elif isinstance(value, dict) and step in value:
            path += f".{step}"
            value = value[step]
    if problem["type"].startswith("missing"):
        last = problem["loc"][-1]
        path += f"[{last}]" if isinstance(last, int) else f".{last}"
    return path.removeprefix(".")


def _without_root_reference(document: dict[str, Any]) -> dict[str, Any]:
    """Recursive types refer to themselves even at the root, where providers want an object."""
    reference = document.get("$ref", "").removeprefix("#/$defs/")
    definition = document.get("$defs", {}).get(reference, {})
    return {**definition, "$defs": document["$defs"]} if definition else document


# The function behind a tool.


def _name(function: Callable[..., Any]) -> str:
    name: str = getattr(function, "__name__", "") or _plain(function).__name__
    return type(function).__name__ if name == "__call__" else name


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that was written, under decorators, partial arguments and callable objects."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__


def _positional(signature: Signature) -> list[Parameter]:
    """The parameters that can only be passed by position: before `/`, or up to `*args`."""
    parameters = signature.parameters.values()
    kinds: set[object] = {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL}
    if any(one.kind is Parameter.VAR_POSITIONAL for one in parameters):
        kinds.add(Parameter.POSITIONAL_OR_KEYWORD)
    return [one for one in parameters if one.kind in kinds]


def _check_hidden(name: str, signature: Signature, hidden: Collection[str]) -> None:
    for parameter in _positional(signature):
        if parameter.name in hidden:
            raise ValueError(
                f"{name} takes {parameter.name} by position; move it behind `*` or `*args`, "
                "so that it is passed by keyword"
            )


def _view(
    function: Callable[..., Any], signature: Signature, hidden: Collection[str]
) -> Callable[..., Any]:
    """Stands in for a function where its schema is made: the same, without the hidden parameters.

    Their annotations are not even looked at, nor is that of the result, since
    both may name types that exist for type checkers only.

    Raises:
        ValueError: an annotation of another parameter names what does not exist.
    """
    plain = _plain(function)
    visible = [one for one in signature.parameters.values() if one.name not in hidden]

    def view() -> None:
        """Never called."""

    view.__name__ = view.__qualname__ = _name(function)
    view.__module__ = plain.__module__
    view.__doc__ = plain.__doc__
    view.__annotations__ = {
        one.name: one.annotation for one in visible if one.annotation is not Parameter.empty
    }
    names = getattr(plain, "__globals__", {})
    try:
        hints = typing.get_type_hints(view, globalns=names, include_extras=True)
    except (NameError, TypeError) as error:
        raise ValueError(
            f"no schema can be made of the parameters of {view.__name__}: {error}"
        ) from error
    view.__annotations__ = hints
    view.__dict__["__signature__"] = Signature(
        [one.replace(annotation=hints.get(one.name, Parameter.empty)) for one in visible]
    )
    return view
