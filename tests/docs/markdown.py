"""Reads Markdown as far as the tests need it: fenced blocks, tables and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")

_FENCE = re.compile(r"```(?P<language>\w*) ?(?P<name>\S*)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: how to read it.
        name: the second word of its info string: the file that it is, or is cut from.
        line: where its text begins, from 1.
    """

    document: str
    line: int
    language: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def read(document: str) -> str:
    """The text of a document."""
    return (ROOT / document).read_text()


def blocks(document: str) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    lines = read(document).splitlines()
    begin: tuple[int, re.Match[str]] | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if begin is None:
            fence = _FENCE.fullmatch(line)
            assert fence, f"{document}:{number + 1}: {line!r} is not a fence that we can read"
            begin = number + 1, fence
        else:
            first, fence = begin
            text = "".join(f"{one}\n" for one in lines[first:number])
            yield Block(document, first + 1, fence["language"], fence["name"], text)
            begin = None
    assert begin is None, f"{document}: a fence is never closed"


def prose(document: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(document), flags=re.DOTALL | re.MULTILINE)


def table(document: str, *header: str) -> list[list[str]]:
    """The rows of the table with this header, each cell as it is written."""
    lines = iter(prose(document).splitlines())
    for line in lines:
        if _cells(line) == list(header):
            next(lines)
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append(_cells(row))
            return rows
    raise AssertionError(f"{document} has no table {header}")


def code(cell: str) -> list[str]:
    """The pieces of code in a cell or a text."""
    return re.findall(r"`([^`]+)`", cell)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
