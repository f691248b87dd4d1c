"""Reviews: what people are asked about a whole node, and where their answers lead.

The levels of a node stand around its run in their natural order: before it the
confirmation, the values, and the choice of routes; after it the judgement of its
output, or the decision about its failure. Each is one question under a key of its
own. Sent back, a node is visited again, under keys with a number; a node that
passes at once leaves no trace of having been asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import Cancelled, Context, Suspended
from interlock_server.engine.fields import with_defaults
from interlock_server.engine.gates import StepEnds, options_of, refusal, waits
from interlock_server.engine.pauses import by_step
from interlock_server.engine.places import Place
from interlock_server.engine.values import StepInput, StepOutput


class Predicates(Protocol):
    """Decides whether an output needs its review."""

    async def needs_review(
        self, context: Context, place: Place, function: str, output: StepOutput
    ) -> bool:
        """Whether a person must see it; yes as well when the function cannot tell."""
        ...


@dataclass(frozen=True)
class Visit:
    """One coming by at a node, with what people have said about it so far.

    Args:
        number: counts from 1; a node that is sent back is visited again.
        retries: how often it was sent back by a rejection, which has a limit.
        has_run: whether it ran in a visit before this one.
        branch: of a condition, as a person decided it; unset, the evaluator does.
        routes: of a router, what it is about to run; unset, nobody has chosen yet.
    """

    place: Place
    given: StepInput
    number: int = 1
    retries: int = 0
    is_confirmed: bool = False
    is_filled_in: bool = False
    has_run: bool = False
    branch: bool | None = None
    routes: tuple[str, ...] | None = None

    @property
    def at(self) -> Place:
        """Where this visit is."""
        return self.place.visit(self.number)

    def again(self, feedback: str, previous: StepOutput | None = None) -> Visit:
        """The next visit, with what a person said about this one."""
        content = None if previous is None else previous.content
        given = replace(self.given, feedback=feedback, previous_output=content)
        return replace(self, given=given, number=self.number + 1)


class SentBack(Exception):
    """A person wants the node to be run again, in another visit."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(f"visit {visit.number}")
        self.visit = visit


class PassedOver(Exception):
    """A person wants to go on without the node, or without what it gave."""


