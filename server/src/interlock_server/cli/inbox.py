"""Commands about what waits: see it, and decide."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from interlock_server.cli import options, paint
from interlock_server.cli.exits import Exit
from interlock_server.cli.ids import find_requirement, find_run, shortened
from interlock_server.cli.screen import Screen
from interlock_server.cli.service import PATIENTLY, command, connected
from interlock_server.cli.text import as_json as json_text
from interlock_server.cli.text import cut, safe
from interlock_server.cli.times import ago
from interlock_server.cli.values import (
    Unreadable,
    read_choices,
    read_json,
    read_object,
    read_values,
)
from interlock_server.cli.waiting import needs, show_waiting, who_asks

if TYPE_CHECKING:
    from interlock import Client, Decision, Requirement, Resolved
    from interlock.decisions import OnReject

_ARGUMENT_MAX = 120


class Kind(StrEnum):
    """What requirements wait for."""

    CONFIRMATION = "confirmation"
    USER_INPUT = "user_input"
    EXTERNAL_EXECUTION = "external_execution"
    IN_DOUBT = "in_doubt"
    USER_FEEDBACK = "user_feedback"
    STEP_CONFIRMATION = "step_confirmation"
    STEP_INPUT = "step_input"
    OUTPUT_REVIEW = "output_review"
    ROUTE_SELECTION = "route_selection"
    ITERATION_REVIEW = "iteration_review"
    ERROR_DECISION = "error_decision"


class Consequence(StrEnum):
    """What a rejection of a whole step does."""

    SKIP = "skip"
    CANCEL = "cancel"
    ELSE = "else"
    RETRY = "retry"


def pending(
    requirement_id: Annotated[
        str | None,
        typer.Argument(metavar="[REQ]", help="Id of one, or its beginning: all about it."),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only of this run.")
    ] = None,
    workflow: options.Workflow = None,
    session: options.Session = None,
    kind: Annotated[
        list[Kind] | None,
        typer.Option("--kind", "-k", case_sensitive=False, help="Of this kind; repeatable."),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option("--tool", metavar="NAME", help="For this tool; repeatable."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every argument in full, with the commands to decide.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """List what waits for somebody, oldest first: the inbox."""
    screen = Screen(as_json=as_json, target=target)
    with connected(screen) as client:
        if requirement_id is not None:
            _show_one(screen, find_requirement(client, requirement_id, screen))
            return
        listed = client.list_requirements(
            run_id=find_run(client, run_id, screen).run_id if run_id else None,
            workflow_id=workflow,
            session_id=session,
            kinds=[one.value for one in kind or []],
            tool_names=tool or [],
        )
        found = list(islice(listed, limit + 1))
    has_more = len(found) > limit
    _show_list(screen, found[:limit], full=full)
    if has_more:
        screen.note(f"There are more than these {limit}: --limit")


def approve(
    ids: options.RequirementIds,
    note: options.Note = "",
    args: Annotated[
        str | None,
        typer.Option("--args", metavar="JSON", help="Other arguments, where the tool allows it."),
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Say yes: the tool runs, once, with exactly the arguments that were shown; a step goes on."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    with screen.refusing():
        edited = read_object(args, "--args") if args else None
    decision = Decision.confirm(note or None, edited_args=edited)
    decide(screen, ids, decision, "approved", follows=follow)


def reject(
    ids: options.RequirementIds,
    note: options.Note = "",
    on_reject: Annotated[
        Consequence | None,
        typer.Option("--on-reject", help="What it does to a step, where there is a choice."),
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Say no: the tool or step does not run; an agent is told so, with the note."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    wish = cast("OnReject | None", on_reject and on_reject.name)
    decision = Decision.reject(note or None, on_reject=wish)
    decide(screen, ids, decision, "rejected", follows=follow)


def answer(
    requirement_id: options.RequirementId,
    assignments: Annotated[
        list[str] | None,
        typer.Argument(metavar="FIELD=VALUE...", help="Values, of the types that are asked for."),
    ] = None,
    json_values: Annotated[
        str | None,
        typer.Option("--json-values", metavar="JSON", help="An object of values by field name."),
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Supply the values that a tool or step waits for, or answer the questions of an agent.

    A field left out keeps what was proposed. Questions are answered by their id; several
    options are separated by a comma.
    """
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    with connected(screen) as client:
        found = find_requirement(client, requirement_id, screen)
    with screen.refusing():
        if found.feedback_questions:
            chosen = read_choices(assignments or [], found.feedback_questions)
            decision = Decision.user_feedback(chosen)
        elif found.user_input_schema:
            values = read_values(assignments or [], json_values, found.user_input_schema)
            decision = Decision.user_input(values)
        else:
            decision = Decision.user_input({})  # The service says what is wrong.
    decide(screen, [found], decision, "answered", follows=follow)


