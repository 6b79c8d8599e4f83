"""Add to files which node found them, as only that node can find that they are gone."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Add the column. A file without a node becomes that of the next node that finds it."""
    op.add_column("files", sa.Column("node", sa.Text, nullable=False, server_default=sa.text("''")))
