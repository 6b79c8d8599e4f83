"""Add which key sent a model."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Create the column and the table."""
    op.add_column("uploads", sa.Column("key_fingerprint", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "uploaders",
        sa.Column(
            "model_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("key_fingerprint", sa.Text, nullable=False),
    )
