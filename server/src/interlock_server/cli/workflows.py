"""The command about workflows: what the service can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from interlock_server.cli import options, paint
from interlock_server.cli.screen import Screen
from interlock_server.cli.service import connected
from interlock_server.cli.text import safe

if TYPE_CHECKING:
    from interlock import v1


def workflows(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A workflow: its tree, executors and tools."),
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", help="Its version; default: newest.")
    ] = None,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """List the workflows that can be run, or show one."""
    screen = Screen(as_json=as_json, target=target)
    with connected(screen) as client:
        if name is None:
            _show_list(screen, list(client.list_workflows()))
            return
        workflow = client.get_workflow(name, version=version)
        executors = _used(workflow, list(client.list_executors()))
    if as_json:
        from google.protobuf.json_format import MessageToDict

        listed = [MessageToDict(one) for one in executors]
        screen.document({"workflow": MessageToDict(workflow), "executors": listed})
    else:
        _show_one(screen, workflow, executors)


def _show_list(screen: Screen, found: list[v1.Workflow]) -> None:
    if screen.as_json:
        from interlock import v1

        screen.document(v1.ListWorkflowsResponse(workflows=found))
        return
    if not found:
        screen.note("the service has no workflows")
        return
    table = paint.Table("WORKFLOW", "VERSION", "STEPS", "DESCRIPTION", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for one in found:
        steps = ", ".join(safe(node.name) for node in one.nodes)
        table.add_row(safe(one.workflow_id), str(one.version), steps, safe(one.description))
    screen.print(table)


def _show_one(screen: Screen, workflow: v1.Workflow, executors: list[v1.Executor]) -> None:
    title = (safe(workflow.workflow_id), "bold"), (f" version {workflow.version}", "dim")
    tree = paint.Tree(paint.Text.assemble(*title), guide_style="dim")
    _grow(tree, workflow.nodes)
    if workflow.description:
        screen.print(safe(workflow.description))
    screen.print(tree, "")
    for executor in executors:
        _show_executor(screen, executor)


def _grow(tree: paint.Tree, nodes: Iterable[v1.WorkflowNode]) -> None:
    """Puts nodes under a branch of the tree, with what is inside them."""
    for node in nodes:
        branch = tree.add(
            paint.Text.assemble((safe(node.name), "bold"), (f"  {_about(node)}", "dim"))
        )
        if node.WhichOneof("node") == "condition":
            _grow(branch.add(paint.Text("if true", style="dim")), node.condition.nodes)
            if node.condition.else_nodes:
                _grow(branch.add(paint.Text("if false", style="dim")), node.condition.else_nodes)
        else:
            _grow(branch, _inside(node))


def _about(node: v1.WorkflowNode) -> str:
    """What kind of node it is, with its particulars."""
    match node.WhichOneof("node"):
        case "step":
            return f"{_kind(node.step.executor.type)} {safe(node.step.executor.executor_id)}"
        case "condition":
            by = node.condition.function or str(node.condition.constant).lower()
            return f"condition {safe(by)}"
        case "loop":
            until = node.loop.end_condition_function
            ends = f" until {safe(until)}" if until else ""
            return f"loop, at most {node.loop.max_iterations} iterations{ends}"
        case "router":
            return f"router {safe(node.router.selector_function)}"
        case "workflow":
            return f"workflow {safe(node.workflow.workflow_id)}"
        case kind:
            return kind or ""


def _inside(node: v1.WorkflowNode) -> list[v1.WorkflowNode]:
    match node.WhichOneof("node"):
        case "steps":
            return list(node.steps.nodes)
        case "condition":
            return [*node.condition.nodes, *node.condition.else_nodes]
        case "loop":
            return list(node.loop.nodes)
        case "router":
            return list(node.router.routes)
        case "parallel":
            return list(node.parallel.nodes)
        case "workflow":
            return list(node.workflow.nodes)
        case _:
            return []


def _all(nodes: Iterable[v1.WorkflowNode]) -> Iterator[v1.WorkflowNode]:
    for node in nodes:
        yield node
        yield from _all(_inside(node))


def _used(workflow: v1.Workflow, listed: list[v1.Executor]) -> list[v1.Executor]:
    """The executors of a workflow, the members of its teams included."""
    wanted = {one.step.executor.executor_id for one in _all(workflow.nodes)}
    by_id = {one.ref.executor_id: one for one in listed}
    todo = list(wanted)
    while todo:
        found = by_id.get(todo.pop())
        news = set(found.member_names) - wanted if found else set()
        wanted |= news
        todo.extend(news)
    return [one for one in listed if one.ref.executor_id in wanted]


def _show_executor(screen: Screen, executor: v1.Executor) -> None:
    kind = _kind(executor.ref.type)
    title = paint.Text.assemble((kind, "dim"), " ", (safe(executor.ref.executor_id), "bold"))
    if executor.member_names:
        title.append(f" leads {', '.join(map(safe, executor.member_names))}")
    screen.print(title)
    if executor.description:
        screen.print(safe(executor.description), indent=2)
    for tool in executor.tools:
        first_line = tool.description.strip().split("\n")[0]
        line = paint.Text.assemble("  tool ", (safe(tool.name), "bold"))
        if gate := _gate(tool):
            line.append(f" {gate}", style="yellow")
        screen.print(line.append(f"  {safe(first_line)}", style="dim"))


def _gate(tool: v1.Tool) -> str:
    """What a call of the tool waits for; empty when it is free."""
    if tool.external_execution:
        return "waits for a result from elsewhere"
    if tool.user_input_fields:
        return f"waits for values: {', '.join(map(safe, tool.user_input_fields))}"
    return "waits for approval" if tool.requires_confirmation else ""


def _kind(executor_type: int) -> str:
    from interlock import v1

    name = v1.ExecutorType.Name(v1.ExecutorType.ValueType(executor_type))
    return name.removeprefix("EXECUTOR_TYPE_").lower()
