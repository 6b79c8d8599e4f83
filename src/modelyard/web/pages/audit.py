"""The page of the audit: who changed what, for admins of a team. Operators see all teams."""

from urllib.parse import parse_qsl, urlencode

from modelyard import errors
from modelyard.domain import Scope
from modelyard.web.api.audit import read_page
from modelyard.web.pages.page import PageContext, PageRequest, render_page
from modelyard.web.responses import Response
from modelyard.wire.audit import QUERY_BYTES_MAX, AuditPage, AuditRecord
from modelyard.wire.records import Pagination

PATH = "/audit"
_CURSOR = "pagination.cursor"


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show a page of changes, the newest first, as the filters of the address select them."""
    viewer = page_request.require_session(Scope.ADMIN).viewer
    problem = ""
    try:
        page = read_page(context.catalog.store, context.auth, viewer, page_request.query_string)
    except errors.InvalidRequest as error:
        page, problem = AuditPage([], Pagination("")), error.message
    values = dict(parse_qsl(page_request.query_string[:QUERY_BYTES_MAX].decode("latin-1")))
    older = urlencode(values | {_CURSOR: page.pagination.next_cursor}) if page.pagination.next_cursor else ""
    is_operator = context.auth.is_operator(viewer)
    return render_page(
        page_request,
        "audit.html",
        status=400 if problem else 200,
        rows=[_describe(record) for record in page.audit],
        values=values,
        problem=problem,
        older=older,
        is_operator=is_operator,
    )


def _describe(record: AuditRecord) -> dict[str, object]:
    key = record.key
    before = "new" if record.revision_before is None else record.revision_before
    after = "removed" if record.revision_after is None else record.revision_after
    return {
        "time": record.time,
        "team": record.team or "",
        "verb": record.verb,
        "who": record.person or (key.name or key.fingerprint if key else record.actor),
        "via": record.via,
        "address": record.address,
        "model_id": record.model_id,
        "is_present": record.revision_after is not None,
        "what": f"{record.models} models" if record.models else record.subject,
        "revisions": f"{before} → {after}" if record.models else "",
        "request_id": record.request_id,
    }
