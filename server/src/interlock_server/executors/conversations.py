"""Conversations: the loop in which a speaker talks to its model and its tools.

A team is the same loop with one more tool, by which it opens a conversation with
a member. Nothing here knows whether it runs for the first time: every turn and
every call goes through the context, which hands back what was recorded. What a
turn means (the arguments as they were checked, the gates that stood in front of
its calls) is recorded with it, so code that changes later changes no past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.authoring.conversation import (
    Correction,
    Message,
    ModelError,
    ModelRequest,
    ModelTurn,
    ToolCall,
    ToolResult,
    ToolResults,
    UserMessage,
)
from interlock_server.engine.context import (
    CodeMissing,
    Context,
    Effect,
    EffectFailed,
    Once,
    Performance,
    gather_all,
)
from interlock_server.engine.gates import Answered, Go, Grant, call_digest, verdict, waits
from interlock_server.engine.interpreter import StepFailure
from interlock_server.engine.keys import Key
from interlock_server.engine.places import Place
from interlock_server.executors.models import ArgumentErrors, parse_output
from interlock_server.executors.speakers import DELEGATE, Speaker
from interlock_server.executors.tools import BadArguments, LoadedTool


@dataclass
class Scene:
    """One execution of a step's agent or team: what its conversations have in common."""

    context: Context
    place: Place
    executor: v1.ExecutorRef
    executor_name: str
    usage: v1.Usage = field(default_factory=v1.Usage)
    deltas: int = 0


@dataclass(frozen=True)
class Checked:
    """A call as it was found when the model made it: part of the record of its turn.

    Args:
        args_json: the arguments, checked; empty when there is an `error`.
        error: why the call cannot be made, for the model to read.
        gate: the kind of requirement it waits for; 0 means that it is free.
        stop: whether its result ends the conversation.
        on_interrupt: what happens when a process dies during the call; 0 is
            what the service does by default.
        timeout: seconds that each of its questions waits; 0 means for ever.
        on_timeout: what happens after that.
        can_edit: whether whoever confirms it may change its arguments.
        preview: what to show to whoever decides.
    """

    args_json: str = ""
    error: str = ""
    gate: int = 0
    stop: bool = False
    on_interrupt: int = 0
    timeout: float = 0.0
    on_timeout: int = 0
    can_edit: bool = False
    preview: str = ""

    @property
    def asks(self) -> bool:
        """Whether somebody is asked when it is in doubt that the call happened."""
        default = v1.ON_INTERRUPT_ASK if self.gate else v1.ON_INTERRUPT_RETRY
        return (self.on_interrupt or default) == v1.ON_INTERRUPT_ASK

    @property
    def may_repeat(self) -> bool:
        """Whether the call is simply made again then."""
        return not self.asks and self.on_interrupt != v1.ON_INTERRUPT_FAIL


@dataclass
class Invocation:
    """One call on its way to its outcome, under the key that it is recorded by.

    Args:
        gate: the key of the question that was asked last about it.
        meant: what was decided about it.
        change_note: why a person changed its arguments.
    """

    key: Key
    call: ToolCall
    checked: Checked
    execution: v1.ToolExecution
    inside: list[v1.ToolExecution] = field(default_factory=list)
    is_refused: bool = False
    gate: Key = field(init=False)
    meant: Go | Answered | None = None
    change_note: str = ""

    def __post_init__(self) -> None:
        self.gate = self.key.part("gate")

    def change(self, args_json: str, note: str) -> None:
        """Takes the arguments that a person wrote."""
        execution = self.execution
        execution.proposed_args_json = execution.proposed_args_json or execution.tool_args_json
        execution.tool_args_json = args_json
        self.change_note = note

    @property
    def is_answered(self) -> bool:
        """Whether it has its outcome."""
        return self.execution.WhichOneof("outcome") is not None

    @property
    def told(self) -> ToolResult:
        """What the model reads of it."""
        execution = self.execution
        is_error = execution.WhichOneof("outcome") == "error_message"
        text = execution.error_message if is_error else _readable(execution.result_json)
        if execution.proposed_args_json:
            reason = f": {self.change_note}" if self.change_note else "."
            changed = f"A person changed the arguments to {execution.tool_args_json}{reason}"
            text = f"{changed}\n{text}"
        return ToolResult(
            self.call.tool_call_id, self.call.tool_name, text, is_error, self.is_refused
        )

    @property
    def ends_conversation(self) -> bool:
        """Whether it succeeded, and its tool says that success is the end."""
        execution = self.execution
        return execution.stop_after_tool_call and execution.WhichOneof("outcome") == "result_json"


