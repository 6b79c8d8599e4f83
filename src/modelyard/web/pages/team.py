"""The page of a team: its keys, how much space it uses, and what it sent."""

from modelyard import errors
from modelyard.domain import Scope
from modelyard.store import teams, uploaders, uploads
from modelyard.web.pages.keys import list_keys
from modelyard.web.pages.labels import format_day
from modelyard.web.pages.page import PageContext, PageRequest, render_page
from modelyard.web.responses import Response

_SENT_MAX = 50


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the team of the session."""
    session = page_request.require_session(Scope.READ)
    team = session.viewer.team
    if team is None:
        raise errors.MissingKey
    with context.catalog.store.reading() as connection:
        usage = teams.usage(connection, team)
        models = teams.newest_models(connection, team, _SENT_MAX)
        fingerprints = uploaders.of_models(connection, [model.id for model in models])
        arriving = uploads.unfinished(connection, team)
    quota = context.uploads.limits.team_quota_bytes
    labels = context.auth.key_labels([team])
    return render_page(
        page_request,
        "team.html",
        team=team,
        usage=usage,
        quota=quota,
        quota_percent=min(100, -(-100 * usage.size_bytes // quota)) if quota else 0,
        keys=[key for key in list_keys(context, page_request) if key["state"] == "active"],
        arriving=[(upload, upload.declared.get("filename") or upload.declared.get("name", "")) for upload in arriving],
        models=[
            (model, format_day(model.added_at), labels.get(fingerprints.get(model.id, ""), "")) for model in models
        ],
    )
