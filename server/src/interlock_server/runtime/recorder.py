"""The recorder: the engine's `Context` over a journal that is stored.

What a run does is buffered and committed in the order in which it happened: at
once where the promise depends on it (before an effect that must not be repeated,
at a pause, at the end), and else soon, together with whatever else is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from interlock import v1
from interlock_server import jsontext, limits
from interlock_server.engine.context import (
    Effect,
    EffectFailed,
    LimitExceeded,
    Once,
    Performance,
    RunContext,
    Suspended,
)
from interlock_server.engine.gates import (
    INTERRUPTED,
    INTERRUPTED_REASON,
    Grant,
    StepEnds,
    call_digest,
    is_answered,
    outcome,
)
from interlock_server.engine.keys import Key
from interlock_server.runtime.hub import Hub
from interlock_server.runtime.world import World
from interlock_server.store.events import result_in
from interlock_server.store.journal import STATE_MARKS
from interlock_server.store.records import (
    Answer,
    Entry,
    Memory,
    NewEvent,
    Progress,
    Question,
    Spent,
)
from interlock_server.times import timestamp

Save = Callable[[Progress], Awaitable[int]]
"""Commits progress and gives the newest sequence."""


_GOING_ON = ("step_executor_continued", "step_continued")


class HandOver(BaseException):
    """The process shuts down: the run stops before its next effect and goes on elsewhere."""


class Recorder:
    """One leg of a run as the interpreter and the executors see it."""

    def __init__(
        self,
        memory: Memory,
        save: Save,
        hub: Hub,
        world: World,
        commit_delay: float,
        *,
        is_stored: bool = True,
    ) -> None:
        """Begins a leg; `is_stored` says that the decision is on record that it begins with."""
        self.stop: BaseException | None = None
        self._broken: BaseException | None = None
        self._row = memory.row
        self._run = memory.row.run
        self._save = save
        self._hub = hub
        self._world = world
        self._commit_delay = commit_delay
        self._is_stored = is_stored
        self._values = dict(memory.values)
        self._position = memory.position
        self._asked = {one.key: one.requirement for one in memory.answers}
        self._event_keys = set(memory.event_keys)
        self._results = None if memory.results is None else list(memory.results)
        self._last_sequence = self._run.last_sequence
        self._rounds = _Rounds(memory)
        self._state = {
            name: jsontext.dumps(value, bounded=False)
            for name, value in jsontext.loads(memory.row.session_state, bounded=False).items()
        }
        for value in memory.values.values():
            if _may_change_state(value):
                self._apply_changes(_read(value))
        self._events: list[NewEvent] = []
        self._entries: list[Entry] = []
        self._questions: list[Question] = []
        self._spent: list[Spent] = []
        # Live text that waits for a commit: after how many of its events it comes.
        self._live: list[tuple[int, v1.RunEvent]] = []
        self._live_taken: list[tuple[int, v1.RunEvent]] = []
        self._saving = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()

    # What the engine and the executors call.

    async def call(self, key: Key, effect: Effect) -> Any:
        """The recorded result of `key`; else performs the effect and records it."""
        if (value := self._values.get(key)) is not None:
            return _replayed(_read(value))
        self._check_room()
        if effect.once is None:
            self._check_stop()
            record = await self._perform(key, effect)
        else:
            record = await self._perform_once(key, effect.once, effect)
        text = _written(record)
        self._record(key, text)
        stored = _read(text)  # What it gives now is what it gives when it is read.
        self._apply_changes(stored)
        await self._give_way()
        return _replayed(stored)

    async def ask(self, key: Key, question: v1.Requirement) -> v1.RequirementResolution:
        """The recorded answer of `key`; else records the question, once, and suspends."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._opened(key, question)
        if not self._rounds.counts(asked):
            raise Suspended([asked])
        if not self._rounds.is_old(asked):
            self._emit_continued(asked)
        return asked.resolution

    def recorded(self, key: Key) -> Any:
        """The value that was recorded under `key`, or `None`."""
        text = self._values.get(key)
        return None if text is None else _read(text)["value"]

    def record(self, key: Key, value: Any) -> None:
        """Records a JSON value that spares a later leg work, unless it is too large to keep."""
        text = jsontext.dumps({"value": value}, bounded=False)
        if len(text) <= limits.record_characters_max:
            self._record(key, text)

    def emit(self, key: Key, event: v1.RunEvent) -> None:
        """Records an event, once for each key and kind of event."""
        name = f"{key}!{event.WhichOneof('event')}"
        if name in self._event_keys:
            return
        self._event_keys.add(name)
        event.run_id = self._run.run_id
        event.event_time.CopyFrom(timestamp(self._world.now()))
        check_event(event)
        self._events.append(NewEvent(event, name))
        self._note_result(event)
        self._schedule()

    def now(self) -> datetime:
        """The time."""
        return self._world.now()

    def new_id(self) -> str:
        """A random identifier."""
        return self._world.new_id()

    # What the runtime calls.

    def decided_by(self, key: Key) -> str:
        """Who answered the question of `key`."""
        return self._asked[key].resolved_by

    def memory(self) -> Memory:
        """All that is known of the run: what is stored of it, once everything is."""
        return Memory(
            self._row,
            self._values,
            self._position,
            [Answer(key, requirement) for key, requirement in self._asked.items()],
            frozenset(self._event_keys),
            self._results,
        )

    @property
    def open_count(self) -> int:
        """How many questions wait, as far as this leg knows."""
        return sum(one.state == v1.REQUIREMENT_STATE_PENDING for one in self._asked.values())

    async def flush(self) -> None:
        """Commits everything that is buffered."""
        async with self._saving:
            progress = self._take()
            if progress is None:
                if self._is_stored:
                    return
                progress = Progress()
            try:
                self.committed(await self._save(progress), len(progress.events))
            except BaseException as problem:
                self._broken = problem
                raise

    async def close(self) -> Progress:
        """Ends the leg, and gives what the last commit has to carry.

        Raises:
            BaseException: a commit failed before; then nothing more may be committed.
        """
        async with self._saving:
            if self._broken is not None:
                raise self._broken
            return self._take() or Progress()

    async def abandon(self) -> None:
        """Ends the leg without what is buffered; what is being stored still comes to its end."""
        async with self._saving:
            self._take()
            self._results = None

    def committed(self, last_sequence: int, event_count: int) -> None:
        """What was taken is stored, as the newest events of the run; shows the text between."""
        self._is_stored = True
        first = last_sequence - event_count
        for position, event in self._live_taken:
            self._show(event, first + position)
        self._live_taken = []
        self._last_sequence = last_sequence
        while self._live and self._live[0][0] == 0:
            self._show(self._live.pop(0)[1], last_sequence)

    # Effects.

    async def _perform(self, key: Key, effect: Effect) -> dict[str, Any]:
        """Performs an effect, and gives its record: value or error, and changed state.

        The value is as the effect gave it: it may be none that can be stored.
        """
        if not self._is_stored:
            await self.flush()  # Nothing happens before the decision that it rests on is stored.
            self._check_stop()
        state = {name: _read(text) for name, text in self._state.items()}
        run = RunContext(
            run_id=self._run.run_id,
            session_id=self._run.session_id,
            workflow_id=self._run.workflow_id,
            started_by=self._run.started_by,
            labels=dict(self._run.labels),
            session_state=state,
            idempotency_key=f"{self._run.run_id}/{effect.identity or key}",
        )
        is_watched = self._hub.is_watched(self._run.run_id)
        before = dict(self._state)
        try:
            value = await effect.perform(Performance(run, self._publish, is_watched))
            return {"value": value, **_changes(before, state)}
        except jsontext.JsonError as error:
            failed = _not_json(error)
        except EffectFailed as failure:
            failed = {"error": [failure.reason, failure.message]}
        return {**failed, **_changes_or_nothing(before, state)}

    async def _perform_once(self, key: Key, once: Once, effect: Effect) -> dict[str, Any]:
        """Performs an effect whose start is stored before it happens.

        A start without a record means that a process died in between, and nobody
        can know how far the effect came: a person decides, or its author did.
        """
        number, grant = 1, once.grant
        while key.attempt(number) in self._values and not once.is_repeatable:
            if once.doubt is None:
                return {"error": [INTERRUPTED_REASON, INTERRUPTED]}
            asked = key.attempt(number).part("doubt")
            answer = await self.ask(asked, once.doubt)
            if self._asked[asked].state == v1.REQUIREMENT_STATE_EXPIRED and answer.HasField("fail"):
                raise StepEnds(is_skipped=False)
            if answer.WhichOneof("resolution") != "retry":
                return _without_performing(once, answer)
            execution = once.doubt.tool_execution
            grant = Grant(asked, call_digest(execution.tool_name, execution.tool_args_json))
            number += 1
        self._check_stop()
        effect.check()
        if key.attempt(number) not in self._values:
            await self._start(key.attempt(number), grant)
        return await self._perform(key, effect)

    async def _start(self, key: Key, grant: Grant | None) -> None:
        """Stores that an effect starts, and that the decision behind it is spent with that."""
        self._record(key, None)
        if grant is not None:
            self._spent.append(Spent(grant.key, grant.digest))
        await self.flush()
        self._check_stop()

    def _check_stop(self) -> None:
        if problem := self._broken or self.stop:
            raise problem

    def _check_room(self) -> None:
        most = limits.journal_entries_max
        if self._position >= most:
            raise LimitExceeded("JOURNAL_LIMIT_EXCEEDED", f"the run has done {most:,} things")

    def _record(self, key: Key, value: str | None) -> None:
        self._position += 1
        self._values[key] = value
        self._entries.append(Entry(key, self._position, value))
        self._schedule()

    def _note_result(self, event: v1.RunEvent) -> None:
        if self._results is not None and (result := result_in(event)):
            self._results.append(result)
            if len(self._results) > limits.carried_results_max:
                self._results = None  # They are shown as they are read, from where they are kept.

    def _apply_changes(self, record: dict[str, Any]) -> None:
        for name, value in record.get("set", {}).items():
            self._state[name] = jsontext.dumps(value, bounded=False)
        for name in record.get("removed", ()):
            self._state.pop(name, None)

    # Questions.

    def _opened(self, key: Key, question: v1.Requirement) -> v1.Requirement:
        requirement = v1.Requirement()
        requirement.CopyFrom(question)
        requirement.requirement_id = self._world.new_id()
        requirement.run_id = self._run.run_id
        requirement.workflow_id = self._run.workflow_id
        requirement.session_id = self._run.session_id
        requirement.state = v1.REQUIREMENT_STATE_PENDING
        requirement.etag = "1"
        self._asked[key] = requirement
        # Questions of one moment keep their order wherever they are listed by time.
        time = self._world.now() + timedelta(microseconds=len(self._asked))
        requirement.create_time.CopyFrom(timestamp(time))
        self._rounds.asked(requirement, len(self._asked))
        self._rounds.opens(requirement)
        self._questions.append(Question(key, len(self._asked), requirement))
        self._schedule()
        return requirement

    def _emit_continued(self, asked: v1.Requirement) -> None:
        """Says that a step goes on, once for each round of its questions."""
        round_ = self._rounds.goes_on(asked.executor_run_id)
        if not asked.HasField("tool_execution"):
            going_on = v1.StepContinued(requirement_id=asked.requirement_id, kind=asked.kind)
            self.emit(round_, v1.RunEvent(step=asked.step, step_continued=going_on))
            return
        continued = v1.StepExecutorContinued(
            executor=asked.executor,
            executor_name=asked.executor_name,
            executor_run_id=asked.executor_run_id,
        )
        event = v1.RunEvent(step=asked.step, step_executor_continued=continued)
        self.emit(round_, event)

    # Commits.

    def _schedule(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._commit_delay, self._flush_soon)

    async def _give_way(self) -> None:
        """Lets a commit that is due begin, and others have their turn.

        A run whose effects never wait would hold up everybody else, and commit
        all that it did at its end.
        """
        if self._timer is not None and self._timer.when() <= asyncio.get_running_loop().time():
            await asyncio.sleep(0)

    def _flush_soon(self) -> None:
        task = asyncio.ensure_future(self._flush_in_background())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _flush_in_background(self) -> None:
        with suppress(BaseException):  # The recorder is broken then; the leg finds out.
            await self.flush()

    def _take(self) -> Progress | None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not (self._events or self._entries or self._questions):
            return None
        changes: dict[str, object] = {}
        removals: list[str] = []
        for entry in self._entries:
            record = _read(entry.value) if entry.value else {}
            for name, value in record.get("set", {}).items():
                changes[name] = value
                removals = [one for one in removals if one != name]
            for name in record.get("removed", ()):
                changes.pop(name, None)
                removals.append(name)
        progress = Progress(
            tuple(self._events),
            tuple(self._entries),
            tuple(self._questions),
            changes,
            tuple(removals),
            tuple(self._spent),
        )
        self._events, self._entries, self._questions, self._spent = [], [], [], []
        self._live_taken, self._live = self._live, []
        return progress

    def _publish(self, event: v1.RunEvent) -> None:
        """Live text follows the stored events that it came after; it waits for their commit."""
        event.run_id = self._run.run_id
        event.event_time.CopyFrom(timestamp(self._world.now()))
        if self._events or self._saving.locked():
            self._live.append((len(self._events), event))
        else:
            self._show(event, self._last_sequence)

    def _show(self, event: v1.RunEvent, sequence: int) -> None:
        event.sequence = sequence
        self._hub.live(event)


