"""The machine, and the versions of what was measured on it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.children import PEERS_PYTHON, ROOT
from benchmarks.postgres import Postgres

_OURS = ("grpcio", "protobuf", "asyncpg", "sqlalchemy")
_THEIRS = (
    "agno",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "asyncpg",
    "langgraph",
    "langgraph-checkpoint-postgres",
    "psycopg",
)
_VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""
_COMMITS = 100
_BUSY = 0.5
"""With more than this of each core at work for others, figures are of a loaded machine."""


def circumstances(postgres: Postgres) -> dict[str, Any]:
    """When and where something was measured, and what."""
    return {
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_per_core": load_per_core(),
        "machine": _machine(postgres),
        "versions": _versions(),
    }


def load_per_core() -> float:
    """How much of each core has been asked for in the last minute."""
    return os.getloadavg()[0] / (psutil.cpu_count() or 1)


def is_loaded(load: float) -> bool:
    """Whether others have so much to do that figures are not those of the machine."""
    return load > _BUSY


def _machine(postgres: Postgres) -> dict[str, str]:
    return {
        "processor": f"{psutil.cpu_count()} cores, {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "one commit": f"{_commit_milliseconds(postgres):.2f} ms",
        **{f"PostgreSQL, {name}": value for name, value in postgres.settings().items()},
    }


def _processor() -> str:
    """What the processor calls itself, where it does."""
    with_names = Path("/proc/cpuinfo")
    if with_names.exists():
        for line in with_names.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _commit_milliseconds(postgres: Postgres) -> float:
    """How long one commit takes that waits for the disk, with nobody else about."""
    postgres.execute("CREATE TABLE IF NOT EXISTS commits (number int)")
    taken = postgres.timed("INSERT INTO commits VALUES (1)", _COMMITS)
    return 1_000 * statistics.median(taken)


def _versions() -> dict[str, str]:
    versions = {
        "Interlock": _commit(),
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in _OURS},
    }
    if PEERS_PYTHON.exists():
        versions |= {f"{name} of the peers": each for name, each in _peers().items()}
    return versions


def _commit() -> str:
    """The commit that is checked out, and whether there is more."""
    describe = ("git", "describe", "--always", "--dirty", "--exclude=*")
    done = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _peers() -> dict[str, str]:
    command = (str(PEERS_PYTHON), "-c", _VERSIONS, *_THEIRS)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions
