"""Keys: the identity of a place in a run, the same in every process and on every replay.

A key is a path of names from the root: `publish/review#2/draft@1:turn3` is the
third turn of the first attempt of the step `draft` in the second iteration of
the loop `review`. Keys hold names, never positions in a definition, so branches
wait side by side and an inserted step shifts nothing. A path that grows too long
for the indexes in which keys are stored goes on as its own hash.
"""

from __future__ import annotations

import hashlib

_BYTES_MAX = 500
_QUOTED = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "%/#@+~:"})


class Key(str):
    """One place; built only by walking down from `ROOT`."""

    __slots__ = ()

    def child(self, name: str) -> Key:
        """The node `name` inside this one."""
        quoted = name.translate(_QUOTED)
        return _short(f"{self}/{quoted}") if self else _short(quoted)

    def iteration(self, number: int) -> Key:
        """One pass through a loop, counted from 1."""
        return _short(f"{self}#{number}")

    def occurrence(self, number: int) -> Key:
        """One of several times that a router runs the same route, counted from 1."""
        return _short(f"{self}+{number}")

    def visit(self, number: int) -> Key:
        """A further run of a node that a person sent back; the first one has no number."""
        return _short(f"{self}~{number}") if number > 1 else self

    def attempt(self, number: int) -> Key:
        """One try of a step or an effect, counted from 1."""
        return _short(f"{self}@{number}")

    def part(self, name: str) -> Key:
        """Something inside this place that is not a node: a turn, a call, a decision."""
        return _short(f"{self}:{name.translate(_QUOTED)}")


def _short(path: str) -> Key:
    encoded = path.encode()
    return Key(path if len(encoded) <= _BYTES_MAX else hashlib.sha256(encoded).hexdigest())


ROOT = Key("")
