"""Plays scenarios with the drivers of one language."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import uuid
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from clients.conformance.app import GATES
from clients.conformance.drivers import ROOT, Driver, DriverFailed
from clients.conformance.front import Refusal
from clients.conformance.languages import Language
from clients.conformance.newer import Newer
from clients.conformance.scenario import Scenario, Step
from clients.conformance.service import Certificates, Databases, Service
from clients.conformance.transcript import Transcript
from clients.conformance.values import UnknownReference, differences, resolved, short

WAIT_SECONDS = 30.0
"""How long the runner waits for something that must come."""

_CONNECT = {"retry_timeout": 20}


@dataclass
class Played:
    """How a scenario went with one language; `problem` is empty when it went well."""

    transcript: Transcript
    problem: str = ""
    seconds: float = 0.0


class Failed(Exception):
    """A step did not go as expected."""


class Stage:
    """The server and the drivers of one language, which live through many scenarios.

    Args:
        start_driver: starts a driver process.
        root_file: with the root certificate of the way with TLS.
    """

    def __init__(self, language: Language, service: Service, root_file: str) -> None:
        self.language = language
        self.service = service
        self.root_file = root_file
        self.drivers: dict[str, Driver] = {}

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

    async def play(self, scenario: Scenario) -> Played:
        """Plays a scenario, and tidies up after it."""
        clock = asyncio.get_running_loop().time
        begin = clock()
        playing = _Playing(self, scenario)
        problem = ""
        try:
            await playing.play()
        except (Failed, DriverFailed, UnknownReference) as failure:
            problem = f"{playing.at}: {failure}"
        try:
            await self._tidy_up(playing, has_failed=bool(problem))
        except (TimeoutError, DriverFailed) as failure:
            problem = problem or f"what it left behind could not be cleared: {failure!r}"
            await self.dismiss()
            await self.service.replace()
        return Played(playing.transcript, problem, clock() - begin)

    async def driver(self, name: str) -> Driver:
        """A driver, started when it is needed."""
        driver = self.drivers.get(name)
        if driver is None or not driver.is_alive:
            driver = await Driver.start(self.language.driver, ROOT)
            self.drivers[name] = driver
        return driver

    async def sample(self, name: str, target: str, environment: Mapping[str, str]) -> str:
        """Runs a sample to its end, and gives what it printed.

        Raises:
            Failed: it ended badly.
        """
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

    async def dismiss(self, name: str = "") -> None:
        """Ends a driver, or all of them."""
        leaving = [name] if name else list(self.drivers)
        await asyncio.gather(*(self._end(self.drivers.pop(one)) for one in leaving))

    async def _end(self, driver: Driver) -> None:
        driver.signal(signal.SIGCONT)
        await driver.close()

    async def _tidy_up(self, playing: _Playing, *, has_failed: bool) -> None:
        self.service.release()
        self.service.front.reset()
        GATES.open_all(playing.unique)
        if has_failed:
            await self.dismiss()
        else:
            await playing.leave()
        async with asyncio.timeout(WAIT_SECONDS):
            await self.service.revive()
            await self.service.clear()


@dataclass
class _Playing:
    """One scenario while it is played; `at` says where it is."""

    stage: Stage
    scenario: Scenario
    transcript: Transcript = field(default_factory=Transcript)
    at: str = "start"
    unique: str = field(default_factory=lambda: str(uuid.uuid4()))
    captured: dict[str, Any] = field(default_factory=dict)
    replies: dict[str, tuple[Driver, asyncio.Future[dict[str, Any]]]] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)
    opened: set[tuple[str, str]] = field(default_factory=set)
    working: set[tuple[str, str]] = field(default_factory=set)

    async def play(self) -> None:
        """Plays all steps.

        Raises:
            Failed: a step did not go as expected.
            DriverFailed: a driver did not do its part.
        """
        self.captured.update(self.stage.service.targets)
        self.captured["ca_file"] = self.stage.root_file
        self.captured["unique"] = self.unique
        for number, step in enumerate(self.scenario.steps, 1):
            self.at = f"step {number} ({step})"
            await self._step(step)

    async def leave(self) -> None:
        """Leaves what a scenario left open."""
        for name in {name for name, _ in self.working if name in self.stage.drivers}:
            await self.stage.dismiss(name)
        for name, stream in self.opened:
            if name in self.stage.drivers and self.stage.drivers[name].is_alive:
                await self.stage.drivers[name].ask("leave", stream=stream)

    async def _step(self, step: Step) -> None:
        parameters = resolved(step.parameters, self.captured)
        match step.verb:
            case "runner":
                reply = {"result": await self._runner(step.what, parameters)}
            case "reply":
                reply = await self._reply_of(step.what)
            case _:
                driver = await self._driver(step.driver)
                waiting = driver.send(step.what, parameters)
                self._note_open(step, parameters)
                if step.is_later:
                    self.replies[step.name] = (driver, waiting)
                    return
                reply = await driver.answered(waiting)
        self._check(step, reply)

    def _check(self, step: Step, reply: dict[str, Any]) -> None:
        if step.name and "result" in reply:
            self.captured[step.name] = reply["result"]
        if step.verb != "runner" and not step.is_loose:
            self.transcript.note(str(step), reply)
        checks = resolved(step.checks, self.captured)
        if problems := _problems(checks, reply):
            said = "\n".join(f"  {line}" for line in problems)
            raise Failed(f"\n{said}\n  the answer was {short(reply, 4_000)}")

    async def _driver(self, name: str) -> Driver:
        driver = await self.stage.driver(name)
        if name not in self.connected:
            self.connected.add(name)
            if self.scenario.connect is not None:
                options = resolved({**_CONNECT, **self.scenario.connect}, self.captured)
                reply = await driver.ask("connect", **options)
                if "result" not in reply:
                    raise Failed(f"cannot connect: {short(reply)}")
        return driver

    async def _reply_of(self, name: str) -> dict[str, Any]:
        if name not in self.replies:
            raise Failed(f"no earlier step asked for {name!r} with `later`")
        driver, waiting = self.replies.pop(name)
        return await driver.answered(waiting)

    def _note_open(self, step: Step, parameters: Mapping[str, Any]) -> None:
        match step.what:
            case "worker_start":
                self.working.add((step.driver, parameters["worker"]))
            case "worker_stop":
                self.working.discard((step.driver, parameters["worker"]))
            case "open":
                self.opened.add((step.driver, parameters["stream"]))
            case "leave":
                self.opened.discard((step.driver, parameters["stream"]))
            case "connect":
                self.opened = {one for one in self.opened if one[0] != step.driver}

    # What the runner does by itself.

    async def _runner(self, what: str, parameters: dict[str, Any]) -> Any:
        operation = getattr(self, f"_runner_{what}", None)
        if operation is None:
            raise Failed(f"the runner has no operation {what!r}")
        try:
            async with asyncio.timeout(WAIT_SECONDS + 1):
                return await operation(**parameters)
        except TimeoutError:
            raise Failed(f"waited {WAIT_SECONDS:.0f} seconds in vain") from None

    async def _runner_restart(self) -> None:
        await self.stage.service.stop()
        await self.stage.service.start()

    async def _runner_stop(self) -> None:
        await self.stage.service.stop()

    async def _runner_start(self) -> None:
        await self.stage.service.start()

    async def _runner_kill(self) -> None:
        await self.stage.service.kill()

    async def _runner_cut(self) -> None:
        if not self.stage.service.cut():
            raise Failed("there was no connection to cut")

    async def _runner_hold(self, *, answers_only: bool = False) -> None:
        self.stage.service.hold(answers_only=answers_only)

    async def _runner_release(self) -> None:
        self.stage.service.release()

    async def _runner_advance(self, seconds: float) -> None:
        await self.stage.service.advance(seconds)

    async def _runner_at_gate(self, gate: str) -> None:
        await GATES.reached(gate)

    async def _runner_open_gate(self, gate: str) -> None:
        GATES.open(gate)

    async def _runner_started(self, session_id: str) -> None:
        await self.stage.service.started(session_id)

    async def _runner_unwatched(self, run_id: str) -> None:
        await self.stage.service.unwatched(run_id)

    async def _runner_ended(self, run_id: str) -> None:
        await self.stage.service.ended(run_id)

    async def _runner_seen(self, count: int = 1, **wanted: Any) -> None:
        """Waits until the server in front has seen such a call, or so many."""
        front = self.stage.service.front
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await front.until(lambda one: not differences(wanted, one.__dict__), count)
        except TimeoutError:
            calls = "\n".join(f"    {short(one.__dict__)}" for one in front.calls)
            raise Failed(f"not seen in {WAIT_SECONDS:.0f} seconds, but:\n{calls}") from None

    async def _runner_calls(self, method: str, apart: float = 0.0) -> dict[str, Any]:
        """The calls that the server in front has seen, at least so many seconds apart."""
        calls = [one for one in self.stage.service.front.calls if one.method == method]
        for one, other in itertools.pairwise(calls):
            if other.at - one.at < apart:
                raise Failed(f"two calls are {other.at - one.at:.2f} seconds apart, not {apart}")
        return {"calls": [one.__dict__ for one in calls]}

    async def _runner_refuse(self, method: str, times: int = 1, **refusal: Any) -> None:
        self.stage.service.front.refusals[method] = [Refusal(**refusal)] * times

    async def _runner_heartbeats(self) -> None:
        self.stage.service.front.sends_heartbeats = True

    async def _runner_start_runs(self, workflow: str, session_id: str, count: int) -> None:
        await self.stage.service.start_runs(workflow, session_id, count)

    async def _runner_claimed(self, session_id: str) -> None:
        await self.stage.service.claimed(session_id)

    async def _runner_differ(self, values: list[Any]) -> None:
        """Looks whether no two values are alike."""
        if len({str(one) for one in values}) < len(values):
            raise Failed(f"two of these are alike: {short(values)}")

    async def _runner_executed_once(self, calls: list[list[dict[str, Any]]], count: int) -> None:
        """Looks whether so many calls were executed, each by one worker and once."""
        executed = [one for by_worker in calls for one in by_worker]
        ids = {one["requirement_id"] for one in executed}
        if not len(executed) == len(ids) == count:
            raise Failed(f"{len(executed)} executions of {len(ids)} calls, not of {count}")
        if any(one["epoch"] != 1 or one["outcome"] != "reported" for one in executed):
            raise Failed(f"not each of them was reported, at once: {short(executed)}")

    async def _runner_sample(
        self, name: str, environment: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Runs a sample to its end; gives what it printed."""
        target = self.stage.service.targets["server"]
        return {"output": await self.stage.sample(name, target, environment or {})}

    async def _runner_read_until(
        self, stream: str, item: Mapping[str, Any], driver: str = "main"
    ) -> dict[str, Any]:
        """Reads a stream, past what may come more than once, until there is such an item."""
        reader = await self._driver(driver)
        while True:
            reply = await reader.ask("read", stream=stream, count=1)
            if not reply.get("result", {}).get("items"):
                raise Failed(f"the stream has ended, or failed: {short(reply)}")
            [read] = reply["result"]["items"]
            if not differences(item, read):
                return dict(read)

    async def _runner_newer(self, **contract: Any) -> None:
        self.stage.service.front.newer = Newer(**contract)

    async def _runner_freeze(self, driver: str) -> None:
        (await self.stage.driver(driver)).signal(signal.SIGSTOP)

    async def _runner_thaw(self, driver: str) -> None:
        (await self.stage.driver(driver)).signal(signal.SIGCONT)

    async def _runner_kill_driver(self, driver: str) -> None:
        await (await self.stage.driver(driver)).kill()
        self.connected.discard(driver)


