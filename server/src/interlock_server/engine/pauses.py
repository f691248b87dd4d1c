"""Pauses: what a run waits for, as its readers see it."""

from __future__ import annotations

from collections.abc import Sequence

from interlock import v1


def by_step(requirements: Sequence[v1.Requirement]) -> list[v1.StepRequirement]:
    """Open requirements, grouped by the step that waits for them, in the order of asking."""
    groups: dict[str, v1.StepRequirement] = {}
    for one in requirements:
        if one.executor_run_id not in groups:
            groups[one.executor_run_id] = v1.StepRequirement(
                step=one.step,
                executor=one.executor,
                executor_name=one.executor_name,
                executor_run_id=one.executor_run_id,
            )
        group = groups[one.executor_run_id]
        is_call = one.HasField("tool_execution")
        (group.executor_requirements if is_call else group.step_requirements).append(one)
    return list(groups.values())


def pause_kind(steps: Sequence[v1.StepRequirement]) -> v1.PauseKind.ValueType:
    """What kind of pause it is when all these wait: a person's own work comes before mending."""
    if any(step.executor_requirements for step in steps):
        return v1.PAUSE_KIND_EXECUTOR
    if all(one.HasField("step_failure") for step in steps for one in step.step_requirements):
        return v1.PAUSE_KIND_ERROR
    return v1.PAUSE_KIND_STEP