@dataclass(frozen=True)
class Conversation:
    """A speaker at work on one task; `executions` collects the calls, in call order."""

    scene: Scene
    speaker: Speaker
    key: Key
    member_path: tuple[str, ...] = ()
    executions: list[v1.ToolExecution] = field(default_factory=list)

    async def run(self, task: str) -> Any:
        """Talks until the model gives its final answer, and returns it as a JSON value.

        Raises:
            StepFailure: the model failed, or did not come to an end in its turns.
            Suspended: a call waits for somebody.
        """
        messages: list[Message] = [UserMessage(task)]
        most = self.speaker.definition.max_turns
        for number in range(1, most + 1):
            at = self.key.part(f"turn{number}")
            turn, invocations = await self._turn(at, messages)
            messages.append(turn)
            if invocations:
                await self._answer_calls(invocations)
                for one in invocations:
                    if one.ends_conversation:
                        return jsontext.loads(one.execution.result_json)
                messages.append(ToolResults(tuple(one.told for one in invocations)))
                continue
            try:
                return self._answer(turn.text)
            except ArgumentErrors as errors:
                messages.append(Correction(f"The answer does not fit its schema: {errors}"))
        text = f"{self.speaker.name!r} did not come to an end in {most} turns"
        raise StepFailure("TURN_LIMIT_EXCEEDED", text, agent_name=self.speaker.name)

    def _answer(self, text: str) -> Any:
        if self.speaker.output is None:
            return text
        return parse_output(self.speaker.definition.output_schema, text)

    # The model's turn.

    async def _turn(
        self, at: Key, messages: Sequence[Message]
    ) -> tuple[ModelTurn, list[Invocation]]:
        try:
            record = await self.scene.context.call(
                at.part("model"), Effect(lambda performance: self._speak(messages, performance))
            )
        except EffectFailed as failure:
            raise StepFailure(
                failure.reason, failure.message, agent_name=self.speaker.name
            ) from failure
        calls = [ToolCall(**call) for call in record["turn"].pop("tool_calls")]
        turn = ModelTurn(**record["turn"], tool_calls=tuple(calls))
        self.scene.usage.model_requests += 1
        self.scene.usage.input_tokens += turn.input_tokens
        self.scene.usage.output_tokens += turn.output_tokens
        time = Timestamp()
        time.FromMicroseconds(record["time"])
        checked = [Checked(**one) for one in record["checked"]]
        return turn, [
            self._invocation(at.part(f"call{number}"), call, one, time)
            for number, (call, one) in enumerate(zip(calls, checked, strict=True), start=1)
        ]

    async def _speak(self, messages: Sequence[Message], performance: Performance) -> Any:
        """Asks the model, and checks the calls it makes."""
        request = ModelRequest(
            messages=tuple(messages),
            instructions=self.speaker.instructions,
            tools=self.speaker.specs,
            output=self.speaker.output,
            settings=self.speaker.definition.settings,
        )
        try:
            turn = await self.speaker.model.request(request, self._voice(performance))
        except ModelError as error:
            raise EffectFailed("MODEL_FAILED", str(error)) from error
        try:
            jsontext.dumps(turn.text)
        except jsontext.JsonError as error:
            raise EffectFailed("MODEL_FAILED", f"the text of the model {error}") from error
        if len(turn.tool_calls) > limits.tool_calls_per_turn_max:
            text = f"the model made {len(turn.tool_calls)} calls in one turn"
            raise EffectFailed("TOOL_CALL_LIMIT_EXCEEDED", text)
        calls = [vars(call) for call in turn.tool_calls]
        return {
            "turn": {**vars(turn), "tool_calls": calls},
            "checked": [vars(await self._checked(call, performance)) for call in turn.tool_calls],
            "time": int(self.scene.context.now().timestamp() * 1_000_000),
        }

    def _voice(self, performance: Performance) -> Callable[[str], None] | None:
        """Shows text as it comes to whoever watches; else the model need not stream."""
        if not performance.is_watched:
            return None

        def on_text(text: str) -> None:
            self.scene.deltas += 1
            delta = v1.ContentDelta(
                text=jsontext.clean(text), index=self.scene.deltas, agent_name=self.speaker.name
            )
            performance.publish(v1.RunEvent(step=self.scene.place.ref, content_delta=delta))

        return on_text

    async def _checked(self, call: ToolCall, performance: Performance) -> Checked:
        tool = self.speaker.tools.get(call.tool_name)
        try:
            if tool is not None:
                args_json = tool.parse(call.args_json)
                is_gated = await tool.is_gated(args_json, performance)
                return Checked(
                    args_json,
                    gate=int(tool.kind) if is_gated else 0,
                    stop=tool.tool.stop_after_tool_call,
                    on_interrupt=int(tool.on_interrupt),
                    timeout=tool.timeout,
                    on_timeout=int(tool.on_timeout),
                    can_edit=tool.tool.editable_args,
                    preview=await tool.preview(args_json, performance) if is_gated else "",
                )
            if call.tool_name == DELEGATE and self.speaker.members:
                return Checked(self._parsed_delegation(call.args_json))
        except BadArguments as error:
            return Checked(error=jsontext.clean(str(error)))
        known = ", ".join(spec.name for spec in self.speaker.specs) or "none"
        name = jsontext.clean(call.tool_name)[: limits.name_characters_max]
        return Checked(error=f"There is no tool {name!r}; the tools are: {known}.")

    def _parsed_delegation(self, args_json: str) -> str:
        try:
            args = jsontext.loads(args_json)
        except jsontext.JsonError as error:
            raise BadArguments(f"The arguments are not usable: {error}.") from None
        if not isinstance(args, dict) or args.get("member_name") not in self.speaker.members:
            members = ", ".join(self.speaker.members)
            raise BadArguments(f"member_name must name a member of the team: {members}.")
        if not isinstance(args.get("task"), str):
            raise BadArguments("task must be a text.")
        return jsontext.dumps(args)

    # Its calls.

    def _invocation(
        self, key: Key, call: ToolCall, checked: Checked, time: Timestamp
    ) -> Invocation:
        execution = v1.ToolExecution(
            tool_call_id=jsontext.clean(call.tool_call_id),
            tool_name=jsontext.clean(call.tool_name),
            tool_args_json=checked.args_json,
            agent_name=self.speaker.name,
            stop_after_tool_call=checked.stop,
            create_time=time,
        )
        if checked.error:
            execution.error_message = checked.error
        return Invocation(key, call, checked, execution)

    async def _answer_calls(self, invocations: Sequence[Invocation]) -> None:
        """Gives every call its outcome.

        Calls without a gate run at once. Gated ones run in call order when each
        of them has been decided; until then nothing gated has happened.
        """
        gated = [one for one in invocations if one.checked.gate]
        free = [one for one in invocations if not one.checked.gate and not one.is_answered]
        await gather_all(*(self._call(one) for one in free), *(self._decide(one) for one in gated))
        for one in gated:
            await self._settle(one)
        for one in invocations:
            self.executions.extend((one.execution, *one.inside))

    async def _call(self, one: Invocation) -> None:
        if one.call.tool_name == DELEGATE and self.speaker.members:
            await self._delegate(one)
        else:
            await self._perform(one)

    def _question(self, one: Invocation) -> v1.Requirement:
        question = self._about(one, v1.RequirementKind.ValueType(one.checked.gate))
        question.message = one.checked.preview
        question.can_edit_args = one.checked.can_edit
        tool = self.speaker.tools.get(one.call.tool_name)
        if tool and question.kind == v1.REQUIREMENT_KIND_USER_INPUT:
            question.user_input_schema.extend(tool.fields(one.execution.tool_args_json))
        elif tool:
            tool.ask(question, jsontext.loads(one.execution.tool_args_json))
        return question

    def _about(self, one: Invocation, kind: v1.RequirementKind.ValueType) -> v1.Requirement:
        question = v1.Requirement(
            step=self.scene.place.ref,
            executor=self.scene.executor,
            executor_name=self.scene.executor_name,
            executor_run_id=self.scene.place.key,
            member_path=self.member_path,
            kind=kind,
            tool_execution=one.execution,
            attempt=self.scene.place.tried,
        )
        if one.checked.timeout:
            timeout = timedelta(seconds=one.checked.timeout)
            on_timeout = v1.OnTimeout.ValueType(one.checked.on_timeout)
            waits(question, timeout, on_timeout, self.scene.context.now())
        return question

    async def _decide(self, one: Invocation) -> None:
        """Asks about a gated call; about arguments that a person changed, as often as it takes."""
        number = 1
        while True:
            question = self._question(one)
            answer = await self.scene.context.ask(one.gate, question)
            one.meant = verdict(question, answer)
            if not (isinstance(one.meant, Go) and answer.confirm.edited_args_json):
                return
            one.change(one.meant.args_json, answer.confirm.note)
            judged = await self._judged_anew(one)
            if not judged["waits"]:
                return
            number += 1
            one.checked = replace(one.checked, preview=judged["preview"])
            one.gate = one.key.part(f"gate{number}")

    async def _judged_anew(self, one: Invocation) -> Any:
        """Whether a call with changed arguments waits again, and for what.

        Whoever changes arguments says yes to them, unless the tool looks at them
        itself to say which calls need a yes.
        """
        args_json, tool = one.execution.tool_args_json, self._tool(one)

        async def perform(performance: Performance) -> Any:
            waits_again = callable(tool.tool.requires_confirmation) and await tool.is_gated(
                args_json, performance
            )
            preview = await tool.preview(args_json, performance) if waits_again else ""
            return {"waits": waits_again, "preview": preview}

        return await self.scene.context.call(one.gate.part("judged"), Effect(perform))

    async def _settle(self, one: Invocation) -> None:
        """Does with a gated call what was decided."""
        match one.meant:
            case Go(args_json):
                one.execution.tool_args_json = args_json
                await self._perform(one)
            case Answered(error_message="", result_json=result_json):
                one.execution.result_json = result_json
            case Answered(error_message=error_message, is_refusal=is_refusal):
                one.execution.error_message = error_message
                one.is_refused = is_refusal

    async def _perform(self, one: Invocation) -> None:
        args_json = one.execution.tool_args_json

        async def perform(performance: Performance) -> Any:
            return await self._tool(one).perform(args_json, performance)

        self._emit(one, tool_call_started=v1.ToolCallStarted(tool_execution=one.execution))
        try:
            effect = Effect(perform, self._once(one), check=lambda: self._tool(one))
            result = await self.scene.context.call(one.key, effect)
            one.execution.result_json = jsontext.dumps(result)
        except EffectFailed as failure:
            one.execution.error_message = jsontext.clean(failure.message) or failure.reason
        self._emit(one, tool_call_completed=v1.ToolCallCompleted(tool_execution=one.execution))

    def _once(self, one: Invocation) -> Once | None:
        """What protects a call: the decision it needs, and what happens when it is in doubt."""
        execution = one.execution
        if one.checked.may_repeat and not one.checked.gate:
            return None
        doubt = self._about(one, v1.REQUIREMENT_KIND_IN_DOUBT) if one.checked.asks else None
        digest = call_digest(execution.tool_name, execution.tool_args_json)
        grant = Grant(one.gate, digest) if one.checked.gate else None
        return Once(doubt, grant, is_repeatable=one.checked.may_repeat)

    def _tool(self, one: Invocation) -> LoadedTool:
        try:
            return self.speaker.tools[one.call.tool_name]
        except KeyError:
            raise CodeMissing(f"{self.speaker.name}.{one.call.tool_name}") from None

    async def _delegate(self, one: Invocation) -> None:
        args = jsontext.loads(one.execution.tool_args_json)
        member = self.speaker.members.get(args["member_name"])
        if member is None:
            raise CodeMissing(f"{self.speaker.name}.{args['member_name']}")
        self._emit(one, tool_call_started=v1.ToolCallStarted(tool_execution=one.execution))
        path = (*self.member_path, member.name)
        work = Conversation(self.scene, member, one.key.child(member.name), path)
        one.execution.result_json = jsontext.dumps(await work.run(args["task"]))
        one.inside.extend(work.executions)
        self._emit(one, tool_call_completed=v1.ToolCallCompleted(tool_execution=one.execution))

    def _emit(self, one: Invocation, **event: Any) -> None:
        self.scene.context.emit(one.key, v1.RunEvent(step=self.scene.place.ref, **event))


def _readable(result_json: str) -> str:
    return jsontext.shown(jsontext.loads(result_json))
