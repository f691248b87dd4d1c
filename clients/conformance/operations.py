"""What scenarios ask of the runner itself: each method is one operation."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from clients.conformance.app import GATES
from clients.conformance.drivers import Driver
from clients.conformance.front import Refusal
from clients.conformance.newer import Newer
from clients.conformance.stage import Failed, Stage
from clients.conformance.values import differences, short

WAIT_SECONDS = 30.0
"""How long the runner waits for something that must come."""


class Operations:
    """The operations; README.md has them in a table.

    Args:
        driver: gives a driver by its name, with a connection.
    """

    def __init__(self, stage: Stage, driver: Callable[[str], Awaitable[Driver]]) -> None:
        self._stage = stage
        self._service = stage.service
        self._driver = driver

    async def do(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """Does what an operation's name says; gives what it gives.

        Raises:
            Failed: it is in vain, or there is none of this name.
        """
        operation = operations().get(name)
        if operation is None:
            raise Failed(f"the runner has no operation {name!r}")
        try:
            async with asyncio.timeout(WAIT_SECONDS + 1):
                return await operation(self, **parameters)
        except TimeoutError:
            raise Failed(f"waited {WAIT_SECONDS:.0f} seconds in vain") from None

    # The server.

    async def restart(self) -> None:
        await self._service.stop()
        await self._service.start()

    async def stop(self) -> None:
        await self._service.stop()

    async def start(self) -> None:
        await self._service.start()

    async def kill(self) -> None:
        await self._service.kill()

    async def advance(self, seconds: float) -> None:
        await self._service.advance(seconds)

    # The ways to it.

    async def cut(self) -> None:
        if not self._service.cut():
            raise Failed("there was no connection to cut")

    async def hold(self, *, answers_only: bool = False) -> None:
        self._service.hold(answers_only=answers_only)

    async def release(self) -> None:
        self._service.release()

    # Runs.

    async def at_gate(self, gate: str) -> None:
        await GATES.reached(gate)

    async def open_gate(self, gate: str) -> None:
        GATES.open(gate)

    async def started(self, session_id: str) -> None:
        await self._service.started(session_id)

    async def unwatched(self, run_id: str) -> None:
        await self._service.unwatched(run_id)

    async def ended(self, run_id: str) -> None:
        await self._service.ended(run_id)

    async def start_runs(self, workflow: str, session_id: str, count: int) -> None:
        await self._service.start_runs(workflow, session_id, count)

    async def claimed(self, session_id: str) -> None:
        await self._service.claimed(session_id)

    # What the server in front sees and says.

    async def seen(self, count: int = 1, **wanted: Any) -> None:
        """Waits until the server in front has seen such a call, or so many."""
        front = self._service.front
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await front.until(lambda one: not differences(wanted, one.__dict__), count)
        except TimeoutError:
            calls = "\n".join(f"    {short(one.__dict__)}" for one in front.calls)
            raise Failed(f"not seen in {WAIT_SECONDS:.0f} seconds, but:\n{calls}") from None

    async def calls(self, method: str, apart: float = 0.0) -> dict[str, Any]:
        """The calls that the server in front has seen, at least so many seconds apart."""
        calls = [one for one in self._service.front.calls if one.method == method]
        for one, other in itertools.pairwise(calls):
            if other.at - one.at < apart:
                raise Failed(f"two calls are {other.at - one.at:.2f} seconds apart, not {apart}")
        return {"calls": [one.__dict__ for one in calls]}

    async def refuse(self, method: str, times: int = 1, **refusal: Any) -> None:
        self._service.front.refusals[method] = [Refusal(**refusal)] * times

    async def newer(self, **contract: Any) -> None:
        self._service.front.newer = Newer(**contract)

    async def heartbeats(self) -> None:
        self._service.front.sends_heartbeats = True

    # Comparing.

    async def differ(self, values: list[Any]) -> None:
        """Looks whether no two values are alike."""
        if len({str(one) for one in values}) < len(values):
            raise Failed(f"two of these are alike: {short(values)}")

    async def executed_once(self, calls: list[list[dict[str, Any]]], count: int) -> None:
        """Looks whether so many calls were executed, each by one worker and once."""
        executed = [one for by_worker in calls for one in by_worker]
        ids = {one["requirement_id"] for one in executed}
        if not len(executed) == len(ids) == count:
            raise Failed(f"{len(executed)} executions of {len(ids)} calls, not of {count}")
        if any(one["epoch"] != 1 or one["outcome"] != "reported" for one in executed):
            raise Failed(f"not each of them was reported, at once: {short(executed)}")

    # Drivers and samples.

    async def sample(
        self, name: str, environment: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Runs a sample to its end; gives what it printed."""
        return {"output": await self._stage.sample(name, environment or {})}

    async def read_until(
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

    async def freeze(self, driver: str) -> None:
        (await self._stage.driver(driver)).signal(signal.SIGSTOP)

    async def thaw(self, driver: str) -> None:
        (await self._stage.driver(driver)).signal(signal.SIGCONT)

    async def kill_driver(self, driver: str) -> None:
        await (await self._stage.driver(driver)).kill()


def operations() -> dict[str, Callable[..., Awaitable[Any]]]:
    """All operations, by name."""
    return {
        name: one
        for name, one in vars(Operations).items()
        if inspect.iscoroutinefunction(one) and name != "do"
    }
