"""The tables of what is kept of the hub behind this server; ``schema`` has them with all others."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from modelyard.store.metadata import ID, METADATA

revisions = Table(
    "upstream_revisions",
    METADATA,
    # The address of the hub.
    Column("upstream", Text, primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("revision", Text, primary_key=True),
    Column("commit", Text, nullable=False),
)

snapshots = Table(
    "upstream_snapshots",
    METADATA,
    Column("upstream", Text, primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("commit", Text, primary_key=True),
    # The description and the list of files, compressed.
    Column("content", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
)

files = Table(
    "upstream_files",
    METADATA,
    # The hash of the file on the hub, lower case: the SHA-256 of large files, git's blob hash of others.
    Column("etag", Text, primary_key=True),
    # Who may read the repository on the hub: "public", or "closed".
    Column("access", Text, primary_key=True),
    # Lower case, of the blob.
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Where it was found first.
    Column("repository", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    # The model of weights; null for other files.
    Column("model_id", ID, ForeignKey("models.id", ondelete="CASCADE")),
    Index(None, "sha256"),
    Index(None, "model_id"),
)
