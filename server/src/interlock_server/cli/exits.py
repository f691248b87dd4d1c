"""Exit codes: what became of a command, for scripts."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command exits with."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    RUN_PAUSED = 3
    RUN_CANCELLED = 4
    REFUSED = 5
    UNREACHABLE = 6
    NOT_SERVED = 7


MEANINGS = {
    Exit.OK: "the run completed, or the command is done",
    Exit.RUN_FAILED: "the run failed",
    Exit.USAGE: "the command line, a setting or the app has a mistake",
    Exit.RUN_PAUSED: "the run is paused and waits",
    Exit.RUN_CANCELLED: "the run was cancelled",
    Exit.REFUSED: "the service refused: the reason is printed",
    Exit.UNREACHABLE: "the service cannot be reached",
    Exit.NOT_SERVED: "the server cannot start: its address or its database",
}

_BY_STATE = {
    "FAILED": Exit.RUN_FAILED,
    "PAUSED": Exit.RUN_PAUSED,
    "CANCELLED": Exit.RUN_CANCELLED,
}


def exit_of(state: str) -> Exit:
    """The code for a run's state; a run that goes on is none of a command's trouble."""
    return _BY_STATE.get(state, Exit.OK)
