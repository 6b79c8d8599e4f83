"""Make the table of files that stay where they are, and the indexes that tell whether one is a known model."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table and the indexes."""
    op.create_table(
        "files",
        sa.Column("id", _ID, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("sidecars", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("autov3", sa.Text),
        sa.Column("hashes_pending", sa.Boolean, nullable=False),
        sa.Column("model_id", _ID),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("visibility", sa.Text, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("inspection", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sa.UniqueConstraint("path", name="uq_files_path"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_files_model_id", ondelete="SET NULL"),
    )
    for column in ("model_id", "sha256", "autov3"):
        op.create_index(f"ix_files_{column}", "files", [column])
    for column in ("sha256", "autov2", "autov3"):
        op.create_index(f"ix_models_{column}", "models", [column])