class Reviews:
    """Asks people about nodes; each method returns only when the run may go on."""

    def __init__(self, context: Context, predicates: Predicates) -> None:
        self.context = context
        self.predicates = predicates

    async def admit(self, node: v1.WorkflowNode, visit: Visit) -> Visit:
        """Asks what must be answered before a node runs.

        Raises:
            SentBack, PassedOver, Cancelled: it does not run now.
        """
        review = node.human_review
        if review.requires_confirmation and not visit.is_confirmed:
            visit = await self._confirm(node, visit)
        if review.requires_user_input and not visit.is_filled_in:
            visit = await self._fill_in(node, visit)
        if review.requires_route_selection or (visit.has_run and node.HasField("router")):
            visit = await self._select(node, visit)
        return visit

    async def judge(self, node: v1.WorkflowNode, visit: Visit, output: StepOutput) -> StepOutput:
        """Has the output of a node judged; gives it as it is to be.

        Raises:
            SentBack, PassedOver, Cancelled: it does not count.
        """
        review = node.human_review
        if not review.requires_output_review or output.skipped:
            return output
        function = review.output_review_function
        if function and not await self.predicates.needs_review(
            self.context, visit.at, function, output
        ):
            return output
        message = review.output_review_message or f"Is the output of {_named(node)} good?"
        question = _gate(v1.REQUIREMENT_KIND_OUTPUT_REVIEW, node, visit, message, output.content)
        answer = await self._ask(node, visit.at, "review", question)
        match answer.WhichOneof("resolution"):
            case "confirm":
                return output
            case "edited_output":
                return self._edited(node, visit.at, answer.edited_output, output)
            case _:
                ran = replace(visit, has_run=True)
                raise self._refused(ran, visit.at.part("review"), question, answer, output)

    async def judge_iteration(
        self, node: v1.WorkflowNode, visit: Visit, at: Place, number: int, output: StepOutput
    ) -> StepInput | None:
        """Has one iteration of a loop judged; gives what another one begins with, if there is one.

        Raises:
            PassedOver, Cancelled: the loop does not count.
        """
        review, most = node.human_review, node.loop.max_iterations
        if not review.requires_iteration_review:
            return visit.given
        usual = f"{_named(node)} has run iteration {number} of {most}. Is it done?"
        message = review.iteration_review_message or usual
        question = _gate(v1.REQUIREMENT_KIND_ITERATION_REVIEW, node, visit, message, output.content)
        # A loop is sent back as often as it has iterations.
        question.step_gate.iteration = number
        question.step_gate.retry_count, question.step_gate.max_retries = number - 1, most - 1
        answer = await self._ask(node, at, "review", question)
        if answer.HasField("confirm"):
            return None
        refused = self._refused(visit, at.part("review"), question, answer, output)
        if not isinstance(refused, SentBack):
            raise refused
        return refused.visit.given

    async def settle_failure(
        self, node: v1.WorkflowNode, visit: Visit, error: v1.RunError
    ) -> StepOutput | v1.RunError:
        """Asks what shall become of a failed step; gives its output, or the error it fails with.

        Raises:
            SentBack, PassedOver: it is tried again, or the run goes on without it.
        """
        question = v1.Requirement(
            kind=v1.REQUIREMENT_KIND_ERROR_DECISION,
            step_failure=v1.StepFailure(reason=error.reason, message=error.message),
            message=f"{_named(node)} failed. What now?",
        )
        answer = await self._ask(node, visit.at, "error", question)
        match answer.WhichOneof("resolution"):
            case "retry":
                raise SentBack(visit.again(answer.retry.feedback))
            case "skip":
                raise PassedOver(error.message)
            case "edited_output":
                return self._edited(node, visit.at, answer.edited_output, StepOutput())
            case _:
                told = v1.RunError()
                told.CopyFrom(error)
                told.message = answer.fail.message or answer.reject.note or error.message
                return told

    # The levels before a node.

    async def _confirm(self, node: v1.WorkflowNode, visit: Visit) -> Visit:
        message = node.human_review.confirmation_message or f"Run {_named(node)}?"
        question = _gate(
            v1.REQUIREMENT_KIND_STEP_CONFIRMATION, node, visit, message, visit.given.message
        )
        question.step_gate.selected_routes.extend(visit.routes or ())
        answer = await self._ask(node, visit.at, "confirm", question)
        is_yes = answer.HasField("confirm")
        takes_else = answer.HasField("reject") and (
            refusal(question, answer).leads_to == v1.ON_REJECT_ELSE
        )
        if not (is_yes or takes_else):
            raise self._refused(visit, visit.at.part("confirm"), question, answer)
        if takes_else:
            self._emit_rejected(visit.at.part("confirm"), question, answer)
        return replace(visit, is_confirmed=True, branch=is_yes)

    async def _fill_in(self, node: v1.WorkflowNode, visit: Visit) -> Visit:
        review = node.human_review
        message = review.user_input_message or f"Values for {_named(node)}"
        question = _gate(v1.REQUIREMENT_KIND_STEP_INPUT, node, visit, message, visit.given.message)
        question.user_input_schema.extend(review.user_input_schema)
        answer = await self._ask(node, visit.at, "input", question)
        if not answer.HasField("user_input"):
            raise self._refused(visit, visit.at.part("input"), question, answer)
        values = with_defaults(review.user_input_schema, answer.user_input.values_json)
        given = replace(visit.given, user_input=values)
        return replace(visit, given=given, is_filled_in=True)

    async def _select(self, node: v1.WorkflowNode, visit: Visit) -> Visit:
        review, proposed = node.human_review, visit.routes or ()
        question = v1.Requirement(
            kind=v1.REQUIREMENT_KIND_ROUTE_SELECTION,
            message=review.route_selection_message or f"Which routes of {_named(node)} shall run?",
            route_selection=v1.RouteSelection(
                available_routes=[route.name for route in node.router.routes],
                proposed_routes=proposed,
                allow_multiple=review.allow_multiple_selections or len(proposed) > 1,
            ),
        )
        _offer(question.route_selection, node, visit)
        answer = await self._ask(node, visit.at, "route", question)
        if not answer.HasField("route_choice"):
            raise self._refused(visit, visit.at.part("route"), question, answer)
        routes = tuple(answer.route_choice.routes)
        self._emit(visit.at.part("route"), route_selected=v1.RouteSelected(selected_routes=routes))
        return replace(visit, routes=routes)

    # Asking, and what follows.

    async def _ask(
        self, node: v1.WorkflowNode, at: Place, level: str, question: v1.Requirement
    ) -> v1.RequirementResolution:
        here = at.part(level)
        question.step.CopyFrom(at.ref)
        question.attempt = at.visited
        # Each question of a node waits for itself; nothing else has to be answered with it.
        question.executor_run_id = here.key
        review = node.human_review
        if review.HasField("timeout"):
            now = self.context.now()
            waits(question, review.timeout.ToTimedelta(), review.on_timeout, now)
        try:
            return await self.context.ask(here.key, question)
        except Suspended as suspended:
            [paused] = by_step(suspended.requirements)
            self._emit(here, step_paused=v1.StepPaused(step_requirement=paused))
            raise

    def _refused(
        self,
        visit: Visit,
        at: Place,
        question: v1.Requirement,
        answer: v1.RequirementResolution,
        previous: StepOutput | None = None,
    ) -> BaseException:
        """Says that a person refuses, and gives how the engine is told."""
        if answer.HasField("fail"):  # Only the clock answers like this.
            return StepEnds(is_skipped=False)
        self._emit_rejected(at, question, answer)
        refused = refusal(question, answer)
        match refused.leads_to:
            case v1.ON_REJECT_RETRY:
                again = visit.again(refused.note, previous)
                return SentBack(replace(again, retries=visit.retries + 1))
            case v1.ON_REJECT_CANCEL:
                return Cancelled(_reason(at.name, question, answer), at.key)
            case _:
                return PassedOver(refused.note or f"{at.name!r} was rejected")

    def _emit_rejected(
        self, at: Place, question: v1.Requirement, answer: v1.RequirementResolution
    ) -> None:
        refused = refusal(question, answer)
        rejected = v1.StepRejected(
            kind=question.kind, note=refused.note, on_reject=refused.leads_to
        )
        self._emit(at, step_rejected=rejected)

    def _edited(
        self, node: v1.WorkflowNode, at: Place, edited: v1.EditedOutput, output: StepOutput
    ) -> StepOutput:
        result = v1.StepResult(
            step=at.ref,
            outcome=v1.STEP_OUTCOME_COMPLETED,
            output_json=edited.output_json,
            stop=output.stop,
        )
        if node.HasField("step"):
            result.executor.CopyFrom(node.step.executor)
        self._emit(at, output_edited=v1.OutputEdited(result=result))
        return replace(output, content=jsontext.loads(edited.output_json))

    def _emit(self, at: Place, **event: Any) -> None:
        self.context.emit(at.key, v1.RunEvent(step=at.ref, **event))


