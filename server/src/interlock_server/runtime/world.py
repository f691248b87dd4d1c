"""Time, identity and chance: the only place of the runtime that asks the machine for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class World:
    """Where a runtime gets the time and fresh identifiers; tests bring their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
