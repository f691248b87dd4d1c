"""Commands about runs: start, watch, list and cancel them."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock_server.cli import options, paint
from interlock_server.cli.exits import Exit, exit_of
from interlock_server.cli.ids import find_run, shortened
from interlock_server.cli.inputs import read_input, read_labels
from interlock_server.cli.screen import Screen
from interlock_server.cli.service import PATIENTLY, command, connected, refuse
from interlock_server.cli.text import as_text, cut, safe, safe_lines
from interlock_server.cli.times import ago, due, moment, span
from interlock_server.cli.waiting import show_waiting

if TYPE_CHECKING:
    from interlock import Client, RunOutput, StepResult, WorkflowHandle, WorkflowPausedEvent

_STYLES = {"PAUSED": "yellow", "COMPLETED": "green", "FAILED": "red", "CANCELLED": "red"}

_GLANCE_SECONDS = 0.05
"""How long to look at a run that nobody waits for: its state then says more than that it began."""


class State(StrEnum):
    """The states of a run."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def run(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name of the workflow.")],
    text: Annotated[
        str | None, typer.Argument(metavar="[INPUT]", help="The input, as plain text.")
    ] = None,
    input_json: Annotated[
        str | None, typer.Option("--input-json", metavar="JSON", help="The input, as JSON.")
    ] = None,
    input_file: Annotated[
        str | None,
        typer.Option(
            "--input-file", metavar="FILE", help="The input, as JSON in a file; - is stdin."
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="ID", help="The session to run in; default: a new one."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", help="A label; may be repeated."),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Version of the workflow; default: newest."),
    ] = None,
    run_timeout: Annotated[
        float | None,
        typer.Option(
            "--run-timeout",
            metavar="SECONDS",
            help="How long the run may take, pauses included; then it fails.",
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", metavar="ID", help="Calls with the same one start one run."),
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show events as they happen, or only the run as it is in the end; "
            "default: events for people, the run for --json.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it pauses or ends.")
    ] = True,
    interactive: Annotated[
        bool | None,
        typer.Option(
            "--interactive/--no-interactive",
            "-i",
            help="Ask at once when it pauses; default: on a terminal.",
        ),
    ] = None,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Start a run, show what it does, and ask when it waits for somebody.

    The run belongs to the service: it goes on when this command is interrupted.
    """
    screen = Screen(as_json=as_json, target=target)
    streams = wait and (not as_json if stream is None else stream)
    asks = _asks(screen, interactive, streams=streams)
    given: dict[str, Any] = {
        "session_id": session,
        "request_id": request_id,
        "run_timeout": run_timeout,
    }
    with screen.refusing():
        given["input"] = read_input(text, input_json, input_file)
        given["labels"] = read_labels(label or [])
    with connected(screen) as client:
        _check_workflow(screen, client, workflow, version)
    with connected(screen, patience=PATIENTLY) as client:
        handle = client.workflow(workflow, version=version)
        if streams:
            _run_and_show(screen, client, handle, given, asks=asks)
        else:
            _run_and_wait(screen, client, handle, given, waits=wait)


def watch(
    run_id: options.RunId,
    after: Annotated[
        int, typer.Option("--after", metavar="SEQUENCE", min=0, help="Only later events.")
    ] = 0,
    until_pause: Annotated[
        bool, typer.Option("--until-pause", help="End when the run pauses, not only at its end.")
    ] = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Show what a run did and does, until it ends."""
    from interlock_server.cli.legs import interruptible
    from interlock_server.cli.progress import Progress

    screen = Screen(as_json=as_json, target=target)
    with connected(screen) as client:
        found = find_run(client, run_id, screen)

    def on_pause(event: WorkflowPausedEvent) -> None:
        if event.sequence >= found.last_sequence:  # Earlier pauses are over.
            waiting = [one for step in event.step_requirements for one in step.requirements]
            show_waiting(screen, waiting)

    with (
        connected(screen, patience=PATIENTLY) as client,
        interruptible(screen, lambda: found.run_id),
    ):
        Progress(screen, on_pause).show(
            client.watch_run(found.run_id, after_sequence=after, end_on_pause=until_pause)
        )
        state = client.get_run(found.run_id).state
    raise typer.Exit(exit_of(state))


