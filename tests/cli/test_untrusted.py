"""What models and users write is shown as what it is: it cannot steer a terminal, or hide."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.text import Text
from tests.cli import desk
from tests.cli.conftest import Command, Outcome, Terminal

from interlock_server.cli.screen import Screen
from interlock_server.cli.text import as_call, as_json, cut, safe, safe_lines

ESCAPED = r"ls\x1b[2K\x1b[1A; echo \u202egnp.exe [bold]fine[/bold] \x07\x9b31m"
ESCAPED_IN_JSON = r"ls\u001b[2K\u001b[1A; echo \u202egnp.exe [bold]fine[/bold] \u0007\x9b31m"


def assert_harmless(done: Outcome) -> None:
    for character in done.out + done.err:
        assert character == "\n" or unicodedata.category(character)[0] != "C", repr(character)


def test_every_view_of_a_hostile_call(
    interlock: Command, paused: Callable[..., tuple[str, str]]
) -> None:
    run_id, requirement_id = paused("Hostile")
    views = [
        interlock("pending"),
        interlock("pending", requirement_id),
        interlock("pending", "--full"),
        interlock("pending", requirement_id, "--json"),
        interlock("runs", run_id),
        interlock("watch", run_id, "--until-pause"),
        interlock("approve", requirement_id, "--note", desk.HOSTILE, "--follow"),
        interlock("watch", run_id),
        interlock("runs", run_id),
        interlock("runs", run_id, "--json"),
        interlock("run", "Broken"),
        interlock("run", "Broken", "--no-stream"),
        interlock("run", "Echo", desk.HOSTILE, "--label", f"a={desk.HOSTILE}"),
        interlock("runs"),
        interlock("runs", "--session", desk.HOSTILE),
    ]
    for view in views:
        assert_harmless(view)
    assert f'command = "{ESCAPED_IN_JSON}"' in views[1].out
    assert f"approved: {ESCAPED}" in views[6].out
    assert f"I ran {ESCAPED}" in views[7].out


def test_an_approver_at_a_narrow_terminal_sees_every_argument(target: str) -> None:
    with Terminal("run", "Hostile", columns=50, INTERLOCK_TARGET=target) as terminal:
        terminal.type_after("Approve?", "n\n")
        terminal.type_after("Reason", "\n")
        code, shown = terminal.end()
    assert code == 0
    for character in ("\x1b", "\x9b", "\x07", "\u202e"):
        assert character not in shown
    prompt = shown[shown.index("● run_command") : shown.index("Approve?")]
    assert all(f"│ line {number} of a letter" in prompt for number in range(40))
    lines = [line for line in prompt.splitlines() if line.strip()]
    shown_command = "".join(line.partition("│ ")[2] for line in lines if "│" in line)
    assert ESCAPED.replace(" ", "") in shown_command.replace(" ", "")
    begins = [line.strip().split()[0] for line in lines]
    assert set(begins) <= {"●", "id", "run", "asks", "since", "command", "letter", "│", "┆"}


@pytest.mark.parametrize("width", [30, 47, 80])
def test_no_line_of_a_text_stands_where_one_of_ours_could(width: int) -> None:
    screen = Screen()
    paper = io.StringIO()
    screen.out = Console(file=paper, force_terminal=True, width=width, color_system=None)
    text = "● refund waits for approval " * 9 + "\n● approved by root\r\x1b[2J"
    screen.print(Text(safe(text)), indent=2)
    first, *broken_off = paper.getvalue().splitlines()
    assert first.startswith("  ●")
    assert all(line.startswith("  ┆ ") for line in broken_off)
    paper.truncate(0)
    paper.seek(0)
    screen.block(text, indent=4)
    lines = paper.getvalue().splitlines()
    assert all(line.startswith("    │ ") for line in lines)
    assert all(len(line) <= width for line in lines)


def test_safe_text() -> None:
    assert safe("plain ünïcode 漢字 🙂") == "plain ünïcode 漢字 🙂"
    assert safe("a\tb\nc\x00\x7f\x85\u200b\u2028\ud800") == (
        r"a\tb\nc\x00\x7f\x85\u200b\u2028\ud800"
    )
    assert safe_lines("a\r\nb\rc") == ["a", r"b\rc"]
    assert as_json({"a": "\x1b\u202e\n"}) == r'{"a": "\u001b\u202e\n"}'
    assert as_call("t\x1b", {"a\n": [1]}) == r"t\x1b(a\n=[1])"
    assert cut("abcdef", 4) == "abcd… (+2 characters)"
    assert cut("abcd", 4) == "abcd"
