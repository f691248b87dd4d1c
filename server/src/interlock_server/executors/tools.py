"""Tools as a run needs them: what the model sees, what a person is asked, and the call itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.authoring.conversation import ToolSpec
from interlock_server.authoring.reviews import ON_INTERRUPT, ON_TIMEOUT, seconds_of
from interlock_server.authoring.tools import Tool
from interlock_server.engine.context import EffectFailed, Performance
from interlock_server.errors import FieldViolation
from interlock_server.executors.asking import fields_of, questions_of
from interlock_server.executors.functions import as_json, call_function, hidden_parameters
from interlock_server.executors.models import ArgumentErrors, ToolSchema, tool_schema

_FIELD_TYPES = {
    "string": v1.USER_INPUT_FIELD_TYPE_STRING,
    "integer": v1.USER_INPUT_FIELD_TYPE_INTEGER,
    "number": v1.USER_INPUT_FIELD_TYPE_NUMBER,
    "boolean": v1.USER_INPUT_FIELD_TYPE_BOOLEAN,
    "array": v1.USER_INPUT_FIELD_TYPE_ARRAY,
    "object": v1.USER_INPUT_FIELD_TYPE_OBJECT,
}


class BadArguments(Exception):
    """The model's arguments do not fit the tool; the text tells the model what to mend."""


