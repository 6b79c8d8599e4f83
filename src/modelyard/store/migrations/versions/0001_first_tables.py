"""Make the first tables, and the base models known so far.

A migration is history: it spells out what was made then, and does not follow ``store.schema``.
"""

import uuid

import sqlalchemy as sa
from alembic import op

from modelyard import base_models
from modelyard.store import rows

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables and put in what a database starts with."""
    _make_record_tables()
    _make_key_tables()
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    names = ("model_revision", "keys_revision", "next_own_id")
    op.bulk_insert(counters, [{"name": name, "value": 1_000_000_000 if name == "next_own_id" else 0} for name in names])
    notes = op.create_table(
        "notes",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_notes"),
    )
    # Tells this database from every other: what is derived from one must not be taken for another's.
    op.bulk_insert(notes, [{"key": "identity", "value": uuid.uuid4().hex}])
    base_model_rows = op.create_table(
        "base_models",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("architecture", sa.Text, nullable=False),
        sa.Column("is_sdxl", sa.Boolean, nullable=False),
        sa.Column("aliases", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_base_models"),
    )
    op.bulk_insert(base_model_rows, [rows.row_of_base_model(known) for known in base_models.KNOWN])


def _make_record_tables() -> None:
    op.create_table(
        "teams",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
    )
    texts = ("name", "sd_name", "type_name", "type_display_name", "source", "visibility")
    hashes = ("autov1", "autov2", "autov3", "sha256", "blake3", "crc32")
    op.create_table(
        "models",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        sa.Column("team", sa.Text),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("base_model", sa.Text, nullable=False),
        sa.Column("base_model_type", sa.Text, nullable=False),
        sa.Column("is_sdxl", sa.Boolean, nullable=False),
        sa.Column("is_nsfw", sa.Boolean, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("categories", sa.Text, nullable=False),
        sa.Column("cover_url", sa.Text, nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text) for name in hashes),
        sa.Column("blob", sa.Text),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name="fk_models_team"),
        sa.CheckConstraint("visibility = 'public' OR team IS NOT NULL", name="ck_models_private_has_team"),
        sa.CheckConstraint("status IN (0, 1)", name="ck_models_status"),
    )
    op.create_index("ix_models_revision", "models", ["revision"])
    op.create_index("ix_models_sd_name", "models", ["sd_name"])
    op.create_table(
        "layers",
        sa.Column("model_id", _ID, nullable=False),
        sa.Column("layer", sa.SmallInteger, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "layer", name="pk_layers"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_layers_model_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tombstones",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_revision", "tombstones", ["revision"])


def _make_key_tables() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name="fk_api_keys_team"),
        sqlite_autoincrement=True,
    )
