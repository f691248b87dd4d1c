"""Paint: what of rich a screen draws with, imported when something is drawn.

It takes as long to import as all the rest of a command, and help draws nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.cells import cell_len as cell_len
    from rich.console import Console as Console
    from rich.console import RenderableType as RenderableType
    from rich.table import Table as Table
    from rich.text import Text as Text
    from rich.tree import Tree as Tree

_HOMES = {
    "cell_len": "rich.cells",
    "Console": "rich.console",
    "Table": "rich.table",
    "Text": "rich.text",
    "Tree": "rich.tree",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return globals().setdefault(name, getattr(import_module(_HOMES[name]), name))
