"""Generated worlds: a workflow with everything in it, and what people decide about its gates.

A world is data: two processes that build it have the same workflow. It is made
of throws of dice, so a seed stands for a world, and a world that shows a fault
is made smaller by leaving out throws and lowering them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, Literal, TypeVar

from interlock_server.executors.speakers import DELEGATE

T = TypeVar("T")
Gate = Literal["free", "confirm", "input", "external"]

DEPTH_MAX = 4
_SPEAKERS_MAX = 4
_ROOMS = (4, 6, 8, 8, 10, 13)
"""About how many model calls and functions a run comes to."""
_CONTAINERS = ("group", "cond", "loop", "router", "par", "flow")
_THEMES = (*_CONTAINERS, "par", "router", "team", "team", "errors", "errors", *["gates"] * 4)
"""What a world has more of than others have, so that rare things meet each other."""


class _Plan:
    """Says what it is without what goes without saying."""

    def __repr__(self) -> str:
        parts = [
            f"{one.name}={value!r}"
            for one in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, one.name)) != one.default
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class ToolPlan(_Plan):
    """A tool: its gate, and what it does when it runs."""

    name: str
    gate: Gate
    does: str = "answers"
    stops: bool = False
    fields: tuple[str, ...] = ()
    yields: int = 0


@dataclass(frozen=True, repr=False)
class CallPlan(_Plan):
    """A call that a model makes, as it writes it."""

    tool: str
    args: str
    call_id: str = ""


Turn = tuple[str | CallPlan, ...]


@dataclass(frozen=True, repr=False)
class SpeakerPlan(_Plan):
    """An agent, or with `members` a team; `#` in its texts stands for what it has heard so far."""

    name: str
    turns: tuple[Turn, ...]
    tools: tuple[ToolPlan, ...] = ()
    members: tuple[SpeakerPlan, ...] = ()
    is_structured: bool = False

    @property
    def weight(self) -> int:
        """How many model calls it takes, roughly."""
        weights = {member.name: member.weight for member in self.members}
        parts = [part for turn in self.turns for part in turn if isinstance(part, CallPlan)]
        handed = [_member_of(part) for part in parts if part.tool == DELEGATE]
        return len(self.turns) + sum(weights.get(name, 0) for name in handed)


@dataclass(frozen=True, repr=False)
class GatePlan(_Plan):
    """Where people take part in a node; which fields count depends on its kind.

    Args:
        reviews: when its output is judged; empty means never.
        requires: one of the values that are asked for must be given.
        is_object: written as one `HumanReview`, not on the node itself.
    """

    confirms: bool = False
    fills: bool = False
    requires: bool = True
    selects: bool = False
    several: bool = False
    reviews: str = ""
    judges: bool = False
    asks_errors: bool = False
    on_reject: tuple[str, ...] = ()
    retries: int = 2
    is_object: bool = False


@dataclass(frozen=True, repr=False)
class NodePlan(_Plan):
    """A node of the tree; which fields count depends on its kind."""

    kind: str
    name: str
    nodes: tuple[NodePlan, ...] = ()
    else_nodes: tuple[NodePlan, ...] = ()
    does: str = ""
    speaker: SpeakerPlan | None = None
    skips_errors: bool = False
    retries: int = 0
    iterations: int = 1
    forwards: bool = False
    picks: tuple[Any, ...] = ()
    yields: int = 0
    gate: GatePlan | None = None


@dataclass(frozen=True, repr=False)
class Choice(_Plan):
    """What a person decides; how it is said depends on the kind of the question."""

    says_yes: bool
    note: str = ""
    fills_optional: bool = False
    reports_error: bool = False
    way: int = 0
    """Which of the ways to say it, where there are several."""


@dataclass(frozen=True, repr=False)
class World(_Plan):
    """A workflow, its input, and what people decide."""

    nodes: tuple[NodePlan, ...]
    choices: tuple[Choice, ...]
    run_input: Any = "go"
    order: int = 0
    """Seed of the order in which decisions are given."""


class Dice:
    """Throws that follow from a seed, or that are given; where those end, all are the least."""

    def __init__(self, seed: int | None = None, given: Sequence[int] = ()) -> None:
        self.thrown: list[int] = []
        self._random = Random(seed) if seed is not None else None
        self._given = given

    def throw(self, sides: int) -> int:
        """A number from 0, less than `sides`; less is simpler."""
        if self._random:
            number = self._random.randrange(sides)
        else:
            position = len(self.thrown)
            number = self._given[position] if position < len(self._given) else 0
        self.thrown.append(min(number, sides - 1))
        return self.thrown[-1]


def world_of(dice: Dice) -> World:
    """The world that the dice make."""
    author = _Author(dice)
    return World(
        nodes=author.top(),
        choices=tuple(author.choice() for _ in range(author.number(1, 4))),
        run_input=author.pick(["go", {"order": 9007199254740993}, None, ["a", 1.5]]),
        order=author.number(0, 9_999),
    )


class _Author:
    """Draws the parts of a world, and keeps an eye on how long its run becomes."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._names: Counter[str] = Counter()
        self._speakers: list[SpeakerPlan] = []
        self._theme = self.pick(_THEMES)
        self._room = self.pick(_ROOMS) + 6 * (self._theme == "team")

    # Dice.

    def number(self, least: int, most: int) -> int:
        return least + self._dice.throw(most - least + 1)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.number(0, len(options) - 1)]

    def happens(self, percent: int) -> bool:
        return self.number(0, 99) >= 100 - percent

    def _name(self, kind: str) -> str:
        self._names[kind] += 1
        return f"{kind}{self._names[kind]}"

    # The tree.

    def top(self) -> tuple[NodePlan, ...]:
        for _ in range(self.number(1 + (self._theme == "team"), _SPEAKERS_MAX)):
            self._speakers.append(self._speaker())
        return tuple(self._node(0, 1) for _ in range(self.pick([1, 2, 2, 3, 3, 4])))

    def _some_nodes(self, depth: int, times: int, most: int = 3) -> tuple[NodePlan, ...]:
        nodes = [self._node(depth, times)]
        for _ in range(self.number(0, most - 1)):
            if self._room >= times:
                nodes.append(self._node(depth, times))
        return tuple(nodes)

    def _node(self, depth: int, times: int) -> NodePlan:
        """A node that runs about `times` times."""
        if depth == DEPTH_MAX or self._room < times or not self.happens(58):
            return self._step(times)
        kind = self._kind()
        draw = {
            "cond": self._condition,
            "loop": self._loop,
            "router": self._router,
        }.get(kind)
        name = self._name(kind)
        if draw:
            return draw(name, depth + 1, times)
        does = self.pick(["plain", "in a step"]) if kind == "flow" else ""
        nodes = self._some_nodes(depth + 1, times)
        gate = self._gate("step") if does == "in a step" else None
        gate = self._gate("group") if kind == "group" else gate
        return NodePlan(kind, name, nodes, does=does, gate=gate)

    def _gate(self, kind: str) -> GatePlan | None:
        """Where people take part in a node."""
        is_theme = self._theme == "gates"
        if not self.happens(70 if is_theme else 12):
            return None
        ways = _WAYS_OF_CONDITIONS if kind == "cond" else _WAYS
        can_be_reviewed = kind in ("step", "router")
        return GatePlan(
            confirms=self.happens(60),
            fills=kind == "step" and self.happens(40),
            requires=self.happens(50),
            selects=kind == "router" and self.happens(60),
            several=self.happens(50),
            reviews=self.pick(_REVIEWS) if can_be_reviewed else "",
            judges=kind == "loop" and self.happens(60),
            asks_errors=kind == "step" and self.happens(50),
            on_reject=self.pick(ways),
            retries=self.pick([1, 2, 0]),
            is_object=self.happens(50),
        )

    def _kind(self) -> str:
        if not self.happens(45):
            return self.pick(_CONTAINERS)
        if self._theme == "errors":
            return self.pick(["cond", "loop", "router"])
        return self._theme if self._theme in _CONTAINERS else self.pick(_CONTAINERS)

    def _fails(self) -> bool:
        return self.happens(50 if self._theme == "errors" else 2)

    def _step(self, times: int) -> NodePlan:
        fitting = [one for one in self._speakers if one.weight * times <= self._room]
        speaker = self.pick(fitting) if fitting and self.happens(85) else None
        self._room -= times * (speaker.weight if speaker else 1)
        does = "" if speaker else self.pick(_FUNCTION_DEEDS)
        skips = self.happens(40)
        retries = int(self.happens(70 if does in _FAILS or _is_frail(speaker) else 10))
        gate = self._gate("step")
        if not (speaker or skips or retries or gate) and self.happens(15):
            return NodePlan("function", self._name("function"), does=does)
        return NodePlan(
            "step",
            self._name("step"),
            does=does,
            speaker=speaker,
            skips_errors=skips,
            retries=retries,
            yields=self.pick([0, 0, 1, 3]),
            gate=gate,
        )

    def _condition(self, name: str, depth: int, times: int) -> NodePlan:
        does = self.pick(["yes", "says yes", "no", *["depends"] * 6])
        does = self.pick(["raises", "raises", "errs"]) if self._fails() else does
        nodes = self._some_nodes(depth, times)
        others = self._some_nodes(depth, times, most=2) if self.happens(60) else ()
        return NodePlan("cond", name, nodes, others, does=does, gate=self._gate("cond"))

    def _loop(self, name: str, depth: int, times: int) -> NodePlan:
        most = self.number(1, 3)
        does = self.pick(["", "", "never", *["depends"] * 3, "at once"])
        does = "raises" if self._fails() else does
        nodes = self._some_nodes(depth, times * min(most, 2))
        forwards, gate = self.happens(50), self._gate("loop")
        return NodePlan(
            "loop", name, nodes, does=does, iterations=most, forwards=forwards, gate=gate
        )

    def _router(self, name: str, depth: int, times: int) -> NodePlan:
        routes: tuple[NodePlan, ...] = ()
        if self.happens(40):
            routes = (NodePlan("list", "steps_group_0", self._some_nodes(depth, times, most=2)),)
        routes += self._some_nodes(depth, times)
        names = [route.name for route in routes]
        does = self.pick([*["names"] * 4, *["depends"] * 2, "nodes", "nothing"])
        does = self.pick(["raises", "unknown"]) if self._fails() else does
        picks, gate = self._picks(names), self._gate("router")
        return NodePlan("router", name, routes, does=does, picks=picks, gate=gate)

    def _picks(self, names: Sequence[str]) -> tuple[Any, ...]:
        """One route, several, nested lists of them, the same one twice."""
        picks: list[Any] = [self.pick(names) for _ in range(self.number(1, 2))]
        picks += [names[0]] * self.number(0, 2)
        return (picks[0], tuple(picks[1:])) if len(picks) > 1 and self.happens(30) else tuple(picks)

    # Those who speak.

    def _speaker(self) -> SpeakerPlan:
        members = self._members()
        is_structured = self.happens(15)
        tools = tuple(self._tool() for _ in range(self.number(0 if members else 1, 2)))
        turns = [self._turn(tools, members) for _ in range(self.pick([1, 1, 1, 2, 2, 3]))]
        return SpeakerPlan(
            self._name("team" if members else "agent"),
            (*turns, *self._ending(is_structured)),
            tools,
            members,
            is_structured,
        )

    def _members(self) -> tuple[SpeakerPlan, ...]:
        is_theme = self._theme == "team"
        light = [one for one in self._speakers if one.weight <= (8 if is_theme else 5)]
        if not light or not self.happens(90 if is_theme else 25):
            return ()
        teams = [one for one in light if one.members]
        first = self.pick(teams) if teams and self.happens(60) else self.pick(light)
        return tuple(dict.fromkeys([first, self.pick(light)]))

    def _ending(self, is_structured: bool) -> list[Turn]:
        if self.happens(6):
            return []  # The script ends too early, and the model fails.
        if not is_structured:
            return [("done #",)]
        wrong: list[Turn] = [("no object #",)] if self.happens(40) else []
        return [*wrong, ('{"value": #}',)]

    def _tool(self) -> ToolPlan:
        gate: Gate = self.pick(["confirm", "free", "confirm", "input", "external", "input"])
        return ToolPlan(
            self._name(f"{gate}_"),
            gate,
            does=self.pick(_TOOL_DEEDS),
            stops=self.happens(8),
            fields=self.pick([("amount",), ("note",), ("amount", "note"), ()]),
            yields=self.pick([0, 0, 1, 4]),
        )

    def _turn(self, tools: Sequence[ToolPlan], members: Sequence[SpeakerPlan]) -> Turn:
        calls = [self._call(tools, members) for _ in range(self.pick([1, 1, 2, 2, 3]))]
        return ("thinking # ", *calls) if self.happens(20) else tuple(calls)

    def _call(self, tools: Sequence[ToolPlan], members: Sequence[SpeakerPlan]) -> CallPlan:
        call_id = self.pick(["", "", "", "same"])
        if members and (not tools or self.happens(60)):
            name = "nobody" if self.happens(8) else self.pick(members).name
            task = f"task {self.number(1, 3)}"
            args = json.dumps({"member_name": name, "task": task})
            return CallPlan(DELEGATE, args, call_id)
        if self.happens(5):
            return CallPlan("no_such_tool", "{}", call_id)
        return CallPlan(self.pick(tools).name, self.pick(_ARGUMENTS), call_id)

    # People.

    def choice(self) -> Choice:
        return Choice(
            says_yes=not self.happens(28),
            note=self.pick(["", "too risky"]),
            fills_optional=self.happens(50),
            reports_error=self.happens(40),
            way=self.number(0, 11),
        )


