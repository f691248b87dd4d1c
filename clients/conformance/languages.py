"""The languages: what `languages.toml` says of each, and whether this machine has it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from clients.conformance.drivers import ROOT

_FILE = Path(__file__).with_name("languages.toml")
_LOCK = ROOT / ".cache" / "conformance.lock"


class NotBuilt(Exception):
    """A driver could not be built; the text has what the build said."""


@dataclass(frozen=True)
class Language:
    """A client and its driver.

    Args:
        client: its folder.
        probe: commands that succeed where the toolchain is there.
        build: makes the driver and the samples; empty where there is nothing to make.
        driver: runs the driver.
        sample: runs a sample; `{name}` is its name.
    """

    name: str
    client: str
    probe: tuple[tuple[str, ...], ...]
    build: tuple[str, ...]
    driver: tuple[str, ...]
    sample: tuple[str, ...]

    def missing(self) -> str:
        """What this machine lacks for it, in words; empty when there is all."""
        if not (ROOT / self.client).is_dir():
            return f"there is no {self.client}"
        for command in self.probe:
            try:
                done = subprocess.run(
                    command, cwd=ROOT, capture_output=True, timeout=60, check=False
                )
            except OSError:
                return f"there is no {command[0]}"
            if done.returncode:
                return f"`{' '.join(command)}` fails"
        return ""

    def build_driver(self) -> None:
        """Builds the driver; two processes do that one after the other.

        Raises:
            NotBuilt: it cannot be built.
        """
        if self.build:
            _LOCK.parent.mkdir(exist_ok=True)
            with _LOCK.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._build()

    def _build(self) -> None:
        done = subprocess.run(self.build, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise NotBuilt(f"{self.name}: {' '.join(self.build)} failed:\n{said[-4_000:]}")


def languages() -> dict[str, Language]:
    """All languages, by name."""
    described = tomllib.loads(_FILE.read_text())
    return {
        name: Language(
            name=name,
            client=one["client"],
            probe=tuple(tuple(command) for command in one.get("probe", ())),
            build=tuple(one.get("build", ())),
            driver=_command(one["driver"]),
            sample=_command(one.get("sample", ())),
        )
        for name, one in described.items()
    }


def _command(words: list[str]) -> tuple[str, ...]:
    return tuple(word.replace("{python}", sys.executable) for word in words)
