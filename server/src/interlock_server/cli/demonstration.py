"""The command that shows it all: a service, a run that pauses, a decision, and the result."""

from __future__ import annotations

import atexit
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from interlock_server.cli.exits import exit_of
from interlock_server.cli.screen import Screen
from interlock_server.cli.service import PATIENTLY, connected
from interlock_server.cli.text import as_text

if TYPE_CHECKING:
    from interlock import Client, RunOutput
    from interlock_server.cli.progress import Progress

_WORKFLOW = "Support"
_QUESTION = "My mug arrived broken. It was order 1042."


def demo() -> None:
    """Show a run that pauses for a person: starts a service of its own, and removes it again.

    Asks for the decision on a terminal, and approves by itself without one.
    """
    from interlock_server.cli.progress import Progress

    screen = Screen()
    screen.print("Interlock demo: a service, an agent with a scripted model, and you.")
    with _service(screen) as target:
        screen.target = target
        with connected(screen, patience=PATIENTLY) as client:
            run = _run(screen, client, Progress(screen))
    raise typer.Exit(exit_of(run.state))


def _run(screen: Screen, client: Client, progress: Progress) -> RunOutput:
    screen.print(f"\nStarting workflow {_WORKFLOW} with: {_QUESTION}\n", style="bold")
    progress.show(client.workflow(_WORKFLOW).run(_QUESTION, stream=True))
    run = client.get_run(progress.run_id)
    screen.print("\nThe run is paused, and stored: it would outlive a crash.", style="bold")
    if not _decide(screen, run):
        screen.print("\nNothing is decided, so the run stays paused.", style="bold")
        return run
    screen.print("\nContinuing.\n", style="bold")
    progress.show(client.continue_run(run, stream=True))
    run = client.get_run(run.run_id)
    screen.print(f"\nThe run is {run.state.lower()}. Its result:\n", style="bold")
    screen.block(as_text(run.content))
    screen.print("\nServe it yourself, and run it from another terminal:")
    screen.command("interlock serve interlock_server.demo:app", indent=4)
    screen.command("interlock run Support 'Hello?'", indent=4)
    return run


def _decide(screen: Screen, run: RunOutput) -> bool:
    """Asks for the decision, or makes it where there is nobody to ask; whether there is one."""
    from interlock_server.cli.prompts import ask_all
    from interlock_server.cli.waiting import show_requirement

    if screen.can_ask:
        ask_all(screen, run.active_requirements)
    else:
        for requirement in run.active_requirements:
            show_requirement(screen, requirement)
            screen.print("\nThere is no terminal to ask at: approved.", indent=4)
            requirement.confirm("approved by the demo, as there was nobody to ask")
    return not run.active_requirements


@contextmanager
def _service(screen: Screen) -> Iterator[str]:
    """A service that touches nothing of the user's, for as long as the context is open."""
    from interlock_server.demo import app
    from interlock_server.settings import Settings

    folder = _temporary_folder()
    settings = Settings.model_construct(
        address="127.0.0.1:0", database_url=None, data_dir=folder, grace_seconds=1.0
    )
    with app.serving(settings) as target:
        screen.print(f"The service listens on {target}; its embedded PostgreSQL is in {folder}.")
        yield target


def _temporary_folder() -> Path:
    """A folder that is gone when this process is, however that ends."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP.
            signal.signal(getattr(signal, name), _leave)
    folder = Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    # What is registered first runs last: by then the database in it has stopped.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
