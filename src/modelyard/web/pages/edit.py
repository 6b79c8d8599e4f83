"""Editing, deleting and restoring a model.

A deletion takes effect at once. The deleted record travels to the browser in the form that restores it, signed and
valid for an hour. The server stores nothing for it, and any worker can restore a model that another one deleted.
"""

from dataclasses import replace

import msgspec

from modelyard import errors, wire
from modelyard.covers import render
from modelyard.domain import BASE_MODEL_TYPES, CATEGORIES, MODEL_TYPES, Model, Scope, cover_path, model_type
from modelyard.facts import Entry, Facts, Layer, resolve
from modelyard.registry.fields import (
    NAME,
    checked_categories,
    checked_cover,
    checked_word,
    read_name,
    read_tags,
    read_visibility,
)
from modelyard.registry.models import Edit
from modelyard.web.pages.cards import build_cover, decode_record
from modelyard.web.pages.labels import get_type_label
from modelyard.web.pages.model import PREFIX, read_model_id
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

UNDO_SECONDS = 3600
_UNDO = "undo"
# The limit of a form's field. A model with very long notes exceeds it and cannot be restored.
_SEALED_CHARS_MAX = 48 * 1024
_RECORD_BYTES_MAX = 4 * 1024 * 1024
# The fields of the form that are facts, and the name of each fact.
_FACT_BY_FIELD = {
    "name": "name",
    "type_name": "type",
    "base_model": "base_model",
    "base_model_type": "base_model_type",
    "tags": "tags",
    "category": "categories",
    "cover_url": "cover_url",
    "is_nsfw": "is_nsfw",
}
_decode = msgspec.json.Decoder(Entry).decode


def show_edit(context: PageContext, page_request: PageRequest) -> Response:
    """Show the form that edits a model."""
    return _render_form(context, page_request, _get_own_entry(context, page_request))


def edit(context: PageContext, page_request: PageRequest) -> Response:
    """Save what the form changes and redirect to the model; with invalid values, show the form again with the problem.

    Two people may edit a model at once: a field that one of them leaves alone keeps what the other saves.
    """
    entry = _get_own_entry(context, page_request)
    try:
        viewer = page_request.require_session(Scope.WRITE).viewer
        context.models.edit(viewer, entry.model.id, _read_edit(context, page_request, entry.model))
    except (errors.InvalidRequest, errors.Conflict, errors.UnsupportedFile, errors.TooLarge) as problem:
        return _render_form(context, page_request, entry, problem.message)
    return redirect(f"{PREFIX}{entry.model.id}")


def _get_own_entry(context: PageContext, page_request: PageRequest) -> Entry:
    """Return the model of the address, which the visitor's team owns. Raises ModelNotFound."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    entry = context.catalog.get(viewer, read_model_id(page_request))
    if entry.model.team != viewer.team:
        raise errors.ModelNotFound(str(entry.model.id))
    return entry


def _render_form(context: PageContext, page_request: PageRequest, entry: Entry, problem: str = "") -> Response:
    model, form = entry.model, page_request.form
    shown = _read_shown(page_request, model)
    values = {name: page_request.form.get(name, []) for name in shown} if form else shown
    if problem and page_request.picture:
        problem += ". Choose the picture again."
    return render_page(
        page_request,
        "edit.html",
        status=400 if problem else 200,
        model=model,
        values={name: texts[0] if texts else "" for name, texts in values.items()},
        shown=shown,
        selection=values["category"],
        resets=_list_resets(entry),
        reset_selection=form.get("reset", []),
        removes_cover=bool(page_request.read_field("uncover")),
        has_plain_name=NAME.fullmatch(model.name) is not None,
        problem=problem,
        cover=build_cover(decode_record(wire.render_record(model))),
        types=list({**MODEL_TYPES, model.type.name: model.type}.values()),
        base_models=context.catalog.base_models(page_request.reader),
        base_model_types=list(dict.fromkeys([*BASE_MODEL_TYPES, *filter(None, [model.base_model_type])])),
        categories=[*CATEGORIES.values()],
    )


def _list_values(model: Model) -> dict[str, list[str]]:
    """Return the values of the form's fields for a model."""
    return {
        "name": [model.name],
        "type_name": [model.type.name],
        "base_model": [model.base_model],
        "base_model_type": [model.base_model_type],
        "tags": [", ".join(model.tags)],
        "category": [category for category in model.categories if category in CATEGORIES.values()],
        "cover_url": [model.cover_url],
        "visibility": [model.visibility.value],
        "is_nsfw": ["1"] if model.is_nsfw else [],
    }


