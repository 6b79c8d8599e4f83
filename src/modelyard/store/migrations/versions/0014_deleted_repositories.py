"""Add what restores the repository of a deleted model: its name and its files."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "deleted_repositories",
        sa.Column(
            "model_id",
            _ID,
            sa.ForeignKey("deleted_models.model_id", ondelete="CASCADE", name="fk_deleted_repositories_model_id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("visibility", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deleted_repository_files",
        sa.Column(
            "model_id",
            _ID,
            sa.ForeignKey(
                "deleted_repositories.model_id", ondelete="CASCADE", name="fk_deleted_repository_files_model_id"
            ),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("content", sa.LargeBinary),
    )
    op.create_index("ix_deleted_repository_files_sha256", "deleted_repository_files", ["sha256"])
