"""Add the small files of models that lie in folders."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "model_texts",
        sa.Column(
            "model_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("models.id", ondelete="CASCADE", name="fk_model_texts_model_id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
