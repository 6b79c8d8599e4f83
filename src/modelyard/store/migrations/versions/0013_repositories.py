"""Add the repositories in the shape of the Hugging Face Hub, their files, and the results that wait for a commit."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the tables and the column."""
    op.add_column("uploads", sa.Column("inspection", sa.Text))
    op.create_table(
        "repositories",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("visibility", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column(
            "model_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("models.id", ondelete="CASCADE", name="fk_repositories_model_id"),
        ),
        sa.UniqueConstraint("team", "name", name="uq_repositories_team_name"),
    )
    op.create_index("ix_repositories_model_id", "repositories", ["model_id"])
    op.create_table(
        "repository_files",
        sa.Column(
            "repository",
            sa.Text,
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name="fk_repository_files_repository"),
            primary_key=True,
        ),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("content", sa.LargeBinary),
    )
    op.create_index("ix_repository_files_sha256", "repository_files", ["sha256"])
