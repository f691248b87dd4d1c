"""Sessions and the runs in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from interlock import jsontext, v1
from interlock._core.caller import Caller
from interlock._core.runs import Runs, new_request_id
from interlock._core.sources import Pages
from interlock.session import Session, WorkflowSession


class Sessions:
    """The verbs of `SessionService`."""

    def __init__(self, caller: Caller, runs: Runs) -> None:
        self._caller = caller
        self._runs = runs

    async def get(self, session_id: str) -> Session:
        """Gets a session."""
        request = v1.GetSessionRequest(session_id=session_id)
        reply = await self._caller.call(self._caller.stubs.sessions.GetSession, request)
        return Session(reply.session)

    async def get_with_runs(
        self, session_id: str, workflow_id: str, runs_max: int
    ) -> WorkflowSession:
        """Gets a session with a workflow's newest runs, of which the last one is complete."""
        session = await self.get(session_id)
        of_workflow = v1.RunFilter(session_id=session_id, workflow_id=workflow_id)
        runs = await self._runs.list(of_workflow, page_size=runs_max).first(runs_max)
        if runs:
            runs[0] = await self._runs.get(runs[0].run_id)
        return WorkflowSession(session.message, runs[::-1])

    def list(self) -> Pages[Session]:
        """Lists sessions, newest first."""

        async def read(token: str) -> tuple[Iterable[Session], str]:
            request = v1.ListSessionsRequest(page_token=token)
            reply = await self._caller.call(self._caller.stubs.sessions.ListSessions, request)
            return map(Session, reply.sessions), reply.next_page_token

        return Pages(read)

    async def update(
        self, session_id: str, state: Mapping[str, Any], *, etag: str | None, allow_missing: bool
    ) -> Session:
        """Replaces the state of a session."""
        session = v1.Session(
            session_id=session_id, state_json=jsontext.dumps(dict(state)), etag=etag or ""
        )
        request = v1.UpdateSessionRequest(
            session=session,
            update_mask=FieldMask(paths=["state_json"]),
            allow_missing=allow_missing,
            request_id=new_request_id(),
        )
        method = self._caller.stubs.sessions.UpdateSession
        return Session((await self._caller.call(method, request)).session)

    async def delete(self, session_id: str, *, etag: str | None) -> None:
        """Deletes a session with its ended runs."""
        request = v1.DeleteSessionRequest(
            session_id=session_id, etag=etag or "", request_id=new_request_id()
        )
        await self._caller.call(self._caller.stubs.sessions.DeleteSession, request)
