"""The garbage collector of a command: it rests while all that is new is what is imported."""

from __future__ import annotations

import gc

_YOUNG_MAX = 10_000
"""How many new objects there may be before Python looks for garbage among them: what calls leave
behind goes by its count of references."""


def rest() -> None:
    """Looks at nothing: a tenth of a start is looking through what is imported, again and again."""
    gc.disable()


def begin() -> None:
    """After a rest, looks for what calls leave behind, and passes over what is there by then."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(_YOUNG_MAX)
        gc.enable()
