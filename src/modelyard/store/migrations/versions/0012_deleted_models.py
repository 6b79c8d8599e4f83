"""Add deleted models, the name and purpose of a key, and an index of sizes."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the table, the columns and the index."""
    op.create_table(
        "deleted_models",
        sa.Column("model_id", _ID, nullable=False, autoincrement=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("covers", sa.Text, nullable=False),
        sa.Column("downloads", sa.BigInteger, nullable=False),
        sa.Column("blob", sa.Text),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_deleted_models"),
    )
    for column in ("team", "blob", "deleted_at"):
        op.create_index(f"ix_deleted_models_{column}", "deleted_models", [column])
    op.create_index("ix_models_size_bytes", "models", ["size_bytes"])
    for name in ("name", "purpose"):
        op.add_column("api_keys", sa.Column(name, sa.Text))
