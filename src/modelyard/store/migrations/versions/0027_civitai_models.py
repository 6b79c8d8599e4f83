"""Add models as Civitai's JSON."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "civitai_models",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column(
            "model_id",
            _ID,
            sa.ForeignKey("models.id", ondelete="CASCADE", name="fk_civitai_models_model_id"),
            nullable=False,
        ),
        sa.Column("rendering", sa.Integer, nullable=False),
        sa.Column("versions", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_civitai_models_model_id", "civitai_models", ["model_id"])
