"""The command line: `interlock`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from interlock_server.cli import collector

_BUG = 70
"""Exit code of an error that nobody foresaw: EX_SOFTWARE of sysexits.h."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name, and exits with its code."""
    # gRPC reads these once, when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # Old locales lack most characters.

    collector.rest()
    from interlock_server.cli.program import program

    given = sys.argv[1:] if arguments is None else arguments
    try:
        program([_unicode(one) for one in given], prog_name="interlock")
    except Exception:  # noqa: BLE001 - the exit codes of `exits` have meanings, 1 among them
        traceback.print_exc()
        sys.exit(_BUG)


def _unicode(argument: str) -> str:
    """An argument without the bytes that are no UTF-8, which no message can carry."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
