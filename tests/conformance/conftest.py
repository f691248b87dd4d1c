"""A troupe: the stages of all languages that this machine has, in one event loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from clients.conformance.languages import Language, languages
from clients.conformance.play import Played, play
from clients.conformance.program import REQUIRE_ALL
from clients.conformance.scenario import Scenario
from clients.conformance.service import Certificates, Databases
from clients.conformance.stage import Stage

Result = TypeVar("Result")


def needed(name: str) -> Language:
    """A language whose toolchain is here; the test is left out where it is not, or fails."""
    language = languages()[name]
    missing = language.missing()
    if missing and os.environ.get(REQUIRE_ALL, "") in ("", "0"):
        pytest.skip(f"{name} is left out: {missing}")
    assert not missing
    return language


class Drivers:
    """The drivers, each built once for all processes of a test run.

    While one is built, it is not there for whoever is about to start it.

    Args:
        folder: that the processes share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def build(self, language: Language) -> None:
        """Builds a driver, or waits for the process that does."""
        with (self._folder / f"{language.name}.built").open("a+") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX)
            if not mark.seek(0, os.SEEK_END):
                language.build_driver()
                mark.write("built")


class Troupe:
    """Plays scenarios. Databases and stages are opened when they are first needed."""

    def __init__(self, folder: Path, drivers: Drivers) -> None:
        self.present = [one for one in languages().values() if not one.missing()]
        self._folder = folder
        self._drivers = drivers
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._stages: dict[str, Stage] = {}
        self._databases: Databases | None = None

    def play(self, scenario: Scenario, *players: Language) -> dict[str, Played]:
        """Plays a scenario with languages, all at once."""
        return self._run(self._play(scenario, players))

    def close(self) -> None:
        """Ends all drivers and servers."""
        self._run(self._open.aclose())
        self._runner.close()

    async def _play(self, scenario: Scenario, players: tuple[Language, ...]) -> dict[str, Played]:
        async with AsyncExitStack() as guests:
            stages = [await self._stage(one, guests) for one in players]
            played = await asyncio.gather(*(play(scenario, stage) for stage in stages))
        return {one.name: how for one, how in zip(players, played, strict=True)}

    async def _stage(self, language: Language, guests: AsyncExitStack) -> Stage:
        """The stage of a language; one that is a guest has it for one scenario."""
        if self._databases is None:
            self._databases = await self._open.enter_async_context(Databases.opened())
            self._certificates = await asyncio.to_thread(Certificates, self._folder)
        opened = Stage.opened(language, self._databases, self._certificates)
        if language not in self.present:
            return await guests.enter_async_context(opened)
        if language.name not in self._stages:
            await asyncio.to_thread(self._drivers.build, language)
            self._stages[language.name] = await self._open.enter_async_context(opened)
        return self._stages[language.name]

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)


@pytest.fixture(scope="session")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Drivers:
    own = tmp_path_factory.getbasetemp()
    return Drivers(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(scope="session")
def troupe(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> Iterator[Troupe]:
    troupe = Troupe(tmp_path_factory.mktemp("conformance"), drivers)
    yield troupe
    troupe.close()
