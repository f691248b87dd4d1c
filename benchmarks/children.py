"""Children: the processes that are measured, or that measure; started, told what to do, stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.usage import cpu_of, memory_of, resident_of

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / "benchmarks/.venv/bin/python"
"""The environment of the benchmarks' own, in which the peers are installed."""

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0


class ChildFailed(Exception):
    """A process ended, or said nothing for too long; the text has the end of what it wrote."""


class Child:
    """A process that says in a line of JSON that it is ready, and obeys such lines."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        heeds_input: bool = True,
    ) -> None:
        """Starts it; what it writes to standard error goes into a file of the folder.

        Args:
            heeds_input: it ends when its standard input does; else it needs a signal.
        """
        self.name = name
        self._heeds_input = heeds_input
        self._errors = folder / f"{name}.log"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**_own_environment(), **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # A Ctrl-C is for the harness, which stops its children.
            )
        self.ready = self.hear(_START_SECONDS)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU time that it and its descendants have used up to now."""
        return cpu_of(self.pid)

    def memory(self) -> int:
        """Bytes that it and its descendants hold by themselves."""
        return memory_of(self.pid)

    def tell(self, do: str, **arguments: Any) -> None:
        """Gives an order, and does not wait."""
        print(json.dumps({"do": do, **arguments}), file=self._stdin, flush=True)

    def hear(self, patience: float) -> dict[str, Any]:
        """The next line that it says.

        Raises:
            ChildFailed: it ended instead, or took longer than that.
        """
        ready, _, _ = select.select([self._stdout], [], [], patience)
        line = self._stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            self._process.wait()
            raise ChildFailed(f"{self.name} {'ended' if ready else 'is silent'}\n{self._tail()}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def ask(self, do: str, *, patience: float = 300.0, **arguments: Any) -> dict[str, Any]:
        """Gives an order, and waits for the answer."""
        self.tell(do, **arguments)
        return self.hear(patience)

    def resident(self) -> int:
        """Bytes of memory that it has, shared ones included; quicker to find out."""
        return resident_of(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stops it in good order, or at once when that takes too long."""
        if self._process.poll() is None:
            self._stdin.close()
            if not self._heeds_input:
                self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _tail(self) -> str:
        return "\n".join(self._errors.read_text().splitlines()[-30:])


def ours(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the benchmarks in Interlock's environment."""
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def theirs(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the benchmarks in the environment of the peers."""
    return [str(PEERS_PYTHON), "-m", f"benchmarks.{module}", *arguments]


def _own_environment() -> dict[str, str]:
    """The environment without settings that would change what is measured."""
    foreign = ("INTERLOCK_", "AGNO_", "LANGCHAIN_", "LANGGRAPH_", "LANGSMITH_", "OPENAI_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
