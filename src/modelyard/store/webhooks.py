"""Records of webhooks, of their deliveries, and of the events of uploads that they tell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from modelyard.store import webhook_tables
from modelyard.store.queries import batches, by_bytes

ACTIVE, DISABLED = "active", "disabled"
WAITING, ONCE, DELIVERED, FAILED = "waiting", "once", "delivered", "failed"
CHECKED, REJECTED = "model.checked", "model.rejected"
_PROBLEM_CHARS_MAX = 300
_WEBHOOK = webhook_tables.webhooks.c
_DELIVERY = webhook_tables.deliveries.c
_EVENT = webhook_tables.upload_events.c


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a team. Times are Unix seconds.

    The changes up to ``position`` in the feed have their deliveries; up to ``revision`` there are no others for it.
    """

    id: str
    team: str
    url: str
    events: str
    filter: str
    secret: str = field(repr=False)
    position: str
    revision: int
    created_at: int
    old_secret: str | None = field(default=None, repr=False)
    old_secret_ends_at: int | None = None
    state: str = ACTIVE
    problem: str = ""
    failures: int = 0
    retry_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of a webhook. ``status`` and ``problem`` are those of the last attempt."""

    id: str
    webhook: str
    type: str
    model_id: int
    revision: int
    change: str
    created_at: int
    state: str = WAITING
    attempts: int = 0
    status: int | None = None
    problem: str = ""
    attempted_at: int | None = None


@dataclass(frozen=True, slots=True)
class UploadEvent:
    """A model's file was verified: ``type`` is model.checked or model.rejected."""

    type: str
    model_id: int
    revision: int
    created_at: int


_WEBHOOKS: sa.Select[Any] = sa.select(*[_WEBHOOK[item.name] for item in fields(Webhook)])
_DELIVERIES: sa.Select[Any] = sa.select(*[_DELIVERY[item.name] for item in fields(Delivery)])
_IS_PENDING = _DELIVERY.state.in_([ONCE, WAITING])


def add(connection: sa.Connection, webhook: Webhook) -> None:
    """Insert a webhook."""
    values = {item.name: getattr(webhook, item.name) for item in fields(Webhook)}
    connection.execute(sa.insert(webhook_tables.webhooks).values(values))


def find(connection: sa.Connection, webhook_id: str) -> Webhook | None:
    """Return a webhook."""
    row = connection.execute(_WEBHOOKS.where(_WEBHOOK.id == webhook_id)).one_or_none()
    return None if row is None else Webhook(*row)


def of_team(connection: sa.Connection, team: str | None) -> list[Webhook]:
    """Return the webhooks of a team, or of all teams, the oldest first."""
    query = _WEBHOOKS.order_by(by_bytes(_WEBHOOK.team), _WEBHOOK.created_at, _WEBHOOK.id)
    query = query if team is None else query.where(_WEBHOOK.team == team)
    return [Webhook(*row) for row in connection.execute(query)]


def behind(connection: sa.Connection, revision: int, deliveries_max: int) -> list[Webhook]:
    """Return the active webhooks that may have changes up to a revision to tell, and room for more deliveries."""
    pending = sa.select(sa.func.count()).where(_DELIVERY.webhook == _WEBHOOK.id, _IS_PENDING).scalar_subquery()
    query = _WEBHOOKS.where(_WEBHOOK.state == ACTIVE, _WEBHOOK.revision < revision, pending < deliveries_max)
    return [Webhook(*row) for row in connection.execute(query.order_by(_WEBHOOK.team, _WEBHOOK.position))]


def update(connection: sa.Connection, webhook_id: str, **values: Any) -> None:
    """Change a webhook."""
    if "problem" in values:
        values["problem"] = values["problem"][:_PROBLEM_CHARS_MAX]
    connection.execute(sa.update(webhook_tables.webhooks).where(_WEBHOOK.id == webhook_id).values(**values))


def by_ids(connection: sa.Connection, webhook_ids: Iterable[str]) -> dict[str, Webhook]:
    """Return the webhooks that exist among some ids."""
    rows = (row for ids in batches(webhook_ids) for row in connection.execute(_WEBHOOKS.where(_WEBHOOK.id.in_(ids))))
    return {row.id: Webhook(*row) for row in rows}


def move(connection: sa.Connection, moved: Iterable[Webhook]) -> None:
    """Store the positions of webhooks, and their problems."""
    names = ("position", "revision", "problem")
    change = sa.update(webhook_tables.webhooks).where(_WEBHOOK.id == sa.bindparam("key"))
    rows = [{f"new_{name}": getattr(webhook, name) for name in names} | {"key": webhook.id} for webhook in moved]
    if rows:
        connection.execute(change.values({name: sa.bindparam(f"new_{name}") for name in names}), rows)


def remove(connection: sa.Connection, webhook_id: str) -> None:
    """Delete a webhook with its deliveries."""
    connection.execute(sa.delete(webhook_tables.deliveries).where(_DELIVERY.webhook == webhook_id))
    connection.execute(sa.delete(webhook_tables.webhooks).where(_WEBHOOK.id == webhook_id))


# --- Deliveries


