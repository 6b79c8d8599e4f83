"""Add to files the model that a part belongs to, and what a person decided about a file."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns. The next scan fills them in for the files that are parts."""
    op.add_column("files", sa.Column("folder", sa.LargeBinary))
    op.add_column("files", sa.Column("part", sa.Text))
    op.add_column("files", sa.Column("linked_id", sa.BigInteger))
    op.create_index("ix_files_folder", "files", ["folder"])
