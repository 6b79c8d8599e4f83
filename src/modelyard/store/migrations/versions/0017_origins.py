"""Add where models come from that another catalogue has given an id."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "origins",
        sa.Column(
            "model_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("models.id", ondelete="CASCADE", name="fk_origins_model_id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("origin", sa.Text, nullable=False),
        sa.UniqueConstraint("origin", name="uq_origins_origin"),
    )
