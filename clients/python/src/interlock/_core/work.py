"""What a worker does, however it waits: it claims calls, keeps the claims, and reports."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Protocol

from interlock import v1
from interlock._core.caller import Caller
from interlock._core.inbox import Inbox, claim_request
from interlock._core.wire import Wire
from interlock.call import Call, Outcome
from interlock.decisions import Decision
from interlock.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InterlockError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from interlock.requirements import Requirement

Handler = Callable[[Call], Any]

_WAIT_SECONDS = 20.0
"""How long one request waits for a call."""

_REPLY_SECONDS = 10.0
_FAREWELL_SECONDS = 5.0
"""What a worker that stops gives the server to hear of it; after that claims run out."""

_ERROR_CHARACTERS_MAX = 4_000

_AWAY = (UnavailableError, DeadlineExceededError)
_LOST = (FailedPreconditionError, NotFoundError)
_REFUSED = (InvalidArgumentError, ResourceExhaustedError)

_log = logging.getLogger("interlock.worker")


class Interrupted(Exception):
    """A wait was ended because the worker stops."""


class Terms:
    """How a worker works; None means what is usual. The arguments are those of `Worker`."""

    def __init__(
        self,
        concurrency: int,
        lease: float,
        worker_id: str | None,
        workflow_id: str | None,
        on_end: Callable[[Call], None] | None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}: it must be at least 1")
        self.lease = lease
        self.worker_id = worker_id or str(uuid.uuid4())
        self.workflow_id = workflow_id
        self.on_end = on_end or _ignore


class Job(Protocol):
    """A handler at work."""

    @property
    def has_ended(self) -> bool:
        """Whether it has."""

    async def ended_within(self, seconds: float | None) -> bool:
        """Waits until it has ended, or as long; None means as long as it takes.

        Raises:
            Interrupted: the worker does not wait any longer.
        """

    async def ended_soon(self) -> bool:
        """Waits a moment longer until it has ended, whatever else happens."""

    def cancel(self) -> None:
        """Ends it, as far as it can be ended from outside."""

    def result(self) -> Any:
        """What it gave, or raises what it raised."""


class Crew(Protocol):
    """Where handlers are at work, and what can be waited for."""

    @property
    def wire(self) -> Wire:
        """The client's own."""

    @property
    def claiming(self) -> Wire:
        """One whose waits are ended when the worker stops."""

    @property
    def keeping(self) -> Wire:
        """One whose waits are ended when its handlers take too long to stop."""

    @property
    def is_stopping(self) -> bool:
        """Whether no more calls are taken."""

    async def has_room(self) -> bool:
        """Waits until another call can be executed; False when the worker stops."""

    def start(self, handler: Handler, call: Call) -> Job:
        """Sets a handler to work."""

    def accompany(self, execution: Coroutine[Any, Any, None]) -> None:
        """Runs what keeps a call and reports it, beside all others."""

    def stop(self, timeout: float | None) -> None:
        """Takes no more calls; handlers have so many seconds to end, or as long as it takes."""

    async def drained(self) -> None:
        """Waits until all calls have ended, and ends them when their time is over."""