def complete(
    requirement_id: options.RequirementId,
    result: Annotated[
        str | None,
        typer.Argument(metavar="[RESULT]", help="What the tool gave back, as plain text."),
    ] = None,
    json_result: Annotated[
        str | None,
        typer.Option("--json-result", metavar="JSON", help="What the tool gave back, as JSON."),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option("--error", metavar="TEXT", help="Why the tool failed; the agent is told."),
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Supply the result of a tool that ran elsewhere."""
    screen = Screen(as_json=as_json, target=target)
    with screen.refusing():
        decision = _outcome(result, json_result, error)
    decide(screen, [requirement_id], decision, "completed", follows=follow)


def retry(
    ids: options.RequirementIds,
    feedback: Annotated[
        str | None,
        typer.Option("--feedback", metavar="TEXT", help="What to do better; a step is told."),
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Run it again: a step that failed or is under review, or a call in doubt after a crash."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    decide(screen, ids, Decision.retry(feedback), "tried again", follows=follow)


def fail(
    ids: options.RequirementIds,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Recorded as the error.")
    ] = None,
    follow: options.Follow = False,
    target: options.Target = options.TARGET,
    as_json: options.Json = False,
) -> None:
    """Let a step that failed, or a call in doubt after a crash, count as failed."""
    from interlock import Decision

    screen = Screen(as_json=as_json, target=target)
    decide(screen, ids, Decision.fail(message), "failed", follows=follow)


def decide(
    screen: Screen,
    asked: Sequence[str | Requirement],
    decision: Decision,
    done: str,
    *,
    follows: bool,
) -> None:
    """Gives one answer to each requirement, says what became of it, and follows its run."""
    with connected(screen) as client:
        found = [
            find_requirement(client, one, screen) if isinstance(one, str) else one for one in asked
        ]
        run_ids = list(dict.fromkeys(one.run_id for one in found))
        if follows and len(run_ids) > 1:
            screen.fail(Exit.USAGE, "--follow is for requirements of one run")
        before = client.get_run(run_ids[0]).last_sequence
        for one in found:
            _show_resolved(screen, client.resolve(one.id, decision), done)
        if not follows:
            _show_rest(screen, client, run_ids)
    if follows:
        _follow(screen, run_ids[0], before)


def _follow(screen: Screen, run_id: str, after: int) -> None:
    from interlock_server.cli.legs import conclude
    from interlock_server.cli.legs import follow as follow_run
    from interlock_server.cli.progress import Progress

    progress = Progress(screen)
    progress.run_id = run_id
    with connected(screen, patience=PATIENTLY) as client:
        events = client.watch_run(run_id, after_sequence=after, end_on_pause=True)
        conclude(screen, follow_run(screen, client, events, progress))


def _outcome(result: str | None, json_result: str | None, error: str | None) -> Decision:
    from interlock import Decision

    if sum(one is not None for one in (result, json_result, error)) != 1:
        raise Unreadable("give one of RESULT, --json-result and --error")
    if error is not None:
        return Decision.external_error(error)
    if json_result is None:
        return Decision.external_result(result)
    return Decision.external_result(read_json(json_result, "--json-result"))


def _show_resolved(screen: Screen, resolved: Resolved, done: str) -> None:
    from interlock import v1

    requirement, state = resolved
    if screen.as_json:
        number = v1.RunState.Value(f"RUN_STATE_{state}")
        screen.line(
            v1.ResolveRequirementResponse(requirement=requirement.message, run_state=number)
        )
    else:
        tool = safe(requirement.tool_execution.tool_name or requirement.step_name)
        screen.print(f"{done} {tool} ({safe(requirement.id)})")


def _show_rest(screen: Screen, client: Client, run_ids: Sequence[str]) -> None:
    """Says what the runs do now."""
    if screen.as_json:
        return
    for run_id in run_ids:
        run = client.get_run(run_id)
        if waiting := run.active_requirements:
            screen.print(f"run {safe(run_id)} is {run.state.lower()}, and waits for more:")
            show_waiting(screen, waiting)
        else:
            screen.print(f"run {safe(run_id)} is {run.state.lower()}")
            screen.note(command(f"watch {safe(run_id)}", screen))


def _show_one(screen: Screen, requirement: Requirement) -> None:
    if screen.as_json:
        screen.document(requirement.message)
    elif requirement.is_resolved:
        from interlock_server.cli.waiting import show_requirement

        show_requirement(screen, requirement)
        by = f" by {safe(requirement.resolved_by)}" if requirement.resolved_by else ""
        how = requirement.resolution.WhichOneof("resolution") if requirement.resolution else ""
        screen.print(f"It waits no longer: {requirement.state.lower()} {how or ''}{by}", indent=4)
    else:
        show_waiting(screen, [requirement])


def _show_list(screen: Screen, found: Sequence[Requirement], *, full: bool) -> None:
    if screen.as_json:
        from interlock import v1

        screen.document(v1.ListRequirementsResponse(requirements=[one.message for one in found]))
    elif not found:
        screen.note("nothing waits")
    elif full:
        show_waiting(screen, found)
    else:
        _show_table(screen, found)


def _show_table(screen: Screen, found: Sequence[Requirement]) -> None:
    table = paint.Table(
        "REQ",
        "WORKFLOW",
        "STEP",
        "WHO ASKS",
        "TOOL",
        "ARGUMENTS",
        "NEEDS",
        "WAITS",
        box=None,
        pad_edge=False,
    )
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    short = shortened((one.id for one in found), screen)
    is_cut = False
    for one in found:
        arguments = _arguments(one)
        shown = cut(arguments, _ARGUMENT_MAX)
        is_cut = is_cut or shown != arguments
        table.add_row(
            short(one.id),
            safe(one.workflow_id),
            safe("/".join(one.step_path)),
            who_asks(one),
            safe(one.tool_execution.tool_name),
            shown,
            needs(one),
            ago(one.created_at),
        )
    screen.print(table)
    if is_cut:
        screen.note("Long arguments are cut. In full: interlock pending REQ, or --full")


def _arguments(requirement: Requirement) -> str:
    args: dict[str, Any] = requirement.tool_execution.tool_args
    return ", ".join(f"{safe(name)}={json_text(value)}" for name, value in args.items())
