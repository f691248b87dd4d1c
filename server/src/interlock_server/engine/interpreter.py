"""The interpreter: one plain async function over the tree of nodes.

Unary or streaming, first leg or tenth, recovered or not: it is always this code.
It is the only place that branches on the kind of a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock import v1
from interlock_server import jsontext
from interlock_server.engine.context import Context, Suspended, gather_all
from interlock_server.engine.gates import StepEnds
from interlock_server.engine.pauses import by_step
from interlock_server.engine.places import TOP, Place
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


class Interpreter:
    """Interprets one run of one workflow."""

    def __init__(self, context: Context, executors: Executors) -> None:
        self.context = context
        self.executors = executors
        self.usage = v1.Usage()

    async def run(self, workflow: v1.Workflow, run_input: Any) -> StepOutput:
        """Runs the workflow to its end and returns its last output.

        Raises:
            StepFailure: a step failed and its policy is to fail the run.
            Suspended: the run waits for requirements; run again when they are resolved.
            Cancelled: the run was cancelled.
        """
        outputs = await self._sequence(workflow.nodes, StepInput(input=run_input), TOP)
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
        match node.WhichOneof("node"):
            case "step":
                output = await self._step(node, given, at)
            case "steps":
                output = await self._steps(node.steps, given, at)
            case "condition":
                output = await self._condition(node.condition, given, at)
            case "loop":
                output = await self._loop(node.loop, given, at)
            case "router":
                output = await self._router(node.router, given, at)
            case "parallel":
                output = await self._parallel(node.parallel, given, at)
            case "workflow":
                output = await self._nested(node.workflow, given, at)
            case unknown:
                raise AssertionError(f"a stored definition has a node of kind {unknown!r}")
        return output.named(node.name)

    async def _steps(self, steps: v1.StepsNode, given: StepInput, at: Place) -> StepOutput:
        self._emit(at, steps_started=v1.StepsStarted(node_count=len(steps.nodes)))
        outputs = await self._sequence(steps.nodes, given, at)
        output = _combined(outputs)
        done = v1.StepsCompleted(executed_count=_executed(outputs), result=_result(at, output))
        self._emit(at, steps_completed=done)
        return output

    async def _condition(
        self, condition: v1.ConditionNode, given: StepInput, at: Place
    ) -> StepOutput:
        answer = condition.constant
        if condition.WhichOneof("evaluator") == "function":
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

    async def _loop(self, loop: v1.LoopNode, given: StepInput, at: Place) -> StepOutput:
        self._emit(at, loop_started=v1.LoopStarted(max_iterations=loop.max_iterations))
        iterations: list[StepOutput] = []
        starting = given
        while True:
            turn = at.iteration(len(iterations) + 1)
            outputs, ends = await self._iteration(loop, starting, turn, len(iterations) + 1)
            iterations.append(_combined(outputs))
            if ends:
                break
            if loop.forward_iteration_output:
                starting = starting.after(iterations[-1].named(at.name))
        output = _combined(iterations)
        done = v1.LoopCompleted(iteration_count=len(iterations), result=_result(at, output))
        self._emit(at, loop_completed=done)
        return output

    async def _iteration(
        self, loop: v1.LoopNode, given: StepInput, at: Place, number: int
    ) -> tuple[list[StepOutput], bool]:
        self._emit(at, loop_iteration_started=v1.LoopIterationStarted(iteration=number))
        outputs = await self._sequence(loop.nodes, given, at)
        ends = any(output.stop for output in outputs)
        if not ends and loop.end_condition_function:
            ends = await self.executors.ends(self.context, at, loop.end_condition_function, outputs)
        ends = ends or number == loop.max_iterations
        done = v1.LoopIterationCompleted(iteration=number, will_continue=not ends)
        self._emit(at, loop_iteration_completed=done)
        return outputs, ends

    async def _router(self, router: v1.RouterNode, given: StepInput, at: Place) -> StepOutput:
        routes = {route.name: route for route in router.routes}
        chosen = await self.executors.select(
            self.context, at, router.selector_function, given, list(routes)
        )
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
        outputs = await self._sequence(nested.nodes, StepInput(input=given.message), at)
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
                if number < attempts:
                    failed = v1.StepFailed(error=failure.error, will_retry=True)
                    self._emit(attempt, step_failed=failed)
                    continue
                return self._failed(step, attempt, failure)
            except StepEnds as end:
                return self._timed_out(step, attempt, end)
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
        _add(self.usage, execution.usage)
        result = _result(at, execution.output)
        result.executor.CopyFrom(step.executor)
        result.tool_executions.extend(execution.tool_executions)
        result.usage.CopyFrom(execution.usage)
        self._emit(at, step_completed=v1.StepCompleted(result=result))
        return execution.output

    def _failed(self, step: v1.StepNode, at: Place, failure: StepFailure) -> StepOutput:
        if step.on_error == v1.ON_STEP_ERROR_SKIP:
            self._emit(at, step_failed=v1.StepFailed(error=failure.error))
            return self._skipped(step, at, failure.error.message, failure.error)
        result = v1.StepResult(
            step=at.ref,
            outcome=v1.STEP_OUTCOME_FAILED,
            error=failure.error,
            executor=step.executor,
        )
        self._emit(at, step_failed=v1.StepFailed(error=failure.error, result=result))
        raise failure

    def _skipped(
        self, step: v1.StepNode, at: Place, reason: str, error: v1.RunError | None = None
    ) -> StepOutput:
        result = v1.StepResult(
            step=at.ref, outcome=v1.STEP_OUTCOME_SKIPPED, error=error, executor=step.executor
        )
        self._emit(at, step_skipped=v1.StepSkipped(reason=reason, result=result))
        return StepOutput(skipped=True, success=error is None, error=error and error.message)

    def _timed_out(self, step: v1.StepNode, at: Place, end: StepEnds) -> StepOutput:
        if not end.is_skipped:
            return self._failed(step, at, StepFailure("REQUIREMENT_EXPIRED", str(end)))
        return self._skipped(step, at, str(end))

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


def _add(total: v1.Usage, more: v1.Usage) -> None:
    total.input_tokens += more.input_tokens
    total.output_tokens += more.output_tokens
    total.model_requests += more.model_requests
