"""``/sends``: a team sends models to the generators of this server, and sees how far they are."""

from modelyard import errors
from modelyard.domain import LIMIT_MAX, Scope
from modelyard.sends import describe_send
from modelyard.store.sends import OPEN, Send
from modelyard.web.pages.labels import format_day
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.pages.templates import format_size
from modelyard.web.responses import Response

PATH = "/sends"
_LISTED_MAX = 100
_ID_DIGITS_MAX = 15


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the sends of the team, the newest first."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    sends = context.send_endpoints.sends.list(viewer, _LISTED_MAX)
    rows = [(send, _name_model(context, page_request, send.model_id), format_day(send.created_at)) for send in sends]
    return render_page(
        page_request,
        "sends.html",
        rows=[
            {"send": send, "title": title, "day": day, "progress": describe_progress(send)} for send, title, day in rows
        ],
        open_count=sum(send.state == OPEN for send in sends),
        targets=context.send_endpoints.sends.target_names,
    )


def add(context: PageContext, page_request: PageRequest) -> Response:
    """Send the chosen models, and show the list."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    texts = page_request.form.get("id", [])
    if not 1 <= len(texts) <= LIMIT_MAX:
        raise errors.InvalidValue(f"id: {len(texts)} models; accepted: 1 to {LIMIT_MAX}")
    for text in texts:
        if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX):
            raise errors.InvalidValue(f"id: {text[:32]!r} is not accepted; accepted: a model's id, decimal digits")
    endpoints = context.send_endpoints
    base = endpoints.address_of(page_request.request)
    endpoints.sends.add(viewer, page_request.read_field("target"), [int(text) for text in texts], base)
    return redirect(PATH)


def describe_progress(send: Send) -> str:
    """Say how far a send is, in a sentence without its end."""
    if send.state == OPEN and not send.problem:
        if send.task is None:
            return f"waits for {send.target}"
        total = f" of {format_size(send.total_bytes)}" if send.total_bytes else ""
        size = f": {format_size(send.done_bytes)}{total}" if send.done_bytes is not None else ""
        return f"{send.target} is fetching it{size}"
    if send.state == OPEN:
        return send.problem
    return f"{send.target} has it" if describe_send(send) == "done" else f"failed: {send.problem}"


def _name_model(context: PageContext, page_request: PageRequest, model_id: int) -> str:
    """Return the title of a model; empty if the visitor cannot see it any more."""
    try:
        model = context.catalog.get(page_request.reader, model_id).model
    except errors.ModelNotFound:
        return ""
    return model.title or model.name
