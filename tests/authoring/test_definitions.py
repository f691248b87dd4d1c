"""What an author writes becomes data, and all of it arrives: nothing is dropped on the way."""

from __future__ import annotations

from typing import Any

from tests.support.service import served

from interlock import v1
from interlock_server import (
    Agent,
    Condition,
    Interlock,
    Loop,
    Parallel,
    Router,
    ScriptedModel,
    Step,
    Steps,
    Team,
    Tool,
    Workflow,
    tool,
)
from interlock_server.authoring.compile import compile_workflows

SCRIPT = ScriptedModel(["done"])


def function(given: Any) -> str:
    """Does it.

    With more to say.
    """
    return "done"


def is_due(given: Any) -> bool:
    return True


def route(given: Any) -> str:
    return "left"


AGENT = Agent(name="Ann", model=SCRIPT, description="Writes.")
TEAM = Team(name="Crew", model=SCRIPT, members=[AGENT])

EVERYTHING = Workflow(
    name="Everything",
    description="Has one of each.",
    steps=[
        Step(
            name="agent",
            agent=AGENT,
            description="An agent.",
            on_error="skip",
            max_retries=2,
        ),
        Step(name="team", team=TEAM),
        function,
        Steps(name="steps", description="A group.", steps=[Step(name="in", executor=function)]),
        Condition(
            name="condition",
            evaluator=is_due,
            steps=[Step(name="yes", executor=function)],
            else_steps=[Step(name="no", executor=function)],
        ),
        Condition(name="constant", evaluator=False, steps=[Step(name="x", executor=function)]),
        Loop(
            name="loop",
            steps=[Step(name="again", executor=function)],
            max_iterations=7,
            end_condition=is_due,
            forward_iteration_output=True,
        ),
        Router(
            name="router",
            selector=route,
            choices=[Step(name="left", executor=function), [Step(name="a", executor=function)]],
        ),
        Parallel(Step(name="one", executor=function), AGENT, name="parallel"),
        Workflow(name="Inner", description="Inside.", steps=[TEAM]),
        Step(name="named", workflow=Workflow(name="Other", steps=[function])),
    ],
)

FUNCTION = v1.ExecutorRef(type=v1.EXECUTOR_TYPE_FUNCTION, executor_id=f"{__name__}:function")
ANN = v1.ExecutorRef(type=v1.EXECUTOR_TYPE_AGENT, executor_id="Ann")
CREW = v1.ExecutorRef(type=v1.EXECUTOR_TYPE_TEAM, executor_id="Crew")


def step(name: str, executor: v1.ExecutorRef = FUNCTION, **more: Any) -> v1.WorkflowNode:
    node = v1.StepNode(**{"executor": executor, "on_error": v1.ON_STEP_ERROR_FAIL, **more})
    return v1.WorkflowNode(name=name, step=node)


def expected() -> list[v1.WorkflowNode]:
    first = step(
        "agent",
        ANN,
        on_error=v1.ON_STEP_ERROR_SKIP,
        retry_policy=v1.RetryPolicy(max_attempts=3),
    )
    first.description = "An agent."
    bare = step("Ann", ANN)
    bare.description = "Writes."
    return [
        first,
        step("team", CREW),
        step("function"),
        v1.WorkflowNode(
            name="steps", description="A group.", steps=v1.StepsNode(nodes=[step("in")])
        ),
        v1.WorkflowNode(
            name="condition",
            condition=v1.ConditionNode(
                function=f"{__name__}:is_due", nodes=[step("yes")], else_nodes=[step("no")]
            ),
        ),
        v1.WorkflowNode(
            name="constant", condition=v1.ConditionNode(constant=False, nodes=[step("x")])
        ),
        v1.WorkflowNode(
            name="loop",
            loop=v1.LoopNode(
                nodes=[step("again")],
                max_iterations=7,
                end_condition_function=f"{__name__}:is_due",
                forward_iteration_output=True,
            ),
        ),
        v1.WorkflowNode(
            name="router",
            router=v1.RouterNode(
                selector_function=f"{__name__}:route",
                routes=[
                    step("left"),
                    v1.WorkflowNode(name="steps_group_1", steps=v1.StepsNode(nodes=[step("a")])),
                ],
            ),
        ),
        v1.WorkflowNode(name="parallel", parallel=v1.ParallelNode(nodes=[step("one"), bare])),
        v1.WorkflowNode(
            name="Inner",
            description="Inside.",
            workflow=v1.NestedWorkflowNode(workflow_id="Inner", nodes=[step("Crew", CREW)]),
        ),
        v1.WorkflowNode(
            name="named",
            workflow=v1.NestedWorkflowNode(workflow_id="Other", nodes=[step("function")]),
        ),
    ]


