"""The command line against a service: in this process where that makes no difference, else as the
installed program."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest
from tests.cli import desk
from typer.testing import CliRunner

from interlock_server import Settings
from interlock_server.cli.program import program

BINARY = Path(sys.executable).with_name("interlock")
DESK = Path(desk.__file__)
SECONDS_MAX = 45.0


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its JSON documents, one for each line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """What it says is wrong, for programs."""
        return json.loads(self.err)["error"]


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def target(postgres_url: str) -> Iterator[str]:
    """Where the desk is served."""
    url = asyncio.run(new_database(postgres_url, "cli_desk", template="interlock_template"))
    settings = Settings(address="127.0.0.1:0", database_url=url, grace_seconds=1.0)
    with desk.app.serving(settings) as target:
        yield target
        desk.held.set()


@pytest.fixture
def interlock(target: str) -> Command:
    """Runs a command in this process, for the service that the desk is served by."""

    def run(*arguments: str, stdin: str | None = None, **variables: str) -> Outcome:
        here = {"INTERLOCK_TARGET": target, "COLUMNS": None, **variables}
        result = CliRunner().invoke(program, arguments, input=stdin, env=here)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def paused(interlock: Command) -> Callable[..., tuple[str, str]]:
    """Starts a run of a workflow that pauses, and gives its id and that of what it waits for."""

    def start(workflow: str, *arguments: str) -> tuple[str, str]:
        outcome = interlock("run", workflow, *arguments, "--json")
        assert outcome.code == 3, outcome
        run = outcome.json
        [step] = run["stepRequirements"]
        asked = step.get("executorRequirements") or step["stepRequirements"]
        return run["runId"], asked[0]["requirementId"]

    return start


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the embedded database can look into, even when it runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-cli-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers, and ends those that a test leaves behind."""
    started: list[ServerProcess] = []

    def start(*arguments: str) -> ServerProcess:
        started.append(ServerProcess(arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


class ServerProcess:
    """`interlock serve` on the desk, as a process, once it listens."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [str(BINARY), "serve", str(DESK), "--address", "127.0.0.1:0", *arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        assert self._process.stdout is not None
        self.announced = []
        for line in self._process.stdout:
            self.announced.append(line)
            if found := re.search(r"listening on (\S+)|\"target\": \"([^\"]+)", line):
                self.target = found.group(1) or found.group(2)
                return
        raise AssertionError(self._process.communicate()[1])

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def children(self) -> list[int]:
        """The processes that it has started, as far as they live."""
        pid = self._process.pid
        listed = subprocess.run(
            ["ps", "--ppid", str(pid), "-o", "pid=,stat="],
            capture_output=True,
            text=True,
            check=False,
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        return [int(child) for child, state in rows if not state.startswith("Z")]

    def wait(self) -> tuple[int, str]:
        """Waits for its end; gives its exit code and its log."""
        _, log = self._process.communicate(timeout=SECONDS_MAX)
        return self._process.returncode, log

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Sends a signal and waits for the end."""
        self.send(number)
        return self.wait()

    def end(self) -> None:
        """Makes sure that it is gone."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.terminate()
            self._process.wait(SECONDS_MAX)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """A program at a terminal, with somebody who types."""

    def __init__(self, *arguments: str, columns: int = 100, **variables: str) -> None:
        ours, theirs = os.openpty()
        self._ours = ours
        self._raw = ""
        self._seen = 0
        self._process = subprocess.Popen(
            [BINARY, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(COLUMNS=str(columns), TERM="xterm", **variables),
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)

    @property
    def shown(self) -> str:
        """Everything that was shown, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._raw)

    def wait_for(self, text: str) -> None:
        """Waits until a text is shown that was not waited for before."""
        while (found := self.shown.find(text, self._seen)) < 0:
            assert self._read(), f"{text!r} did not come: {self.shown}"
        self._seen = found + len(text)

    def type_after(self, text: str, typed: str) -> None:
        """Waits until a text is shown, and types."""
        self.wait_for(text)
        os.write(self._ours, typed.encode())

    def interrupt_after(self, text: str) -> None:
        """Waits until a text is shown, and interrupts as Ctrl-C does, until that is noticed: a
        signal that comes just before a program begins to read is seen with the next."""
        self.wait_for(text)
        is_noticed = False
        while not is_noticed:
            self._process.send_signal(signal.SIGINT)
            is_noticed = bool(select.select([self._ours], [], [], 3.0)[0])

    def end(self) -> tuple[int, str]:
        """Waits for the end; gives the exit code and everything that was shown."""
        while self._read():
            pass
        return self._process.wait(SECONDS_MAX), self.shown

    def _read(self) -> bool:
        """Waits for more to be shown; false at the end."""
        ready, _, _ = select.select([self._ours], [], [], SECONDS_MAX)
        assert ready, f"it is stuck: {self.shown}"
        try:
            text = os.read(self._ours, 65_536).decode(errors="replace")
        except OSError:  # The other side is closed.
            return False
        self._raw += text
        return bool(text)


def binary(*arguments: str | Path, **variables: str) -> Outcome:
    """Runs the installed program without a terminal."""
    done = subprocess.run(
        [BINARY, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
        env=environment(**variables),
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def environment(**variables: str) -> dict[str, str]:
    """The environment without what would change a command."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INTERLOCK_", "FORCE_COLOR", "COLUMNS"))
    }
    return {**kept, **variables}


async def new_database(url: str, name: str, template: str = "template0") -> str:
    """Makes a database, and gives its URL."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()
    return url.replace("/postgres?", f"/{name}?")


def until(is_done: Callable[[], bool]) -> None:
    """Looks until something is so that no event tells of."""
    end = time.monotonic() + SECONDS_MAX
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.05)
