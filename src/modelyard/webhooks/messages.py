"""Messages of webhooks: their events and their bodies. A message says what changed, not how it is now."""

import secrets

import msgspec

from modelyard.facts import format_date
from modelyard.store.webhooks import CHECKED, ONCE, REJECTED, WAITING, Delivery

PUT, REMOVED, TEST = "model.put", "model.removed", "webhook.test"
EVENTS = (PUT, REMOVED, CHECKED, REJECTED)
_encode = msgspec.json.Encoder().encode


class Change(msgspec.Struct, frozen=True):
    """The model that changed. ``revision`` is that of the change, which ``GET /v3/model/changes`` takes."""

    id: int
    revision: int
    change: str


class Message(msgspec.Struct, frozen=True):
    """The body of a request to a webhook."""

    type: str
    timestamp: str
    data: Change


def make_delivery(webhook_id: str, event: str, model_id: int, revision: int, now: int) -> Delivery:
    """Return a new delivery of an event. A test is sent once."""
    change = {REMOVED: "removed", TEST: "test"}.get(event, "put")
    state = ONCE if event == TEST else WAITING
    return Delivery(f"msg_{secrets.token_hex(16)}", webhook_id, event, model_id, revision, change, now, state)


def render(delivery: Delivery) -> bytes:
    """Return the body of a delivery; it is the same in every attempt."""
    change = Change(delivery.model_id, delivery.revision, delivery.change)
    return _encode(Message(delivery.type, format_date(delivery.created_at), change))
