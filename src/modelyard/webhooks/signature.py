"""Secrets of webhooks and the signatures that they make, as Standard Webhooks defines both."""

import base64
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def create_secret() -> str:
    """Return a new secret."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(keys: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: a signature for each of the secrets, separated by spaces."""
    at, content = datetime.fromtimestamp(timestamp, UTC), body.decode()
    return " ".join(Webhook(key).sign(message_id, at, content) for key in keys)
