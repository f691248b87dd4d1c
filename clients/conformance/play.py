"""Plays a scenario with the drivers of one language."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clients.conformance.checks import problems
from clients.conformance.drivers import Driver, DriverFailed
from clients.conformance.operations import Operations
from clients.conformance.scenario import Scenario, Step
from clients.conformance.stage import Failed, Stage
from clients.conformance.transcript import Transcript
from clients.conformance.values import UnknownReference, resolved, short

_CONNECT = {"retry_timeout": 20}
"""Parameters of a connection that a scenario says nothing about."""


@dataclass
class Played:
    """How a scenario went with one language; `problem` is empty when it went well."""

    transcript: Transcript
    problem: str = ""
    seconds: float = 0.0


async def play(scenario: Scenario, stage: Stage) -> Played:
    """Plays a scenario, and tidies up after it."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    playing = _Playing(scenario, stage)
    problem = ""
    try:
        await playing.play()
        await playing.leave()
    except (Failed, DriverFailed, UnknownReference) as failure:
        problem = f"{playing.at}: {failure}"
        await stage.dismiss()
    try:
        await stage.clear(playing.unique)
    except TimeoutError:
        problem = problem or "it left something behind that does not end"
        await stage.replace()
    return Played(playing.transcript, problem, clock() - begin)


@dataclass
class _Open:
    """What a driver has open: its streams and workers."""

    streams: set[str] = field(default_factory=set)
    workers: set[str] = field(default_factory=set)

    def note(self, step: Step, parameters: Mapping[str, Any]) -> None:
        """Takes in what a driver is asked to do."""
        match step.what:
            case "open":
                self.streams.add(parameters["stream"])
            case "leave":
                self.streams.discard(parameters["stream"])
            case "worker_start":
                self.workers.add(parameters["worker"])
            case "worker_stop":
                self.workers.discard(parameters["worker"])
            case "connect":
                self.streams.clear()


class _Playing:
    """One scenario while it is played; `at` says where it is."""

    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self.unique = str(uuid.uuid4())
        self.transcript = Transcript()
        self.at = "before the first step"
        self._scenario = scenario
        self._stage = stage
        self._operations = Operations(stage, self._driver)
        self._captured: dict[str, Any] = {
            **stage.service.targets,
            "ca_file": stage.root_file,
            "unique": self.unique,
        }
        self._replies: dict[str, tuple[Driver, asyncio.Future[dict[str, Any]]]] = {}
        self._open: dict[Driver, _Open] = {}

    async def play(self) -> None:
        """Plays all steps.

        Raises:
            Failed: a step did not go as expected.
            DriverFailed: a driver did not do its part.
            UnknownReference: the scenario refers to what it did not capture.
        """
        for number, step in enumerate(self._scenario.steps, 1):
            self.at = f"step {number} ({step})"
            parameters = resolved(step.parameters, self._captured)
            reply = await self._answer(step, parameters)
            if reply is not None:
                self._check(step, reply)

    async def leave(self) -> None:
        """Leaves what the drivers still have open."""
        self.at = "after the last step"
        for driver, still in self._open.items():
            if still.workers and driver.is_alive:
                raise Failed(f"workers are still at work: {', '.join(still.workers)}")
            for stream in still.streams if driver.is_alive else ():
                await driver.ask("leave", stream=stream)

    async def _answer(self, step: Step, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """What comes of a step; None when that is not waited for."""
        match step.verb:
            case "runner":
                return {"result": await self._operations.do(step.what, parameters)}
            case "reply":
                if step.what not in self._replies:
                    raise Failed(f"no step before has asked for {step.what!r} with `later`")
                driver, reply = self._replies.pop(step.what)
                return await driver.answered(reply)
        driver = await self._driver(step.driver)
        reply = driver.send(step.what, parameters)
        self._open[driver].note(step, parameters)
        if not step.is_later:
            return await driver.answered(reply)
        self._replies[step.name] = (driver, reply)
        return None

    def _check(self, step: Step, reply: dict[str, Any]) -> None:
        if step.name and "result" in reply:
            self._captured[step.name] = reply["result"]
        if step.verb != "runner" and not step.is_loose:
            self.transcript.note(str(step), reply)
        if found := problems(resolved(step.checks, self._captured), reply):
            said = "\n".join(f"  {line}" for line in found)
            raise Failed(f"\n{said}\n  the answer was {short(reply, 4_000)}")

    async def _driver(self, name: str) -> Driver:
        """A driver with the connection that the scenario begins with."""
        driver = await self._stage.driver(name)
        if driver not in self._open:
            self._open[driver] = _Open()
            if self._scenario.connect is not None:
                options = resolved({**_CONNECT, **self._scenario.connect}, self._captured)
                reply = await driver.ask("connect", **options)
                if "result" not in reply:
                    raise Failed(f"cannot connect: {short(reply)}")
        return driver
