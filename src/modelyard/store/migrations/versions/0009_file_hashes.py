"""Add the hashes of the further files of models."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the column and the table. The next import of a model fills them in."""
    op.add_column("models", sa.Column("file_hashes", sa.Text))
    op.create_table(
        "model_hashes",
        sa.Column("digits", sa.Text, nullable=False),
        sa.Column("model_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("digits", "model_id", name="pk_model_hashes"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_hashes_model_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_model_hashes_model_id", "model_hashes", ["model_id"])
