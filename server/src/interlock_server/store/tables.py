"""The tables, and what must always be true of them.

Locks are taken in one order: sessions, runs, requirements, then rows that are
only ever inserted. Numbers in the checks are those of the contract's enums.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


definitions = Table(
    "definitions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _time("create_time"),
    Index("definitions_by_version", "workflow_id", "version", unique=True),
    comment="Every definition that was ever served, by the hash of its content.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, server_default=""),
    Column(
        "state", Text, nullable=False, comment="JSON text: jsonb refuses NUL and reorders keys."
    ),
    Column("version", BigInteger, nullable=False),
    _time("create_time"),
    _time("update_time"),
    Index("sessions_by_time", "create_time", "session_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("digest", LargeBinary, ForeignKey("definitions.digest"), nullable=False),
    Column("session_id", Text, ForeignKey("sessions.session_id"), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("pause_kind", SmallInteger, nullable=False, server_default="0"),
    Column("started_by", Text, nullable=False, server_default=""),
    Column("labels", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="A Run with input, output, error, usage."),
    Column("session_state", Text, nullable=False, comment="The session's state at the start."),
    Column("last_sequence", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False, comment="Grows with every claim; fences writes."),
    Column("owner", Text),
    _time("lease_until", nullable=True),
    Column("open_requirements", Integer, nullable=False, server_default="0"),
    Column("is_ready", Boolean, nullable=False, server_default=text("false")),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("cancel_reason", Text, nullable=False, server_default=""),
    Column("cancelled_by", Text, nullable=False, server_default=""),
    Column(
        "cancel_heard",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Its owner knows, and starts nothing more.",
    ),
    _time("create_time"),
    _time("update_time"),
    _time("end_time", nullable=True),
    _time("expire_time", nullable=True),
    Column(
        "commits",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Commits of this epoch, so that one is not stored twice.",
    ),
    CheckConstraint("(state IN (4, 5, 6)) = (end_time IS NOT NULL)", name="ended_runs_have_an_end"),
    CheckConstraint("owner IS NULL OR state = 2", name="only_running_runs_are_owned"),
    CheckConstraint("(owner IS NULL) = (lease_until IS NULL)", name="an_owner_has_a_lease"),
    CheckConstraint(
        "state <> 3 OR open_requirements > 0 OR is_ready", name="paused_runs_wait_for_something"
    ),
    CheckConstraint(
        "state NOT IN (4, 5, 6) OR open_requirements = 0", name="ended_runs_wait_for_nothing"
    ),
    CheckConstraint("open_requirements >= 0", name="open_requirements_are_counted"),
    CheckConstraint("(state = 3) = (pause_kind <> 0)", name="paused_runs_say_why"),
    Index("runs_by_time", "create_time", "run_id"),
    Index("runs_by_session", "session_id", "create_time"),
    Index("runs_running", "lease_until", postgresql_where=text("state = 2")),
    Index("runs_open", "create_time", "run_id", postgresql_where=text("end_time IS NULL")),
    Index("runs_ended", "end_time", postgresql_where=text("end_time IS NOT NULL")),
    Index(
        "runs_due",
        "expire_time",
        postgresql_where=text("state = 3 AND expire_time IS NOT NULL"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("kind", SmallInteger, nullable=False, comment="Field number in RunEvent.event."),
    Column("key", Text, comment="The place that emitted it; unset when a decision did."),
    Column("body", LargeBinary, nullable=False),
    CheckConstraint("sequence >= 1", name="sequences_begin_at_one"),
    Index("events_once", "run_id", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
)

journal = Table(
    "journal",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("position", Integer, nullable=False, comment="Order of recording within the run."),
    Column("value", LargeBinary, comment="JSON; unset for the start of an effect."),
    Index("journal_in_order", "run_id", "position", unique=True),
)

requirements = Table(
    "requirements",
    metadata,
    Column("requirement_id", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("position", Integer, nullable=False, comment="Order of asking within the run."),
    Column(
        "step_key", Text, nullable=False, comment="The step that goes on when all are resolved."
    ),
    Column("workflow_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("agent_name", Text, nullable=False, server_default=""),
    Column("tool_name", Text, nullable=False, server_default=""),
    Column("state", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="The question; it never changes."),
    Column("grant_digest", LargeBinary, comment="What the answer lets start; unset for nothing."),
    _time("spend_time", nullable=True),
    Column("resolution", LargeBinary),
    Column("resolved_by", Text, nullable=False, server_default=""),
    Column("version", BigInteger, nullable=False),
    _time("create_time"),
    _time("update_time"),
    _time("resolve_time", nullable=True),
    _time("expire_time", nullable=True),
    Column("claimed_by", Text, comment="The worker that executes the call; kept with its answer."),
    Column(
        "claim_epoch",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Grows with every claim; fences results.",
    ),
    _time("claim_until", nullable=True),
    Column("claim_request", Text, comment="The request id of the claim."),
    Column("claim_digest", LargeBinary, comment="Hash of that request."),
    CheckConstraint(
        "state = 3 OR (state = 2) = (resolution IS NOT NULL)", name="resolved_means_answered"
    ),
    CheckConstraint("(state = 1) = (resolve_time IS NULL)", name="only_pending_ones_wait"),
    CheckConstraint("state <> 3 OR expire_time IS NOT NULL", name="only_due_ones_expire"),
    CheckConstraint(
        "grant_digest IS NULL OR resolution IS NOT NULL", name="only_answers_let_something_start"
    ),
    CheckConstraint(
        "spend_time IS NULL OR grant_digest IS NOT NULL", name="only_what_was_granted_is_spent"
    ),
    CheckConstraint(
        "claimed_by IS NULL OR (kind = 3 AND claim_epoch > 0)",
        name="only_external_calls_are_claimed",
    ),
    CheckConstraint("(claimed_by IS NULL) = (claim_until IS NULL)", name="a_claim_has_an_end"),
    CheckConstraint(
        "(claim_request IS NULL) = (claim_digest IS NULL)", name="a_request_is_known_by_its_content"
    ),
    CheckConstraint(
        "claim_request IS NULL OR claimed_by IS NOT NULL", name="only_claims_are_requested"
    ),
    CheckConstraint("claim_epoch >= 0", name="claims_are_counted"),
    Index("requirements_once", "run_id", "key", unique=True),
    Index(
        "requirements_open",
        "create_time",
        "requirement_id",
        postgresql_where=text("state = 1"),
    ),
    Index("requirements_changed", "update_time"),
    Index(
        "requirements_unspent",
        "agent_name",
        "tool_name",
        postgresql_where=text("grant_digest IS NOT NULL AND spend_time IS NULL"),
    ),
    Index(
        "requirements_due",
        "expire_time",
        postgresql_where=text("state = 1 AND expire_time IS NOT NULL"),
    ),
    # Whoever asks for calls to execute says `resolve_time IS NULL`, which means `state = 1`, and
    # whoever asks for anything else does not; so neither is given the other's index.
    Index(
        "requirements_unclaimed",
        "tool_name",
        "create_time",
        "requirement_id",
        "workflow_id",
        postgresql_where=text("kind = 3 AND resolve_time IS NULL AND claimed_by IS NULL"),
    ),
    Index(
        "requirements_claimed",
        "tool_name",
        "claim_until",
        postgresql_where=text("resolve_time IS NULL AND claimed_by IS NOT NULL"),
    ),
    Index(
        "requirements_claim_requests",
        "claim_request",
        unique=True,
        postgresql_where=text("resolve_time IS NULL AND claim_request IS NOT NULL"),
    ),
)

requests = Table(
    "requests",
    metadata,
    Column("method", Text, primary_key=True),
    Column("caller", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, comment="Hash of the request."),
    Column("run_id", Text, nullable=False, comment="The run, or the session, it was about."),
    Column("sequence", BigInteger, nullable=False, comment="Newest event before the request."),
    _time("create_time"),
    Index("requests_by_run", "run_id"),
    comment="Which requests were seen, so that a repeat joins the first.",
)
