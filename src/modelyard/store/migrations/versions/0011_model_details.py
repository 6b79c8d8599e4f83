"""Add to models their title, creator, words, file names, dates, size, licence and version group."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TEXTS = ("title", "creator", "trigger_words", "file_names", "licence", "version_group")
_NUMBERS = ("published_at", "updated_at", "added_at", "size_bytes")


def upgrade() -> None:
    """Add the columns. ``store.renewal`` fills them after this, in batches, where there are models."""
    for name in _TEXTS:
        op.add_column("models", sa.Column(name, sa.Text))
    for name in _NUMBERS:
        op.add_column("models", sa.Column(name, sa.BigInteger))
    op.create_index("ix_models_version_group", "models", ["version_group"])
    op.execute("INSERT INTO notes (key, value) SELECT 'renewal', '-1' WHERE EXISTS (SELECT 1 FROM models)")
