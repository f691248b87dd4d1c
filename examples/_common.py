"""What the examples share: a model, a service, and somebody who decides."""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock import Requirement
from interlock_server import Interlock, ModelRequest, ScriptedModel, Settings, ToolResults


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument(
        "--model",
        default=os.environ.get("EXAMPLE_MODEL"),
        help="a real model, such as openai-responses:gpt-5.4; default: a script",
    )
    parser.add_argument(
        "--target", help="HOST:PORT of a service that runs; default: one in this process"
    )
    # Whoever else imports an example, such as `interlock serve`, has options of its own.
    is_example = Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parent
    return parser.parse_args(None if is_example else [])


OPTIONS = _options()


def model(*turns: Any) -> Any:
    """The model that `--model` names, or else one that plays these turns."""
    return OPTIONS.model or ScriptedModel(turns)


def outcome(request: ModelRequest) -> str:
    """A scripted turn: says what became of the calls in the turn before."""
    last = request.messages[-1]
    assert isinstance(last, ToolResults)
    return "\n".join(f"Not done: {one.text}" if one.is_error else one.text for one in last.results)


@contextmanager
def service(app: Interlock) -> Iterator[str]:
    """The service that `--target` names, or else one of our own while the context is open."""
    if OPTIONS.target:
        yield OPTIONS.target
        return
    folder = Path(tempfile.mkdtemp(prefix="interlock-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # After the database in it.
    with app.serving(Settings(address="127.0.0.1:0", data_dir=folder)) as target:
        yield target


def ask(question: str, otherwise: str) -> str:
    """What somebody at the terminal answers; without a terminal, `otherwise`."""
    if sys.stdin.isatty():
        return input(f"{question} ")
    print(f"{question} {otherwise}")
    return otherwise


def approves(requirement: Requirement) -> bool:
    """Whether somebody says yes to a tool call."""
    call = requirement.tool_execution
    args = ", ".join(f"{name}={value!r}" for name, value in call.tool_args.items())
    who = requirement.member_agent_name or requirement.executor_name
    return ask(f"{who} wants {call.tool_name}({args}). Approve? [y/n]", "y").lower() == "y"
