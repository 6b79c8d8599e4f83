"""What a team does here besides looking: upload files, make and revoke keys."""

import re
from datetime import UTC, datetime

from modelyard import errors
from modelyard.domain import BASE_MODEL_TYPES, FILE_EXTENSIONS, MODEL_TYPES, Scope
from modelyard.web.requests import Answer
from modelyard.web.pages.page import Site, Visit, page, redirect

UPLOADED = "/uploaded/"
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_DAY_SECONDS = 86_400
_LIVES_DAYS = (30, 90, 365)


def show_upload(site: Site, visit: Visit) -> Answer:
    """Answer the page that takes files; its script sends them by tus, as any client of the API may."""
    session = visit.member(Scope.WRITE)
    return page(
        visit,
        "upload.html",
        types=[kind for kind in MODEL_TYPES.values() if kind.name != "unknown"],
        base_models=site.catalog.base_models(session.viewer),
        base_model_types=BASE_MODEL_TYPES,
        extensions=FILE_EXTENSIONS,
        bytes_max=site.uploading.limits.upload_bytes_max,
    )


def show_uploaded(site: Site, visit: Visit) -> Answer:
    """Send the browser on to the model that an upload became. Raises NoSuchUpload."""
    session = visit.member(Scope.WRITE)
    upload_id = visit.exchange.scope["path"].removeprefix(UPLOADED)
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise errors.NoSuchUpload(upload_id)
    upload = site.uploading.find(session.viewer.team, upload_id)
    if upload.model_id is None:
        raise errors.NoSuchUpload(upload_id)
    return redirect(f"/models/{upload.model_id}")


def show_keys(site: Site, visit: Visit) -> Answer:
    """Answer the team's keys."""
    return _keys(site, visit)


def make_key(site: Site, visit: Visit) -> Answer:
    """Make a key for the team, and show it this once."""
    session = visit.member(Scope.ADMIN)
    assert session.viewer.team is not None, "a session has a team"
    given = visit.form.get("scope", [])
    days = visit.said("days")
    if days not in ("", *map(str, _LIVES_DAYS)):
        raise errors.InvalidBody(f"days: {days[:16]!r} is not accepted", field="days", allowed=[*_LIVES_DAYS])
    if not given or not set(given) <= {scope.value for scope in Scope}:
        return _keys(site, visit, status=400, problem="Choose at least one thing that the key may do.")
    expires_in_seconds = int(days) * _DAY_SECONDS if days else None
    key, _ = site.access.create_key(session.viewer.team, [Scope(name) for name in given], expires_in_seconds)
    return _keys(site, visit, made=key)


def revoke_key(site: Site, visit: Visit) -> Answer:
    """Revoke one of the team's keys; whoever is signed in by it is signed out with that."""
    session = visit.member(Scope.ADMIN)
    key_id = visit.said("id")
    if key_id not in {str(key.id) for key in site.access.list_keys(session.viewer.team)}:
        raise errors.NotFound("the team has no such key")
    site.access.revoke_key(key_id)
    return redirect("/keys")


def _keys(site: Site, visit: Visit, *, made: str = "", problem: str = "", status: int = 200) -> Answer:
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
