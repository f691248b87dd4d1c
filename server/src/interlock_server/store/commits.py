"""Commits: the only way in which the owner of a run writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, DateTime, Integer, LargeBinary, SmallInteger, Text

from interlock import v1
from interlock_server.store.database import Database
from interlock_server.store.decisions import (
    ALL_OR_NONE,
    ANSWER_PARAMETERS,
    ANSWERED,
    REFUSED,
    answer_parameters,
)
from interlock_server.store.events import EVENT_PARAMETERS, event_arrays
from interlock_server.store.records import (
    Change,
    Committed,
    Lease,
    NewEvent,
    Opening,
    Progress,
)
from interlock_server.store.runs import lease_parameters
from interlock_server.store.sessions import session_merge

_ENDS = (v1.RUN_STATE_COMPLETED, v1.RUN_STATE_FAILED)


@dataclass(frozen=True)
class _Part:
    """What a commit may have to do besides moving the run, with the types of its parameters.

    Args:
        condition: what must hold, or nothing is written.
        right: what gives the right to commit, instead of the lease.
        check: an expression that must not fail.
    """

    sql: str
    parameters: Iterable[BindParameter[Any]] = ()
    condition: str = ""
    right: str = ""
    check: str = ""


_MOVES = """
    WITH moved AS (
        UPDATE runs SET
            last_sequence = last_sequence + :event_count,
            version = version + 1,
            commits = :number,
            epoch = :epoch,
            state = :state,
            pause_kind = :pause_kind,
            body = coalesce(:body, body),
            open_requirements = CASE
                WHEN :state IN (4, 5) THEN 0 ELSE open_requirements + :opened_count END,
            owner = CASE WHEN :state = 2 THEN :owner END,
            lease_until = CASE WHEN :state = 2 THEN coalesce(lease_until, :lease_until) END,
            update_time = :now,
            end_time = CASE WHEN :state IN (4, 5, 6) THEN :now END
        WHERE run_id = :run_id AND {right}
            AND NOT (:state IN (4, 5) AND cancel_requested)
            AND NOT (:state = 3 AND (is_ready OR cancel_requested
                OR open_requirements + :opened_count <> coalesce(
                    :waiting, open_requirements + :opened_count)))
            {conditions}
        RETURNING run_id, session_id, workflow_id, last_sequence, cancel_requested, version,
            update_time
    ){parts}
    SELECT last_sequence, cancel_requested, version, update_time{checks} FROM moved
