"""The Python driver with one flaw: what the suite must find.

python -m tests.conformance.broken FLAW
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from clients.python.conformance import driver as sound

Request = Mapping[str, Any]


class Doubles(sound.Driver):
    """Numbers go through doubles on their way out, as they do in careless JSON."""

    async def reply(self, request: Request) -> dict[str, Any]:
        return rounded(await super().reply(request))  # type: ignore[no-any-return]


def rounded(value: Any) -> Any:
    """A reply whose JSON texts have lost digits."""
    match value:
        case dict():
            return {key: rounded(one) for key, one in value.items()}
        case list():
            return [rounded(one) for one in value]
        case str():
            try:
                return json.dumps(json.loads(value, parse_int=lambda text: round(float(text))))
            except ValueError:
                return value
    return value


class Forgetful(sound.Driver):
    """The first event that comes in a second portion is lost, as after a careless resume."""

    async def op_read(self, request: Request) -> dict[str, Any]:
        portion = await super().op_read(request)
        if portion["items"] and portion["items"][0].get("sequence", 1) > 1:
            del portion["items"][0]
        return portion


class Stuttering(sound.Driver):
    """The last event of one portion comes again with the next, as after a careless resume."""

    def __init__(self, face: Any) -> None:
        super().__init__(face)
        self._last: list[Any] = []

    async def op_open(self, request: Request) -> dict[str, Any]:
        self._last = []
        return await super().op_open(request)

    async def op_read(self, request: Request) -> dict[str, Any]:
        portion = await super().op_read(request)
        items = portion["items"]
        portion["items"], self._last = self._last + items, items[-1:]
        return portion


class Clinging(sound.Driver):
    """A stream that is left is kept, and its call goes on."""

    def __init__(self, face: Any) -> None:
        super().__init__(face)
        self._kept: list[Any] = []

    async def op_leave(self, request: Request) -> dict[str, Any]:
        self._kept.append(self._streams.pop(request["stream"]))
        return {}


class Careless(sound.Driver):
    """Every answer is sent to the server, whether it fits or not."""

    async def op_continue(self, request: Request) -> dict[str, Any]:
        for decision in request.get("decisions", ()):
            made = sound._decision(decision)
            await self._face.call("resolve", decision["requirement_id"], made, hold_run=True)
        return self._seen(await self._face.call("continue_run", request["run_id"]))


class Impatient(sound.Driver):
    """No call is made again when the server is away."""

    async def op_connect(self, request: Request) -> dict[str, Any]:
        return await super().op_connect({**request, "retry_timeout": 0})


class Anonymous(sound.Driver):
    """No token goes with calls."""

    async def op_connect(self, request: Request) -> dict[str, Any]:
        return await super().op_connect({**request, "token": ""})


class Repeating(sound.Driver):
    """A call that is made again is another one: it has a request id of its own."""

    async def op_run(self, request: Request) -> dict[str, Any]:
        first = await asyncio.wait_for(super().op_run({**request, "wait_timeout": 0}), 10)
        await self._face.call("cancel_run", first["run_id"])
        return await super().op_run(request)


class Vague(sound.Driver):
    """Errors come without their details."""

    async def reply(self, request: Request) -> dict[str, Any]:
        reply = await super().reply(request)
        if "error" in reply:
            reply["error"]["metadata"] = {}
        return reply


class Different(sound.Driver):
    """What no scenario asks for is wrong, so that only other languages show it."""

    async def reply(self, request: Request) -> dict[str, Any]:
        reply = await super().reply(request)
        if "session_id" in reply.get("result", {}):
            reply["result"]["workflow_id"] = "?"
        return reply


class Mute(sound.Driver):
    """One operation ends the process."""

    async def op_run(self, request: Request) -> dict[str, Any]:
        print("out of cheese", file=sys.stderr, flush=True)
        sys.exit(1)


class Babbling(sound.Driver):
    """Something that is no reply is on standard output."""

    async def op_run(self, request: Request) -> dict[str, Any]:
        print("debug: running", flush=True)
        return await super().op_run(request)


FLAWS: dict[str, type[sound.Driver]] = {
    one.__name__.lower(): one for one in sound.Driver.__subclasses__()
}

if __name__ == "__main__":
    sound.main("blocking", FLAWS[sys.argv[1]])
