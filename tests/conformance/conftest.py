"""A troupe: the stages of all languages that this machine has, in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from clients.conformance.languages import Language, languages
from clients.conformance.play import Played, play
from clients.conformance.scenario import Scenario
from clients.conformance.service import Certificates, Databases
from clients.conformance.stage import Stage

Result = TypeVar("Result")


class Troupe:
    """Plays scenarios. Databases and stages are opened when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self.present = [one for one in languages().values() if not one.missing()]
        self._folder = folder
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
        stages = [await self._stage(one) for one in players]
        played = await asyncio.gather(*(play(scenario, stage) for stage in stages))
        return {one.name: how for one, how in zip(players, played, strict=True)}

    async def _stage(self, language: Language) -> Stage:
        if self._databases is None:
            self._databases = await self._open.enter_async_context(Databases.opened())
            self._certificates = await asyncio.to_thread(Certificates, self._folder)
        if language.name not in self._stages:
            await asyncio.to_thread(language.build_driver)
            self._stages[language.name] = await self._open.enter_async_context(
                Stage.opened(language, self._databases, self._certificates)
            )
        return self._stages[language.name]

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)


@pytest.fixture(scope="session")
def troupe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troupe]:
    troupe = Troupe(tmp_path_factory.mktemp("conformance"))
    yield troupe
    troupe.close()
