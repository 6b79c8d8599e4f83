"""Deleting a model, and the page of the models that a team deleted lately, where it restores them."""

import time
from urllib.parse import parse_qs

from modelyard.domain import Scope
from modelyard.facts import resolve
from modelyard.store.deleted_models import DeletedModel
from modelyard.web.pages.labels import format_day
from modelyard.web.pages.model import PREFIX, read_model_id
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

DELETED = "/deleted"
_DAY_SECONDS = 86_400
_LISTED_MAX = 200


def delete(context: PageContext, page_request: PageRequest) -> Response:
    """Delete a model of the team, and show the list of deleted models, with this one first."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    model_id = read_model_id(page_request)
    context.models.remove(viewer, model_id)
    return redirect(f"{DELETED}?id={model_id}")


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the models that the team can restore."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    last_id = parse_qs(page_request.query_string[:4096].decode("latin-1")).get("id", [""])[0]
    missing_id = last_id if last_id.isascii() and last_id.isdigit() and len(last_id) <= 18 else ""
    models = context.models.list_deleted(viewer, _LISTED_MAX)
    rows = [_make_row(model) for model in models]
    last = next((row for row in rows if str(row["id"]) == last_id), None)
    return render_page(page_request, "deleted.html", rows=rows, last=last, missing_id=missing_id)


def restore(context: PageContext, page_request: PageRequest) -> Response:
    """Restore a deleted model, and redirect to it."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    entry = context.models.restore(viewer, read_model_id(page_request))
    return redirect(f"{PREFIX}{entry.model.id}")


def purge(context: PageContext, page_request: PageRequest) -> Response:
    """Delete a deleted model for good."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    context.models.purge(viewer, read_model_id(page_request))
    return redirect(DELETED)


def _make_row(deleted: DeletedModel) -> dict[str, object]:
    model = deleted.entry.model
    facts = resolve(deleted.entry.layers) if deleted.entry.layers else None
    title = (facts.title if facts else None) or model.title or model.name
    return {
        "id": model.id,
        "title": title,
        "version": model.name if model.name != title else "",
        "type": model.type.name,
        "base_model": model.base_model,
        "size_bytes": model.size_bytes,
        "deletion": format_day(deleted.deleted_at),
        "days_left": max(0, -(-(deleted.expires_at - int(time.time())) // _DAY_SECONDS)),
    }