@dataclass(frozen=True)
class LoadedTool:
    """A tool with its schema."""

    tool: Tool
    schema: ToolSchema

    @classmethod
    def load(cls, tool: Tool) -> LoadedTool:
        """Reads the tool's signature.

        Raises:
            Exception: a parameter has a type that no schema can be made of.
        """
        return cls(tool, tool_schema(tool.function, hidden=hidden_parameters(tool.function)))

    @property
    def name(self) -> str:
        """Name of the tool."""
        return self.tool.name

    @cached_property
    def description(self) -> str:
        """What the tool does."""
        return self.tool.description or self.schema.description or ""

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it, without the parameters that a person fills in."""
        visible = self.schema.visible_schema(without=self.user_fields)
        return ToolSpec(self.name, self.description, visible)

    @cached_property
    def user_fields(self) -> frozenset[str]:
        """The parameters that a person fills in."""
        if not self.tool.requires_user_input:
            return frozenset()
        return frozenset(self.tool.user_input_fields or self._properties)

    @property
    def kind(self) -> v1.RequirementKind.ValueType:
        """What a call of this gated tool waits for."""
        if self.tool.asks:
            return v1.REQUIREMENT_KIND_USER_FEEDBACK
        if self.tool.external_execution:
            return v1.REQUIREMENT_KIND_EXTERNAL_EXECUTION
        if self.tool.requires_user_input:
            return v1.REQUIREMENT_KIND_USER_INPUT
        return v1.REQUIREMENT_KIND_CONFIRMATION

    @property
    def on_interrupt(self) -> v1.OnInterrupt.ValueType:
        """What its author says about calls during which a process dies."""
        return ON_INTERRUPT.get(self.tool.on_interrupt or "", v1.ON_INTERRUPT_UNSPECIFIED)

    @property
    def timeout(self) -> float:
        """Seconds that a question about a call waits; 0 means for ever."""
        return seconds_of(self.tool.timeout)

    @property
    def on_timeout(self) -> v1.OnTimeout.ValueType:
        """What happens after that."""
        if self.tool.timeout is None:
            return v1.ON_TIMEOUT_UNSPECIFIED
        return ON_TIMEOUT[self.tool.on_timeout or "cancel"]

    def parse(self, args_json: str) -> str:
        """Checks what the model wrote, but for what a person will fill in, and tidies it.

        Raises:
            BadArguments: it does not fit.
        """
        try:
            args = jsontext.loads(args_json or "{}")
        except jsontext.JsonError as error:
            raise BadArguments(f"The arguments of {self.name} are not usable: {error}.") from None
        if not isinstance(args, dict):
            raise BadArguments(f"The arguments of {self.name} must be a JSON object.")
        if self.on_timeout == v1.ON_TIMEOUT_APPROVE:
            # The clock may answer, and nobody would have seen what the model wrote there unasked.
            args = {name: value for name, value in args.items() if name not in self.user_fields}
        errors = [one for one in self._errors(args) if _root(one.field) not in self.user_fields]
        if errors:
            listing = "; ".join(f"{one.field or 'arguments'}: {one.description}" for one in errors)
            raise BadArguments(f"Invalid arguments for {self.name}: {listing}. Mend and try again.")
        try:
            self.ask(v1.Requirement(), args)
        except ValueError as error:
            raise BadArguments(f"Invalid arguments for {self.name}: {error}.") from None
        return jsontext.dumps(args)

    def ask(self, question: v1.Requirement, args: Mapping[str, Any]) -> None:
        """Writes into a question what the agent wants to know.

        Raises:
            ValueError: nobody could answer.
        """
        match self.tool.asks:
            case "questions":
                question.feedback_questions.extend(questions_of(args))
            case "fields":
                question.user_input_schema.extend(fields_of(args))

    async def is_gated(self, args_json: str, performance: Performance) -> bool:
        """Whether a call waits for somebody; yes when its predicate cannot tell."""
        predicate = self.tool.requires_confirmation
        if not callable(predicate):
            return self.tool.is_gated
        args = jsontext.loads(args_json)
        try:
            answer = await call_function(predicate, (args,), {}, performance.run, "NOT_TOLD")
        except EffectFailed:
            return True
        return answer is not False

    async def preview(self, args_json: str, performance: Performance) -> str:
        """What to show to whoever decides about a call."""
        if self.tool.preview is None:
            return ""
        args = jsontext.loads(args_json)
        try:
            text = await call_function(
                self.tool.preview, (args,), {}, performance.run, "NO_PREVIEW"
            )
        except EffectFailed as failure:
            text = f"The preview failed: {failure.message}"
        return jsontext.clean(str(text))[: limits.note_characters_max]

    def check_args(self, args: Mapping[str, Any]) -> list[FieldViolation]:
        """What is wrong with arguments that a person wrote."""
        return self._errors(args, strict=True)

    def fields(self, args_json: str) -> list[v1.UserInputField]:
        """All parameters in the order of the signature; only `user_fields` can be filled in."""
        args = jsontext.loads(args_json)
        required = self.schema.parameters_schema.get("required", ())
        return [
            v1.UserInputField(
                name=name,
                type=_field_type(rule),
                description=rule.get("description", ""),
                required=name in required and name in self.user_fields,
                value_json=jsontext.dumps(args[name]) if name in args else "",
                allowed_values_json=[jsontext.dumps(one) for one in self._allowed(rule)],
                read_only=name not in self.user_fields,
            )
            for name, rule in self._properties.items()
        ]

    def check_values(self, args_json: str, values: Mapping[str, Any]) -> list[FieldViolation]:
        """What is wrong with a person's values; empty when the call could be made with them.

        A value that the agent fixed may be repeated, not changed.
        """
        args = jsontext.loads(args_json)
        violations = []
        for name, value in values.items():
            if name not in self._properties:
                known = ", ".join(sorted(self.user_fields))
                text = f"there is no such field; the fields are: {known}"
                violations.append(FieldViolation(name, text))
            elif name not in self.user_fields and (name not in args or args[name] != value):
                text = "the agent fixed this value, and it cannot be changed; leave it out"
                violations.append(FieldViolation(name, text))
        merged = {**args, **values}
        wrong = [one for one in self._errors(merged, strict=True) if _root(one.field) in values]
        return violations or wrong or self._errors(merged)

    async def perform(self, args_json: str, performance: Performance) -> Any:
        """Calls the function and gives its result as a JSON value.

        Raises:
            EffectFailed: it raised, or its result cannot be JSON.
        """
        try:
            args, kwargs = self.schema.to_call(self.schema.validate(jsontext.loads(args_json)))
        except ArgumentErrors as error:
            raise EffectFailed("TOOL_FAILED", f"invalid arguments: {error}") from error
        result = await call_function(
            self.tool.function, tuple(args), kwargs, performance.run, "TOOL_FAILED"
        )
        return as_json(result, "TOOL_FAILED")

    @property
    def _properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.schema.parameters_schema.get("properties", {})
        return properties

    def _allowed(self, rule: Mapping[str, Any]) -> list[Any]:
        resolved = self._resolved(rule)
        return list(resolved.get("enum", [resolved["const"]] if "const" in resolved else []))

    def _resolved(self, rule: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = rule.get("$ref", "")
        if not reference.startswith("#/$defs/"):
            return rule
        definitions = self.schema.parameters_schema.get("$defs", {})
        found: Mapping[str, Any] = definitions.get(reference.removeprefix("#/$defs/"), rule)
        return found

    def _errors(self, args: Mapping[str, Any], *, strict: bool = False) -> list[FieldViolation]:
        try:
            self.schema.validate(args, strict=strict)
        except ArgumentErrors as error:
            return [FieldViolation(path, text) for path, text in error.errors]
        return []


def _root(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _field_type(rule: Mapping[str, Any]) -> v1.UserInputFieldType.ValueType:
    options = [one for one in rule.get("anyOf", [rule]) if one.get("type") != "null"]
    kind = options[0].get("type", "") if len(options) == 1 else ""
    return _FIELD_TYPES.get(kind, v1.USER_INPUT_FIELD_TYPE_UNSPECIFIED)
