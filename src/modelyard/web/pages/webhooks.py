"""The pages of a team's webhooks: all of them, and one with its deliveries."""

from modelyard import errors
from modelyard.domain import Scope
from modelyard.store.webhooks import ONCE, WAITING, Webhook
from modelyard.web.pages.labels import format_minute
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response
from modelyard.webhooks.filters import FILTER_CHARS_MAX
from modelyard.webhooks.messages import EVENTS
from modelyard.webhooks.webhooks import URL_CHARS_MAX, NewWebhook, managing_team

PATH = "/webhooks"


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the team's webhooks."""
    return _render_list(context, page_request)


def create(context: PageContext, page_request: PageRequest) -> Response:
    """Create a webhook, and show its secret once."""
    new = NewWebhook(
        page_request.read_field("url"), page_request.form.get("event", []), page_request.read_field("filter")
    )
    try:
        webhook = context.webhooks.create(_team(page_request), new)
    except (errors.InvalidValue, errors.Conflict) as problem:
        return _render_list(context, page_request, problem=problem.message)
    return _render_one(context, page_request, webhook.id, secret=webhook.secret)


def show_one(context: PageContext, page_request: PageRequest) -> Response:
    """Show a webhook with its deliveries."""
    return _render_one(context, page_request, page_request.request.path_parameters["id"])


def change(context: PageContext, page_request: PageRequest) -> Response:
    """Test, replay, rotate, enable or delete, as the pressed button says."""
    team, webhook_id = _team(page_request), page_request.request.path_parameters["id"]
    action, webhooks = page_request.read_field("action"), context.webhooks
    webhooks.get(team, webhook_id)
    if action == "rotate":
        return _render_one(context, page_request, webhook_id, secret=webhooks.rotate(team, webhook_id).secret)
    if action == "test":
        webhooks.test(team, webhook_id)
    elif action == "replay":
        webhooks.replay(team, webhook_id, page_request.read_field("delivery"))
    elif action == "enable":
        webhooks.enable(team, webhook_id)
    elif action == "delete":
        webhooks.delete(team, webhook_id)
        return redirect(PATH)
    else:
        allowed = ["test", "replay", "rotate", "enable", "delete"]
        raise errors.InvalidValue(f"action: {action[:16]!r} is not accepted", field="action", allowed=allowed)
    return redirect(f"{PATH}/{webhook_id}")


def _team(page_request: PageRequest) -> str:
    return managing_team(page_request.require_session(Scope.ADMIN).viewer)


def _render_list(context: PageContext, page_request: PageRequest, *, problem: str = "") -> Response:
    return render_page(
        page_request,
        "webhooks.html",
        status=400 if problem else 200,
        webhooks=[_describe(webhook) for webhook in context.webhooks.list(_team(page_request))],
        problem=problem,
        form=page_request.form if problem else {},
        events=EVENTS,
        url_chars_max=URL_CHARS_MAX,
        filter_chars_max=FILTER_CHARS_MAX,
    )


def _render_one(context: PageContext, page_request: PageRequest, webhook_id: str, *, secret: str = "") -> Response:
    team = _team(page_request)
    webhook = context.webhooks.get(team, webhook_id)
    deliveries = [
        {
            "id": delivery.id,
            "type": delivery.type,
            "model_id": delivery.model_id,
            "creation": format_minute(delivery.created_at),
            "state": WAITING if delivery.state == ONCE else delivery.state,
            "attempts": delivery.attempts,
            "result": " ".join(filter(None, (str(delivery.status or ""), delivery.problem))),
        }
        for delivery in context.webhooks.list_deliveries(team, webhook_id)
    ]
    return render_page(page_request, "webhook.html", webhook=_describe(webhook), deliveries=deliveries, secret=secret)


def _describe(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": webhook.events.split(),
        "filter": webhook.filter,
        "state": webhook.state,
        "problem": webhook.problem,
        "creation": format_minute(webhook.created_at),
        "next_attempt": format_minute(webhook.retry_at) if webhook.retry_at else "",
        "rotation_end": format_minute(webhook.old_secret_ends_at) if webhook.old_secret_ends_at else "",
    }
