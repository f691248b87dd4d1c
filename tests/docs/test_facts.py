"""What the documents state is so: settings, errors, names, paths, links, imports and commits."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2
from pydantic_core import PydanticUndefined
from tests.docs.markdown import DOCUMENTS, ROOT, blocks, code, prose, read, table
from tests.docs.reader import make_targets
from tests.support.service import confirm, open_requirements, served

from interlock import v1
from interlock_server import Settings
from interlock_server.cli.exits import Exit
from interlock_server.engine.keys import ROOT as TOP
from interlock_server.runtime import desk, leg, runtime
from interlock_server.runtime.runtime import Timing
from interlock_server.service.errors import STATUS
from interlock_server.store.tables import metadata

SERVER = ROOT / "server/src/interlock_server"
SOURCES = ("server/src", "clients/python/src", "proto", "tests", "examples")
_EVERYWHERE = {"errors", "jsontext", "limits", "times", "settings", "demo", "__init__"}
_per_document = pytest.mark.parametrize("document", DOCUMENTS)


# Form.


@_per_document
def test_a_document_has_one_title_and_lines_of_a_readable_length(document: str) -> None:
    lines = prose(document).splitlines()
    assert [line for line in lines if line.startswith("# ")] == lines[:1]
    long = [line for line in lines if len(line) > 100 and not line.startswith("|")]
    assert long == []


@_per_document
def test_a_document_knows_no_machine(document: str) -> None:
    for foreign in ("/home/", "/Users/", "/tmp/", "TODO", "FIXME"):
        assert foreign not in read(document)


@_per_document
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / path).exists(), target
        assert not anchor or anchor in _anchors(path or document), target


@_per_document
def test_paths_exist(document: str) -> None:
    for piece in code(prose(document)):
        path, _, test = piece.partition("::")
        if not _is_path(path) or path in {block.name for block in blocks(document)}:
            continue
        found = [
            base / path for base in (ROOT, SERVER, ROOT / "examples") if (base / path).exists()
        ]
        assert found, f"{document} speaks of {path}"
        if test:
            assert re.search(rf"def {test}\(", found[0].read_text()), piece


@_per_document
def test_names_are_those_of_the_code(document: str) -> None:
    unknown = []
    for piece in code(prose(document)):
        for name in re.findall(r"^[A-Za-z_][\w.]*(?=$|\()", piece):
            unknown += [piece for part in name.split(".") if part not in _words()]
    assert [one for one in unknown if not _is_path(one)] == []


# README.


def test_settings_are_those_of_the_server() -> None:
    rows = {name: default for name, default, _ in table("README.md", *_SETTINGS_HEADER)}
    fields = Settings.model_fields
    assert [code(name) for name in rows] == [[f"INTERLOCK_{name.upper()}"] for name in fields]
    for field, shown in zip(fields.values(), rows.values(), strict=True):
        default = field.get_default()
        if default is PydanticUndefined or default is None:
            assert not code(shown)
        else:
            assert [f"{default:g}" if isinstance(default, float) else str(default)] == code(shown)


_SETTINGS_HEADER = ("Variable", "Default", "Meaning")


def test_errors_are_those_of_the_server() -> None:
    rows = {code(name)[0]: set(code(reasons)) for name, reasons in _errors()}
    expected: dict[str, set[str]] = defaultdict(set)
    for number, reason in STATUS.values():
        expected[code_pb2.Code.Name(number)].add(_short(reason))
    for reason in (v1.ERROR_REASON_INTERNAL, v1.ERROR_REASON_UNIMPLEMENTED):
        expected[_short(reason)].add(_short(reason))
    assert rows == expected


def _errors() -> list[list[str]]:
    return table("README.md", "Code", "Reasons")


def _short(reason: v1.ErrorReason.ValueType) -> str:
    return v1.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def test_exit_codes_are_those_of_the_program() -> None:
    [sentence] = re.findall(r"The exit code says.*?\.\n", prose("README.md"), flags=re.DOTALL)
    assert re.findall(r"\b(\d) ", sentence.replace("\n", " ")) == [str(one.value) for one in Exit]


def test_examples_are_those_of_the_folder() -> None:
    rows = [code(file)[0] for file, _ in table("README.md", "File", "Shows")]
    assert sorted(rows) == sorted(one.name for one in (ROOT / "examples").glob("[!_]*.py"))


# CONTRIBUTING.


def test_targets_are_those_of_the_makefile() -> None:
    rows = [code(command)[0] for command, _ in table("CONTRIBUTING.md", "Command", "What it does")]
    assert set(rows) <= {f"make {name}" for name in make_targets()}


# ARCHITECTURE.


def test_rooms_import_what_the_table_says() -> None:
    ours, foreign = _imports()
    rows = table("ARCHITECTURE.md", "Room", "Uses", "Imports what no other room does")
    assert {code(room)[0] for room, _, _ in rows} == set(ours)
    for cell, uses, alone in rows:
        [room] = code(cell)
        assert set(code(uses)) == ours[room], room
        for library in code(alone):
            assert {one for one, names in foreign.items() if library in names} == {room}, library


def _imports() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    ours: dict[str, set[str]] = defaultdict(set)
    foreign: dict[str, set[str]] = defaultdict(set)
    for file in SERVER.rglob("*.py"):
        room = file.relative_to(SERVER).parts[0].removesuffix(".py")
        if room in _EVERYWHERE:
            continue
        ours[room] |= set()
        for name in _imported(file):
            package, _, rest = name.partition(".")
            if package != "interlock_server":
                foreign[room].add(package)
            elif (used := rest.partition(".")[0]) not in {room, *_EVERYWHERE}:
                ours[room].add(used)
    return ours, foreign


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "interlock_server":
            yield from (f"interlock_server.{one.name}" for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_layers_are_those_of_the_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [one["layers"] for one in contracts["contracts"] if one["type"] == "layers"]
    rooms = [name for layer in layers for name in re.findall(r"\.(\w+)", layer)]
    rows = table("ARCHITECTURE.md", "Room", "Uses", "Imports what no other room does")
    assert [code(room)[0] for room, _, _ in rows] == rooms


def test_tables_are_those_of_the_store() -> None:
    rows = [code(name)[0] for name, _ in table("ARCHITECTURE.md", "Table", "Holds")]
    assert set(rows) == set(metadata.tables)


def test_keys_are_built_like_that() -> None:
    draft = TOP.child("publish").child("review").iteration(2).child("draft")
    turn = draft.attempt(1).part("turn3")
    call = turn.part("call2")
    built = [
        draft,
        draft.attempt(1),
        turn.part("model"),
        call,
        call.attempt(1),
        call.part("gate"),
        call.child("Writer").part("turn1").part("model"),
        TOP.child("desk").child("answer").occurrence(2),
        TOP.child("publish").part("confirm"),
        TOP.child("publish").visit(2),
    ]
    assert [code(key)[0] for key, _ in table("ARCHITECTURE.md", "Key", "The place")] == built


async def test_the_run_that_is_followed_has_these_commits(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[list[Any]] = []

    def spied(place: Any, name: str, seen: Any) -> None:
        function = getattr(place, name)

        async def spy(*given: Any, **named: Any) -> Any:
            commits.append([name, *seen(*given)])
            return await function(*given, **named)

        monkeypatch.setattr(place, name, spy)

    spied(runtime, "run_create", lambda *given: [_kinds(given[3]), [], []])
    spied(desk, "decision_record", lambda *given: [_kinds(given[3]), [], []])
    spied(leg, "run_commit", lambda *given: _committed(given[2], given[6]))
    app = importlib.import_module("agent_confirmation").app
    async with served(app, database_url, timing=Timing(commit_delay=60.0)) as service:
        paused = await service.run("WeatherWorkflow")
        await service.resolve(paused, confirm(open_requirements(paused)[0]))
    header = ("Commit", "By", "Events", "Journal", "Requirements")
    rows = table("ARCHITECTURE.md", *header)
    assert [[code(by)[0], *map(code, cells)] for _, by, *cells in rows] == commits
    assert [number for number, *_ in rows] == [str(one) for one in range(1, len(commits) + 1)]


def _kinds(events: Any) -> list[str]:
    return [one.WhichOneof("event") for one in events]


def _committed(progress: Any, opening: Any) -> list[list[str]]:
    told, resolved = (opening.events, list(opening.keys)) if opening else ([], [])
    return [
        _kinds([*told, *(one.event for one in progress.events)]),
        [one.key for one in progress.entries],
        [*resolved, *(one.key for one in progress.questions)],
    ]


# What it takes.


def _is_path(piece: str) -> bool:
    if piece.startswith(("/", "http")) or " " in piece or ":" in piece or "@" in piece:
        return False
    return piece.endswith(("/", ".py", ".md", ".toml", ".proto"))


def _anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@cache
def _words() -> frozenset[str]:
    """Every word of the code, of the documents' own snippets, and of what stands around it."""
    files = [
        one
        for source in SOURCES
        for one in (ROOT / source).rglob("*")
        if one.suffix in (".py", ".proto") and one.name not in ("test_facts.py", "reader.py")
    ]
    files += [ROOT / "Makefile", ROOT / "pyproject.toml"]
    texts = [one.read_text() for one in files]
    texts += [block.text for document in DOCUMENTS for block in blocks(document)]
    words = frozenset(re.findall(r"\w+", "\n".join(texts)))
    return words | {one.removeprefix("ERROR_REASON_") for one in words}