def _problems(checks: Mapping[str, Any], reply: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer."""
    if "refused" in checks:
        return [] if "refused" in reply else ["the shell should have refused this"]
    if "error" in checks:
        if "error" not in reply:
            return ["this should have failed"]
        return differences(checks["error"], reply["error"])
    if "result" not in reply:
        return ["this should have succeeded"]
    result = reply["result"]
    problems = differences(checks.get("expect", {}), result if result is not None else {})
    if "length" in checks:
        [items] = [one for one in result.values() if isinstance(one, list)]
        problems += differences(checks["length"], len(_stored(items)), "length")
    if {"kinds", "kinds_among", "numbered_from", "text"} & checks.keys():
        problems += _problems_of_events(checks, result.get("items", result.get("events")))
    return problems


def _problems_of_events(checks: Mapping[str, Any], events: list[Any]) -> list[str]:
    stored = _stored(events)
    problems = []
    if "kinds" in checks:
        problems += differences(checks["kinds"], [one["kind"] for one in stored], "kinds")
    if "kinds_among" in checks:
        others = iter([one["kind"] for one in stored])
        missing = [kind for kind in checks["kinds_among"] if kind not in others]
        problems += [f"not there, or not in this order: {missing}"] if missing else []
    if "numbered_from" in checks:
        first = checks["numbered_from"]
        numbers = [one["sequence"] for one in stored]
        problems += differences(list(range(first, first + len(stored))), numbers, "sequences")
    if "text" in checks:
        text = "".join(one["text"] for one in events)
        problems += differences(checks["text"], text, "text")
    return problems


def _stored(items: list[Any]) -> list[Any]:
    """Items without live text."""
    return [one for one in items if one.get("kind") != "content_delta"]