"""
_LEASE = "owner = :owner AND epoch = :epoch AND commits = :number - 1"
_PARAMETERS = (
    bindparam("lease_until", type_=DateTime(timezone=True)),
    bindparam("opened_count", type_=Integer),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("body", type_=LargeBinary),
    bindparam("state", type_=SmallInteger),
    bindparam("waiting", type_=Integer),
)
_APPENDS = _Part(
    """, appended AS (
        INSERT INTO events (run_id, sequence, kind, key, body)
        SELECT moved.run_id, moved.last_sequence - :event_count + event.ordinality, event.kind,
            event.key, event.body
        FROM moved, unnest(:kinds, :keys, :bodies) WITH ORDINALITY AS event (kind, key, body)
    )""",
    EVENT_PARAMETERS,
)
_RECORDS = _Part(
    """, recorded AS (
        INSERT INTO journal (run_id, key, position, value)
        SELECT moved.run_id, entry.key, entry.position, entry.value
        FROM moved, unnest(:entry_keys, :entry_positions, :entry_values)
            AS entry (key, position, value)
    )""",
    (
        bindparam("entry_keys", type_=ARRAY(Text)),
        bindparam("entry_positions", type_=ARRAY(Integer)),
        bindparam("entry_values", type_=ARRAY(LargeBinary)),
    ),
)
_ASKS = _Part(
    """, asked AS (
        INSERT INTO requirements (requirement_id, run_id, key, position, step_key, workflow_id,
            session_id, kind, agent_name, tool_name, state, body, version, create_time,
            update_time, expire_time)
        SELECT question.id, moved.run_id, question.key, question.position, question.step_key,
            moved.workflow_id, moved.session_id, question.kind, question.agent_name,
            question.tool_name, 1, question.body, 1, question.create_time, :now,
            question.expire_time
        FROM moved, unnest(:ids, :question_keys, :question_positions, :step_keys,
                :requirement_kinds, :agent_names, :tool_names, :question_bodies, :create_times,
                :expire_times)
            AS question (id, key, position, step_key, kind, agent_name, tool_name, body,
                create_time, expire_time)
    )""",
    (
        bindparam("ids", type_=ARRAY(Text)),
        bindparam("question_keys", type_=ARRAY(Text)),
        bindparam("question_positions", type_=ARRAY(Integer)),
        bindparam("step_keys", type_=ARRAY(Text)),
        bindparam("requirement_kinds", type_=ARRAY(SmallInteger)),
        bindparam("agent_names", type_=ARRAY(Text)),
        bindparam("tool_names", type_=ARRAY(Text)),
        bindparam("question_bodies", type_=ARRAY(LargeBinary)),
        bindparam("create_times", type_=ARRAY(DateTime(timezone=True))),
        bindparam("expire_times", type_=ARRAY(DateTime(timezone=True))),
    ),
)
_SPENDS = _Part(
    """, used_up AS (
        UPDATE requirements SET spend_time = :now
        FROM moved, unnest(:spent_keys) AS spent (key)
        WHERE requirements.run_id = :run_id AND requirements.key = ANY(:spent_keys)
            AND requirements.key = spent.key
    )""",
    (
        bindparam("spent_keys", type_=ARRAY(Text)),
        bindparam("spent_digests", type_=ARRAY(LargeBinary)),
    ),
    """AND cardinality(:spent_keys) = (
                SELECT count(DISTINCT decided.key) FROM requirements AS decided
                JOIN unnest(:spent_keys, :spent_digests) AS spent (key, digest) USING (key)
                WHERE decided.run_id = :run_id AND decided.key = ANY(:spent_keys)
                    AND decided.state IN (2, 3) AND decided.grant_digest = spent.digest
                    AND decided.spend_time IS NULL)""",
)
_OPENS = _Part(
    ANSWERED,
    ANSWER_PARAMETERS,
    right="state = 3 AND NOT is_ready AND version = :version AND epoch = :epoch - 1",
    check=f", {ALL_OR_NONE}",
)
_ENDS_ALL = _Part(
    """, closed AS (
        UPDATE requirements SET state = 4, version = version + 1, update_time = :now,
            resolve_time = :now
        WHERE run_id = (SELECT run_id FROM moved) AND state + 0 = 1
    )"""
)

_COMMITTED = text("""
    SELECT last_sequence, cancel_requested FROM runs
    WHERE run_id = :run_id AND epoch = :epoch AND commits = :number
        AND (:opens IS NULL OR (owner = :owner AND version = :opens + 1))
