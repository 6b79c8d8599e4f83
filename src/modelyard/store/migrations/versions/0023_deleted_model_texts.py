"""Keep the small files of deleted models that can be restored."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "deleted_model_texts",
        sa.Column(
            "model_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("deleted_models.model_id", ondelete="CASCADE", name="fk_deleted_model_texts_model_id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