def compiled(workflow: Workflow) -> v1.Workflow:
    result = compile_workflows([workflow])
    assert result.problems == []
    return result.workflows[workflow.name]


def test_every_field_of_a_definition_arrives() -> None:
    """A copy that drops a setting switches gates off in silence (INV-14)."""
    definition = compiled(EVERYTHING)
    assert definition.workflow_id == "Everything"
    assert definition.description == "Has one of each."
    assert list(definition.nodes) == expected()


def test_a_definition_is_the_same_every_time() -> None:
    first, second = (compiled(EVERYTHING).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


async def test_a_definition_that_was_stored_is_what_was_written(database_url: str) -> None:
    async with served(Interlock([EVERYTHING]), database_url) as service:
        newest = (
            await service.workflows.GetWorkflow(v1.GetWorkflowRequest(workflow_id="Everything"))
        ).workflow
        stored = (
            await service.workflows.GetWorkflow(
                v1.GetWorkflowRequest(workflow_id="Everything", version=1)
            )
        ).workflow
    assert newest == stored
    assert newest.version == 1
    assert newest.HasField("create_time")
    assert list(newest.nodes) == expected()


async def test_every_flag_of_a_tool_arrives(database_url: str) -> None:
    """Each gate is listed as it was written, and its schema with it (INV-14)."""

    def pay(amount: int, to: str = "Ann") -> str:
        """Pays."""
        return "paid"

    def named(**gates: Any) -> Tool:
        return tool(name="_".join(gates) or "free", **gates)(pay)

    tools = [
        named(),
        named(requires_confirmation=True),
        named(external_execution=True),
        named(requires_user_input=True),
        named(requires_user_input=True, user_input_fields=["to"]),
    ]
    worker = Agent(name="worker", model=SCRIPT, description="Works.", tools=tools)
    crew = Team(name="crew", model=SCRIPT, members=[worker])
    app = Interlock([Workflow(name="W", steps=[crew, function])])
    async with served(app, database_url) as service:
        listed = (await service.workflows.ListExecutors(v1.ListExecutorsRequest())).executors
    by_name = {one.ref.executor_id: one for one in listed}
    assert by_name["worker"].description == "Works."
    assert list(by_name["crew"].member_names) == ["worker"]
    assert by_name["crew"].ref.type == v1.EXECUTOR_TYPE_TEAM
    assert by_name[FUNCTION.executor_id].description == "Does it."
    assert [
        (
            one.name,
            one.requires_confirmation,
            one.external_execution,
            list(one.user_input_fields),
        )
        for one in by_name["worker"].tools
    ] == [
        ("free", False, False, []),
        ("requires_confirmation", True, False, []),
        ("external_execution", False, True, []),
        ("requires_user_input", False, False, ["amount", "to"]),
        ("requires_user_input_user_input_fields", False, False, ["to"]),
    ]
    assert all('"amount"' in one.parameters_schema_json for one in by_name["worker"].tools)
    assert {one.description for one in by_name["worker"].tools} == {"Pays."}