""").bindparams(bindparam("opens", type_=BigInteger))


class _NotTaken(Exception):
    """Takes a transaction back."""


async def run_commit(
    database: Database,
    lease: Lease,
    progress: Progress,
    change: Change,
    now: datetime,
    number: int,
    opening: Opening | None = None,
) -> Committed | None:
    """Moves a run forward: the only way in which its owner writes it.

    Args:
        number: of this commit in its epoch, from 1.
        opening: the decision that it begins the epoch with. It does not end the run.

    Returns:
        Where it left the run; or `None` when the lease is lost, when the number
        is not the next one, when a decision that it spends does not stand, or
        when the run may not pause or end because a decision or a cancel has come in;
        or when it is not any more as it was when the opening was decided.
    """
    parts: list[_Part] = []
    parameters: dict[str, Any] = {"number": number}
    if opening is not None:
        starts, progress = _with_opening(progress, opening)
        parts.append(_OPENS)
        parameters |= {**answer_parameters(opening.ruling, starts), "version": opening.version}
    parameters |= _commit_parameters(lease, progress, change, opening, now)
    statement = _commit(*parts, *_parts(progress, change))
    try:
        return await _committed(database, lease, progress, statement, parameters, now)
    except REFUSED:
        if opening is None:
            raise
        return None


async def _committed(
    database: Database,
    lease: Lease,
    progress: Progress,
    statement: TextClause,
    parameters: Mapping[str, Any],
    now: datetime,
) -> Committed | None:
    if not progress.session_changes and not progress.session_removals:
        rows = await database.fetch(statement, parameters)
    else:
        try:
            async with database.transaction() as connection:
                await session_merge(connection, lease.run_id, progress, now)
                rows = await connection.fetch(statement, parameters)
                if not rows:
                    raise _NotTaken
        except _NotTaken:
            return None
    return Committed(*rows[0][:4]) if rows else None


async def run_committed(
    database: Database, lease: Lease, number: int, opening: Opening | None = None
) -> Committed | None:
    """What `run_commit` gave, when its newest commit has this number.

    An opening has no lease before it is stored: others may have the same epoch. So it is only
    known again as long as its run goes on, and by the version that it made.
    """
    opens = opening.version if opening else None
    parameters = {**lease_parameters(lease), "number": number, "opens": opens}
    rows = await database.fetch(_COMMITTED, parameters)
    return Committed(*rows[0]) if rows else None


def _with_opening(progress: Progress, opening: Opening) -> tuple[dict[str, bytes], Progress]:
    """What starts at once by the answers of an opening, and what else its commit has to do."""
    starts: dict[str, bytes] = {}
    spent = []
    for one in progress.spent:
        requirement_id = opening.keys.get(one.key, "")
        if not requirement_id or requirement_id in starts:
            spent.append(one)
        else:
            starts[requirement_id] = one.digest
    told = [NewEvent(one) for one in opening.events]
    return starts, replace(progress, events=(*told, *progress.events), spent=spent)


def _commit_parameters(
    lease: Lease, progress: Progress, change: Change, opening: Opening | None, now: datetime
) -> dict[str, Any]:
    questions = progress.questions
    asked = [one.requirement for one in questions]
    return {
        **lease_parameters(lease),
        "lease_until": lease.until,
        **event_arrays(
            [one.event for one in progress.events], [one.key for one in progress.events]
        ),
        "state": change.state,
        "pause_kind": change.pause_kind,
        "waiting": change.waiting,
        "body": change.body.SerializeToString() if change.body else None,
        "now": now,
        "entry_keys": [one.key for one in progress.entries],
        "entry_positions": [one.position for one in progress.entries],
        "entry_values": [one.value and one.value.encode() for one in progress.entries],
        "opened_count": len(questions) - (len(opening.ruling.answers) if opening else 0),
        "ids": [one.requirement_id for one in asked],
        "question_keys": [one.key for one in questions],
        "question_positions": [one.position for one in questions],
        "step_keys": [one.executor_run_id for one in asked],
        "requirement_kinds": [one.kind for one in asked],
        "agent_names": [one.tool_execution.agent_name.replace("\0", "") for one in asked],
        "tool_names": [one.tool_execution.tool_name.replace("\0", "") for one in asked],
        "question_bodies": [one.SerializeToString() for one in asked],
        "create_times": [one.create_time.ToDatetime(UTC) for one in asked],
        "expire_times": [
            one.expire_time.ToDatetime(UTC) if one.HasField("expire_time") else None
            for one in asked
        ],
        "spent_keys": [one.key for one in progress.spent],
        "spent_digests": [one.digest for one in progress.spent],
    }


@cache
def _commit(*parts: _Part) -> TextClause:
    """A commit with these parts; those that have nothing to do would cost as much as the others."""
    statement = _MOVES.format(
        right=next((one.right for one in parts if one.right), _LEASE),
        conditions="".join(one.condition for one in parts),
        parts="".join(one.sql for one in parts),
        checks="".join(one.check for one in parts),
    )
    typed = (parameter for one in parts for parameter in one.parameters)
    return text(statement).bindparams(*_PARAMETERS, *typed)


def _parts(progress: Progress, change: Change) -> Iterable[_Part]:
    """What a commit has to do."""
    if progress.events:
        yield _APPENDS
    if progress.entries:
        yield _RECORDS
    if progress.questions:
        yield _ASKS
    if progress.spent:
        yield _SPENDS
    if change.state in _ENDS:
        yield _ENDS_ALL
