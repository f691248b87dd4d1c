"""A process that has imported and built all that a server needs, and forks servers from itself.

A server that starts from nothing spends 3 seconds of processor time before it listens, on imports
and on the worlds; one that is forked here spends 0.2. So dozens of them can be killed in a test,
and the time goes into what they do and not into how they start. What is forked has no event loop
yet, no thread and no connection; it runs `interlock serve` from its first line, and is as real a
process as any: with a pid, signals and an exit code of its own.

Reads requests, one JSON object a line, and answers with one a line:

    {"serve": [arguments], "log": path, "number": 7}    {"started": pid}
    {"signal": number, "pid": pid}                      {"ended": pid, "code": code}, when it has

Ends with its input, and all servers with it.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

# All that a server imports, at the latest when it gets its first call.
import pydantic_ai.direct  # noqa: F401
from tests.chaos.effects import SERVER

import interlock_server.cli.program
import interlock_server.service.server  # noqa: F401
from interlock_server.cli import main
from interlock_server.cli.apps import load_app

APP = "tests.chaos.app:app"


class Zygote:
    """The servers that it forked and that have not ended."""

    def __init__(self) -> None:
        self._alive: set[int] = set()

    def obey(self, request: dict[str, Any]) -> None:
        """Does what it is told. Only what is alive gets signals: pids are used again."""
        if "serve" in request:
            pid = os.fork()
            if pid == 0:
                os.environ[SERVER] = str(request["number"])
                _become(request["log"])
                main(["serve", APP, *request["serve"]])
            self._alive.add(pid)
            _say(started=pid)
        elif request["pid"] in self._alive:
            os.kill(request["pid"], request["signal"])

    def bury(self) -> None:
        """Tells of servers that have ended."""
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._alive.remove(pid)
            _say(ended=pid, code=os.waitstatus_to_exitcode(status))

    def end(self) -> None:
        """Takes all servers along."""
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)


def _become(log: str) -> None:
    """What a child forgets of its parent: signals, and everything that is open."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate([nothing, output, output]):
        os.dup2(source, number)


def _say(**what: int) -> None:
    os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


def _run() -> None:
    load_app(APP)
    gc.freeze()  # A child's first collection would copy everything otherwise.
    zygote = Zygote()
    awake, wake = socket.socketpair()
    for one in (awake, wake):
        one.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Without a buffer, where a second line would wait unseen.
    requests = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)
    with requests, selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(awake, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is awake:
                    awake.recv(4_096)
                    zygote.bury()
                elif line := requests.readline():
                    zygote.obey(json.loads(line))
                else:
                    zygote.end()
                    return


if __name__ == "__main__":
    _run()
