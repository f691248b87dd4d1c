"""What a process remembers of runs that paused in it, and for how long that is true."""

from __future__ import annotations

import pytest
from tests.support.service import confirm, open_requirements, served
from tests.support.workbench import Ledger, agent_app, resolve_one

from interlock import v1
from interlock_server import call
from interlock_server.runtime import leg
from interlock_server.runtime.recent import Recent
from interlock_server.store.database import Database
from interlock_server.store.journal import memory_load
from interlock_server.store.records import Memory, RunRow


def memory(run_id: str, characters: int = 100) -> Memory:
    row = RunRow(v1.Run(run_id=run_id, etag="7"), b"digest", "{}", epoch=1)
    return Memory(row, {"a": "x" * characters}, 1)


def test_a_memory_is_of_one_version_and_given_away_once() -> None:
    recent, kept = Recent(), memory("r")
    recent.keep(kept)
    assert recent.look("r") is kept
    assert recent.take("r", "7") is kept
    assert recent.take("r", "7") is None
    recent.keep(kept)
    assert recent.take("r", "8") is None
    assert recent.take("r", "7") is None
    assert recent.look("r") is None


def test_the_oldest_ones_go_when_there_is_no_room() -> None:
    recent = Recent(bytes_max=10_000)
    for number in range(10):
        recent.keep(memory(f"r{number}", 2_000))
    kept = [bool(recent.take(f"r{number}", "7")) for number in range(10)]
    assert kept == [False] * 6 + [True] * 4


def test_what_takes_more_than_all_the_room_is_not_kept() -> None:
    recent = Recent(bytes_max=10_000)
    recent.keep(memory("small"))
    recent.keep(memory("large", 20_000))
    assert recent.take("large", "7") is None
    assert recent.take("small", "7") is not None


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
async def test_a_run_is_read_only_where_it_did_not_pause(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, elsewhere: bool
) -> None:
    read: list[str] = []

    async def loading(database: Database, run_id: str) -> Memory:
        read.append(run_id)
        return await memory_load(database, run_id)

    monkeypatch.setattr(leg, "memory_load", loading)
    ledger = Ledger()
    app = agent_app([call("act", what="it"), "done"], ledger.gated())
    async with served(app, database_url, servers=2) as service:
        here, there = service.replicas
        paused = await here.run("Work")
        ended = await (there if elsewhere else here).resolve(
            paused, confirm(open_requirements(paused)[0])
        )
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ledger.calls == ["it"]
    assert read == [paused.run_id] * elsewhere


async def test_a_decision_elsewhere_makes_a_memory_too_old(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls wait, and each is decided on another server: the second one must see both."""
    ledger = Ledger()
    turn = [call("act", what="one"), call("act", what="two")]
    app = agent_app([turn, "done"], ledger.gated())
    async with served(app, database_url, servers=2) as service:
        here, there = service.replicas
        paused = await here.run("Work")
        first, second = open_requirements(paused)
        await resolve_one(there, confirm(first))
        ended = await here.resolve(paused, confirm(second))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert sorted(ledger.calls) == ["one", "two"]
