"""Editing, deleting and restoring a model.

A deletion takes effect at once. The deleted record travels to the browser in the form that restores it, signed and
valid for an hour. The server stores nothing for it, and any worker can restore a model that another one deleted.
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
from modelyard.web.pages.cards import build_cover, decode_record
from modelyard.web.pages.model import PREFIX, read_model_id
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

UNDO_SECONDS = 3600
_UNDO = "undo"
# The limit of a form's field. A model with very long notes exceeds it and cannot be restored.
_SEALED_CHARS_MAX = 48 * 1024
_RECORD_BYTES_MAX = 4 * 1024 * 1024
_decode = msgspec.json.Decoder(Entry).decode


def show_edit(context: PageContext, page_request: PageRequest) -> Response:
    """Show the form that edits a model."""
    return _render_form(context, page_request, _get_own_entry(context, page_request))


def edit(context: PageContext, page_request: PageRequest) -> Response:
    """Save the form's values and redirect to the model; with invalid values, show the form again with the problem."""
    entry = _get_own_entry(context, page_request)
    try:
        context.models.edit(page_request.require_session(Scope.WRITE).viewer, entry.model.id, _read_edit(page_request))
    except (errors.InvalidRequest, errors.Conflict) as problem:
        return _render_form(context, page_request, entry, problem.message)
    return redirect(f"{PREFIX}{entry.model.id}")


def delete(context: PageContext, page_request: PageRequest) -> Response:
    """Delete a model, and show a button that restores it."""
    entry = _get_own_entry(context, page_request)
    viewer = page_request.require_session(Scope.WRITE).viewer
    context.models.remove(viewer, entry.model.id)
    # Without a blob the upload was not complete, and its file was deleted with it.
    sealed = (
        seal(context.sessions.signer, viewer, entry, time.time())
        if entry.model.blob or not _was_uploaded(entry)
        else ""
    )
    return render_page(page_request, "deleted.html", name=entry.model.name, sealed=sealed, status=200)


def undo(context: PageContext, page_request: PageRequest) -> Response:
    """Restore a deleted model, and redirect to it."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    entry = unseal(context.sessions.signer, viewer, page_request.read_field("sealed"))
    context.models.restore(viewer, entry)
    return redirect(f"{PREFIX}{entry.model.id}")


def seal(signer: Signer, viewer: Viewer, entry: Entry, now: float) -> str:
    """Return an entry as signed text, valid for its team and for an hour; empty if it is too long."""
    content = base64.urlsafe_b64encode(zlib.compress(msgspec.json.encode(entry))).decode()
    parameters = parse_qs(signer.query(_UNDO, viewer.team or "", _digest(content), int(now) + UNDO_SECONDS))
    sealed = ".".join([parameters[name][0] for name in ("key", "expires", "signature")] + [content])
    return sealed if len(sealed) <= _SEALED_CHARS_MAX else ""


def unseal(signer: Signer, viewer: Viewer, sealed: str) -> Entry:
    """Return the entry of a text that ``seal`` made for this team. Raises InvalidSignature or LinkExpired."""
    parts = sealed.split(".")
    if len(parts) != 4:
        raise errors.InvalidSignature
    *signature, content = parts
    signer.check(_UNDO, viewer.team or "", _digest(content), Signature(*signature))
    try:
        record = zlib.decompressobj().decompress(base64.urlsafe_b64decode(content), _RECORD_BYTES_MAX)
        return _decode(record)
    except (binascii.Error, zlib.error, msgspec.DecodeError):
        raise errors.InvalidSignature from None


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _was_uploaded(entry: Entry) -> bool:
    return not entry.model.status


def _get_own_entry(context: PageContext, page_request: PageRequest) -> Entry:
    """Return the model of the address, which the visitor's team owns. Raises ModelNotFound."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    entry = context.catalog.get(viewer, read_model_id(page_request))
    if entry.model.team != viewer.team:
        raise errors.ModelNotFound(str(entry.model.id))
    return entry


def _render_form(context: PageContext, page_request: PageRequest, entry: Entry, problem: str = "") -> Response:
    model = entry.model
    is_posted = page_request.request.method == "POST"
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
    if is_posted:
        values = {name: page_request.read_field(name) for name in values}
    return render_page(
        page_request,
        "edit.html",
        status=400 if problem else 200,
        model=model,
        values=values,
        selection=page_request.form.get("category", []) if is_posted else model.categories,
        problem=problem,
        cover=build_cover(decode_record(wire.render_record(model))),
        types=list({**MODEL_TYPES, model.type.name: model.type}.values()),
        base_models=context.catalog.base_models(page_request.reader),
        base_model_types=BASE_MODEL_TYPES,
        categories=[*CATEGORIES.values()],
    )


def _read_edit(page_request: PageRequest) -> Edit:
    read_field = page_request.read_field
    facts = Facts(
        name=checked_name(read_field("name")),
        type=model_type(checked_word("type_name", read_field("type_name"))) if read_field("type_name") else None,
        base_model=checked_word("base_model", read_field("base_model")),
        base_model_type=checked_word("base_model_type", read_field("base_model_type")),
        tags=read_tags(read_field("tags").split(",")),
        categories=checked_categories(page_request.form.get("category", [])),
        cover_url=checked_cover(read_field("cover_url")),
        is_nsfw=bool(read_field("is_nsfw")),
    )
    return Edit(facts, read_visibility(read_field("visibility")))
