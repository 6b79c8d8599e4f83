"""Add the files that the server fetches from other servers, and the priority of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the table and the column."""
    op.add_column("jobs", sa.Column("priority", sa.SmallInteger, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "fetches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("model_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("validator", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("received_bytes", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
    )
    op.create_index("ix_fetches_team", "fetches", ["team"])
    op.create_index("ix_fetches_model_id", "fetches", ["model_id"])
