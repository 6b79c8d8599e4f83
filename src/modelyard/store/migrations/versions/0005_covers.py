"""Make the tables of covers: the pictures that are kept, and what they were found with."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "covers",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
        sa.Column("unused_since", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="pk_covers"),
        sa.UniqueConstraint("sha256", name="uq_covers_sha256"),
    )
    op.create_table(
        "cover_pictures",
        sa.Column("cover", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("cover", "width", name="pk_cover_pictures"),
        sa.ForeignKeyConstraint(["cover"], ["covers.name"], name="fk_cover_pictures_cover", ondelete="CASCADE"),
    )
    op.create_index("ix_cover_pictures_sha256", "cover_pictures", ["sha256"])
    op.create_table(
        "model_covers",
        sa.Column("model_id", _ID, autoincrement=False, nullable=False),
        sa.Column("origin", sa.SmallInteger, nullable=False),
        sa.Column("cover", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "origin", name="pk_model_covers"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_covers_model_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["cover"], ["covers.name"], name="fk_model_covers_cover", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_model_covers_cover", "model_covers", ["cover"])
    op.create_table(
        "cover_addresses",
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("cover", sa.Text),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("tried_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_cover_addresses"),
        sa.ForeignKeyConstraint(["cover"], ["covers.name"], name="fk_cover_addresses_cover", ondelete="CASCADE"),
    )
    op.create_index("ix_cover_addresses_cover", "cover_addresses", ["cover"])
    op.create_table(
        "file_covers",
        sa.Column("file_id", _ID, autoincrement=False, nullable=False),
        sa.Column("model_id", _ID, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("sidecars", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("file_id", name="pk_file_covers"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_file_covers_file_id", ondelete="CASCADE"),
    )
