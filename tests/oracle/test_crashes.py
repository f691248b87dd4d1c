"""A crash at every commit, and before and after every effect: the run ends the same.

The fixed workflows are few; together they have every construct and every gate.
Each of their moments is tried, none is sampled. Generated ones follow, with
processes that die at random moments.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from structlog.testing import capture_logs
from tests.oracle.building import build
from tests.oracle.cases import CASES, again, group_name, groups
from tests.oracle.crashing import Crashing, Fate
from tests.oracle.playing import Playing, all_of_them, play_straight
from tests.oracle.rules import check_gates
from tests.oracle.stored import Stored, check_stream
from tests.oracle.stories import Story, differences
from tests.oracle.tally import tally
from tests.oracle.watching import Happening, Log
from tests.oracle.worlds import (
    CallPlan,
    Choice,
    Dice,
    NodePlan,
    SpeakerPlan,
    ToolPlan,
    Turn,
    World,
    tamed,
    world_of,
)

from interlock import v1
from interlock_server.executors.speakers import DELEGATE
from interlock_server.store.database import Database

_YES, _NO = Choice(says_yes=True, note="fine"), Choice(says_yes=False, note="too risky")
_CONFIRM = ToolPlan("confirm_1", "confirm")
_INPUT = ToolPlan("input_1", "input", fields=("note",))
_EXTERNAL = ToolPlan("external_1", "external")
_FREE = ToolPlan("free_1", "free", does="remembers")
_BROKEN = ToolPlan("confirm_2", "confirm", does="raises")
_LAST = ToolPlan("confirm_3", "confirm", stops=True)


def _agent(name: str, *turns: tuple[ToolPlan, ...], is_structured: bool = False) -> SpeakerPlan:
    """An agent that calls tools turn by turn, and then ends."""
    calls: list[Turn] = [
        tuple(CallPlan(tool.name, '{"amount": 1}') for tool in turn) for turn in turns
    ]
    tools = tuple(dict.fromkeys(tool for turn in turns for tool in turn))
    ending = '{"value": #}' if is_structured else "done #"
    return SpeakerPlan(name, (*calls, (ending,)), tools, is_structured=is_structured)


def _team(name: str, members: list[SpeakerPlan], *turns: tuple[SpeakerPlan, ...]) -> SpeakerPlan:
    """A team that hands tasks to members turn by turn, and then ends."""
    calls: list[Turn] = [
        tuple(
            CallPlan(DELEGATE, json.dumps({"member_name": one.name, "task": "help"}))
            for one in turn
        )
        for turn in turns
    ]
    return SpeakerPlan(name, (*calls, ("done #",)), members=tuple(members))


def _step(name: str, speaker: SpeakerPlan | None = None, does: str = "remembers") -> NodePlan:
    return NodePlan("step", name, does="" if speaker else does, speaker=speaker)


def _world(*nodes: NodePlan, choices: tuple[Choice, ...] = (_YES,)) -> World:
    return World(nodes, choices)


_PAYER = _agent("payer", (_CONFIRM,))
_MIXED = _agent("mixed", (_FREE, _CONFIRM, _INPUT), (_EXTERNAL,))
_WORLDS = {
    "one gate": _world(_step("step1", _PAYER)),
    "mixed and chained calls": _world(_step("step1"), _step("step2", _MIXED), _step("step3")),
    "a rejection and a broken tool": _world(
        _step("step1", _agent("careful", (_CONFIRM, _BROKEN), (_LAST,))),
        choices=(_YES, _YES, _NO, _YES, _YES),  # Which one counts follows from the key.
    ),
    "a condition and a router": _world(
        NodePlan("cond", "cond1", (_step("step1", _PAYER),), (_step("step2"),), does="says yes"),
        NodePlan(
            "router",
            "router1",
            (_step("step3"), NodePlan("group", "group1", (_step("step4", _PAYER),))),
            does="names",
            picks=("group1", ("step3", "group1")),
        ),
    ),
    "a loop": _world(
        NodePlan(
            "loop",
            "loop1",
            (_step("step1"), _step("step2", _PAYER)),
            does="never",
            iterations=2,
            forwards=True,
        ),
        _step("step3"),
    ),
    "branches side by side": _world(
        NodePlan(
            "par",
            "par1",
            (_step("step1", _PAYER), _step("step2", _agent("asker", (_INPUT,))), _step("step3")),
        ),
        _step("step4"),
    ),
    "a team with a team": _world(
        _step(
            "step1",
            _team(
                "team2",
                [_PAYER, _team("team1", [_PAYER], (_PAYER,))],
                (_PAYER, _PAYER),
                (_team("team1", [_PAYER], (_PAYER,)),),
            ),
        ),
    ),
    "nested workflows and failures": _world(
        NodePlan(
            "flow",
            "flow1",
            (
                NodePlan("step", "step1", does="flaky", retries=1),
                NodePlan("step", "step2", does="raises", skips_errors=True),
                _step("step3", _agent("exact", (_CONFIRM,), is_structured=True)),
            ),
            does="in a step",
        ),
        _step("step4", does="raises"),
    ),
}


_FEATURES = {
    *(f"pause in {name}" for name in ("Steps", "Condition", "Loop", "Router", "Parallel")),
    "pause in nested Workflow",
    "pause in a route taken again",
    "pause in a second iteration",
    "pause in a chained call",
    "pause in a team in a team",
    "confirmation of a step",
    "confirmation of a member",
    "user input of a step",
    "external execution of a step",
    "the same member twice in a turn",
    "a free call beside a gated one",
    "several calls wait",
    "several steps wait",
    "rejection",
    "a broken tool",
    "an end by a tool",
    "a retry",
    "a skipped step",
    "failed run",
    "completed run",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Each crash would be shown in all its colours."""
    with capture_logs():
        yield