def _read_shown(page_request: PageRequest, model: Model) -> dict[str, list[str]]:
    """Return the values that the browser got with the form; without such a form, those of the model."""
    values, form = _list_values(model), page_request.form
    return {name: form.get(f"shown_{name}", []) for name in values} if "shown_name" in form else values


def _list_resets(entry: Entry) -> dict[str, str]:
    """Return the fields that the owner has set, each with the text that shows again without the owner's value."""
    others: dict[Layer, Facts] = {layer: facts for layer, facts in entry.layers.items() if layer is not Layer.USER}
    user, rest = entry.layers.get(Layer.USER, Facts()), resolve(others) if others else Facts()
    text_by_field = {
        "name": rest.name or "",
        "type_name": get_type_label(rest.type.name) if rest.type else "",
        "base_model": rest.base_model or "",
        "base_model_type": rest.base_model_type or "",
        "tags": ", ".join(rest.tags or ()),
        "category": ", ".join(rest.categories or ()),
        "cover_url": "",
        "is_nsfw": "not safe for work" if rest.is_nsfw else "safe for work",
    }
    return {
        name: text
        for name, text in text_by_field.items()
        if getattr(user, _FACT_BY_FIELD[name]) is not None and (text or name != "name")
    }


def _read_edit(context: PageContext, page_request: PageRequest, model: Model) -> Edit:
    """Return the fields that differ from what the browser got, and the fields to reset. Stores a new cover."""
    form, shown = page_request.form, _read_shown(page_request, model)
    resets = {name for name in form.get("reset", []) if name in _FACT_BY_FIELD}
    changes = {name for name in shown if _normalize(form.get(name, [])) != _normalize(shown[name])} - resets
    facts = _read_facts(page_request, changes)
    if page_request.read_field("uncover"):
        facts = replace(facts, cover_url="")
    visibility = read_visibility(page_request.read_field("visibility")) if "visibility" in changes else None
    if page_request.picture:
        facts = replace(facts, cover_url=cover_path(context.covers.keep(render(page_request.picture))))
    if facts.cover_url is not None:
        resets.discard("cover_url")
    return Edit(facts, visibility, resets=[_FACT_BY_FIELD[name] for name in resets])


def _normalize(texts: list[str]) -> set[str]:
    """Return the texts of a field as browsers send them back: text fields have no line breaks."""
    return {text.replace("\r", "").replace("\n", "").strip() for text in texts} - {""}


def _read_facts(page_request: PageRequest, changes: set[str]) -> Facts:
    """Return the facts of the fields that changed. Raises InvalidValue."""
    texts = {name: page_request.read_field(name) for name in changes}
    name, title = read_name(texts["name"]) if "name" in texts else (None, None)
    return Facts(
        name=name,
        title=title,
        type=model_type(checked_word("type_name", texts["type_name"])) if texts.get("type_name") else None,
        base_model=checked_word("base_model", texts["base_model"]) if "base_model" in texts else None,
        base_model_type=checked_word("base_model_type", texts["base_model_type"])
        if "base_model_type" in texts
        else None,
        tags=read_tags(texts["tags"].split(",")) if "tags" in texts else None,
        categories=checked_categories(page_request.form.get("category", [])) if "category" in texts else None,
        cover_url=checked_cover(texts["cover_url"]) if "cover_url" in texts else None,
        is_nsfw=bool(texts["is_nsfw"]) if "is_nsfw" in texts else None,
    )
