"""The tables of files that go from one server to another; ``schema`` has them with all others."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from modelyard.store.metadata import ID, METADATA

uploads = Table(
    "uploads",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    # How the bytes come: "put", "tus", "part" or "final" of a tus concatenation, "xorb", "hub" for a commit, "fetch".
    Column("kind", Text, nullable=False),
    # Null: not said before.
    Column("length_bytes", BigInteger),
    # The key that sends it; empty if nobody knows.
    Column("key_fingerprint", Text, nullable=False, server_default=text("''")),
    # What the uploader declared, as JSON.
    Column("declared", Text, nullable=False),
    Column("announced_sha256", Text),
    Column("sha256", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    # When the last byte was there; null while it is open.
    Column("received_at", BigInteger),
    Column("model_id", ID),
    # What verification found, as JSON, of a file that waits for its commit.
    Column("inspection", Text),
    Index(None, "team"),
    Index(None, "expires_at"),
)

# The row of a model that was deleted stays, for the time after it is restored.
uploaders = Table(
    "uploaders",
    METADATA,
    Column("model_id", ID, primary_key=True, autoincrement=False),
    Column("key_fingerprint", Text, nullable=False),
)

fetches = Table(
    "fetches",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("model_id", ID, nullable=False),
    Column("state", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("validator", Text, nullable=False),
    Column("size_bytes", BigInteger),
    Column("received_bytes", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("sha256", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Index(None, "team"),
    Index(None, "model_id"),
)

sends = Table(
    "sends",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("model_id", ID, nullable=False),
    # Its name in the settings.
    Column("target", Text, nullable=False),
    # The address of this server that the generator gets, and the key that its link is made for.
    Column("base", Text, nullable=False),
    Column("key_fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("problem", Text, nullable=False),
    # The generator's own name of its work; null before it has taken the file.
    Column("task", Text),
    Column("done_bytes", BigInteger),
    Column("total_bytes", BigInteger),
    Column("failures", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Index(None, "team"),
    Index(None, "model_id"),
)

blob_claims = Table(
    "blob_claims",
    METADATA,
    # Lower case.
    Column("sha256", Text, primary_key=True),
    # Random, of the process that stores the bytes; empty for the one that removes them.
    Column("owner", Text, primary_key=True),
    Column("ends_at", BigInteger, nullable=False),
    Index(None, "owner"),
)
