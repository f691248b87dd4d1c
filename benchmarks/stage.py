"""The stage: what every measurement is given, and what it leaves behind is cleared away."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.children import Child
from benchmarks.postgres import Postgres

_begin = time.monotonic()


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Args:
        is_quick: a look, in seconds, not a result.
        rounds: how often each of a pair has its turn; unset means as the measurement says.
        seconds: how long a turn is; unset means as the measurement says.
        lanes: how many at once, where that is what is varied; empty means as it says.
        against: whom to measure beside Interlock; empty means everybody.
        profiles: look into Interlock's servers, and say where their CPU time goes.
    """

    is_quick: bool = False
    rounds: int | None = None
    seconds: float | None = None
    lanes: tuple[int, ...] = ()
    against: tuple[str, ...] = ()
    profiles: bool = False


@dataclass
class Stage:
    """A database server, a folder, and the processes that were started.

    Args:
        stacks: files of those that were looked into.
    """

    folder: Path
    postgres: Postgres
    options: Options
    stacks: list[Path] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def child(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        heeds_input: bool = True,
    ) -> Child:
        """Starts a process, which is stopped when the measurement is over."""
        child = Child(name, command, self.folder, env, heeds_input=heeds_input)
        self._stack.callback(child.stop)
        return child

    def database(self, name: str, *, migrated: bool = False) -> str:
        """Makes a database, which is dropped when the measurement is over, and gives its URL."""
        self._stack.callback(self.postgres.drop, name)
        return self.postgres.create(name, migrated=migrated)

    @contextmanager
    def scene(self) -> Iterator[None]:
        """What is started inside is stopped at its end, the newest first."""
        outer, self._stack = self._stack, ExitStack()
        try:
            with self._stack:
                yield
        finally:
            self._stack = outer


@contextmanager
def stage(options: Options) -> Iterator[Stage]:
    """A stage on a PostgreSQL of its own, which is gone afterwards."""
    # Not below somebody's home: as root, the database runs as a user who may not look in there.
    folder = Path(tempfile.mkdtemp(prefix="interlock-bench-"))
    try:
        postgres = Postgres(folder / "postgres")
        try:
            yield Stage(folder, postgres, options)
        finally:
            postgres.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    """Shows progress."""
    print(f"{time.monotonic() - _begin:7.1f} s  {text}", file=sys.stderr, flush=True)
