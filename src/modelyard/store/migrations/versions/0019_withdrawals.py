"""Add which models were withdrawn from whom, and the indexes that the change feed reads by."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Create the tables and indexes. What was withdrawn before is unknown: the feed begins at the current revision."""
    op.create_table(
        "withdrawals",
        sa.Column("model_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "audience", name="pk_withdrawals"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_withdrawals_audience_revision_model_id", "withdrawals", ["audience", "revision", "model_id"])
    op.create_index("ix_withdrawals_withdrawn_at", "withdrawals", ["withdrawn_at"])
    op.create_table(
        "withdrawal_horizons",
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("audience", name="pk_withdrawal_horizons"),
    )
    op.execute(
        "INSERT INTO withdrawal_horizons (audience, revision)"
        " SELECT '', value FROM counters WHERE name = 'model_revision' AND value > 0"
    )
    for name, columns in (("public", ["revision", "id"]), ("private", ["team", "revision", "id"])):
        part = sa.text(f"visibility = '{name}'")
        op.create_index(f"ix_models_{name}_revision", "models", columns, sqlite_where=part, postgresql_where=part)
