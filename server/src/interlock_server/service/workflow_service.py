"""WorkflowService: what this server can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import grpc

from interlock import v1
from interlock.v1 import workflow_service_pb2_grpc
from interlock_server import limits
from interlock_server.errors import WorkflowNotFound
from interlock_server.runtime.runtime import Runtime
from interlock_server.service.pages import page_size, position_of, scope_of, token_of
from interlock_server.service.validation import Fields
from interlock_server.store.definitions import definition_find

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class WorkflowService(workflow_service_pb2_grpc.WorkflowServiceServicer):
    """Gets and lists workflows, and lists executors."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def GetWorkflow(
        self, request: v1.GetWorkflowRequest, context: Context
    ) -> v1.GetWorkflowResponse:
        with Fields() as fields:
            name = fields.name("workflow_id", request.workflow_id)
            if request.HasField("version") and request.version < 1:
                fields.refuse("version", "is below 1; leave it out for the newest")
        if request.HasField("version"):
            found = await definition_find(self._runtime.database, name, request.version)
        else:
            found = self._runtime.workflows.get(name)
        if found is None:
            raise WorkflowNotFound(name)
        return v1.GetWorkflowResponse(workflow=found)

    async def ListWorkflows(
        self, request: v1.ListWorkflowsRequest, context: Context
    ) -> v1.ListWorkflowsResponse:
        workflows = [one for _, one in sorted(self._runtime.workflows.items())]
        shown, token = _page(request, "ListWorkflows", workflows, lambda one: one.workflow_id)
        return v1.ListWorkflowsResponse(workflows=shown, next_page_token=token)

    async def ListExecutors(
        self, request: v1.ListExecutorsRequest, context: Context
    ) -> v1.ListExecutorsResponse:
        executors = sorted(self._runtime.registry.listed(), key=_place_of)
        shown, token = _page(request, "ListExecutors", executors, _place_of)
        return v1.ListExecutorsResponse(executors=shown, next_page_token=token)


def _place_of(executor: v1.Executor) -> str:
    return f"{executor.ref.type}:{executor.ref.executor_id}"


def _page(
    request: Any, method: str, items: Sequence[T], place: Callable[[T], str]
) -> tuple[Sequence[T], str]:
    scope = scope_of(method)
    with Fields() as fields:
        size = page_size(fields, request.page_size, limits.page_runs_default, limits.page_runs_max)
        position = position_of(fields, request.page_token, scope)
    after = position[0] if position else ""
    rest = [one for one in items if place(one) > after]
    shown = rest[:size]
    token = token_of(scope, [place(shown[-1])]) if len(rest) > size else ""
    return shown, token
