"""The process of a server: its signals, and its end."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import structlog

from interlock_server.app import Interlock
from interlock_server.cli.exits import Exit
from interlock_server.settings import Settings

_LEAVING_SECONDS = 2.0
"""How long a process whose server has stopped may take to end: a tool may hang in a thread."""

_log = structlog.get_logger()


async def serve_until_stopped(
    app: Interlock,
    settings: Settings,
    announce: Callable[[str], None],
    *,
    heeds_input: bool = False,
) -> None:
    """Serves until a signal comes.

    Args:
        announce: is told where, as soon as calls are taken.
        heeds_input: stop, too, when standard input ends: whoever started this is gone.

    Raises:
        AddressUnusable: the address cannot be had.
        DatabaseUnusable: the database cannot be reached, or is not one that we can use.
        SchemaMismatch: the database has another schema.
    """
    stop = _Stop()
    if heeds_input:
        threading.Thread(target=stop.at_end_of_input, daemon=True).start()
    try:
        async with app.running(settings) as target:
            announce(target)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not stop.was_asked:
            raise
        _log.info("stopped")
    leaving = threading.Timer(_LEAVING_SECONDS, end_process, [Exit.OK])
    leaving.daemon = True
    leaving.start()


class _Stop:
    """Listens for signals: the first stops the task that made this, the second the process."""

    def __init__(self) -> None:
        self.was_asked = False
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def at_end_of_input(self) -> None:
        """Stops the task when standard input ends."""
        while os.read(sys.stdin.fileno(), 1_024):
            pass
        self.was_asked = True
        self._loop.call_soon_threadsafe(self._stop, "end of input")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.was_asked:
            end_process(128 + number)
        self.was_asked = True
        self._loop.call_soon_threadsafe(self._stop, signal.Signals(number).name)

    def _stop(self, reason: str) -> None:
        _log.info("stopping", reason=reason)
        assert self._task is not None
        self._task.cancel()


def end_process(code: int) -> NoReturn:
    """Ends the process, whatever its threads do; an embedded database is stopped properly."""
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public name for it
    with suppress(Exception):  # A signal may come in the middle of a write.
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
