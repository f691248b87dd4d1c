"""The screen: where a command writes, for people or, as JSON, for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from interlock_server.cli import paint
from interlock_server.cli.exits import Exit
from interlock_server.cli.text import safe, safe_lines
from interlock_server.cli.values import Unreadable

if TYPE_CHECKING:
    from google.protobuf.message import Message

_BROKEN_PIPE = 141
"""What a shell says of a command whose reader went away."""

_WIDTH_MIN = 20
_PIPE_WIDTH = 200
"""Columns of a table that goes to a file or another program."""


class Screen:
    """Standard output and standard error of one command.

    Nothing that is printed here is taken for markup. Whatever comes from users or models goes
    through `text` first.

    Args:
        as_json: write JSON for programs: results on standard output, an error as
            `{"error": ...}` on standard error.
        target: the service that the command talks to.
    """

    def __init__(self, *, as_json: bool = False, target: str = "") -> None:
        self.as_json = as_json
        self.target = target
        self.out = _console(stderr=False)
        self._err = _console(stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether a person looks on, so that what is printed may still change."""
        return self.out.is_terminal and not self.as_json

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to ask."""
        return self.is_live and sys.stdin.isatty()

    @property
    def is_fancy(self) -> bool:
        """Whether standard output can show more than ASCII."""
        return self.out.encoding.startswith("utf")

    def print(self, *parts: paint.RenderableType, style: str = "", indent: int = 0) -> None:
        """Prints for people."""
        for part in parts:
            if isinstance(part, str | paint.Text):
                text = paint.Text(part, style=style) if isinstance(part, str) else part
                _print_text(self.out, text, indent, first="", rest=f"{self._bar('┆')} ")
            else:
                self.out.print(part)

    def block(self, text: str, *, indent: int = 0) -> None:
        """Prints text of users or models, each of its lines behind a bar."""
        bar = f"{self._bar('│')} "
        for line in safe_lines(text):
            _print_text(self.out, paint.Text(line), indent, first=bar, rest=bar)

    def command(self, line: str, *, indent: int = 0) -> None:
        """Prints a command to paste, on one line however narrow the terminal is."""
        self.out.print(paint.Text(" " * indent + line, style="cyan"), soft_wrap=True)

    def document(self, content: Message | Mapping[str, Any]) -> None:
        """Prints one JSON document."""
        indent = 2 if self.out.is_terminal else None
        _echo(json.dumps(_jsonable(content), indent=indent))

    def line(self, message: Message | Mapping[str, Any]) -> None:
        """Prints one of several JSON documents, on a line of its own."""
        _echo(json.dumps(_jsonable(message)))

    def note(self, text: str) -> None:
        """Tells people something beside the result."""
        if not self.as_json:
            self._err.print(paint.Text(text, style="dim"), soft_wrap=True)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Takes a mistake in what was typed for the end of the command."""
        try:
            yield
        except Unreadable as mistake:
            self.fail(Exit.USAGE, str(mistake))

    def fail(
        self,
        code: Exit,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        hint: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> NoReturn:
        """Says what is wrong on standard error, and ends the command.

        Args:
            details: what is wrong with what, for example with which field.
            hint: what to do about it.
            facts: more for programs.
        """
        if self.as_json:
            error = {"message": message, **(facts or {})}
            if hint:
                error["hint"] = hint
            typer.echo(json.dumps({"error": error}), err=True)
        else:
            first, *rest = safe_lines(message)
            self._tell(paint.Text.assemble(("error: ", "bold red"), first))
            for line in rest:
                self._tell(paint.Text(line), indent=2)
            for name, what in (details or {}).items():
                self._tell(paint.Text.assemble((safe(name), "bold"), f": {safe(what)}"), indent=2)
            if hint:
                self._err.print(paint.Text(hint, style="dim"), soft_wrap=True)
        raise typer.Exit(code)

    def _tell(self, text: paint.Text, indent: int = 0) -> None:
        _print_text(self._err, text, indent, first="", rest=f"{self._bar('┆')} ")

    def _bar(self, bar: str) -> str:
        return bar if self.is_fancy else "|"


def _print_text(
    console: paint.Console, text: paint.Text, indent: int, *, first: str, rest: str
) -> None:
    """Prints one line of text; on a terminal it is broken so that what users or models wrote can
    never stand at the beginning of a line, where it could pass for a line of ours.

    Args:
        first: what to put before it.
        rest: what to put before the lines that are broken off.
    """
    lines = [text]
    if console.is_terminal and paint.cell_len(first + text.plain) > console.width - indent:
        width = max(_WIDTH_MIN, console.width - indent - paint.cell_len(rest))
        lines = list(text.wrap(console, width, overflow="fold"))
    for number, line in enumerate(lines):
        bar = rest if number else first
        console.print(paint.Text.assemble(" " * indent, (bar, "dim"), line), soft_wrap=True)


def _reader_left() -> NoReturn:
    """Ends quietly when nobody reads on, as with `| head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(_BROKEN_PIPE)


def _echo(line: str) -> None:
    try:
        typer.echo(line)
    except BrokenPipeError:
        _reader_left()


def _console(*, stderr: bool) -> paint.Console:
    console = paint.Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    console.on_broken_pipe = _reader_left  # type: ignore[method-assign]
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _PIPE_WIDTH
    return console


def _jsonable(content: Message | Mapping[str, Any]) -> Any:
    if isinstance(content, Mapping):
        return content
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(content)
