"""The driver: a request from each line of standard input, a reply to each on standard output.

python -m clients.python.conformance blocking
python -m clients.python.conformance async
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from clients.python.conformance.crew import Crew
from clients.python.conformance.faces import END, FACES, Face
from clients.python.conformance.views import error_view, event_view, requirement_view, run_view

from interlock import Decision, Event, InterlockError, Requirement, RunOutput, jsontext

Request = Mapping[str, Any]


class Driver:
    """The operations, over one client at a time.

    Args:
        face: makes the client.
    """

    def __init__(self, face: Any) -> None:
        self._connect = face
        self._face: Face
        self._runs: dict[str, RunOutput] = {}
        self._requirements: dict[str, Requirement] = {}
        self._streams: dict[str, _Reading] = {}
        self._crews: dict[str, Crew] = {}

    async def reply(self, request: Request) -> dict[str, Any]:
        """Does what a request says."""
        operation = getattr(self, f"op_{request['op']}", None)
        if operation is None:
            return {"refused": f"there is no operation {request['op']!r}"}
        try:
            return {"result": await operation(request)}
        except InterlockError as error:
            return {"error": error_view(error)}
        except (ValueError, TypeError) as error:
            return {"refused": str(error)}

    async def op_connect(self, request: Request) -> dict[str, Any]:
        if hasattr(self, "_face"):
            await self._face.close()
        self._streams.clear()
        options = _given(request, "token", "timeout", "retry_timeout")
        if "ca_file" in request:
            root = await asyncio.to_thread(Path(request["ca_file"]).read_bytes)
            options["credentials"] = grpc.ssl_channel_credentials(root)
        self._face = self._connect(request["target"], **options)
        return {}

    # Runs.

    async def op_run(self, request: Request) -> dict[str, Any]:
        options = _run_options(request, "wait_timeout")
        return self._seen(await self._face.run(request["workflow"], **options))

    async def op_continue(self, request: Request) -> dict[str, Any]:
        run = self._decided(request)
        options = _given(request, "wait_timeout")
        return self._seen(await self._face.call("continue_run", run, **options))

    async def op_get_run(self, request: Request) -> dict[str, Any]:
        return self._seen(await self._face.call("get_run", request["run_id"]))

    async def op_wait_run(self, request: Request) -> dict[str, Any]:
        options = _given(request, "wait_timeout")
        return self._seen(await self._face.call("wait_run", request["run_id"], **options))

    async def op_cancel_run(self, request: Request) -> dict[str, Any]:
        options = _given(request, "reason")
        return self._seen(await self._face.call("cancel_run", request["run_id"], **options))

    async def op_list_runs(self, request: Request) -> dict[str, Any]:
        options = _given(request, "session_id", "states", "labels", workflow="workflow_id")
        return {"runs": [run_view(one) for one in await self._all("list_runs", **options)]}

    async def op_list_events(self, request: Request) -> dict[str, Any]:
        options = _given(request, "after_sequence")
        events = await self._all("list_run_events", request["run_id"], **options)
        return {"events": [event_view(one) for one in events]}

    def _seen(self, run: RunOutput) -> dict[str, Any]:
        self._runs[run.run_id] = run
        self._requirements.update((one.id, one) for one in run.requirements)
        return run_view(run)

    def _decided(self, request: Request) -> RunOutput | str:
        """The newest run of an id, with decisions on its requirements."""
        run = self._runs.get(request["run_id"])
        if run is None:
            return str(request["run_id"])
        requirements = {one.id: one for one in run.requirements}
        for decision in request.get("decisions", ()):
            _decide(requirements[decision["requirement_id"]], decision)
        return run

    async def _all(self, method: str, *args: Any, **options: Any) -> list[Any]:
        reading = _Reading(self._face, self._face.stream(method, *args, **options))
        items, _ = await reading.read(None, None, None)
        return items

    # Streams.

    async def op_open(self, request: Request) -> dict[str, Any]:
        match request["of"]:
            case "run":
                stream = self._face.run_stream(request["workflow"], **_run_options(request))
            case "continue":
                stream = self._face.stream("continue_run", self._decided(request), stream=True)
            case "watch":
                options = _given(request, "after_sequence", "end_on_pause")
                stream = self._face.stream("watch_run", request["run_id"], **options)
            case _:
                stream = self._face.stream("watch_requirements", **request.get("filter", {}))
        self._streams[request["stream"]] = _Reading(self._face, stream)
        return {}

    async def op_read(self, request: Request) -> dict[str, Any]:
        reading = self._streams[request["stream"]]
        items, has_ended = await reading.read(
            request.get("count"), request.get("until"), request.get("timeout")
        )
        return {"items": [self._item(one) for one in items], "ended": has_ended}

    def _item(self, item: Event[Any] | Requirement) -> dict[str, Any]:
        if isinstance(item, Event):
            return event_view(item)
        self._requirements[item.id] = item
        return requirement_view(item)

    async def op_leave(self, request: Request) -> dict[str, Any]:
        await self._streams.pop(request["stream"]).leave()
        return {}

    # The inbox.

    async def op_list_requirements(self, request: Request) -> dict[str, Any]:
        found = await self._all("list_requirements", **request.get("filter", {}))
        return {"requirements": [self._item(one) for one in found]}

    async def op_get_requirement(self, request: Request) -> dict[str, Any]:
        return self._item(await self._face.call("get_requirement", request["requirement_id"]))

    async def op_resolve(self, request: Request) -> dict[str, Any]:
        options = _given(request, "hold_run")
        requirement = self._requirements.get(request["requirement_id"])
        if requirement is None:
            args = (request["requirement_id"], _decision(request))
        else:
            _decide(requirement, request)
            args = (requirement,)  # type: ignore[assignment]
        resolved = await self._face.call("resolve", *args, **options)
        return {
            "requirement": self._item(resolved.requirement),
            "run_state": resolved.run_state,
        }

    # Workers.

    async def op_worker_start(self, request: Request) -> dict[str, Any]:
        options = _given(request, "concurrency", "lease")
        crew = Crew(self._face, request["tools"], **options)
        self._crews[request["worker"]] = crew
        await crew.start()
        return {}

    async def op_worker_seen(self, request: Request) -> dict[str, Any]:
        crew = self._crews[request["worker"]]
        calls = await crew.seen(request["count"], request["outcome"], request.get("timeout"))
        return {"calls": calls}

    async def op_worker_finish(self, request: Request) -> dict[str, Any]:
        self._crews[request["worker"]].finish(jsontext.loads(request["value"]))
        return {}

    async def op_worker_stop(self, request: Request) -> dict[str, Any]:
        return {"calls": await self._crews.pop(request["worker"]).stop()}

    # What there is.

    async def op_list_workflows(self, request: Request) -> dict[str, Any]:
        return {"workflows": [one.workflow_id for one in await self._all("list_workflows")]}

    async def op_get_session(self, request: Request) -> dict[str, Any]:
        session = await self._face.call("get_session", request["session_id"])
        return {"session_id": session.session_id, "state": jsontext.dumps(session.state)}


class _Reading:
    """A stream that is read in portions."""

    def __init__(self, face: Face, stream: Any) -> None:
        self._face = face
        self._stream = stream
        self._next: asyncio.Task[Any] | None = None

    async def read(
        self, count: int | None, until: str | None, seconds: float | None
    ) -> tuple[list[Any], bool]:
        """Items, and whether the stream has ended."""
        items: list[Any] = []
        end = None if seconds is None else asyncio.get_running_loop().time() + seconds
        while count is None or len(items) < count:
            item = await self._item(end)
            if item is None:
                break
            if item is END:
                return items, True
            items.append(item)
            if until is not None and getattr(item, "case", None) == until:
                break
        return items, False

    async def _item(self, end: float | None) -> Any:
        """The next item; None when the time is over, and then the next call gets it."""
        if self._next is None:
            self._next = asyncio.create_task(self._face.next(self._stream))
        left = None if end is None else max(0.0, end - asyncio.get_running_loop().time())
        done, _ = await asyncio.wait([self._next], timeout=left)
        if not done:
            return None
        task, self._next = self._next, None
        return task.result()

    async def leave(self) -> None:
        """Leaves the loop over it: drops it, which is all that a `break` does."""
        if self._next is None:
            del self._stream
            return
        # A loop that waits for an item cannot be left but by closing what it waits for.
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()
        else:
            self._stream.close()
        await asyncio.wait([self._next])
        self._next.exception()


def _given(request: Request, *names: str, **renamed: str) -> dict[str, Any]:
    """The parameters that a request has, by the names of the shell."""
    wanted = {name: name for name in names} | renamed
    return {ours: request[name] for name, ours in wanted.items() if name in request}


def _run_options(request: Request, *more: str) -> dict[str, Any]:
    options = _given(request, "session_id", "labels", "request_id", "run_timeout", *more)
    if "input" in request:
        options["input"] = jsontext.loads(request["input"])
    return options


_VERBS = {
    "confirm": "confirm",
    "reject": "reject",
    "user_input": "provide_user_input",
    "result": "set_external_execution_result",
    "error": "set_external_execution_error",
    "feedback": "provide_user_feedback",
    "edit": "edit_output",
    "select": "select_routes",
    "retry": "retry",
    "skip": "skip",
    "fail": "fail",
}


def _decide(requirement: Requirement, decision: Request) -> None:
    args, options = _arguments(decision)
    getattr(requirement, _VERBS[decision["verb"]])(*args, **options)


_DECISIONS = {
    "result": "external_result",
    "error": "external_error",
    "feedback": "user_feedback",
    "edit": "edit_output",
    "select": "select_routes",
}


def _decision(decision: Request) -> Decision:
    verb = str(decision["verb"])
    args, options = _arguments(decision)
    made: Decision = getattr(Decision, _DECISIONS.get(verb, verb))(*args, **options)
    return made


def _arguments(decision: Request) -> tuple[list[Any], dict[str, Any]]:
    """What a verb is called with."""
    match decision["verb"]:
        case "user_input":
            return [jsontext.loads(decision["values"])], {}
        case "result":
            return [jsontext.loads(decision["result"])], {}
        case "edit":
            return [jsontext.loads(decision["output"])], {}
        case "feedback":
            return [decision["answers"]], {}
        case "select":
            return list(decision["routes"]), {}
        case "error":
            return [decision["message"]], {}
    options = _given(decision, "note", "on_reject", "feedback", "message")
    if "edited_args" in decision:
        options["edited_args"] = jsontext.loads(decision["edited_args"])
    return [], options


async def _serve(driver: Driver) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        reply = {"id": request["id"], **await driver.reply(request)}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def main(face: str, kind: type[Driver] = Driver) -> None:
    """Serves until standard input ends."""
    asyncio.run(_serve(kind(FACES[face])))
    os._exit(0)  # A thread may still read a stream that nobody left.