_REVIEWS = ("", "always", "always", "depends", "raises", "never")
_WAYS: tuple[tuple[str, ...], ...] = (
    (),
    ("skip",),
    ("retry",),
    ("cancel",),
    ("skip", "retry", "cancel"),
)
_WAYS_OF_CONDITIONS: tuple[tuple[str, ...], ...] = (
    *[(), ("else", "skip")] * 2,
    *_WAYS,
)
_FUNCTION_DEEDS = (
    *["echoes"] * 8,
    *["remembers"] * 6,
    *["forgets"] * 2,
    "lists",
    "nothing",
    *["flaky"] * 2,
    "blocks",
    "raises",
    "unsuccessful",
    "stops",
)
_FAILS = ("flaky", "raises", "unsuccessful")
_TOOL_DEEDS = (*["answers"] * 3, *["remembers"] * 2, "forgets", "raises", "blocks", "flaky")
_ARGUMENTS = (
    *['{"amount": 1}'] * 14,
    *['{"amount": 9007199254740993, "note": "big"}'] * 4,
    '{"note": "only"}',
    "{}",
    '{"amount": "many"}',
    '{"amount": 2, "unknown": true}',
    '{"amount": ',
    "[1]",
)


def _is_frail(speaker: SpeakerPlan | None) -> bool:
    """Whether the script ends too early."""
    return speaker is not None and any(isinstance(part, CallPlan) for part in speaker.turns[-1])


