"""A stage: a server and the drivers of one language, which live through many scenarios."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from clients.conformance.app import GATES
from clients.conformance.drivers import ROOT, Driver
from clients.conformance.languages import Language
from clients.conformance.service import Certificates, Databases, Service

_CLEAR_SECONDS = 30.0


class Failed(Exception):
    """A step did not go as expected; the text says how."""


class Stage:
    """What there is to play with.

    Args:
        root_file: with the root certificate of the way with TLS.
    """

    def __init__(self, language: Language, service: Service, root_file: str) -> None:
        self.language = language
        self.service = service
        self.root_file = root_file
        self._drivers: dict[str, Driver] = {}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, language: Language, databases: Databases, certificates: Certificates
    ) -> AsyncIterator[Stage]:
        """A stage, for as long as the context is open."""
        async with Service.opened(databases, certificates) as service:
            stage = cls(language, service, str(certificates.root))
            try:
                yield stage
            finally:
                await stage.dismiss()

    async def driver(self, name: str) -> Driver:
        """A driver, started when it is needed."""
        driver = self._drivers.get(name)
        if driver is None or not driver.is_alive:
            driver = await Driver.start(self.language.driver, ROOT)
            self._drivers[name] = driver
        return driver

    async def sample(self, name: str, environment: Mapping[str, str]) -> str:
        """Runs a sample to its end, and gives what it printed.

        Raises:
            Failed: it ended badly.
        """
        target = self.service.targets["server"]
        process = await asyncio.create_subprocess_exec(
            *(word.format(name=name) for word in self.language.sample),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
            env={**os.environ, **environment, "INTERLOCK_TARGET": target},
            start_new_session=True,
        )
        try:
            output, log = await process.communicate()
        except asyncio.CancelledError:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode:
            said = (output + log).decode(errors="replace")
            raise Failed(f"the sample ended with {process.returncode}:\n{said[-4_000:]}")
        return output.decode()

    # Between scenarios.

    async def clear(self, unique: str) -> None:
        """Makes the server as it was before a scenario: nothing is open, nothing disturbs.

        Args:
            unique: with what the names of the scenario's gates begin.

        Raises:
            TimeoutError: something stays open.
        """
        self.service.release()
        self.service.front.reset()
        GATES.open_all(unique)
        async with asyncio.timeout(_CLEAR_SECONDS):
            await self.service.revive()
            await self.service.clear()

    async def dismiss(self, *names: str) -> None:
        """Ends drivers; all of them when none is named."""
        leaving = [self._drivers.pop(name) for name in names or list(self._drivers)]
        for driver in leaving:
            driver.signal(signal.SIGCONT)
        await asyncio.gather(*(driver.close() for driver in leaving))

    async def replace(self) -> None:
        """Ends everything in whatever way it takes, and has a server that knows of no run."""
        await self.dismiss()
        await self.service.replace()
