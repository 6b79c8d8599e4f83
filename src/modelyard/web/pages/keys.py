"""The page of a team's API keys."""

from datetime import UTC, datetime

from modelyard import errors
from modelyard.domain import DATE_SECONDS_MAX, Scope
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

_DAY_SECONDS = 86_400
_LIFETIMES_DAYS = (30, 90, 365)


def show_keys(context: PageContext, page_request: PageRequest) -> Response:
    """Show the team's keys."""
    return _render_keys(context, page_request)


def make_key(context: PageContext, page_request: PageRequest) -> Response:
    """Create a key for the team, and show it once."""
    session = page_request.require_session(Scope.ADMIN)
    assert session.viewer.team is not None, "a session has a team"
    scopes = page_request.form.get("scope", [])
    days = page_request.read_field("days")
    if days not in ("", *map(str, _LIFETIMES_DAYS)):
        raise errors.InvalidValue(f"days: {days[:16]!r} is not accepted", field="days", allowed=[*_LIFETIMES_DAYS])
    if not scopes or not set(scopes) <= {scope.value for scope in Scope}:
        return _render_keys(context, page_request, status=400, problem="Choose at least one permission.")
    expires_in_seconds = int(days) * _DAY_SECONDS if days else None
    key, _ = context.auth.create_key(session.viewer.team, [Scope(name) for name in scopes], expires_in_seconds)
    return _render_keys(context, page_request, new_key=key)


def revoke_key(context: PageContext, page_request: PageRequest) -> Response:
    """Revoke one of the team's keys. This ends all sessions of the key."""
    session = page_request.require_session(Scope.ADMIN)
    key_id = page_request.read_field("id")
    if key_id not in {str(key.id) for key in context.auth.list_keys(session.viewer.team)}:
        raise errors.NotFound("the team has no such key")
    context.auth.revoke_key(key_id)
    return redirect("/keys")


def _render_keys(
    context: PageContext, page_request: PageRequest, *, new_key: str = "", problem: str = "", status: int = 200
) -> Response:
    session = page_request.require_session(Scope.ADMIN)
    now = datetime.now(UTC).timestamp()
    keys = [
        {
            "id": key.id,
            "hint": key.hint,
            "scopes": ", ".join(sorted(key.scopes)),
            "creation": _format_day(key.created_at),
            "last_use": _format_day(key.last_used_at),
            "expiry": _format_day(key.expires_at),
            "state": "revoked"
            if key.revoked_at
            else "expired"
            if key.expires_at and key.expires_at <= now
            else "active",
            "is_current": key.id == session.key_id,
        }
        for key in context.auth.list_keys(session.viewer.team)
    ]
    return render_page(
        page_request,
        "keys.html",
        status=status,
        keys=keys[::-1],
        new_key=new_key,
        problem=problem,
        scopes=(Scope.READ, Scope.WRITE, Scope.ADMIN),
        lifetimes_days=_LIFETIMES_DAYS,
    )


def _format_day(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(min(seconds, DATE_SECONDS_MAX), UTC).strftime("%Y-%m-%d")