def add_deliveries(connection: sa.Connection, deliveries: Iterable[Delivery]) -> None:
    """Insert deliveries, in the order in which they are sent."""
    rows = [{item.name: getattr(delivery, item.name) for item in fields(Delivery)} for delivery in deliveries]
    if rows:
        connection.execute(sa.insert(webhook_tables.deliveries), rows)


def find_delivery(connection: sa.Connection, delivery_id: str) -> Delivery | None:
    """Return a delivery."""
    row = connection.execute(_DELIVERIES.where(_DELIVERY.id == delivery_id)).one_or_none()
    return None if row is None else Delivery(*row)


def newest_deliveries(connection: sa.Connection, webhook_id: str, limit: int) -> list[Delivery]:
    """Return the deliveries of a webhook, the newest first."""
    query = _DELIVERIES.where(_DELIVERY.webhook == webhook_id).order_by(_DELIVERY.number.desc()).limit(limit)
    return [Delivery(*row) for row in connection.execute(query)]


def pending_deliveries(connection: sa.Connection, webhook_id: str, limit: int) -> list[Delivery]:
    """Return the next deliveries of a webhook: first those that a person asked for, then the others in their order."""
    query = _DELIVERIES.where(_DELIVERY.webhook == webhook_id, _IS_PENDING)
    is_waiting = sa.case((_DELIVERY.state == ONCE, 0), else_=1)
    return [Delivery(*row) for row in connection.execute(query.order_by(is_waiting, _DELIVERY.number).limit(limit))]


def has_pending(connection: sa.Connection, webhook_id: str, *, is_active: bool) -> bool:
    """Whether a webhook has deliveries to send. A disabled one sends only those that a person asked for."""
    states = [ONCE, WAITING] if is_active else [ONCE]
    query = sa.select(_DELIVERY.number).where(_DELIVERY.webhook == webhook_id, _DELIVERY.state.in_(states)).limit(1)
    return connection.execute(query).first() is not None


def record_attempts(connection: sa.Connection, deliveries: Sequence[Delivery]) -> None:
    """Store the results of attempts."""
    if not deliveries:
        return
    names = ("state", "attempts", "status", "problem", "attempted_at")
    change = sa.update(webhook_tables.deliveries).where(_DELIVERY.id == sa.bindparam("key"))
    change = change.values({name: sa.bindparam(f"new_{name}") for name in names})
    rows = [
        {f"new_{name}": getattr(item, name) for name in names}
        | {"key": item.id, "new_problem": item.problem[:_PROBLEM_CHARS_MAX]}
        for item in deliveries
    ]
    connection.execute(change, rows)


def drop_old_deliveries(connection: sa.Connection, before: int, kept_max: int) -> None:
    """Delete deliveries that ended before a time, all but the newest of each webhook, and old events of uploads."""
    is_over = ~_IS_PENDING
    connection.execute(sa.delete(webhook_tables.deliveries).where(is_over, _DELIVERY.created_at < before))
    for webhook_id in connection.execute(sa.select(_WEBHOOK.id)).scalars().all():
        own = (_DELIVERY.webhook == webhook_id) & is_over
        query = sa.select(_DELIVERY.number).where(own).order_by(_DELIVERY.number.desc())
        number = connection.execute(query.offset(kept_max).limit(1)).scalar()
        if number is not None:
            connection.execute(sa.delete(webhook_tables.deliveries).where(own, _DELIVERY.number <= number))
    connection.execute(sa.delete(webhook_tables.upload_events).where(_EVENT.created_at < before))


# --- Events of uploads


def add_upload_event(
    connection: sa.Connection, team: str | None, model_id: int, revision: int, now: int, *, is_available: bool
) -> None:
    """Note that a model's file was verified, if its team has a webhook."""
    query = sa.select(_WEBHOOK.id).where(_WEBHOOK.team == team).limit(1)
    if team is None or connection.execute(query).first() is None:
        return
    values = {
        "team": team,
        "type": CHECKED if is_available else REJECTED,
        "model_id": model_id,
        "revision": revision,
        "created_at": now,
    }
    connection.execute(sa.insert(webhook_tables.upload_events).values(values))


def upload_events(connection: sa.Connection, team: str, after: int, until: int) -> list[UploadEvent]:
    """Return the events of a team's uploads after a revision and up to another one, in order."""
    query = sa.select(_EVENT.type, _EVENT.model_id, _EVENT.revision, _EVENT.created_at)
    query = query.where(_EVENT.team == team, _EVENT.revision > after, _EVENT.revision <= until)
    return [UploadEvent(*row) for row in connection.execute(query.order_by(_EVENT.revision, _EVENT.number))]


def drop_upload_events(connection: sa.Connection, team: str) -> None:
    """Delete the events that no webhook of a team needs any more."""
    oldest = sa.select(sa.func.coalesce(sa.func.min(_WEBHOOK.revision), 1 << 62)).where(_WEBHOOK.team == team)
    is_told = (_EVENT.team == team) & (_EVENT.revision <= oldest.scalar_subquery())
    connection.execute(sa.delete(webhook_tables.upload_events).where(is_told))
