"""``/covers``: operators download the covers that models have elsewhere, and see how far that is."""

from modelyard import errors
from modelyard.covers import import_job
from modelyard.domain import Scope
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

PATH = "/covers"


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show how many covers are missing, or how far their download is."""
    _require_operator(context, page_request)
    store = context.catalog.store
    progress = import_job.read(store)
    is_open = progress is not None and progress.is_open
    missing_count = None if is_open else import_job.count_missing(store)
    return render_page(page_request, "cover_import.html", progress=progress, missing_count=missing_count)


def change(context: PageContext, page_request: PageRequest) -> Response:
    """Begin the download, or cancel it."""
    _require_operator(context, page_request)
    if page_request.read_field("action") == "cancel":
        import_job.cancel(context.catalog.store)
    else:
        import_job.request(context.catalog.store)
    return redirect(PATH)


def _require_operator(context: PageContext, page_request: PageRequest) -> None:
    viewer = page_request.require_session(Scope.ADMIN).viewer
    if not context.auth.is_operator(viewer):
        raise errors.Forbidden(Scope.ADMIN)
