"""SessionService: state that runs share."""

from __future__ import annotations

from datetime import UTC
from typing import Any, TypeAlias

import grpc

from interlock import v1
from interlock.v1 import session_service_pb2_grpc
from interlock_server.errors import SessionNotFound
from interlock_server.runtime.runtime import Runtime
from interlock_server.service.pages import scope_of, timed_page, timed_token
from interlock_server.service.validation import Fields
from interlock_server.store.sessions import (
    session_delete,
    session_get,
    session_update,
    sessions_list,
)

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class SessionService(session_service_pb2_grpc.SessionServiceServicer):
    """Gets, lists, updates and deletes sessions."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._world = runtime.world

    async def GetSession(
        self, request: v1.GetSessionRequest, context: Context
    ) -> v1.GetSessionResponse:
        with Fields() as fields:
            fields.name("session_id", request.session_id)
        session = await session_get(self._database, request.session_id)
        if session is None:
            raise SessionNotFound(request.session_id)
        return v1.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: v1.ListSessionsRequest, context: Context
    ) -> v1.ListSessionsResponse:
        scope = scope_of("ListSessions")
        with Fields() as fields:
            page = timed_page(fields, request.page_size, request.page_token, scope)
        found = await sessions_list(self._database, page)
        shown, token = timed_token(
            found, page, scope, lambda one: (one.create_time.ToDatetime(UTC), one.session_id)
        )
        return v1.ListSessionsResponse(sessions=shown, next_page_token=token)

    async def UpdateSession(
        self, request: v1.UpdateSessionRequest, context: Context
    ) -> v1.UpdateSessionResponse:
        with Fields() as fields:
            fields.name("session.session_id", request.session.session_id)
            for path in request.update_mask.paths:
                if path != "state_json":
                    fields.refuse("update_mask", f"names {path!r}; only state_json can change")
            state = fields.json_object("session.state_json", request.session.state_json)
            key = fields.request_key(
                "UpdateSession",
                request.request_id,
                request.session,
                request.update_mask,
                str(request.allow_missing),
            )
        is_named = bool(request.update_mask.paths)
        wanted = v1.Session(
            session_id=request.session.session_id,
            # Unset without a mask means that it is not to be changed.
            state_json=state if is_named or request.session.state_json else "",
            etag=request.session.etag,
        )
        session = await session_update(
            self._database, wanted, "", request.allow_missing, key, self._world.now()
        )
        return v1.UpdateSessionResponse(session=session)

    async def DeleteSession(
        self, request: v1.DeleteSessionRequest, context: Context
    ) -> v1.DeleteSessionResponse:
        with Fields() as fields:
            fields.name("session_id", request.session_id)
            key = fields.request_key(
                "DeleteSession", request.request_id, request.session_id, request.etag
            )
        now = self._world.now()
        await session_delete(self._database, request.session_id, request.etag, key, now)
        return v1.DeleteSessionResponse()
