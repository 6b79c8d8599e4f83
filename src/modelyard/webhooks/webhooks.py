"""The webhooks of a store, as their teams manage them."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from modelyard import errors
from modelyard.domain import Scope, Viewer
from modelyard.outbound import AddressPolicy
from modelyard.store import Store, WriteTransaction, jobs, refuse_team_name, webhooks
from modelyard.store.webhooks import ACTIVE, ONCE, Delivery, Webhook
from modelyard.webhooks.filters import check_filter
from modelyard.webhooks.messages import EVENTS, TEST, make_delivery
from modelyard.webhooks.signature import create_secret
from modelyard.wire.feed import FeedPosition

TEAM_WEBHOOKS_MAX = 20
URL_CHARS_MAX = 2048
# How long messages are signed with the old secret too, after a new one was made.
ROTATION_SECONDS = 86_400
# No other text is looked up: PostgreSQL refuses some, such as those with NUL.
_ID = re.compile("(?:msg_)?[0-9a-f]{32}")
_ENABLED: Mapping[str, Any] = {"state": ACTIVE, "problem": "", "failures": 0, "retry_at": None}


def managing_team(viewer: Viewer) -> str:
    """Return the team of a viewer who may manage it. Raises MissingKey or Forbidden."""
    if viewer.team is None:
        raise errors.MissingKey
    if not viewer.may(Scope.ADMIN):
        raise errors.Forbidden(Scope.ADMIN)
    return viewer.team


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook that is asked for. ``filter`` has filters as the query string of ``GET /v3/model`` has them."""

    url: str
    events: Sequence[str] = EVENTS
    filter: str = ""