def _member_of(call: CallPlan) -> str:
    name: str = json.loads(call.args)["member_name"]
    return name


def tamed(world: World) -> World:
    """The same world, for processes that die: each effect happens in one instant or not at all.

    Gated tools leave the session state alone: whoever answers for a call in doubt
    can supply its result, and nothing else.
    """
    return replace(world, nodes=_tamed_nodes(world.nodes))


def _tamed_nodes(nodes: Sequence[NodePlan]) -> tuple[NodePlan, ...]:
    return tuple(
        replace(
            node,
            nodes=_tamed_nodes(node.nodes),
            else_nodes=_tamed_nodes(node.else_nodes),
            does="echoes" if node.does == "blocks" else node.does,
            speaker=_tamed_speaker(node.speaker) if node.speaker else None,
            yields=0,
        )
        for node in nodes
    )


def _tamed_speaker(speaker: SpeakerPlan) -> SpeakerPlan:
    members = tuple(_tamed_speaker(member) for member in speaker.members)
    return replace(speaker, members=members, tools=tuple(map(_tamed_tool, speaker.tools)))


def _tamed_tool(tool: ToolPlan) -> ToolPlan:
    touches = is_gated(tool.name) and tool.does in ("remembers", "forgets")
    does = "answers" if touches or tool.does == "blocks" else tool.does
    return replace(tool, does=does, yields=0)


def is_gated(tool: str) -> bool:
    """Whether the tool of this name has a gate."""
    return tool.partition("_")[0] in ("confirm", "input", "external")
