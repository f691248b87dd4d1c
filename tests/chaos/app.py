"""The app that servers serve: the worlds that the environment names, as workflows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.effects import Outside, Slow
from tests.chaos.worlds import EFFECTS, WORLDS, name_of, world
from tests.oracle.building import Code, build

from interlock_server import Interlock
from interlock_server.executors.registry import Registry


class _App(Interlock):
    """Worlds that were built one by one, behind one registry that tells what it does."""

    def __init__(self, codes: Mapping[str, Code], outside: Outside) -> None:
        super().__init__([])
        registries = [one.registry for one in codes.values()]
        speakers = [pair for one in registries for pair in one.speakers.items()]
        functions = [pair for one in registries for pair in one.functions.items()]
        names = [name for name, _ in [*speakers, *functions]]
        assert len(set(names)) == len(names), "names are unique in an app"
        self._registry = Slow(Registry(dict(speakers), dict(functions)), outside)
        self._workflows = {name: one.workflow for name, one in codes.items()}


def _built() -> _App:
    outside = Outside(Path(os.environ[EFFECTS]))
    seeds = map(int, os.environ[WORLDS].split())
    codes = {name_of(seed): build(world(seed), outside, name_of(seed)) for seed in seeds}
    return _App(codes, outside)


app = _built()
