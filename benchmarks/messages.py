"""Messages of a stream in a file: what one watcher was sent, for another server to send again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from interlock import v1

_LENGTH_BYTES = 4


def write(path: Path, messages: Iterable[v1.WatchRunResponse]) -> None:
    """Writes messages, each behind its length."""
    with path.open("wb") as file:
        for message in messages:
            content = message.SerializeToString()
            file.write(len(content).to_bytes(_LENGTH_BYTES))
            file.write(content)


def read(path: Path) -> list[v1.WatchRunResponse]:
    """Reads what was written."""
    messages = []
    with path.open("rb") as file:
        while length := file.read(_LENGTH_BYTES):
            content = file.read(int.from_bytes(length))
            messages.append(v1.WatchRunResponse.FromString(content))
    return messages
