"""Legs: a run followed from one rest to the next, asking at each if there is somebody to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from interlock_server.cli.exits import exit_of
from interlock_server.cli.screen import Screen
from interlock_server.cli.service import command
from interlock_server.cli.text import safe
from interlock_server.cli.waiting import show_commands, show_waiting

if TYPE_CHECKING:
    from interlock import Client, Event, RunOutput
    from interlock_server.cli.progress import Progress

_INTERRUPTED = 130


def follow(
    screen: Screen,
    client: Client,
    events: Iterable[Event[Any]],
    progress: Progress,
    *,
    asks: bool = False,
) -> RunOutput:
    """Shows a run until it ends, or pauses and nobody decides; gives it as it is then.

    Args:
        asks: ask the person at the terminal whenever it pauses.
    """
    with interruptible(screen, lambda: progress.run_id):
        progress.show(events)
        run = client.get_run(progress.run_id)
        put_off: set[str] = set()
        while asks and run.is_paused and _decide(screen, run, put_off):
            run = _go_on(screen, client, run, progress)
    return run


def conclude(screen: Screen, run: RunOutput, *, was_asked: bool = False) -> None:
    """Says how to go on with a run that was shown, and exits with the code of its state.

    Args:
        was_asked: whether the person has just seen what waits.
    """
    if run.is_paused and not screen.as_json:
        screen.print("")
        if was_asked:
            for one in run.active_requirements:
                show_commands(screen, one)
        else:
            show_waiting(screen, run.active_requirements)
    raise typer.Exit(exit_of(run.state))


@contextmanager
def interruptible(screen: Screen, run_id_of: Callable[[], str]) -> Iterator[None]:
    """Lets a person leave without the run, whose id may become known only inside."""
    try:
        yield
    except KeyboardInterrupt:
        if run_id := safe(run_id_of()):
            screen.note("\nThe run goes on without you:")
            screen.note(f"  {command(f'watch {run_id}', screen)}")
            screen.note(f"  {command(f'cancel {run_id}', screen)}")
        raise typer.Exit(_INTERRUPTED) from None


def _decide(screen: Screen, run: RunOutput, put_off: set[str]) -> bool:
    """Asks about what was not put off before; whether anything was decided."""
    from interlock_server.cli.prompts import ask_all

    asked = [one for one in run.active_requirements if one.id not in put_off]
    ask_all(screen, asked)
    put_off.update(one.id for one in asked if not one.is_resolved)
    return any(one.is_resolved for one in asked)


def _go_on(screen: Screen, client: Client, run: RunOutput, progress: Progress) -> RunOutput:
    from interlock import FailedPreconditionError

    screen.print("")
    try:
        progress.show(client.continue_run(run, stream=True))
    except FailedPreconditionError as error:  # Somebody else was quicker.
        screen.note(safe(str(error)))
        since = progress.last_sequence
        progress.show(client.watch_run(run, after_sequence=since, end_on_pause=True))
    return client.get_run(run.run_id)
