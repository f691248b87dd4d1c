"""The two clients behind one face, so that the driver has each operation once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from interlock import AsyncClient, AsyncWorker, Client, Worker

END = object()
"""What a stream gives when there is no more."""


class Face(Protocol):
    """A client of either kind. `call` names a method of it, and `start` one of a workflow's."""

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Makes a call."""

    async def run(self, workflow: str, *args: Any, **options: Any) -> Any:
        """Runs a workflow."""

    def stream(self, method: str, *args: Any, **options: Any) -> Any:
        """What a method gives that streams."""

    def run_stream(self, workflow: str, *args: Any, **options: Any) -> Any:
        """The events of a run that starts."""

    async def next(self, stream: Any) -> Any:
        """The next item, or `END`."""

    def worker(self, jobs: Mapping[str, Any], **options: Any) -> WorkerFace:
        """A worker whose handlers are the `run` or `arun` of these jobs."""

    async def close(self) -> None:
        """Closes the client."""


class WorkerFace(Protocol):
    """A worker of either kind."""

    async def start(self) -> None:
        """Begins to work."""

    async def stop(self) -> None:
        """Ends in good order."""


class BlockingFace:
    """`Client`, each call in a thread."""

    def __init__(self, target: str, **options: Any) -> None:
        self._client = Client(target, **options)

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self._client, method), *args, **options)

    async def run(self, workflow: str, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(self._client.workflow(workflow).run, *args, **options)

    def stream(self, method: str, *args: Any, **options: Any) -> Any:
        return getattr(self._client, method)(*args, **options)

    def run_stream(self, workflow: str, *args: Any, **options: Any) -> Any:
        return self._client.workflow(workflow).run(*args, stream=True, **options)

    async def next(self, stream: Any) -> Any:
        return await asyncio.to_thread(next, stream, END)

    def worker(self, jobs: Mapping[str, Any], **options: Any) -> WorkerFace:
        handlers = {name: job.run for name, job in jobs.items()}
        return _BlockingWorker(Worker(self._client, handlers, **options))

    async def close(self) -> None:
        self._client.close()


class _BlockingWorker:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def start(self) -> None:
        self._worker.__enter__()

    async def stop(self) -> None:
        await asyncio.to_thread(self._worker.__exit__, None, None, None)


class AsyncFace:
    """`AsyncClient`."""

    def __init__(self, target: str, **options: Any) -> None:
        self._client = AsyncClient(target, **options)

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await getattr(self._client, method)(*args, **options)

    async def run(self, workflow: str, *args: Any, **options: Any) -> Any:
        return await self._client.workflow(workflow).arun(*args, **options)

    def stream(self, method: str, *args: Any, **options: Any) -> Any:
        return getattr(self._client, method)(*args, **options)

    def run_stream(self, workflow: str, *args: Any, **options: Any) -> Any:
        return self._client.workflow(workflow).arun(*args, stream=True, **options)

    async def next(self, stream: Any) -> Any:
        return await anext(stream, END)

    def worker(self, jobs: Mapping[str, Any], **options: Any) -> WorkerFace:
        handlers = {name: job.arun for name, job in jobs.items()}
        return _AsyncWorker(AsyncWorker(self._client, handlers, **options))

    async def close(self) -> None:
        await self._client.close()


class _AsyncWorker:
    def __init__(self, worker: AsyncWorker) -> None:
        self._worker = worker

    async def start(self) -> None:
        await self._worker.__aenter__()

    async def stop(self) -> None:
        await self._worker.__aexit__(None, None, None)


FACES: dict[str, Callable[..., Face]] = {"blocking": BlockingFace, "async": AsyncFace}
