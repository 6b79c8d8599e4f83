"""Editing a model, deleting it, and taking the deletion back.

Deleting is real at once, for everybody. What was deleted goes to the browser, sealed, inside the button that takes it
back: nothing waits on the server to be cleared, and any worker can undo what another one did.
"""

import base64
import binascii
import hashlib
import time
import zlib
from urllib.parse import parse_qs

import msgspec

from modelyard import errors, wire
from modelyard.domain import BASE_MODEL_TYPES, CATEGORIES, MODEL_TYPES, Entry, Facts, Scope, Viewer, model_type
from modelyard.registry.fields import (
    checked_categories,
    checked_cover,
    checked_name,
    checked_word,
    read_tags,
    read_visibility,
)
from modelyard.registry.models import Edit
from modelyard.signing import Signature, Signer
from modelyard.web.pages.cards import cover_of, read_record
from modelyard.web.pages.model import PREFIX, id_of
from modelyard.web.pages.page import Site, Visit, page, redirect
from modelyard.web.responses import Response

UNDO_SECONDS = 3600
_UNDO = "undo"
# A form has room for this much; a model whose notes are longer cannot be brought back by a button.
_SEALED_CHARS_MAX = 48 * 1024
_OPENED_BYTES_MAX = 4 * 1024 * 1024
_decode = msgspec.json.Decoder(Entry).decode


def show_edit(site: Site, visit: Visit) -> Response:
    """Answer the form that changes a model."""
    return _form(site, visit, _own(site, visit))


def edit(site: Site, visit: Visit) -> Response:
    """Change a model as the form says, and show it; or the form again with what cannot be."""
    entry = _own(site, visit)
    try:
        site.models.edit(visit.member(Scope.WRITE).viewer, entry.model.id, _edit_of(visit))
    except (errors.InvalidRequest, errors.Conflict) as problem:
        return _form(site, visit, entry, problem.message)
    return redirect(f"{PREFIX}{entry.model.id}")


def delete(site: Site, visit: Visit) -> Response:
    """Delete a model, and offer to take that back."""
    entry = _own(site, visit)
    viewer = visit.member(Scope.WRITE).viewer
    site.models.remove(viewer, entry.model.id)
    # Without a blob its file was still on its way, and is gone with the upload.
    sealed = (
        seal(site.sessions.signer, viewer, entry, time.time()) if entry.model.blob or not _was_uploaded(entry) else ""
    )
    return page(visit, "deleted.html", name=entry.model.name, sealed=sealed, status=200)


def undo(site: Site, visit: Visit) -> Response:
    """Put back what was deleted, and show it."""
    viewer = visit.member(Scope.WRITE).viewer
    entry = unseal(site.sessions.signer, viewer, visit.said("sealed"))
    site.models.restore(viewer, entry)
    return redirect(f"{PREFIX}{entry.model.id}")


def seal(signer: Signer, viewer: Viewer, entry: Entry, now: float) -> str:
    """Return an entry as text that only this server makes, good for its team and for a while; empty if too long."""
    content = base64.urlsafe_b64encode(zlib.compress(msgspec.json.encode(entry))).decode()
    signed = parse_qs(signer.query(_UNDO, viewer.team or "", _digest(content), int(now) + UNDO_SECONDS))
    sealed = ".".join([signed[name][0] for name in ("key", "expires", "signature")] + [content])
    return sealed if len(sealed) <= _SEALED_CHARS_MAX else ""


def unseal(signer: Signer, viewer: Viewer, sealed: str) -> Entry:
    """Return the entry that was sealed for this team. Raises InvalidSignature or LinkExpired."""
    parts = sealed.split(".")
    if len(parts) != 4:
        raise errors.InvalidSignature
    *signed, content = parts
    signer.check(_UNDO, viewer.team or "", _digest(content), Signature(*signed))
    try:
        opened = zlib.decompressobj().decompress(base64.urlsafe_b64decode(content), _OPENED_BYTES_MAX)
        return _decode(opened)
    except (binascii.Error, zlib.error, msgspec.DecodeError):
        raise errors.InvalidSignature from None


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _was_uploaded(entry: Entry) -> bool:
    return not entry.model.status


def _own(site: Site, visit: Visit) -> Entry:
    """Return the model of the address, if it is of the visitor's team. Raises ModelNotFound."""
    viewer = visit.member(Scope.WRITE).viewer
    entry = site.catalog.get(viewer, id_of(visit))
    if entry.model.team != viewer.team:
        raise errors.ModelNotFound(str(entry.model.id))
    return entry


def _form(site: Site, visit: Visit, entry: Entry, problem: str = "") -> Response:
    model = entry.model
    posted = visit.request.method == "POST"
    values = {
        "name": model.name,
        "type_name": model.type.name,
        "base_model": model.base_model,
        "base_model_type": model.base_model_type,
        "tags": ", ".join(model.tags),
        "cover_url": model.cover_url,
        "visibility": model.visibility.value,
        "is_nsfw": "1" if model.is_nsfw else "",
    }
    if posted:
        values = {name: visit.said(name) for name in values}
    return page(
        visit,
        "edit.html",
        status=400 if problem else 200,
        model=model,
        values=values,
        chosen=visit.form.get("category", []) if posted else model.categories,
        problem=problem,
        cover=cover_of(read_record(wire.render_record(model))),
        types=list({**MODEL_TYPES, model.type.name: model.type}.values()),
        base_models=site.catalog.base_models(visit.reader),
        base_model_types=BASE_MODEL_TYPES,
        categories=[*CATEGORIES.values()],
    )


def _edit_of(visit: Visit) -> Edit:
    said = visit.said
    facts = Facts(
        name=checked_name(said("name")),
        type=model_type(checked_word("type_name", said("type_name"))) if said("type_name") else None,
        base_model=checked_word("base_model", said("base_model")),
        base_model_type=checked_word("base_model_type", said("base_model_type")),
        tags=read_tags(said("tags").split(",")),
        categories=checked_categories(visit.form.get("category", [])),
        cover_url=checked_cover(said("cover_url")),
        is_nsfw=bool(said("is_nsfw")),
    )
    return Edit(facts, read_visibility(said("visibility")))