class _Rounds:
    """Which answers count: those of steps that have every answer they wait for.

    A step asks in rounds. It goes on when the whole round is answered; that is
    an event of its own, and from then on the answers of that round stand.
    """

    def __init__(self, memory: Memory) -> None:
        self._position: dict[str, int] = {}
        self._newest: dict[str, int] = {}
        self._continued: dict[str, int] = {}
        self._waiting: set[str] = set()
        for position, answer in enumerate(memory.answers, start=1):
            self.asked(answer.requirement, position)
            if is_answered(answer.requirement):
                continue
            self._waiting.add(answer.requirement.executor_run_id)
        for answer in memory.answers:
            step = answer.requirement.executor_run_id
            position = self._position[answer.requirement.requirement_id]
            key = self.key(step, position)
            if any(f"{key}!{event}" in memory.event_keys for event in _GOING_ON):
                self._continued[step] = position

    def asked(self, requirement: v1.Requirement, position: int) -> None:
        """Takes note of a question."""
        self._position[requirement.requirement_id] = position
        self._newest[requirement.executor_run_id] = position

    def opens(self, requirement: v1.Requirement) -> None:
        """The step of a new question waits."""
        self._waiting.add(requirement.executor_run_id)

    def counts(self, requirement: v1.Requirement) -> bool:
        """Whether the answer of a requirement may be acted on."""
        if not is_answered(requirement):
            return False
        return requirement.executor_run_id not in self._waiting or self.is_old(requirement)

    def is_old(self, requirement: v1.Requirement) -> bool:
        """Whether the step went on with this answer before."""
        continued = self._continued.get(requirement.executor_run_id, 0)
        return self._position[requirement.requirement_id] <= continued

    def goes_on(self, step: str) -> Key:
        """The step goes on with its newest round; gives the key of that."""
        self._continued[step] = self._newest[step]
        return self.key(step, self._newest[step])

    @staticmethod
    def key(step: str, position: int) -> Key:
        """The key of a step's going on after the round that ends at `position`."""
        return Key(step).part(f"round{position}")


