"""The hub: who waits for a run is told where it is, or that only the store knows."""

from __future__ import annotations

from interlock import v1
from interlock_server.runtime.hub import Hub
from interlock_server.store.records import Tip

RUNNING, PAUSED = v1.RUN_STATE_RUNNING, v1.RUN_STATE_PAUSED


async def test_who_is_told_where_a_run_is_need_not_look() -> None:
    hub = Hub()
    with hub.subscribe("run") as waiter:
        hub.moved("run", Tip(RUNNING, 4))
        assert await waiter.wait(10)
        assert not waiter.must_look()
        assert waiter.tip == Tip(RUNNING, 4)


async def test_old_news_wake_nobody() -> None:
    """Those of another process may come late."""
    hub = Hub()
    with hub.subscribe("run") as waiter:
        hub.moved("run", Tip(PAUSED, 4))
        assert await waiter.wait(10)
        hub.moved("run", Tip(RUNNING, 3))
        assert not await waiter.wait(0.01)
        assert waiter.tip == Tip(PAUSED, 4)


async def test_who_is_not_told_where_must_look_once() -> None:
    hub = Hub()
    with hub.subscribe("run") as waiter:
        hub.moved("run")
        hub.moved("run", Tip(RUNNING, 4))
        assert await waiter.wait(10)
        assert waiter.must_look()
        assert not waiter.must_look()
        assert waiter.tip == Tip(RUNNING, 4)


async def test_live_text_is_no_reason_to_look() -> None:
    hub = Hub()
    with hub.subscribe("run", wants_live=True) as waiter:
        hub.live(v1.RunEvent(run_id="run"))
        assert await waiter.wait(10)
        assert not waiter.must_look()


async def test_who_waits_for_a_rest_is_not_woken_by_every_move() -> None:
    hub = Hub()
    with hub.subscribe("run", wants_rest=True) as waiter:
        hub.moved("run", Tip(RUNNING, 4))
        assert not await waiter.wait(0.01)
        hub.moved("run", Tip(PAUSED, 5))
        assert await waiter.wait(10)
        assert waiter.rested_at == 0, "a pause elsewhere may be over by now"


async def test_who_waits_for_a_rest_is_shown_the_newest() -> None:
    hub = Hub()
    with hub.subscribe("run", wants_rest=True) as waiter:
        hub.rested("run", 9, v1.Run(etag="9"))
        hub.rested("run", 5, v1.Run(etag="5"))
        assert waiter.rested_at == 9
        assert waiter.shown == v1.Run(etag="9")
