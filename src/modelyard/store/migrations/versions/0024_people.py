"""Add people who sign in without a key."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Create the column."""
    op.add_column("api_keys", sa.Column("provider", sa.Text))