def _gate(
    kind: v1.RequirementKind.ValueType,
    node: v1.WorkflowNode,
    visit: Visit,
    message: str,
    content: Any,
) -> v1.Requirement:
    gate = v1.StepGate(content_json=jsontext.dumps(content))
    _offer(gate, node, visit)
    return v1.Requirement(kind=kind, message=message, step_gate=gate)


def _offer(options: v1.StepGate | v1.RouteSelection, node: v1.WorkflowNode, visit: Visit) -> None:
    """Says what a rejection does, and what else it may do."""
    choices: Sequence[v1.OnReject.ValueType] = node.human_review.on_reject
    options.on_reject = choices[0] if choices else v1.ON_REJECT_SKIP
    options.on_reject_choices.extend(choices)
    options.max_retries = node.human_review.max_retries
    options.retry_count = visit.retries


def _reason(name: str, question: v1.Requirement, answer: v1.RequirementResolution) -> str:
    note, options = refusal(question, answer).note, options_of(question)
    wishes = answer.reject.on_reject or options.on_reject
    if wishes == v1.ON_REJECT_RETRY:
        return f"{name!r} was rejected, and {options.max_retries} retries are used up"
    return f"{name!r} was rejected: {note}" if note else f"{name!r} was rejected"


def _named(node: v1.WorkflowNode) -> str:
    return f"{node.WhichOneof('node')} {node.name!r}"