class Webhooks:
    """The webhooks of one store. Threads may share it."""

    def __init__(self, store: Store, policy: AddressPolicy) -> None:
        self._store = store
        self._policy = policy

    def create(self, team: str, new: NewWebhook) -> Webhook:
        """Create a webhook, which is told of changes from now on. Raises InvalidValue, Conflict."""
        refuse_team_name(team)
        check_url(new.url, self._policy)
        events = check_events(new.events)
        check_filter(new.filter)
        with self._store.transaction() as transaction:
            connection = transaction.connection
            if len(webhooks.of_team(connection, team)) >= TEAM_WEBHOOKS_MAX:
                raise errors.Conflict(
                    f"the team has {TEAM_WEBHOOKS_MAX} webhooks, which is all it may have; delete one first",
                    limit=TEAM_WEBHOOKS_MAX,
                )
            revision = transaction.revision - 1
            webhook = Webhook(
                secrets.token_hex(16),
                team,
                new.url,
                " ".join(events),
                new.filter,
                create_secret(),
                # Revision 0 alone would mean a reader that begins, which is not told of what was removed.
                str(FeedPosition(revision, base=revision)),
                revision,
                transaction.now,
            )
            webhooks.add(connection, webhook)
            transaction.audit.note("webhook.create", webhook.id, team)
        return webhook

    def list(self, team: str | None) -> Sequence[Webhook]:
        """Return the webhooks of a team, the oldest first. Without a team, return those of all, for the operator."""
        with self._store.reading() as connection:
            return webhooks.of_team(connection, team)

    def find_team(self, webhook_id: str) -> str:
        """Return the team of a webhook, for the operator. Raises WebhookNotFound."""
        with self._store.reading() as connection:
            webhook = webhooks.find(connection, webhook_id)
        if webhook is None:
            raise errors.WebhookNotFound(webhook_id)
        return webhook.team

    def get(self, team: str, webhook_id: str) -> Webhook:
        """Return a webhook of a team. Raises WebhookNotFound."""
        with self._store.reading() as connection:
            return _find(connection, team, webhook_id)

    def delete(self, team: str, webhook_id: str) -> None:
        """Delete a webhook and its deliveries. Raises WebhookNotFound."""
        with self._store.transaction() as transaction:
            webhook = _find(transaction.connection, team, webhook_id)
            jobs.drop(transaction.connection, jobs.WEBHOOK, webhook.id)
            webhooks.remove(transaction.connection, webhook.id)
            webhooks.drop_upload_events(transaction.connection, team)
            transaction.audit.note("webhook.delete", webhook.id, team)

    def test(self, team: str, webhook_id: str) -> Delivery:
        """Send a test message soon and once, also to a webhook that is disabled. Raises WebhookNotFound."""
        with self._store.transaction() as transaction:
            webhook = _find(transaction.connection, team, webhook_id)
            delivery = make_delivery(webhook.id, TEST, 0, transaction.revision - 1, transaction.now)
            webhooks.add_deliveries(transaction.connection, [delivery])
            _make_due(transaction, webhook)
            transaction.audit.note("webhook.test", webhook.id, team)
        return delivery

    def list_deliveries(self, team: str, webhook_id: str, limit: int = 100) -> Sequence[Delivery]:
        """Return the deliveries of a webhook, the newest first. Raises WebhookNotFound."""
        with self._store.reading() as connection:
            return webhooks.newest_deliveries(connection, _find(connection, team, webhook_id).id, limit)

    def replay(self, team: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a message again, soon and once. Raises WebhookNotFound."""
        with self._store.transaction() as transaction:
            webhook = _find(transaction.connection, team, webhook_id)
            is_id = _ID.fullmatch(delivery_id)
            delivery = webhooks.find_delivery(transaction.connection, delivery_id) if is_id else None
            if delivery is None or delivery.webhook != webhook.id:
                raise errors.WebhookNotFound(delivery_id)
            if delivery.state != webhooks.WAITING:
                delivery = replace(delivery, state=ONCE)
                webhooks.record_attempts(transaction.connection, [delivery])
            _make_due(transaction, webhook)
            transaction.audit.note("webhook.replay", webhook.id, team)
        return delivery

    def rotate(self, team: str, webhook_id: str) -> Webhook:
        """Make a new secret. For a day, messages are signed with the old one too. Raises WebhookNotFound."""
        with self._store.transaction() as transaction:
            webhook = _find(transaction.connection, team, webhook_id)
            webhook = replace(
                webhook,
                secret=create_secret(),
                old_secret=webhook.secret,
                old_secret_ends_at=transaction.now + ROTATION_SECONDS,
            )
            webhooks.update(
                transaction.connection,
                webhook.id,
                secret=webhook.secret,
                old_secret=webhook.old_secret,
                old_secret_ends_at=webhook.old_secret_ends_at,
            )
            transaction.audit.note("webhook.rotate", webhook.id, team)
        return webhook

    def enable(self, team: str, webhook_id: str) -> Webhook:
        """Go on with a webhook where it stopped. Raises WebhookNotFound."""
        with self._store.transaction() as transaction:
            webhook = replace(_find(transaction.connection, team, webhook_id), **_ENABLED)
            webhooks.update(transaction.connection, webhook.id, **_ENABLED)
            transaction.audit.note("webhook.enable", webhook.id, team)
            _make_due(transaction, webhook)
        return webhook


def check_url(url: str, policy: AddressPolicy) -> None:
    """Raise InvalidValue for a URL that messages cannot go to. Resolves no name."""
    if len(url) > URL_CHARS_MAX:
        raise errors.InvalidValue(f"url: {len(url):,} characters; accepted: up to {URL_CHARS_MAX:,}", field="url")
    try:
        # The address of a name is looked up, and checked, when a message is sent.
        policy.check_url(url)
    except errors.AddressRefused as problem:
        raise errors.InvalidValue(f"url: {problem.message}", field="url") from None


def check_events(names: Sequence[str]) -> list[str]:
    """Return the events in their order. Raises InvalidValue if there are none, or others."""
    for name in names:
        if name not in EVENTS:
            raise errors.InvalidValue(
                f"events: {name[:64]!r} is not accepted; accepted: {', '.join(EVENTS)}",
                field="events",
                given=name[:64],
                allowed=[*EVENTS],
            )
    if not names:
        raise errors.InvalidValue(f"events: none; accepted: some of {', '.join(EVENTS)}", field="events")
    return [name for name in EVENTS if name in names]


def _find(connection: sa.Connection, team: str, webhook_id: str) -> Webhook:
    webhook = webhooks.find(connection, webhook_id) if _ID.fullmatch(webhook_id) else None
    if webhook is None or webhook.team != team:
        raise errors.WebhookNotFound(webhook_id)
    return webhook


def _make_due(transaction: WriteTransaction, webhook: Webhook) -> None:
    """Send what waits for a webhook now, and not when the next attempt would be."""
    jobs.add(transaction.connection, jobs.WEBHOOK, webhook.id, transaction.now, team=webhook.team)
    jobs.hurry(transaction.connection, jobs.WEBHOOK, webhook.id, transaction.now)