def check_event(event: v1.RunEvent) -> None:
    """Keeps an event out that no reader could be sent.

    Raises:
        LimitExceeded: it is too large.
    """
    most = limits.event_bytes_max
    if event.ByteSize() > most:
        raise LimitExceeded("EVENT_LIMIT_EXCEEDED", f"an event is larger than {most:,} bytes")


def _without_performing(once: Once, answer: v1.RequirementResolution) -> dict[str, Any]:
    """The record of an effect in doubt that somebody, or the clock, decided not to repeat."""
    match answer.WhichOneof("resolution"):
        case "external_result":
            supplied = outcome(answer.external_result)
            if supplied.error_message:
                return {"error": ["REPORTED_FAILURE", supplied.error_message]}
            return {"value": once.adopt(_read(supplied.result_json))}
        case "skip":
            raise StepEnds(is_skipped=True)
        case _:
            return {
                "error": [
                    INTERRUPTED_REASON,
                    answer.fail.message or answer.reject.note or INTERRUPTED,
                ]
            }


def _may_change_state(record: str | None) -> TypeGuard[str]:
    """Whether a record may hold changes of the session state: most are not read for that."""
    return record is not None and any(mark in record for mark in STATE_MARKS)


def _read(text: str) -> Any:
    return jsontext.loads(text, bounded=False)


