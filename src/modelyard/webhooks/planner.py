"""Plans deliveries: reads what changed for the team of each webhook, and adds a row for each message to send.

The rows and the new position of the webhook are written in one transaction, so that no change is lost or told twice if
the process ends. The positions are those of the change feed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import sqlalchemy as sa

from modelyard import errors, feed
from modelyard.domain import Model, Viewer
from modelyard.feed import ChangePage
from modelyard.store import Store, WriteTransaction, jobs, webhooks
from modelyard.store.webhooks import ACTIVE, Delivery, UploadEvent, Webhook
from modelyard.webhooks.filters import parse_filter
from modelyard.webhooks.messages import PUT, REMOVED, make_delivery
from modelyard.wire.feed import FeedPosition, parse_since

# The messages that wait for one webhook; further changes wait in the feed.
PENDING_MAX = 200
_PAGE_CHANGES = 200
# Others write between two transactions: one with 200 messages for each of 400 webhooks took 2.4 s of CPU (2026-11).
_TRANSACTION_WEBHOOKS_MAX = 10
_MISSED = "changes up to revision {} are not recorded any more, and were not told; read the catalogue again"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a webhook is told next. ``revision`` is set where there is nothing more up to it."""

    webhook: Webhook
    page: ChangePage | None
    position: FeedPosition
    revision: int | None
    problem: str | None = None


class WebhookPlanner:
    """Plans the deliveries of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_wanted(self) -> bool:
        """Whether a webhook may have something to tell, and room for it."""
        with self._store.reading_once() as connection:
            return bool(webhooks.behind(connection, self._store.revision_hint(), PENDING_MAX))

    def plan(self) -> float | None:
        """Add the deliveries of what changed. Return 0 if there may be more."""
        revision = self._store.revision()
        with self._store.reading() as connection:
            behind = webhooks.behind(connection, revision, PENDING_MAX)
        read: dict[tuple[str, str, str], _Plan] = {}
        plans = [self._read(webhook, revision, read) for webhook in behind]
        for start in range(0, len(plans), _TRANSACTION_WEBHOOKS_MAX):
            with self._store.transaction() as transaction:
                _write(transaction, plans[start : start + _TRANSACTION_WEBHOOKS_MAX])
        return 0.0 if any(plan.revision is None for plan in plans) else None

    def _read(self, webhook: Webhook, revision: int, read: dict[tuple[str, str, str], _Plan]) -> _Plan:
        """Return the plan of a webhook. Webhooks of one team at one position share what was read."""
        key = webhook.team, webhook.position, webhook.filter
        if key not in read:
            read[key] = self._read_page(webhook, revision)
        plan = read[key]
        return _Plan(webhook, plan.page, plan.position, plan.revision, plan.problem)

    def _read_page(self, webhook: Webhook, revision: int) -> _Plan:
        viewer = Viewer(webhook.team)
        query = parse_filter(webhook.filter).query
        since = parse_since(webhook.position)
        try:
            page = feed.read_changes(self._store, _render, viewer, since, _PAGE_CHANGES, query)
        except errors.FeedPruned:
            newest = feed.newest_revision(self._store, viewer)
            return _Plan(webhook, None, FeedPosition(newest), revision, _MISSED.format(newest))
        return _Plan(webhook, page, page.following, None if page.has_more else revision)


def _render(model: Model) -> bytes:
    """Return what tells models apart: a message does not show the model."""
    return b"%d" % model.id


def _write(transaction: WriteTransaction, plans: Sequence[_Plan]) -> None:
    """Add the deliveries of plans, but for webhooks that were deleted, disabled or moved meanwhile."""
    connection, now = transaction.connection, transaction.now
    current = webhooks.by_ids(connection, [plan.webhook.id for plan in plans])
    events = _Events(connection)
    deliveries: list[Delivery] = []
    moved: list[Webhook] = []
    due: dict[str, str] = {}
    for plan in plans:
        webhook = current.get(plan.webhook.id)
        if webhook is None or webhook.state != ACTIVE or webhook.position != plan.webhook.position:
            continue
        own = [] if plan.page is None else _deliveries_of(webhook, plan.page, events, now)
        deliveries += own
        if own:
            due[webhook.id] = webhook.team
        moved.append(
            replace(
                webhook,
                position=str(plan.position),
                revision=webhook.revision if plan.revision is None else plan.revision,
                problem=webhook.problem if plan.problem is None else plan.problem,
            )
        )
    webhooks.add_deliveries(connection, deliveries)
    webhooks.move(connection, moved)
    for team in events.teams:
        webhooks.drop_upload_events(connection, team)
    jobs.add_many(connection, jobs.WEBHOOK, due, now)


class _Events:
    """The events of uploads, read once for all webhooks of a team at one position."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._events: dict[tuple[str, int, int], list[UploadEvent]] = {}

    def read(self, team: str, after: int, until: int) -> list[UploadEvent]:
        """Return the events of a team's uploads after a revision and up to another one."""
        key = team, after, until
        if key not in self._events:
            self._events[key] = webhooks.upload_events(self._connection, team, after, until)
        return self._events[key]

    @property
    def teams(self) -> set[str]:
        """The teams that have events."""
        return {team for (team, _, _), events in self._events.items() if events}


def _deliveries_of(webhook: Webhook, page: ChangePage, events: _Events, now: int) -> list[Delivery]:
    """Return the messages of a page of changes, and of the uploads that were verified meanwhile, by revision."""
    make = partial(make_delivery, webhook.id)
    changes = [
        make(REMOVED if change.record is None else PUT, change.model_id, change.revision, now)
        for change in page.changes
    ]
    since, following = parse_since(webhook.position), page.following
    # A revision of which the page has only a part is told with the rest of it.
    after = since.revision - (since.model_id is not None)
    until = following.revision - (following.model_id is not None)
    results = [
        make(event.type, event.model_id, event.revision, event.created_at)
        for event in events.read(webhook.team, after, until)
    ]
    chosen = webhook.events.split()
    return sorted(
        (delivery for delivery in (*changes, *results) if delivery.type in chosen), key=lambda item: item.revision
    )
