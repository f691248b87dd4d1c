"""What the server can run."""

from __future__ import annotations

from collections.abc import Iterable

from interlock import v1
from interlock._core.caller import Caller
from interlock._core.sources import Pages


class Catalog:
    """The verbs of `WorkflowService`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get_workflow(self, workflow_id: str, version: int | None) -> v1.Workflow:
        """Gets a version of a workflow."""
        request = v1.GetWorkflowRequest(workflow_id=workflow_id, version=version)
        method = self._caller.stubs.workflows.GetWorkflow
        return (await self._caller.call(method, request)).workflow

    def list_workflows(self) -> Pages[v1.Workflow]:
        """Lists the workflows that can be started, by name."""

        async def read(token: str) -> tuple[Iterable[v1.Workflow], str]:
            request = v1.ListWorkflowsRequest(page_token=token)
            reply = await self._caller.call(self._caller.stubs.workflows.ListWorkflows, request)
            return reply.workflows, reply.next_page_token

        return Pages(read)

    def list_executors(self) -> Pages[v1.Executor]:
        """Lists the executors that steps name."""

        async def read(token: str) -> tuple[Iterable[v1.Executor], str]:
            request = v1.ListExecutorsRequest(page_token=token)
            reply = await self._caller.call(self._caller.stubs.workflows.ListExecutors, request)
            return reply.executors, reply.next_page_token

        return Pages(read)