async def test_the_workflows_have_every_construct_and_every_gate() -> None:
    found: Counter[str] = Counter()
    for world in _WORLDS.values():
        code = build(world, Log())
        reference = await play_straight(world, code)
        playing = Playing(world, code, all_of_them)
        await playing.play()
        found += tally(reference, playing)
    assert sorted(_FEATURES - found.keys()) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", _WORLDS)
async def test_a_crash_at_any_moment_changes_nothing(name: str, database: Database) -> None:
    world = _WORLDS[name]
    reference = await play_straight(world, build(world, Log()))
    tried: Counter[str] = Counter()
    fate = Fate(0)
    for at in itertools.count():
        fate = Fate(at)
        crashing = await _played(reference, world, database, fate)
        if not fate.death.is_set():
            break
        tried[" ".join(fate.moments[-1].split()[:3])] += 1
        tried.update(crashing.doubts)
    print(f"{name}: {at} crashes, {dict(tried)}")
    assert len(fate.moments) > 10
    assert tried["doubt: retry"]
    assert tried["doubt: external_result"]


@pytest.mark.timeout(300)
async def test_a_crash_at_any_moment_of_a_recovery_changes_nothing(database: Database) -> None:
    world = _WORLDS["one gate"]
    reference = await play_straight(world, build(world, Log()))
    crashes = 0
    fates: list[Fate] = []
    for first in itertools.count():
        for second in itertools.count():
            fates = [Fate(first), Fate(second)]
            await _played(reference, world, database, *fates)
            if not fates[1].death.is_set():
                break
            crashes += 1
        if not fates[0].death.is_set():
            break
    print(f"{crashes} pairs of crashes")
    assert crashes > 100


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seeds", groups(CASES // 25 or 1, 20), ids=group_name)
async def test_crashes_anywhere_in_any_workflow_change_nothing(
    seeds: range, database: Database
) -> None:
    crashes = 0
    for seed in seeds:
        world, random = tamed(world_of(Dice(seed))), Random(seed)
        code = build(world, Log())
        reference = await play_straight(world, code)
        moments = 4 * len(code.log.performed) + 4
        fates = [Fate(random.randrange(moments)) for _ in range(random.randint(1, 3))]
        try:
            await _played(reference, world, database, *fates)
        except AssertionError as problem:
            pytest.fail(f"{problem}\n\n{world}\n\n{again(seed, __file__)}", pytrace=False)
        crashes += sum(fate.death.is_set() for fate in fates)
    print(f"seeds {group_name(seeds)}: {crashes} crashes")


async def _played(reference: Story, world: World, database: Database, *fates: Fate) -> Crashing:
    crashing = Crashing(world, database, list(fates))
    run = await crashing.play()
    try:
        _check(reference, run, crashing)
    except AssertionError as problem:
        died = [f"{fate.moments[-1]} (moment {fate.at})" for fate in fates if fate.death.is_set()]
        raise AssertionError(f"died {' and '.join(died)}: {problem}") from problem
    return crashing


def _check(reference: Story, run: Stored, crashing: Crashing) -> None:
    """The run with crashes equals the one without, and did nothing twice that is recorded."""
    check_stream(run)
    check_gates(run.memory, crashing.log)
    _check_performances(run, crashing)
    log = replace(crashing.log, happenings=_once(crashing.log.happenings))
    parted = differences(reference, run.story(log))
    assert not parted, parted


def _check_performances(run: Stored, crashing: Crashing) -> None:
    performed = crashing.log.performed
    for crash in crashing.crashes:
        again = crash.recorded & set(performed[crash.performed :])
        assert not again, f"{again} were recorded, and performed again"
    kinds = {one.key: one.requirement.kind for one in run.memory.answers}
    doubts = {key for key, kind in kinds.items() if kind == v1.REQUIREMENT_KIND_IN_DOUBT}
    started = {
        f"{key}:doubt"
        for crash in crashing.crashes
        for key in crash.started
        if key.rpartition("@")[0] not in crash.recorded
    }
    assert doubts == started, "people are asked about what is in doubt, and about nothing else"
    for key, count in Counter(performed).items():
        most = 1 if f"{key}:gate" in kinds else 1 + len(crashing.crashes)
        assert count <= most, f"{key} was performed {count} times"


def _once(happenings: list[Happening]) -> list[Happening]:
    """What happened, without the repetitions of what nobody had recorded."""
    first: dict[str, Happening] = {}
    for one in happenings:
        assert first.setdefault(one.key, one) == one, "an effect is given something else again"
    return list(first.values())
