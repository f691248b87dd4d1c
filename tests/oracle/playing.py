"""Plays a world: in one go, and with every kind of pause in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from tests.oracle.building import Code, build, decide
from tests.oracle.rules import check_free_calls, check_pauses, check_rules
from tests.oracle.stories import Story, story
from tests.oracle.watching import Watched
from tests.oracle.worlds import World
from tests.support.memory import End, Shelf, Straight, leg, straight

from interlock import v1
from interlock_server import limits
from interlock_server.runtime.decisions import check_answer
from interlock_server.store.records import Answer

_LEGS_MAX = 500

Pick = Callable[[list[Answer]], list[Answer]]
"""Which of the open questions are answered before the next leg."""


async def play_straight(world: World, code: Code) -> Story:
    """The reference: every gate is answered on the spot, and there is no journal."""
    code.log.wipe()

    def answers(key: str, question: v1.Requirement) -> v1.RequirementResolution:
        return _decided(world, code.registry, key, question)

    context = Straight(answers)
    end = await straight(context, code.registry, code.workflow, world.run_input)
    events = [(name.rpartition("!")[0], event) for name, event in context.events.items()]
    return story(end, code.log, context.questions, events, context.session_state)


@dataclass(frozen=True)
class Round:
    """What waits at a pause, and what of it is answered then."""

    waiting: list[Answer]
    answered: list[Answer]


@dataclass
class Playing:
    """A run with pauses, in memory.

    Args:
        is_fresh: each leg has a process of its own, with code built anew.
        replays: each leg goes through all that has ended, however long.
        is_patient: there is a leg only when some step has all that it waits for, as
            the runtime does it; else there are legs that have nothing to do.
    """

    world: World
    code: Code
    pick: Pick
    is_fresh: bool = False
    replays: bool = False
    is_patient: bool = False
    commit_delay: float = 0
    rounds: list[Round] = field(default_factory=list)

    async def play(self) -> Story:
        """Plays legs until the run has ended."""
        usual = limits.finished_steps_min
        with patch.object(limits, "finished_steps_min", 10**9 if self.replays else usual):
            return await self._play()

    async def _play(self) -> Story:
        self.code.log.wipe()
        shelf = Shelf(self.world.run_input)
        while (end := await self._leg(shelf)) is None:
            self._answer(shelf)
            while self.is_patient and not _goes_on(self.rounds[-1]):
                self._answer(shelf)
            assert len(self.rounds) < _LEGS_MAX, "the run does not come to its end"
        return self._story(end, shelf)

    def _story(self, end: End, shelf: Shelf) -> Story:
        events = [
            (name.rpartition("!")[0], v1.RunEvent.FromString(body))
            for name, body in shelf.events.items()
        ]
        check_rules(shelf.memory(), self.code.log)
        check_free_calls(shelf.memory(), self.code.log)
        check_pauses(event for _, event in events)
        questions = {one.key: one.requirement for one in shelf.answers()}
        return story(end, self.code.log, questions, events, shelf.session)

    async def _leg(self, shelf: Shelf) -> End | None:
        if self.is_fresh:
            self.code = build(self.world, self.code.log)
        before = len(self.code.log.performed)
        end = await leg(shelf, self.code.registry, self.code.workflow, self.commit_delay)
        if self.rounds and not _goes_on(self.rounds[-1]):
            assert len(self.code.log.performed) == before, "a step goes on that still waits"
        return end

    def _answer(self, shelf: Shelf) -> None:
        waiting = shelf.open()
        assert waiting, "the run pauses and waits for nothing"
        picked = self.pick(waiting)
        for one in picked:
            decision = _decided(self.world, self.code.registry, one.key, one.requirement)
            shelf.answer(one, decision)
            self.code.log.decides(one.key)
        self.rounds.append(Round(waiting, picked))


def _goes_on(round_: Round) -> bool:
    """Whether some step has every answer that it waits for."""
    answered = {one.key for one in round_.answered}
    left = {one.requirement.executor_run_id for one in round_.waiting if one.key not in answered}
    return any(one.requirement.executor_run_id not in left for one in round_.answered)


def all_of_them(waiting: list[Answer]) -> list[Answer]:
    """Everything is decided at once."""
    return waiting


def one_by_one(seed: int) -> Pick:
    """Decisions come one at a time, in any order."""
    random = Random(seed)
    return lambda waiting: [random.choice(waiting)]


def some_of_them(seed: int) -> Pick:
    """Decisions come in handfuls."""
    random = Random(seed)
    return lambda waiting: random.sample(waiting, random.randint(1, len(waiting)))


def _decided(
    world: World, registry: Watched, key: str, question: v1.Requirement
) -> v1.RequirementResolution:
    """A decision in the form in which the runtime records it."""
    return check_answer(registry, question, decide(world, key, question), "resolution")
