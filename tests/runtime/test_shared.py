"""What many want at once is read once, and nobody is given what is older than their wish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from interlock_server.runtime.shared import Shared


class Reads:
    """Reads that a test lets end, one after the other; each gives its number."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._ends: list[asyncio.Future[None]] = []

    async def __call__(self, key: str) -> int:
        self.begun.append(key)
        number = len(self.begun)
        end = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        await end
        return number

    def end(self, number: int = 1, problem: Exception | None = None) -> None:
        """Lets a read end."""
        if problem is not None:
            self._ends[number - 1].set_exception(problem)
        else:
            self._ends[number - 1].set_result(None)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


async def test_those_who_ask_at_once_read_once() -> None:
    reads = Reads()
    shared = Shared(reads)
    asking = asyncio.gather(*(shared.get("a") for _ in range(100)))
    await until(lambda: reads.begun == ["a"])
    reads.end(1)
    assert await asking == [1] * 100
    assert reads.begun == ["a"]


async def test_who_asks_during_a_read_gets_the_next_one() -> None:
    reads = Reads()
    shared = Shared(reads)
    first = asyncio.ensure_future(shared.get("a"))
    await until(lambda: reads.begun == ["a"])
    late = asyncio.gather(*(shared.get("a") for _ in range(10)))
    other = asyncio.ensure_future(shared.get("b"))
    await until(lambda: reads.begun == ["a", "b"])
    reads.end(1)
    await until(lambda: reads.begun == ["a", "b", "a"])
    reads.end(2)
    reads.end(3)
    assert (await first, await late, await other) == (1, [3] * 10, 2)


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    reads = Reads()
    shared = Shared(reads)
    gone, stays = (asyncio.ensure_future(shared.get("a")) for _ in range(2))
    await until(lambda: reads.begun == ["a"])
    gone.cancel()
    reads.end(1)
    assert await stays == 1
    assert gone.cancelled()


async def test_all_are_told_of_a_failure_and_the_next_read_is_another_one() -> None:
    reads = Reads()
    shared = Shared(reads)
    asking = asyncio.gather(*(shared.get("a") for _ in range(3)), return_exceptions=True)
    await until(lambda: reads.begun == ["a"])
    problem = ValueError("no")
    reads.end(1, problem)
    assert await asking == [problem] * 3
    again = asyncio.ensure_future(shared.get("a"))
    await until(lambda: len(reads.begun) == 2)
    reads.end(2)
    assert await again == 2


@pytest.mark.filterwarnings("error")
async def test_a_failure_that_nobody_waits_for_is_quiet() -> None:
    reads = Reads()
    shared = Shared(reads)
    gone = asyncio.ensure_future(shared.get("a"))
    await until(lambda: reads.begun == ["a"])
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    gone.cancel()
    reads.end(1, ValueError("no"))
    await until(lambda: not shared._turns)
    assert told == []