def runs(
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Id of one run, or its beginning: all about it."),
    ] = None,
    workflow: options.Workflow = None,
    state: Annotated[
        list[State] | None,
        typer.Option("--state", "-s", case_sensitive=False, help="In this state; repeatable."),
    ] = None,
    session: options.Session = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", help="With this label; repeatable."),
    ] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Not ended, and in need of code that the server lacks.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first, or show one."""
    screen = Screen(as_json=as_json, target=target)
    with screen.refusing():
        labels = read_labels(label or [])
    with connected(screen) as client:
        if run_id is not None:
            _show_one(screen, find_run(client, run_id, screen))
            return
        listed = client.list_runs(
            workflow_id=workflow,
            session_id=session,
            states=[one.value for one in state or []],
            labels=labels,
            stuck=stuck,
        )
        found = list(islice(listed, limit + 1))
    _show_list(screen, found[:limit], has_more=len(found) > limit)


def cancel(
    run_id: options.RunId,
    reason: Annotated[
        str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Recorded with the run.")
    ] = None,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Cancel a run: a paused one at once, a running one before its next effect."""
    screen = Screen(as_json=as_json, target=target)
    with connected(screen) as client:
        before = find_run(client, run_id, screen)
        after = client.cancel_run(before, reason=reason)
    if as_json:
        screen.document(after.message)
    elif before.ended_at is not None:
        screen.print(f"{safe(after.run_id)} had ended before: {after.state.lower()}")
    elif after.is_cancelled:
        screen.print(f"{safe(after.run_id)} is cancelled")
    else:
        screen.print(f"{safe(after.run_id)} will be cancelled before its next effect")


def _asks(screen: Screen, interactive: bool | None, *, streams: bool) -> bool:
    if not interactive:
        return interactive is None and streams and screen.can_ask
    if not streams:
        screen.fail(Exit.USAGE, "--interactive shows events; leave out --no-stream and --no-wait")
    if not screen.can_ask:
        screen.fail(Exit.USAGE, "--interactive needs a terminal, and no --json")
    return True


def _check_workflow(screen: Screen, client: Client, name: str, version: int | None) -> None:
    """Finds out early, and says more, when the service does not have a workflow."""
    from interlock import NotFoundError

    try:
        client.get_workflow(name, version=version)
    except NotFoundError as error:
        names = [safe(one.workflow_id) for one in client.list_workflows()]
        refuse(screen, error, f"This service has: {', '.join(names) or 'no workflows'}")


def _run_and_show(
    screen: Screen, client: Client, handle: WorkflowHandle, given: dict[str, Any], *, asks: bool
) -> None:
    from interlock_server.cli.legs import conclude, follow
    from interlock_server.cli.progress import Progress

    events = handle.run(**given, stream=True)
    ended = follow(screen, client, events, Progress(screen), asks=asks)
    conclude(screen, ended, was_asked=asks)


def _run_and_wait(
    screen: Screen, client: Client, handle: WorkflowHandle, given: dict[str, Any], *, waits: bool
) -> None:
    started = handle.run(**given, wait_timeout=_GLANCE_SECONDS)
    if waits:
        ended = _wait(screen, client, started)
        _show_outcome(screen, ended)
        raise typer.Exit(exit_of(ended.state))
    if screen.as_json:
        screen.document(started.message)
    else:
        screen.print(safe(started.run_id))
        screen.note(f"It is {started.state.lower()}: {command(f'watch {started.run_id}', screen)}")


