"""The interpreter: one plain async function over the tree of nodes.

Unary or streaming, first leg or tenth, recovered or not: it is always this code.
It is the only place that branches on the kind of a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import Context, Suspended, gather_all
from interlock_server.engine.gates import INTERRUPTED_REASON, StepEnds
from interlock_server.engine.parts import Parts
from interlock_server.engine.pauses import by_step
from interlock_server.engine.places import TOP, Place
from interlock_server.engine.reviews import PassedOver, Reviews, SentBack, Visit
from interlock_server.engine.values import StepInput, StepOutput


class StepFailure(Exception):
    """A step, an evaluator or a selector failed; `error` says why."""

    def __init__(self, reason: str, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.error = v1.RunError(reason=reason, message=jsontext.clean(message), metadata=metadata)


@dataclass(frozen=True)
class Execution:
    """What an executor gave, and what it took."""

    output: StepOutput
    tool_executions: Sequence[v1.ToolExecution] = ()
    usage: v1.Usage = field(default_factory=v1.Usage)


class Executors(Protocol):
    """The hands: looks up what the definition names, and does it through the context.

    Each method raises `StepFailure` when what it calls fails or answers with
    something of the wrong type.
    """

    async def execute(
        self, context: Context, place: Place, node: v1.WorkflowNode, given: StepInput
    ) -> Execution:
        """Runs a step's executor.

        Raises:
            StepEnds: nobody answered a question of it in time.
        """
        ...

    async def evaluate(
        self, context: Context, place: Place, function: str, given: StepInput
    ) -> bool:
        """Decides a condition."""
        ...

    async def select(
        self,
        context: Context,
        place: Place,
        function: str,
        given: StepInput,
        routes: Sequence[str],
    ) -> list[str]:
        """Chooses routes, in the order in which they run; all are among `routes`."""
        ...

    async def ends(
        self, context: Context, place: Place, function: str, outputs: Sequence[StepOutput]
    ) -> bool:
        """Decides after an iteration whether its loop ends."""
        ...

    async def needs_review(
        self, context: Context, place: Place, function: str, output: StepOutput
    ) -> bool:
        """Decides whether a person must see an output; yes as well when it cannot tell."""
        ...


class Interpreter:
    """Interprets one run of one workflow."""

    def __init__(self, context: Context, executors: Executors) -> None:
        self.context = context
        self.executors = executors
        self.reviews = Reviews(context, executors)
        self._parts = Parts(context)

    @property
    def usage(self) -> v1.Usage:
        """What all steps took that have run so far."""
        return self._parts.whole.usage

    async def run(self, workflow: v1.Workflow, run_input: Any) -> StepOutput:
        """Runs the workflow to its end and returns its last output.

        Raises:
            StepFailure: a step failed and its policy is to fail the run.
            Suspended: the run waits for requirements; run again when they are resolved.
            Cancelled: the run was cancelled.
        """
        try:
            outputs = await self._sequence(workflow.nodes, StepInput(input=run_input), TOP)
        except Suspended:
            self._parts.record()
            raise
        return _combined(outputs)

    async def _sequence(
        self, nodes: Iterable[v1.WorkflowNode], given: StepInput, at: Place
    ) -> list[StepOutput]:
        outputs: list[StepOutput] = []
        for node in nodes:
            output = await self._node(node, given, at.child(node))
            outputs.append(output)
            if output.stop:
                break
            given = given.after(output)
        return outputs

    async def _node(self, node: v1.WorkflowNode, given: StepInput, at: Place) -> StepOutput:
        """A node, with everything about it in which people have a say."""
        visit = Visit(at, given)
        while True:
            try:
                output = await self._visit(node, visit)
            except SentBack as back:
                visit = back.visit
                continue
            except PassedOver as passed:
                output = self._skipped(node, visit.at, str(passed))
            return output.named(node.name)

    async def _visit(self, node: v1.WorkflowNode, visit: Visit) -> StepOutput:
        if node.HasField("router") and visit.routes is None:
            visit = replace(visit, routes=await self._proposal(node.router, visit))
        try:
            visit = await self.reviews.admit(node, visit)
            output = await self._run(node, visit)
            return await self.reviews.judge(node, visit, output)
        except StepEnds as end:
            if end.is_skipped:
                return self._skipped(node, visit.at, str(end))
            failure = StepFailure("REQUIREMENT_EXPIRED", str(end))
            if skipped := self._failed(node, visit.at, failure):
                return skipped
            return await self._settled(node, visit, failure)
        except StepFailure as failure:
            return await self._settled(node, visit, failure)

    async def _run(self, node: v1.WorkflowNode, visit: Visit) -> StepOutput:
        if node.HasField("step"):
            return await self._step(node, visit.given, visit.at)
        if known := self._parts.known(visit.at.key):
            return known
        with self._parts.entered(visit.at.key) as part:
            part.output = await self._container(node, visit)
        return part.output

    async def _container(self, node: v1.WorkflowNode, visit: Visit) -> StepOutput:
        given, at = visit.given, visit.at
        match node.WhichOneof("node"):
            case "steps":
                return await self._steps(node.steps, given, at)
            case "condition":
                return await self._condition(node.condition, visit)
            case "loop":
                return await self._loop(node, visit)
            case "router":
                return await self._router(node.router, visit)
            case "parallel":
                return await self._parallel(node.parallel, given, at)
            case "workflow":
                return await self._nested(node.workflow, given, at)
            case unknown:
                raise AssertionError(f"a stored definition has a node of kind {unknown!r}")

    async def _settled(
        self, node: v1.WorkflowNode, visit: Visit, failure: StepFailure
    ) -> StepOutput:
        """What becomes of a node that failed."""
        if node.step.on_error != v1.ON_STEP_ERROR_PAUSE:
            raise failure
        settled = await self.reviews.settle_failure(node, visit, failure.error)
        if isinstance(settled, StepOutput):
            return settled
        raise StepFailure(settled.reason, settled.message, **settled.metadata) from failure

    async def _steps(self, steps: v1.StepsNode, given: StepInput, at: Place) -> StepOutput:
        self._emit(at, steps_started=v1.StepsStarted(node_count=len(steps.nodes)))
        outputs = await self._sequence(steps.nodes, given, at)
        output = _combined(outputs)
        done = v1.StepsCompleted(executed_count=_executed(outputs), result=_result(at, output))
        self._emit(at, steps_completed=done)
        return output

    async def _condition(self, condition: v1.ConditionNode, visit: Visit) -> StepOutput:
        given, at = visit.given, visit.at
        answer = condition.constant
        if visit.branch is not None:
            answer = visit.branch
        elif condition.WhichOneof("evaluator") == "function":
            answer = await self.executors.evaluate(self.context, at, condition.function, given)
        self._emit(at, condition_started=v1.ConditionStarted(result=answer))
        branch = condition.nodes if answer else condition.else_nodes
        outputs = await self._sequence(branch, given, at)
        output = _combined(outputs)
        done = v1.ConditionCompleted(
            condition_result=answer, executed_count=_executed(outputs), result=_result(at, output)
        )
        self._emit(at, condition_completed=done)
        return output

    async def _loop(self, node: v1.WorkflowNode, visit: Visit) -> StepOutput:
        loop, at = node.loop, visit.at
        self._emit(at, loop_started=v1.LoopStarted(max_iterations=loop.max_iterations))
        iterations: list[StepOutput] = []
        starting: StepInput | None = visit.given
        while starting is not None:
            turn = replace(visit, given=starting)
            output, starting = await self._iteration(node, turn, len(iterations) + 1)
            iterations.append(output)
        output = _combined(iterations)
        done = v1.LoopCompleted(iteration_count=len(iterations), result=_result(at, output))
        self._emit(at, loop_completed=done)
        return output

    async def _iteration(
        self, node: v1.WorkflowNode, visit: Visit, number: int
    ) -> tuple[StepOutput, StepInput | None]:
        """One iteration; gives its output and what the next one begins with, if there is one."""
        loop, at = node.loop, visit.at.iteration(number)
        self._emit(at, loop_iteration_started=v1.LoopIterationStarted(iteration=number))
        outputs = await self._sequence(loop.nodes, visit.given, at)
        output, following = _combined(outputs), None
        ends = output.stop
        if not ends and loop.end_condition_function:
            ends = await self.executors.ends(self.context, at, loop.end_condition_function, outputs)
        if not ends and number < loop.max_iterations:
            following = await self.reviews.judge_iteration(node, visit, at, number, output)
        # Whether another one follows is known only when the iteration has been judged.
        done = v1.LoopIterationCompleted(iteration=number, will_continue=following is not None)
        self._emit(at, loop_iteration_completed=done)
        if following and loop.forward_iteration_output:
            following = following.after(output.named(at.name))
        return output, following

    async def _proposal(self, router: v1.RouterNode, visit: Visit) -> tuple[str, ...]:
        """What a router would run by itself."""
        if not router.selector_function:
            return ()
        routes = [route.name for route in router.routes]
        return tuple(
            await self.executors.select(
                self.context, visit.at, router.selector_function, visit.given, routes
            )
        )

    async def _router(self, router: v1.RouterNode, visit: Visit) -> StepOutput:
        given, at, chosen = visit.given, visit.at, visit.routes or ()
        routes = {route.name: route for route in router.routes}
        self._emit(at, router_started=v1.RouterStarted(selected_routes=chosen))
        outputs: list[StepOutput] = []
        for position, name in enumerate(chosen, start=1):
            occurrence = chosen[:position].count(name)
            output = await self._node(routes[name], given, at.child(routes[name], occurrence))
            outputs.append(output)
            if output.stop:
                break
            given = given.after(output)
        output = _combined(outputs)
        done = v1.RouterCompleted(
            selected_routes=chosen, executed_count=_executed(outputs), result=_result(at, output)
        )
        self._emit(at, router_completed=done)
        return output

    async def _parallel(self, parallel: v1.ParallelNode, given: StepInput, at: Place) -> StepOutput:
        self._emit(at, parallel_started=v1.ParallelStarted(node_count=len(parallel.nodes)))
        outputs = await gather_all(
            *(self._node(node, given, at.child(node)) for node in parallel.nodes)
        )
        ran = [output for output in outputs if not output.skipped]
        output = StepOutput(
            content={one.step_name: one.content for one in ran},
            stop=any(one.stop for one in outputs),
            skipped=not ran,
            steps=tuple(outputs),
        )
        done = v1.ParallelCompleted(executed_count=len(ran), result=_result(at, output))
        self._emit(at, parallel_completed=done)
        return output

    async def _nested(
        self, nested: v1.NestedWorkflowNode, given: StepInput, at: Place
    ) -> StepOutput:
        """A workflow inside another sees what it would see alone: its input, and nothing else."""
        started = v1.NestedWorkflowStarted(workflow_id=nested.workflow_id)
        self._emit(at, nested_workflow_started=started)
        outputs = await self._sequence(nested.nodes, given.inside(), at)
        output = _combined(outputs)
        done = v1.NestedWorkflowCompleted(
            workflow_id=nested.workflow_id, result=_result(at, output)
        )
        self._emit(at, nested_workflow_completed=done)
        return output

    async def _step(self, node: v1.WorkflowNode, given: StepInput, at: Place) -> StepOutput:
        step = node.step
        attempts = max(1, step.retry_policy.max_attempts)
        for number in range(1, attempts + 1):
            attempt = at.attempt(number)
            started = v1.StepStarted(executor=step.executor, attempt=number)
            self._emit(attempt, step_started=started)
            try:
                execution = await self._execute(node, given, attempt)
            except StepFailure as failure:
                if number < attempts and failure.error.reason != INTERRUPTED_REASON:
                    failed = v1.StepFailed(error=failure.error, will_retry=True)
                    self._emit(attempt, step_failed=failed)
                    continue
                if skipped := self._failed(node, attempt, failure):
                    return skipped
                raise
            return self._completed(step, attempt, execution)
        raise AssertionError("a step has at least one attempt")

    async def _execute(self, node: v1.WorkflowNode, given: StepInput, at: Place) -> Execution:
        try:
            return await self.executors.execute(self.context, at, node, given)
        except Suspended as suspended:
            [paused] = by_step(suspended.requirements)
            pause = at.part(suspended.requirements[0].requirement_id)
            self._emit(pause, step_executor_paused=v1.StepExecutorPaused(step_requirement=paused))
            raise

    def _completed(self, step: v1.StepNode, at: Place, execution: Execution) -> StepOutput:
        self._parts.ran(execution.usage)
        result = _result(at, execution.output)
        result.executor.CopyFrom(step.executor)
        result.tool_executions.extend(execution.tool_executions)
        result.usage.CopyFrom(execution.usage)
        self._emit(at, step_completed=v1.StepCompleted(result=result))
        return execution.output

    def _failed(self, node: v1.WorkflowNode, at: Place, failure: StepFailure) -> StepOutput | None:
        """Says that a step failed; gives its output where failures are passed over."""
        if node.step.on_error == v1.ON_STEP_ERROR_SKIP:
            self._emit(at, step_failed=v1.StepFailed(error=failure.error))
            return self._skipped(node, at, failure.error.message, failure.error)
        result = v1.StepResult(
            step=at.ref,
            outcome=v1.STEP_OUTCOME_FAILED,
            error=failure.error,
            executor=node.step.executor if node.HasField("step") else None,
        )
        self._emit(at, step_failed=v1.StepFailed(error=failure.error, result=result))
        return None

    def _skipped(
        self, node: v1.WorkflowNode, at: Place, reason: str, error: v1.RunError | None = None
    ) -> StepOutput:
        result = v1.StepResult(step=at.ref, outcome=v1.STEP_OUTCOME_SKIPPED, error=error)
        if node.HasField("step"):
            result.executor.CopyFrom(node.step.executor)
        self._emit(at, step_skipped=v1.StepSkipped(reason=reason, result=result))
        return StepOutput(skipped=True, success=error is None, error=error and error.message)

    def _emit(self, at: Place, **event: Any) -> None:
        self.context.emit(at.key, v1.RunEvent(step=at.ref, **event))


def _combined(outputs: Sequence[StepOutput]) -> StepOutput:
    """What a sequence gives: the content of the last node that ran."""
    ran = [output for output in outputs if not output.skipped]
    return StepOutput(
        content=ran[-1].content if ran else None,
        stop=any(output.stop for output in outputs),
        skipped=not ran,
        steps=tuple(outputs),
    )


def _executed(outputs: Sequence[StepOutput]) -> int:
    return sum(not output.skipped for output in outputs)


def _result(at: Place, output: StepOutput) -> v1.StepResult:
    if output.skipped:
        return v1.StepResult(step=at.ref, outcome=v1.STEP_OUTCOME_SKIPPED, stop=output.stop)
    try:
        output_json = jsontext.dumps(output.content)
    except jsontext.JsonError as error:
        text = f"the result of {at.name!r} {error}"
        raise StepFailure("RESULT_NOT_JSON", text, step_name=at.name) from error
    return v1.StepResult(
        step=at.ref,
        outcome=v1.STEP_OUTCOME_COMPLETED,
        output_json=output_json,
        stop=output.stop,
    )