def _written(record: dict[str, Any]) -> str:
    """A record as it is stored; where its value cannot be, it is that of a failure."""
    try:
        text = jsontext.dumps(record, bounded=False)
        if len(text) > limits.record_characters_max:
            raise jsontext.JsonError(f"is longer than {limits.record_characters_max:,} characters")
    except jsontext.JsonError as error:
        changes = {name: one for name, one in record.items() if name != "value"}
        text = jsontext.dumps({**_not_json(error), **changes}, bounded=False)
    return text


def _not_json(error: jsontext.JsonError) -> dict[str, Any]:
    return {"error": ["RESULT_NOT_JSON", f"the result {error}"]}


def _replayed(record: dict[str, Any]) -> Any:
    if error := record.get("error"):
        raise EffectFailed(*error)
    return record["value"]


def _changes(before: dict[str, str], state: dict[str, Any]) -> dict[str, Any]:
    """The entries of the session state that an effect set or removed."""
    try:
        after = {str(name): jsontext.dumps(value) for name, value in state.items()}
    except jsontext.JsonError as error:
        raise EffectFailed("SESSION_STATE_NOT_JSON", f"the session state {error}") from error
    if _size(before) < _size(after) > limits.json_characters_max:
        text = f"the session state is longer than {limits.json_characters_max:,} characters"
        raise EffectFailed("SESSION_STATE_NOT_JSON", text)
    changed = {name: state[name] for name in after if after[name] != before.get(name)}
    removed = [name for name in before if name not in after]
    return {**({"set": changed} if changed else {}), **({"removed": removed} if removed else {})}


def _size(state: dict[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in state.items())


def _changes_or_nothing(before: dict[str, str], state: dict[str, Any]) -> dict[str, Any]:
    try:
        return _changes(before, state)
    except EffectFailed:
        return {}