class Work:
    """The work of one worker."""

    def __init__(self, crew: Crew, handlers: Mapping[str, Handler], terms: Terms) -> None:
        if not handlers:
            raise ValueError("a worker needs a handler for at least one tool")
        self._crew = crew
        self._handlers = dict(handlers)
        self._terms = terms
        self._failure: Exception | None = None
        # No outage of the server ends a worker: it waits as long as it takes.
        self._claims = _inbox(crew.claiming, timeout=_REPLY_SECONDS, retry_timeout=math.inf)
        self._reports = _inbox(crew.keeping, timeout=None, retry_timeout=math.inf)
        self._renewals = _inbox(crew.keeping, timeout=terms.lease / 3, retry_timeout=0)
        self._farewells = _inbox(crew.wire, timeout=_FAREWELL_SECONDS, retry_timeout=0)

    async def run(self) -> None:
        """Claims and executes calls until it is told to stop, and those under way have ended."""
        try:
            while await self._crew.has_room():
                claimed = await self._claim()
                if claimed is not None:
                    self._crew.accompany(self._execute(Call(claimed)))
        except Interrupted:
            pass
        except asyncio.CancelledError:
            self._crew.stop(0)
            raise
        finally:
            self._crew.stop(None)
            await self._crew.drained()
        if self._failure is not None:
            raise self._failure

    # Claiming.

    async def _claim(self) -> Requirement | None:
        terms = self._terms
        request = claim_request(self._handlers, terms.worker_id, terms.workflow_id, terms.lease)
        try:
            claimed = await self._asked(request)
        except InterlockError:
            raise
        except BaseException:  # Whatever ends the wait: nobody shall hold what came of it.
            await self._leave(request)
            raise
        if claimed is not None and self._crew.is_stopping:
            await self._release(claimed)
            return None
        return claimed

    async def _asked(self, request: v1.ClaimRequirementRequest) -> Requirement | None:
        while True:
            try:
                return await self._claims.claim_once(request, _WAIT_SECONDS)
            except _AWAY as error:
                _log.warning("the server is away, the worker asks again: %s", error)

    async def _leave(self, request: v1.ClaimRequirementRequest) -> None:
        """Gives back what a request was given in the moment in which its wait was ended."""
        with suppress(InterlockError):
            claimed = await self._farewells.claim_once(request, 0)
            if claimed is not None:
                await self._release(claimed)

    async def _release(self, claimed: Requirement) -> None:
        with suppress(InterlockError):  # Then the claim runs out.
            epoch = claimed.message.claim.epoch
            await self._farewells.release_claim(claimed.id, epoch)

    # Executing.

    async def _execute(self, call: Call) -> None:
        try:
            job = self._crew.start(self._handlers[call.tool_name], call)
            call.outcome = await self._outcome(call, job)
            self._terms.on_end(call)
        except Exception as error:  # noqa: BLE001 # `run` raises it
            self._failure = self._failure or error
            self._crew.stop(None)

    async def _outcome(self, call: Call, job: Job) -> Outcome:
        try:
            await self._keep(call, job)
            return await self._report(call, job, self._reports)
        except _LOST as error:
            _log.warning("%r is lost: %s", call, error)
            return await self._drop(call, job)
        except Interrupted:
            return await (self._hurry(call, job) if job.has_ended else self._part(call, job))
        except InterlockError:
            _tell(call, job)
            raise

    async def _keep(self, call: Call, job: Job) -> None:
        """Keeps the claim for as long as the handler is at work."""
        lease = self._terms.lease
        pause = lease / 3
        while not await job.ended_within(pause):
            try:
                await self._renewals.renew_claim(call.requirement_id, call.epoch, lease)
                pause = lease / 3
            except _AWAY:
                pause = lease / 10

    async def _report(self, call: Call, job: Job, inbox: Inbox) -> Outcome:
        answer = _answer(call, job)
        try:
            await _resolve(inbox, call, answer)
        except _REFUSED as error:
            call.error = error
            answer = _error(f"The result was refused: {error.message}")
            await _resolve(inbox, call, answer)
        return "reported" if call.error is None else "failed"

    async def _drop(self, call: Call, job: Job) -> Outcome:
        """Waits for a handler whose work is of no more use."""
        _tell(call, job)
        with suppress(Interrupted):
            await job.ended_within(None)
        return "lost"

    async def _hurry(self, call: Call, job: Job) -> Outcome:
        """Tries once more to report what could not be reported in time."""
        try:
            return await self._report(call, job, self._farewells)
        except InterlockError as error:
            _log.warning("%r has a result that cannot be reported: %s", call, error)
            return "lost"

    async def _part(self, call: Call, job: Job) -> Outcome:
        """Gives back a call for whose handler there is no more time."""
        _tell(call, job)
        if not await job.ended_soon():
            # Given back now, another worker would execute it at the same time.
            _log.warning("%r does not end; its claim runs out by itself", call)
            return "lost"
        await self._release(call.requirement)
        return "released"


def _inbox(wire: Wire, *, timeout: float | None, retry_timeout: float) -> Inbox:
    return Inbox(Caller(wire, timeout=timeout, retry_timeout=retry_timeout))


def _ignore(call: Call) -> None:
    pass


def _tell(call: Call, job: Job) -> None:
    """Tells a handler that there is no point in going on."""
    call.cancel()
    job.cancel()


async def _resolve(inbox: Inbox, call: Call, answer: Decision) -> None:
    await inbox.resolve(call.requirement_id, answer, hold_run=False, claim_epoch=call.epoch)


def _answer(call: Call, job: Job) -> Decision:
    """What a handler gave, or why it failed."""
    try:
        result = job.result()
    except BaseException as error:  # noqa: BLE001 # whatever it is, the agent is told
        _log.warning("%r failed", call, exc_info=error)
        call.error = error
        return _error(str(error) or type(error).__name__)
    try:
        return Decision.external_result(result)
    except (TypeError, ValueError, RecursionError) as error:
        call.error = error
        return _error(f"The result is not JSON: {error}")


def _error(message: str) -> Decision:
    """An error that the contract can carry."""
    readable = message.encode(errors="replace").decode()
    return Decision.external_error(readable[:_ERROR_CHARACTERS_MAX])
