"""`modelyard webhook`: the webhooks of teams."""

import contextlib
from collections.abc import Iterator

import click
import msgspec

from modelyard.cli import context, home, options, output
from modelyard.store.webhooks import ONCE, WAITING, Delivery
from modelyard.web.api.webhooks import make_delivery_record, make_record
from modelyard.webhooks.messages import EVENTS
from modelyard.webhooks.webhooks import NewWebhook, Webhooks

_ID = click.argument("webhook_id", metavar="WEBHOOK")


@click.group(epilog="Example: modelyard webhook create --team alice https://example.org/modelyard")
@options.home_and_quiet_options
def webhook() -> None:
    """Create, test and delete webhooks.

    A running server sends a signed message to the address of a webhook when a model changes that its team may see.
    """


@webhook.command(epilog="Example: modelyard webhook create --team alice https://example.org/hook --event model.put")
@options.home_and_quiet_options
@click.argument("url")
@click.option("--team", required=True, help="The team whose webhook it is.")
@click.option(
    "--event", "events", multiple=True, type=click.Choice(EVENTS), help="An event to tell; repeatable.  [default: all]"
)
@click.option("--filter", "filter_", default="", help="Filters as in GET /v3/model, such as filter.types=lora.")
@options.json_option
def create(url: str, team: str, events: tuple[str, ...], filter_: str, as_json: bool) -> None:
    """Create a webhook and write its secret on standard output."""
    with _open_webhooks() as webhooks:
        record = webhooks.create(team, NewWebhook(url, events or EVENTS, filter_))
    if as_json:
        output.write_json(_as_json(make_record(record, shows_secret=True)) | {"team": team})
        return
    output.remark(f"webhook {record.id} of team {team}. Its secret is shown only once:")
    click.echo(record.secret)


@webhook.command("list", epilog="Example: modelyard webhook list --team alice")
@options.home_and_quiet_options
@click.option("--team", help="Only the webhooks of this team.")
@options.json_option
def list_(team: str | None, as_json: bool) -> None:
    """List webhooks."""
    with _open_webhooks() as webhooks:
        records = webhooks.list(team)
    if as_json:
        output.write_json([_as_json(make_record(record)) | {"team": record.team} for record in records])
        return
    headings = ("id", "team", "url", "events", "state", "problem")
    rows = ((record.id, record.team, record.url, record.events, record.state, record.problem) for record in records)
    output.write_table(headings, rows)


@webhook.command(epilog="Example: modelyard webhook delete 0123456789abcdef0123456789abcdef")
@options.home_and_quiet_options
@_ID
@options.json_option
def delete(webhook_id: str, as_json: bool) -> None:
    """Delete a webhook with its deliveries."""
    with _open_webhooks() as webhooks:
        webhooks.delete(webhooks.find_team(webhook_id), webhook_id)
    if as_json:
        output.write_json({"id": webhook_id, "state": "deleted"})
        return
    output.remark(f"deleted webhook {webhook_id}")


@webhook.command(epilog="Example: modelyard webhook test 0123456789abcdef0123456789abcdef")
@options.home_and_quiet_options
@_ID
@options.json_option
def test(webhook_id: str, as_json: bool) -> None:
    """Have a running server send a test message. `webhook deliveries` shows the answer."""
    with _open_webhooks() as webhooks:
        delivery = webhooks.test(webhooks.find_team(webhook_id), webhook_id)
    _write_delivery(delivery, as_json=as_json)


@webhook.command(epilog="Example: modelyard webhook deliveries 0123456789abcdef0123456789abcdef")
@options.home_and_quiet_options
@_ID
@options.json_option
def deliveries(webhook_id: str, as_json: bool) -> None:
    """List the newest messages of a webhook and what became of them."""
    with _open_webhooks() as webhooks:
        records = webhooks.list_deliveries(webhooks.find_team(webhook_id), webhook_id)
    if as_json:
        output.write_json([_as_json(make_delivery_record(record)) for record in records])
        return
    headings = ("id", "event", "model", "created", "state", "attempts", "status", "problem")
    rows = (
        (
            record.id,
            record.type,
            str(record.model_id or ""),
            output.format_time(record.created_at),
            WAITING if record.state == ONCE else record.state,
            str(record.attempts),
            str(record.status or ""),
            record.problem,
        )
        for record in records
    )
    output.write_table(headings, rows, numeric=("model", "attempts", "status"))


@webhook.command(epilog="Example: modelyard webhook replay 0123456789abcdef0123456789abcdef msg_0123")
@options.home_and_quiet_options
@_ID
@click.argument("delivery_id", metavar="DELIVERY")
@options.json_option
def replay(webhook_id: str, delivery_id: str, as_json: bool) -> None:
    """Have a running server send a message again, with the same webhook-id."""
    with _open_webhooks() as webhooks:
        delivery = webhooks.replay(webhooks.find_team(webhook_id), webhook_id, delivery_id)
    _write_delivery(delivery, as_json=as_json)


@webhook.command(epilog="Example: modelyard webhook rotate 0123456789abcdef0123456789abcdef")
@options.home_and_quiet_options
@_ID
@options.json_option
def rotate(webhook_id: str, as_json: bool) -> None:
    """Make a new secret and write it on standard output. For a day, messages are signed with the old one too."""
    with _open_webhooks() as webhooks:
        record = webhooks.rotate(webhooks.find_team(webhook_id), webhook_id)
    if as_json:
        output.write_json(_as_json(make_record(record, shows_secret=True)) | {"team": record.team})
        return
    ends_at = output.format_time(record.old_secret_ends_at)
    output.remark(
        f"webhook {record.id} is signed with both secrets until {ends_at} UTC. The new one is shown only once:"
    )
    click.echo(record.secret)


@webhook.command(epilog="Example: modelyard webhook enable 0123456789abcdef0123456789abcdef")
@options.home_and_quiet_options
@_ID
@options.json_option
def enable(webhook_id: str, as_json: bool) -> None:
    """Go on with a webhook that was disabled, where it stopped."""
    with _open_webhooks() as webhooks:
        record = webhooks.enable(webhooks.find_team(webhook_id), webhook_id)
    if as_json:
        output.write_json(_as_json(make_record(record)) | {"team": record.team})
        return
    output.remark(f"webhook {webhook_id} is active")


@contextlib.contextmanager
def _open_webhooks() -> Iterator[Webhooks]:
    config = home.load_settings()
    with home.open_store(config) as database:
        yield Webhooks(database, context.create_policy(config))


def _write_delivery(delivery: Delivery, *, as_json: bool) -> None:
    if as_json:
        output.write_json(_as_json(make_delivery_record(delivery)))
        return
    output.remark(f"the server sends {delivery.id} ({delivery.type}) soon")


def _as_json(record: object) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(record)
    return fields
