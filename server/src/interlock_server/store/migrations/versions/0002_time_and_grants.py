"""Time that runs out, decisions that are used up, and commits that are stored once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ANSWERED = "resolved_means_answered"


def upgrade() -> None:
    op.drop_index("requests_by_time", "requests")
    op.create_index("requests_by_run", "requests", ["run_id"])
    op.alter_column(
        "requests",
        "run_id",
        comment="The run, or the session, it was about.",
        existing_comment=None,
    )
    op.add_column("runs", sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "runs",
        sa.Column(
            "commits",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Commits of this epoch, so that one is not stored twice.",
        ),
    )
    op.create_index(
        "runs_open",
        "runs",
        ["create_time", "run_id"],
        postgresql_where=sa.text("end_time IS NULL"),
    )
    op.create_index(
        "runs_ended", "runs", ["end_time"], postgresql_where=sa.text("end_time IS NOT NULL")
    )
    op.create_index(
        "runs_due",
        "runs",
        ["expire_time"],
        postgresql_where=sa.text("state = 3 AND expire_time IS NOT NULL"),
    )
    op.add_column(
        "requirements", sa.Column("agent_name", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "requirements",
        sa.Column(
            "grant_digest",
            sa.LargeBinary(),
            comment="What the answer lets start; unset for nothing.",
        ),
    )
    op.add_column("requirements", sa.Column("spend_time", sa.DateTime(timezone=True)))
    op.add_column("requirements", sa.Column("expire_time", sa.DateTime(timezone=True)))
    op.drop_constraint(_ANSWERED, "requirements")
    op.create_check_constraint(
        _ANSWERED, "requirements", "state = 3 OR (state = 2) = (resolution IS NOT NULL)"
    )
    op.create_check_constraint(
        "only_due_ones_expire", "requirements", "state <> 3 OR expire_time IS NOT NULL"
    )
    op.create_check_constraint(
        "only_answers_let_something_start",
        "requirements",
        "grant_digest IS NULL OR resolution IS NOT NULL",
    )
    op.create_check_constraint(
        "only_what_was_granted_is_spent",
        "requirements",
        "spend_time IS NULL OR grant_digest IS NOT NULL",
    )
    op.create_index(
        "requirements_due",
        "requirements",
        ["expire_time"],
        postgresql_where=sa.text("state = 1 AND expire_time IS NOT NULL"),
    )
