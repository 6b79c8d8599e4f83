"""The tables of webhooks; ``schema`` has them with all others."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text

from modelyard.store.metadata import ID, METADATA

webhooks = Table(
    "webhooks",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("url", Text, nullable=False),
    # Names of events, separated by spaces, and a query string.
    Column("events", Text, nullable=False),
    Column("filter", Text, nullable=False),
    # A digest would not do: messages are signed with it.
    Column("secret", Text, nullable=False),
    # The one before it, until when messages are signed with both.
    Column("old_secret", Text),
    Column("old_secret_ends_at", BigInteger),
    # Where it is in the change feed: the changes up to there have their deliveries.
    Column("position", Text, nullable=False),
    # The revision of the catalogue when there were no more changes for it.
    Column("revision", BigInteger, nullable=False),
    # "active" or "disabled".
    Column("state", Text, nullable=False),
    # Why it is disabled, or what the last attempt failed with.
    Column("problem", Text, nullable=False),
    # In a row, without a success.
    Column("failures", Integer, nullable=False),
    # The next attempt, after a failure.
    Column("retry_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "team"),
)

deliveries = Table(
    "webhook_deliveries",
    METADATA,
    # The order in which they are sent.
    Column("number", ID, primary_key=True),
    # The header webhook-id of all attempts.
    Column("id", Text, nullable=False),
    Column("webhook", Text, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("type", Text, nullable=False),
    Column("model_id", ID, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # "waiting", "once" for one attempt that a person asked for, "delivered" or "failed".
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Of the last attempt; no status where nothing answered.
    Column("status", Integer),
    Column("problem", Text, nullable=False),
    Column("attempted_at", BigInteger),
    Index(None, "id", unique=True),
    Index(None, "webhook", "state", "number"),
)

# Models of teams with webhooks whose files were verified, until the webhooks have their deliveries.
upload_events = Table(
    "upload_events",
    METADATA,
    Column("number", ID, primary_key=True),
    Column("team", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("model_id", ID, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "team", "revision"),
)
