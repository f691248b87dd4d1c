"""What many records say alike: at which step they are, and which executor they are about."""

from __future__ import annotations

from interlock import v1
from interlock._convert import enum_name


class AtStep:
    """A record about one execution of a node; every text is empty when it is about a whole run."""

    _step: v1.StepRef

    @property
    def step_id(self) -> str:
        """Unique within the run; a new one for every loop iteration."""
        return self._step.step_id

    @property
    def step_name(self) -> str:
        """Name of the node."""
        return self._step.name

    @property
    def step_type(self) -> str:
        """`"Step"`, `"Steps"`, `"Condition"`, `"Loop"`, `"Router"`, `"Parallel"`, `"Workflow"`."""
        return enum_name(v1.NodeType, self._step.type).capitalize()

    @property
    def step_path(self) -> tuple[str, ...]:
        """Names from the root down to the node; a loop is followed by its iteration's number."""
        return tuple(self._step.path)

    @property
    def parent_step_id(self) -> str:
        """The enclosing node's `step_id`; empty at the root."""
        return self._step.parent_step_id


class WithExecutor:
    """A record about an executor; every text is empty when there is none."""

    _executor: v1.ExecutorRef

    @property
    def executor_id(self) -> str:
        """Name under which the executor is registered with the server."""
        return self._executor.executor_id

    @property
    def executor_type(self) -> str:
        """`"agent"`, `"team"` or `"function"`."""
        return enum_name(v1.ExecutorType, self._executor.type).lower()
