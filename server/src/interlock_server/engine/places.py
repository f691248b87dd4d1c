"""Places: a node of the definition at one point of a run, with the name the contract gives it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from interlock import v1
from interlock_server.engine.keys import ROOT, Key

_TYPES = {
    "step": v1.NODE_TYPE_STEP,
    "steps": v1.NODE_TYPE_STEPS,
    "condition": v1.NODE_TYPE_CONDITION,
    "loop": v1.NODE_TYPE_LOOP,
    "router": v1.NODE_TYPE_ROUTER,
    "parallel": v1.NODE_TYPE_PARALLEL,
    "workflow": v1.NODE_TYPE_WORKFLOW,
}


@dataclass(frozen=True)
class Place:
    """Where something happens: the key, and the node with its path of names and iterations.

    `tried` counts the attempts of a step from 1; it is 0 outside of any. `visited`
    counts how often the node runs because people send it back.
    """

    key: Key
    path: tuple[str, ...]
    ref: v1.StepRef
    tried: int = 0
    visited: int = 1

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.ref.name

    def child(self, node: v1.WorkflowNode, occurrence: int = 1) -> Place:
        """The place of a node inside this one; `occurrence` tells repeated routes apart."""
        key = self.key.child(node.name)
        path = (*self.path, node.name)
        if occurrence > 1:
            key, path = key.occurrence(occurrence), (*path, str(occurrence))
        kind = node.WhichOneof("node")
        assert kind is not None
        ref = v1.StepRef(
            step_id=key,
            name=node.name,
            type=_TYPES[kind],
            path=path,
            parent_step_id=self.ref.step_id,
        )
        return Place(key, path, ref)

    def iteration(self, number: int) -> Place:
        """One pass through this loop; it is still the same node."""
        return Place(self.key.iteration(number), (*self.path, str(number)), self.ref)

    def visit(self, number: int) -> Place:
        """This node again, because a person sent it back: as a step of its own."""
        if number == 1:
            return self
        ref = v1.StepRef()
        ref.CopyFrom(self.ref)
        ref.step_id = self.key.visit(number)
        return replace(self, key=self.key.visit(number), ref=ref, visited=number)

    def attempt(self, number: int) -> Place:
        """One try of this step; it is still the same node."""
        return replace(self, key=self.key.attempt(number), tried=number)

    def part(self, name: str) -> Place:
        """Something inside this place that is not a node."""
        return replace(self, key=self.key.part(name))


TOP = Place(ROOT, (), v1.StepRef())
