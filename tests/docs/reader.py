"""Somebody who does what a document says, block by block, in an empty folder.

- `python name.py` is a file to write; without a name it is code to run, after what ran before. An
  expression with a literal behind it in a comment must give that.
- `output` is what the Python block before it prints.
- `console` holds commands behind `$`, with what they print. `interlock serve` stays on until the
  next one.
- `bash` holds commands whose output is of no interest.
- `tree` lists paths that exist.
- Any language with the path of a file of ours is an excerpt, and must be found in there.

In what is printed, `…` stands for anything, and `9f2c41d0…` for an id, the same one each time.
"""

from __future__ import annotations

import ast
import io
import random
import re
import shlex
import socket
import sys
import textwrap
import tokenize
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from tests.docs.markdown import ROOT, Block
from tests.support import commands

from interlock import Client

ADDRESS = "7117"
"""The port that documents write."""

_ID = re.compile(r"\b[0-9a-f]{8}(?=…)")
_PAUSED = 3
_PORTS = range(20_000, 32_000)
_KINDS = {"answer": "USER_INPUT", "complete": "EXTERNAL_EXECUTION", "approve": "CONFIRMATION"}


class Reader:
    """Reads one document from its beginning to its end."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._port = str(_free_port())
        address = f"127.0.0.1:{self._port}"
        self._env = {**env, "INTERLOCK_TARGET": address, "COLUMNS": "100"}
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        self._ids: dict[str, str] = {}
        self._server = ExitStack()

    def close(self) -> None:
        """Stops what the document started."""
        self._server.close()
        if client := self._names.get("client"):
            client.close()

    def read(self, block: Block) -> None:
        """Does what a block says."""
        if block.name and (ROOT / block.name).is_file():
            text = textwrap.dedent(block.text)
            source = textwrap.dedent((ROOT / block.name).read_text())
            assert _is_cut_from(text, source), f"{block}: is not in {block.name}"
            return
        match block.language:
            case "python" if block.name:
                (self._folder / block.name).write_text(self._here(block.text))
            case "python":
                self._run_python(block)
            case "output":
                assert self._printed.rstrip() == block.text.rstrip(), f"{block}"
            case "console":
                self._run_console(block)
            case "bash":
                for line in block.text.splitlines():
                    if command := shlex.split(line, comments=True):
                        self._run_bash(block, command)
            case "tree":
                _check_paths(block)
            case other:
                raise AssertionError(f"{block}: nobody runs {other or 'a nameless'!r} block")

    # Python.

    def _run_python(self, block: Block) -> None:
        text = "\n" * (block.line - 1) + self._here(block.text)
        tree = ast.parse(text, block.document)
        checked = _Checks(text).visit(tree)
        self._names["_check"] = _check
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(ast.fix_missing_locations(checked), block.document, "exec"), self._names)
        self._printed = printed.getvalue()

    def _here(self, text: str) -> str:
        return text.replace(ADDRESS, self._port)

    # Commands.

    def _run_console(self, block: Block) -> None:
        assert block.text.startswith("$ "), f"{block}: a console begins with a command"
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            for name, value in self._ids.items():
                command = command.replace(name, value[:8])
            printed = self._do(shlex.split(command)).replace(self._port, ADDRESS)
            self._compare(f"{block}: {command}", expected, printed)

    def _do(self, command: list[str]) -> str:
        if command[:2] == ["interlock", "serve"]:
            return self._serve(command[2])
        folder = ROOT if command[0] == "pytest" else self._folder
        done = commands.run(command, self._env, folder)
        assert done.returncode in (0, _PAUSED), f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def _serve(self, spec: str) -> str:
        self._server.close()
        address = self._env["INTERLOCK_TARGET"]
        started = commands.serving(spec, self._env, self._folder, address)
        return self._server.enter_context(started).log

    def _compare(self, where: str, expected: str, printed: str) -> None:
        """Compares what was printed, line ends and the width of spaces aside."""
        pattern = ""
        fresh: list[str] = []
        for piece in re.split(r"(\b[0-9a-f]{8}…|…|\s+)", expected.strip()):
            if _ID.match(piece):
                name = piece[:8]
                if name in self._ids:
                    pattern += re.escape(self._ids[name])
                elif name in fresh:
                    pattern += f"(?P=id_{name})"
                else:
                    fresh.append(name)
                    pattern += f"(?P<id_{name}>[0-9a-f-]{{36}})"
            elif piece == "…":
                pattern += r"[\s\S]*?"
            else:
                pattern += r"\s+" if piece.isspace() else re.escape(piece)
        found = re.fullmatch(pattern, printed.strip())
        assert found, f"{where} printed:\n{printed}\nand not:\n{expected}"
        self._ids |= {name: found[f"id_{name}"] for name in fresh}

    def _run_bash(self, block: Block, command: list[str]) -> None:
        match command:
            case ["make", target]:
                assert target in make_targets(), f"{block}: make has no target {target!r}"
            case ["source", path]:
                assert path == ".venv/bin/activate"
            case ["python", path, *_]:
                assert (ROOT / path).is_file(), f"{block}: there is no {path}"
            case ["interlock", *_]:
                self._do([self._meant(command[1], word) for word in command])
            case _:
                raise AssertionError(f"{block}: nobody checks {command}")

    def _meant(self, verb: str, word: str) -> str:
        """The id of something real, for `REQ` and `RUN`."""
        if word not in ("REQ", "RUN"):
            return word
        with Client(self._env["INTERLOCK_TARGET"]) as client:
            run = client.workflow("Bank").run("...")
            if word == "REQ":
                kinds = {one.kind: one.id for one in run.active_requirements}
                return kinds[_KINDS[verb]]
            if verb == "watch":
                for one in run.active_requirements:
                    one.reject()
                client.continue_run(run)
            return run.run_id


class _Checks(ast.NodeTransformer):
    """Turns an expression with a literal in a comment behind it into a check."""

    def __init__(self, text: str) -> None:
        self._comments: dict[int, ast.expr] = {}
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                with suppress(SyntaxError, ValueError):
                    comment = token.string.removeprefix("#").strip()
                    ast.literal_eval(comment)
                    self._comments[token.start[0]] = ast.parse(comment, mode="eval").body

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        assert node.end_lineno is not None
        expected = self._comments.get(node.end_lineno)
        if expected is None:
            return node
        name = ast.Name("_check", ast.Load())
        check = ast.Call(name, [node.value, expected, ast.Constant(node.lineno)], [])
        return ast.copy_location(ast.Expr(check), node)


def _check(given: Any, expected: Any, line: int) -> None:
    assert given == expected, f"line {line} gives {given!r}, not {expected!r}"


def make_targets() -> dict[str, str]:
    """The targets that `make help` lists, with what it says of them."""
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z-]+):.*## (.+)$", text, flags=re.MULTILINE))


def _check_paths(block: Block) -> None:
    """Each line is a path, below the last line that is indented less; two spaces end it."""
    above: list[tuple[int, Path]] = []
    for line in filter(str.strip, block.text.splitlines()):
        depth = len(line) - len(line.lstrip())
        while above and above[-1][0] >= depth:
            above.pop()
        parent = above[-1][1] if above else ROOT
        path = parent / re.split(r"\s{2,}", line.strip())[0]
        assert path.exists(), f"{block}: there is no {path.relative_to(ROOT)}"
        assert path.is_dir() == line.strip().split()[0].endswith("/"), f"{block}: {line}"
        above.append((depth, path))


def _is_cut_from(text: str, source: str) -> bool:
    """Whether all lines stand together in the source, at any indentation."""
    wanted = text.strip("\n").splitlines()
    lines = source.splitlines()
    for start in range(len(lines) - len(wanted) + 1):
        window = textwrap.dedent("\n".join(lines[start : start + len(wanted)]))
        if window.splitlines() == wanted:
            return True
    return False


def _free_port() -> int:
    """A port to listen on a little later. Not one of those from which connections are made: another
    test's connection could have it by then."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def forget_modules(folder: Path) -> None:
    """Forgets what was imported from a folder."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
