"""Inputs: what a run is started with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from interlock_server.cli.values import Unreadable, read_json


def read_input(text: str | None, json_text: str | None, file: str | None) -> Any:
    """The input of a run: plain text, JSON, or JSON in a file, where `-` is standard input.

    Raises:
        Unreadable: more than one is given, or what is given cannot be read.
    """
    given = [one for one in (text, json_text, file) if one is not None]
    if len(given) > 1:
        raise Unreadable("give only one of INPUT, --input-json and --input-file")
    if json_text is not None:
        return read_json(json_text, "--input-json")
    return text if file is None else read_json(_content(file), repr(file))


def read_labels(given: Sequence[str]) -> dict[str, str]:
    """Labels from `key=value`.

    Raises:
        Unreadable: one of them is not of that form.
    """
    labels = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise Unreadable(f"{one!r} is not of the form key=value")
        labels[key] = value
    return labels


def _content(file: str) -> str:
    try:
        if file == "-":
            return typer.get_text_stream("stdin").read()
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"cannot read {file!r}: {error}") from None
