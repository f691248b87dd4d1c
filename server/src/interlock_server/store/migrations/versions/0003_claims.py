"""Claims: which worker executes an external call, and until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "requirements"


def upgrade() -> None:
    op.add_column(
        _TABLE,
        sa.Column(
            "claimed_by",
            sa.Text(),
            comment="The worker that executes the call; kept with its answer.",
        ),
    )
    op.add_column(
        _TABLE,
        sa.Column(
            "claim_epoch",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Grows with every claim; fences results.",
        ),
    )
    op.add_column(_TABLE, sa.Column("claim_until", sa.DateTime(timezone=True)))
    op.add_column(
        _TABLE, sa.Column("claim_request", sa.Text(), comment="The request id of the claim.")
    )
    op.add_column(
        _TABLE, sa.Column("claim_digest", sa.LargeBinary(), comment="Hash of that request.")
    )
    op.create_check_constraint(
        "only_external_calls_are_claimed",
        _TABLE,
        "claimed_by IS NULL OR (kind = 3 AND claim_epoch > 0)",
    )
    op.create_check_constraint(
        "a_claim_has_an_end", _TABLE, "(claimed_by IS NULL) = (claim_until IS NULL)"
    )
    op.create_check_constraint(
        "a_request_is_known_by_its_content",
        _TABLE,
        "(claim_request IS NULL) = (claim_digest IS NULL)",
    )
    op.create_check_constraint(
        "only_claims_are_requested", _TABLE, "claim_request IS NULL OR claimed_by IS NOT NULL"
    )
    op.create_check_constraint("claims_are_counted", _TABLE, "claim_epoch >= 0")
    op.create_index(
        "requirements_unclaimed",
        _TABLE,
        ["tool_name", "create_time", "requirement_id", "workflow_id"],
        postgresql_where=sa.text("kind = 3 AND resolve_time IS NULL AND claimed_by IS NULL"),
    )
    op.create_index(
        "requirements_claimed",
        _TABLE,
        ["tool_name", "claim_until"],
        postgresql_where=sa.text("resolve_time IS NULL AND claimed_by IS NOT NULL"),
    )
    op.create_index(
        "requirements_claim_requests",
        _TABLE,
        ["claim_request"],
        unique=True,
        postgresql_where=sa.text("resolve_time IS NULL AND claim_request IS NOT NULL"),
    )
