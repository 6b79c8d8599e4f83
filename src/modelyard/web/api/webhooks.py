"""``/v3/webhooks``: the webhooks of the caller's team, for keys with the scope admin.

Everything here runs in threads, because it asks the database. A secret is in two answers only: that of the request that
made it.
"""

from dataclasses import dataclass

import msgspec

from modelyard.facts import format_date
from modelyard.store.webhooks import ONCE, WAITING, Delivery, Webhook
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response
from modelyard.webhooks.messages import EVENTS
from modelyard.webhooks.webhooks import NewWebhook, Webhooks, managing_team

PATH = "/v3/webhooks"
_encode = msgspec.json.Encoder().encode


class NewWebhookBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook that is asked for. Without ``events`` it is told of all; ``filter`` is a query string of filters."""

    url: str
    events: tuple[str, ...] = EVENTS
    filter: str = ""


class WebhookRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A webhook. ``state`` is active or disabled. ``secret`` is in the answer of the request that made it only."""

    id: str
    url: str
    events: list[str]
    filter: str
    state: str
    problem: str
    failures: int
    retry_at: str | None
    created_at: str
    secret: str | None = None
    old_secret_ends_at: str | None = None


class WebhookList(msgspec.Struct, frozen=True):
    """The webhooks of a team, the oldest first."""

    webhooks: list[WebhookRecord]


class DeliveryRecord(msgspec.Struct, frozen=True):
    """A message. ``state`` is waiting, delivered or failed; ``status`` and ``problem`` are of the last attempt."""

    id: str
    type: str
    model_id: int
    revision: int
    change: str
    state: str
    attempts: int
    status: int | None
    problem: str
    created_at: str
    attempted_at: str | None


class DeliveryList(msgspec.Struct, frozen=True):
    """The deliveries of a webhook, the newest first."""

    deliveries: list[DeliveryRecord]


@dataclass(frozen=True, slots=True)
class WebhookEndpoints:
    """The handlers of the routes."""

    webhooks: Webhooks
    caller_of: ViewerOf

    def create(self, request: Request, body: bytes) -> Response:
        """Create a webhook, and return it with its secret."""
        new = decode_json(body, NewWebhookBody)
        webhook = self.webhooks.create(self._team(request), NewWebhook(new.url, new.events, new.filter))
        location = (b"location", f"{PATH}/{webhook.id}".encode())
        return Response(
            _encode(make_record(webhook, shows_secret=True)), headers=(location,), status=201, caching=UNSTORED
        )

    def list_webhooks(self, request: Request) -> Response:
        """Return the team's webhooks."""
        return _respond(WebhookList([make_record(webhook) for webhook in self.webhooks.list(self._team(request))]))

    def get(self, request: Request) -> Response:
        """Return a webhook."""
        return _respond(make_record(self.webhooks.get(self._team(request), _id(request))))

    def delete(self, request: Request, _: bytes) -> Response:
        """Delete a webhook with its deliveries."""
        self.webhooks.delete(self._team(request), _id(request))
        return _respond({})

    def test(self, request: Request, _: bytes) -> Response:
        """Send a test message soon, and return its delivery."""
        return _respond(make_delivery_record(self.webhooks.test(self._team(request), _id(request))), 202)

    def list_deliveries(self, request: Request) -> Response:
        """Return the newest deliveries of a webhook."""
        deliveries = self.webhooks.list_deliveries(self._team(request), _id(request))
        return _respond(DeliveryList([make_delivery_record(delivery) for delivery in deliveries]))

    def replay(self, request: Request, _: bytes) -> Response:
        """Send a message again soon, and return its delivery."""
        delivery_id = request.path_parameters["delivery"]
        return _respond(make_delivery_record(self.webhooks.replay(self._team(request), _id(request), delivery_id)), 202)

    def rotate(self, request: Request, _: bytes) -> Response:
        """Make a new secret, and return the webhook with it."""
        return _respond(make_record(self.webhooks.rotate(self._team(request), _id(request)), shows_secret=True))

    def enable(self, request: Request, _: bytes) -> Response:
        """Go on with a webhook that was disabled."""
        return _respond(make_record(self.webhooks.enable(self._team(request), _id(request))))

    def _team(self, request: Request) -> str:
        return managing_team(self.caller_of(request))


def make_record(webhook: Webhook, *, shows_secret: bool = False) -> WebhookRecord:
    """Return a webhook as the API says it."""
    return WebhookRecord(
        webhook.id,
        webhook.url,
        webhook.events.split(),
        webhook.filter,
        webhook.state,
        webhook.problem,
        webhook.failures,
        _date(webhook.retry_at),
        format_date(webhook.created_at),
        webhook.secret if shows_secret else None,
        _date(webhook.old_secret_ends_at),
    )


def make_delivery_record(delivery: Delivery) -> DeliveryRecord:
    """Return a delivery as the API says it."""
    return DeliveryRecord(
        delivery.id,
        delivery.type,
        delivery.model_id,
        delivery.revision,
        delivery.change,
        WAITING if delivery.state == ONCE else delivery.state,
        delivery.attempts,
        delivery.status,
        delivery.problem,
        format_date(delivery.created_at),
        _date(delivery.attempted_at),
    )


def _respond(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status=status, caching=UNSTORED)


def _id(request: Request) -> str:
    return request.path_parameters["id"]


def _date(seconds: int | None) -> str | None:
    return None if seconds is None else format_date(seconds)
