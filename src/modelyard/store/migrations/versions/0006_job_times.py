"""Add to jobs the team they are of, and when they were begun, done and failed last."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns, and fill in the teams of the uploads that wait."""
    op.add_column("jobs", sa.Column("team", sa.Text, nullable=False, server_default=sa.text("''")))
    for name in ("started_at", "finished_at", "failed_at"):
        op.add_column("jobs", sa.Column(name, sa.BigInteger))
    op.execute(
        "UPDATE jobs SET team = (SELECT uploads.team FROM uploads WHERE uploads.id = jobs.subject)"
        " WHERE subject IN (SELECT id FROM uploads)"
    )
