"""Add the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "audit",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("model_id", _ID),
        sa.Column("models", sa.Integer, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("revision_before", sa.BigInteger),
        sa.Column("revision_after", sa.BigInteger),
        sa.Column("key_fingerprint", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
    )
    op.create_index("ix_audit_team_number", "audit", ["team", "number"])
    op.create_index("ix_audit_model_id_number", "audit", ["model_id", "number"])
    op.create_index("ix_audit_key_fingerprint_number", "audit", ["key_fingerprint", "number"])
    op.create_index("ix_audit_at", "audit", ["at"])
