"""Add to files the time of their last change, which programs cannot set."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column. The next scan fills it in for files that are as they were recorded, without hashing them."""
    op.add_column("files", sa.Column("ctime_ns", sa.BigInteger))