def _wait(screen: Screen, client: Client, started: RunOutput) -> RunOutput:
    from interlock_server.cli.legs import interruptible

    with interruptible(screen, lambda: started.run_id):
        return client.wait_run(started)


def _show_outcome(screen: Screen, ended: RunOutput) -> None:
    if screen.as_json:
        screen.document(ended.message)
    elif ended.is_paused:
        show_waiting(screen, ended.active_requirements)
    elif ended.is_completed:
        for line in safe_lines(as_text(ended.content)):
            screen.print(line)
    elif ended.error is not None:
        screen.fail(Exit.RUN_FAILED, f"the run failed: {ended.error}")
    else:
        screen.note("the run was cancelled")


def _show_list(screen: Screen, found: list[RunOutput], *, has_more: bool) -> None:
    if screen.as_json:
        from interlock import v1

        screen.document(v1.ListRunsResponse(runs=[one.message for one in found]))
        return
    if not found:
        screen.note("no runs")
        return
    table = paint.Table("RUN", "WORKFLOW", "STATE", "BEGAN", "LABELS", box=None, pad_edge=False)
    needs = [safe(one.missing_executor or "") for one in found]
    if any(needs):
        table.add_column("NEEDS")
    table.columns[0].no_wrap = True
    short = shortened((one.run_id for one in found), screen)
    for one, missing in zip(found, needs, strict=True):
        table.add_row(
            short(one.run_id),
            safe(one.workflow_id),
            paint.Text(one.state.lower(), style=_STYLES.get(one.state, "")),
            f"{ago(one.created_at)} ago",
            _labels(one),
            *([missing] if any(needs) else []),
        )
    screen.print(table)
    if has_more:
        screen.note(f"There are more than these {len(found)}: --limit")


def _show_one(screen: Screen, one: RunOutput) -> None:
    if screen.as_json:
        screen.document(one.message)
        return
    took = ""
    if one.created_at and one.ended_at:
        took = f" after {span((one.ended_at - one.created_at).total_seconds())}"
    state = paint.Text(one.state.lower(), style=_STYLES.get(one.state, ""))
    screen.print(paint.Text.assemble((safe(one.run_id), "bold"), " is ", state, took))
    facts = {
        "workflow": f"{safe(one.workflow_id)} version {one.workflow_version}",
        "session": safe(one.session_id),
        "began": moment(one.created_at),
        "by": safe(one.started_by),
        "labels": _labels(one),
        "ends": f"{due(one.expires_at)}, as failed" if one.expires_at and not one.ended_at else "",
        "needs": f"{safe(one.missing_executor)}, which is not served"
        if one.missing_executor
        else "",
        "error": safe(str(one.error)) if one.error else "",
    }
    for name, fact in facts.items():
        if fact:
            screen.print(paint.Text.assemble((f"{name:<9}", "dim"), fact), indent=4)
    _show_value(screen, "input", one.input)
    _show_steps(screen, one.step_results)
    _show_value(screen, "output", one.content)
    if one.active_requirements:
        screen.print("")
        show_waiting(screen, one.active_requirements)


def _labels(one: RunOutput) -> str:
    return ", ".join(f"{safe(key)}={safe(one.labels[key])}" for key in sorted(one.labels))


def _show_value(screen: Screen, name: str, value: Any) -> None:
    if value is not None:
        screen.print(paint.Text(name, style="dim"), indent=4)
        screen.block(as_text(value), indent=6)


def _show_steps(screen: Screen, results: list[StepResult], depth: int = 0) -> None:
    for result in results:
        what = f" {cut(safe(as_text(result.content)))}" if result.content is not None else ""
        if result.error is not None:
            what = f" {cut(safe(str(result.error)))}"
        outcome = result.outcome.lower()
        line = paint.Text.assemble((f"{outcome:<9} ", "dim"), (safe(result.name), "bold"), what)
        screen.print(line, indent=4 + 2 * depth)
        _show_steps(screen, result.steps, depth + 1)
