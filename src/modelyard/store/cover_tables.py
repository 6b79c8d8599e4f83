"""The tables of pictures of models; ``schema`` has them with all others."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, SmallInteger, Table, Text

from modelyard.store.metadata import ID, METADATA

covers = Table(
    "covers",
    METADATA,
    # Random: a cover's address is all that it takes to see it.
    Column("name", Text, primary_key=True),
    # Of the picture as it came: the same one is kept once.
    Column("sha256", Text, nullable=False, unique=True),
    Column("kept_at", BigInteger, nullable=False),
    Column("unused_since", BigInteger),
)

cover_pictures = Table(
    "cover_pictures",
    METADATA,
    Column("cover", Text, ForeignKey("covers.name", ondelete="CASCADE"), primary_key=True),
    Column("width", Integer, primary_key=True),
    # Of the WebP, a blob.
    Column("sha256", Text, nullable=False),
    Index(None, "sha256"),
)

model_covers = Table(
    "model_covers",
    METADATA,
    Column("model_id", ID, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # Where it was found, as ``store.covers.Origin`` numbers it; the greater wins.
    Column("origin", SmallInteger, primary_key=True),
    Column("cover", Text, ForeignKey("covers.name", ondelete="CASCADE"), nullable=False),
    Index(None, "cover"),
    sqlite_with_rowid=False,
)

cover_addresses = Table(
    "cover_addresses",
    METADATA,
    Column("address", Text, primary_key=True),
    # Null where no picture could be had.
    Column("cover", Text, ForeignKey("covers.name", ondelete="CASCADE")),
    Column("problem", Text, nullable=False),
    Column("tried_at", BigInteger, nullable=False),
    Index(None, "cover"),
)

file_covers = Table(
    "file_covers",
    METADATA,
    Column("file_id", ID, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # What the file was when it was looked at.
    Column("model_id", ID, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sidecars", Text, nullable=False),
)
