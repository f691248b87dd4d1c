"""Programs as a user runs them: in processes of their own, without a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
INTERLOCK = str(BIN / "interlock")
_START_SECONDS = 90.0


def environment(database_url: str, **more: str) -> dict[str, str]:
    """The environment of a program that uses this database, and nothing of the caller's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INTERLOCK_", "OPENAI_", "EXAMPLE_", "PYTEST_"))
    }
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**kept, "PATH": path, "INTERLOCK_DATABASE_URL": database_url, **more}


def run(
    command: Sequence[str], env: Mapping[str, str], folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(
        command,
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def output(command: Sequence[str], env: Mapping[str, str], folder: Path = ROOT) -> str:
    """What a program prints, which must end well and complain of nothing."""
    done = run(command, env, folder)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Serving:
    """A server in a process of its own: where it listens, and what it said before that."""

    target: str
    log: str


@contextmanager
def serving(
    spec: str, env: Mapping[str, str], folder: Path = ROOT, address: str = "127.0.0.1:0"
) -> Iterator[Serving]:
    """`interlock serve`, while the context is open."""
    with tempfile.TemporaryFile("w+") as log:
        command = [INTERLOCK, "serve", spec, "--address", address]
        server = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield _started(server, log)
        finally:
            server.terminate()
            server.wait(30)


def _started(server: subprocess.Popen[bytes], log: IO[str]) -> Serving:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        log.seek(0)
        said = log.read()
        for line in said.splitlines(keepends=True):
            if line.startswith("listening on ") and line.endswith("\n"):
                return Serving(line.removeprefix("listening on ").strip(), said)
        assert server.poll() is None, f"the server ended:\n{said}"
        time.sleep(0.1)
    raise AssertionError("the server did not listen in time")
