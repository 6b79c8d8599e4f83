"""Keep who is about to store or to remove the bytes of a blob."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "blob_claims",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_blob_claims_owner", "blob_claims", ["owner"])
