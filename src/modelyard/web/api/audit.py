"""``GET /v3/audit``: who changed what, for keys with the scope admin. Operators see the changes of all teams."""

from dataclasses import dataclass, replace

import msgspec

from modelyard.auth import Auth
from modelyard.domain import Viewer
from modelyard.store import Store, audit
from modelyard.store.audit import AuditQuery, AuditRow
from modelyard.web.auth import ViewerOf
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response
from modelyard.webhooks.webhooks import managing_team
from modelyard.wire.audit import AuditPage, format_audit_cursor, make_audit_record, parse_audit_query
from modelyard.wire.records import Pagination

PATH = "/v3/audit"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class AuditEndpoint:
    """The handler of the route."""

    store: Store
    auth: Auth
    caller_of: ViewerOf

    def get(self, request: Request) -> Response:
        """Return a page of changes, the newest first."""
        page = read_page(self.store, self.auth, self.caller_of(request), request.query_string)
        return Response(_encode(page), caching=UNSTORED)


def read_page(store: Store, auth: Auth, viewer: Viewer, query_string: bytes) -> AuditPage:
    """Return the changes that a viewer asks for. Raises MissingKey, Forbidden or InvalidParameter."""
    team = managing_team(viewer)
    parameters = parse_audit_query(query_string)
    query = AuditQuery(**parameters.filters)
    with store.reading() as connection:
        if not auth.is_operator(viewer):
            if query.team not in (None, team):
                return AuditPage([], Pagination(""))
            query = replace(query, team=team)
        rows = audit.read_rows(connection, query, parameters.before, parameters.limit + 1)
    more = rows[parameters.limit :]
    rows = rows[: parameters.limit]
    names = key_names(auth, rows)
    cursor = format_audit_cursor(rows[-1].number) if more else ""
    return AuditPage([make_audit_record(row, names) for row in rows], Pagination(cursor))


def key_names(auth: Auth, rows: list[AuditRow]) -> dict[str, str]:
    """Return what people call the keys of some rows, by fingerprint."""
    teams = {row.team for row in rows if row.team is not None and row.key_fingerprint}
    return auth.key_labels(teams) if teams else {}
