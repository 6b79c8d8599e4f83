"""The page of a team's API keys."""

from datetime import UTC, datetime

from modelyard import errors
from modelyard.domain import Scope
from modelyard.web.pages.page import Site, Visit, page, redirect
from modelyard.web.responses import Response

_DAY_SECONDS = 86_400


_LIVES_DAYS = (30, 90, 365)


def show_keys(site: Site, visit: Visit) -> Response:
    """Answer the team's keys."""
    return _keys(site, visit)


def make_key(site: Site, visit: Visit) -> Response:
    """Make a key for the team, and show it this once."""
    session = visit.member(Scope.ADMIN)
    assert session.viewer.team is not None, "a session has a team"
    given = visit.form.get("scope", [])
    days = visit.said("days")
    if days not in ("", *map(str, _LIVES_DAYS)):
        raise errors.InvalidValue(f"days: {days[:16]!r} is not accepted", field="days", allowed=[*_LIVES_DAYS])
    if not given or not set(given) <= {scope.value for scope in Scope}:
        return _keys(site, visit, status=400, problem="Choose at least one thing that the key may do.")
    expires_in_seconds = int(days) * _DAY_SECONDS if days else None
    key, _ = site.access.create_key(session.viewer.team, [Scope(name) for name in given], expires_in_seconds)
    return _keys(site, visit, made=key)


def revoke_key(site: Site, visit: Visit) -> Response:
    """Revoke one of the team's keys; whoever is signed in by it is signed out with that."""
    session = visit.member(Scope.ADMIN)
    key_id = visit.said("id")
    if key_id not in {str(key.id) for key in site.access.list_keys(session.viewer.team)}:
        raise errors.NotFound("the team has no such key")
    site.access.revoke_key(key_id)
    return redirect("/keys")


def _keys(site: Site, visit: Visit, *, made: str = "", problem: str = "", status: int = 200) -> Response:
    session = visit.member(Scope.ADMIN)
    now = datetime.now(UTC).timestamp()
    keys = [
        {
            "id": key.id,
            "hint": key.hint,
            "scopes": ", ".join(sorted(key.scopes)),
            "created": _day(key.created_at),
            "used": _day(key.last_used_at),
            "ends": _day(key.expires_at),
            "state": "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at <= now else "good",
            "is_this": key.id == session.key_id,
        }
        for key in site.access.list_keys(session.viewer.team)
    ]
    return page(
        visit,
        "keys.html",
        status=status,
        keys=keys[::-1],
        made=made,
        problem=problem,
        scopes=(Scope.READ, Scope.WRITE, Scope.ADMIN),
        lives=_LIVES_DAYS,
    )


def _day(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
