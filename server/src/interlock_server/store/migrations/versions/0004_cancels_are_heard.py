"""Whether the owner of a run knows that it is cancelled, and which calls may start."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "runs",
        sa.Column(
            "cancel_heard",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Its owner knows, and starts nothing more.",
        ),
    )
    op.create_index(
        "requirements_unspent",
        "requirements",
        ["agent_name", "tool_name"],
        postgresql_where=sa.text("grant_digest IS NOT NULL AND spend_time IS NULL"),
    )
