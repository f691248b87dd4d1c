"""Workers whose handlers do what the suite says, and what came of their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from clients.python.conformance.faces import Face

from interlock import Call, jsontext

_LOOK_SECONDS = 0.02


class Job:
    """What the handler of one tool does.

    Args:
        crew: is told of each call.
        what: as the suite says it, such as `{"do": "echo"}`.
    """

    def __init__(self, crew: Crew, what: Mapping[str, Any]) -> None:
        self._crew = crew
        self._what = what

    def run(self, call: Call) -> Any:
        """Handles a call in a thread of its own."""
        self._crew.note(call)
        if self._what["do"] != "wait":
            return self._outcome(call)
        while not self._crew.is_finished.is_set():
            if call.wait_cancelled(_LOOK_SECONDS):
                return None
        return self._crew.value

    async def arun(self, call: Call) -> Any:
        """Handles a call in a task of its own."""
        self._crew.note(call)
        if self._what["do"] != "wait":
            return self._outcome(call)
        await self._crew.is_finished.wait()
        return self._crew.value

    def _outcome(self, call: Call) -> Any:
        match self._what["do"]:
            case "return":
                return jsontext.loads(self._what["value"])
            case "echo":
                return call.args
            case "fail":
                raise RuntimeError(self._what["message"])
        return self._what["no such thing"]  # The crash that is asked for.


class Crew:
    """A worker, and the calls that it has had."""

    def __init__(self, face: Face, tools: Mapping[str, Any], **options: Any) -> None:
        self.value: Any = None
        self.is_finished = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Condition()
        self._calls: list[Call] = []
        jobs = {name: Job(self, what) for name, what in tools.items()}
        self._worker = face.worker(jobs, on_end=self.note, **options)

    async def start(self) -> None:
        """Begins to work."""
        await self._worker.start()

    async def stop(self) -> list[dict[str, Any]]:
        """Ends it in good order; gives its calls."""
        await self._worker.stop()
        return self.calls()

    def finish(self, value: Any) -> None:
        """Lets every handler that waits return this."""
        self.value = value
        self.is_finished.set()

    def note(self, call: Call) -> None:
        """A call has begun, or ended; from any thread."""
        asyncio.run_coroutine_threadsafe(self._note(call), self._loop)

    async def seen(self, count: int, outcome: str, seconds: float | None) -> list[dict[str, Any]]:
        """Waits until so many calls have an outcome, or as long; gives all calls."""

        def is_there() -> bool:
            return len([one for one in self._calls if one.outcome == outcome]) >= count

        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(is_there)
        except TimeoutError:
            pass
        return self.calls()

    def calls(self) -> list[dict[str, Any]]:
        """The calls that it has had, oldest first."""
        return [
            {
                "requirement_id": call.requirement_id,
                "tool_name": call.tool_name,
                "args": jsontext.dumps(call.args),
                "epoch": call.epoch,
                "outcome": call.outcome,
            }
            for call in self._calls
        ]

    async def _note(self, call: Call) -> None:
        async with self._changed:
            if call not in self._calls:
                self._calls.append(call)
            self._changed.notify_all()
