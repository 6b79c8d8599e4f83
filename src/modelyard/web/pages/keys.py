"""The page of a team's API keys."""

from datetime import UTC, datetime

from modelyard import errors
from modelyard.auth import NAME_CHARS_MAX, PURPOSE_CHARS_MAX
from modelyard.domain import Scope
from modelyard.store import Key
from modelyard.web.pages.labels import format_day
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
    try:
        key, record = context.auth.create_key(
            session.viewer.team,
            [Scope(name) for name in scopes],
            int(days) * _DAY_SECONDS if days else None,
            name=page_request.read_field("name"),
            purpose=page_request.read_field("purpose"),
        )
    except errors.InvalidValue as problem:
        return _render_keys(context, page_request, status=400, problem=problem.message)
    return _render_keys(context, page_request, new_key=key, new_name=record.name)


def rotate_key(context: PageContext, page_request: PageRequest) -> Response:
    """Create a key that takes the place of one of the team's, which ends a day later, and show it once."""
    session = page_request.require_session(Scope.ADMIN)
    key_id = page_request.read_field("key")
    if key_id not in {str(key.id) for key in context.auth.list_keys(session.viewer.team)}:
        raise errors.NotFound("the team has no such key")
    try:
        key, record, _ = context.auth.rotate_key(key_id, _DAY_SECONDS)
    except errors.Conflict as problem:
        return _render_keys(context, page_request, status=409, problem=problem.message)
    return _render_keys(context, page_request, new_key=key, new_name=record.name)


def revoke_key(context: PageContext, page_request: PageRequest) -> Response:
    """Revoke one of the team's keys. This ends all sessions of the key."""
    session = page_request.require_session(Scope.ADMIN)
    key_id = page_request.read_field("id")
    if key_id not in {str(key.id) for key in context.auth.list_keys(session.viewer.team)}:
        raise errors.NotFound("the team has no such key")
    context.auth.revoke_key(key_id)
    return redirect("/keys")


def list_keys(context: PageContext, page_request: PageRequest) -> list[dict[str, object]]:
    """Return what pages show of the keys of the session's team, the newest first."""
    session = page_request.require_session(Scope.READ)
    now = datetime.now(UTC).timestamp()
    return [
        {
            "id": key.id,
            "hint": key.hint,
            "name": key.name,
            "purpose": key.purpose,
            "scopes": ", ".join(sorted(key.scopes)),
            "creation": format_day(key.created_at),
            "last_use": format_day(key.last_used_at),
            "expiry": format_day(key.expires_at),
            "state": _describe_state(key, now),
            "is_person": bool(key.provider),
            "may_rotate": not key.provider and key.replaced_by is None,
            "is_current": key.id == session.key_id,
        }
        for key in reversed(context.auth.list_keys(session.viewer.team))
    ]


def _describe_state(key: Key, now: float) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= now else "active"


def _render_keys(
    context: PageContext,
    page_request: PageRequest,
    *,
    new_key: str = "",
    new_name: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    page_request.require_session(Scope.ADMIN)
    return render_page(
        page_request,
        "keys.html",
        status=status,
        keys=list_keys(context, page_request),
        new_key=new_key,
        new_name=new_name,
        problem=problem,
        form=page_request.form if problem else {},
        scopes=(Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.DOWNLOAD),
        lifetimes_days=_LIFETIMES_DAYS,
        name_chars_max=NAME_CHARS_MAX,
        purpose_chars_max=PURPOSE_CHARS_MAX,
    )
