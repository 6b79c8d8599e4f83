"""Add which key took the place of a key."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the column."""
    op.add_column("api_keys", sa.Column("replaced_by", _ID))
