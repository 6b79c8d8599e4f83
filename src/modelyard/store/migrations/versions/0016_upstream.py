"""Add what is kept of another hub: snapshots of repositories, the commits of their branches, and files."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "upstream_revisions",
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("revision", sa.Text, primary_key=True),
        sa.Column("commit", sa.Text, nullable=False),
    )
    op.create_table(
        "upstream_snapshots",
        sa.Column("upstream", sa.Text, primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("commit", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "upstream_files",
        sa.Column("etag", sa.Text, primary_key=True),
        sa.Column("access", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column(
            "model_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("models.id", ondelete="CASCADE", name="fk_upstream_files_model_id"),
        ),
    )
    op.create_index("ix_upstream_files_sha256", "upstream_files", ["sha256"])
    op.create_index("ix_upstream_files_model_id", "upstream_files", ["model_id"])
