"""The form that edits a model. ``edit_fields`` knows its fields; the page also takes a new cover and the visibility."""

from dataclasses import replace

from modelyard import errors, wire
from modelyard.covers import render
from modelyard.domain import BASE_MODEL_TYPES, CATEGORIES, MODEL_TYPES, Scope, Viewer
from modelyard.facts import Entry, Layer
from modelyard.registry.fields import NAME, read_visibility
from modelyard.registry.models import Edit
from modelyard.web.pages import edit_fields
from modelyard.web.pages.cards import build_cover, decode_record
from modelyard.web.pages.edit_fields import FACT_BY_FIELD
from modelyard.web.pages.model import PREFIX, read_model_id
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response


def show_edit(context: PageContext, page_request: PageRequest) -> Response:
    """Show the form that edits a model."""
    return _render_form(context, page_request, _get_own_entry(context, page_request))


def edit(context: PageContext, page_request: PageRequest) -> Response:
    """Save what the form changes and redirect to the model; with invalid values, show the form again with the problem.

    Two people may edit a model at once: a field that one of them leaves alone keeps what the other saves. The buttons
    "Use that" show the form again with the value of a source.
    """
    entry = _get_own_entry(context, page_request)
    viewer = page_request.require_session(Scope.WRITE).viewer
    try:
        if page_request.read_field("use"):
            return _render_form(context, page_request, entry, use=page_request.read_field("use"))
        _apply(context, page_request, viewer, entry)
    except (errors.InvalidRequest, errors.Conflict, errors.UnsupportedFile, errors.TooLarge) as problem:
        return _render_form(context, page_request, entry, problem.message)
    return redirect(f"{PREFIX}{entry.model.id}")


def _apply(context: PageContext, page_request: PageRequest, viewer: Viewer, entry: Entry) -> None:
    edit = _read_edit(page_request, entry)
    if not page_request.picture:
        context.models.edit(viewer, entry.model.id, edit)
        return
    edit = replace(edit, resets=set(edit.resets) - {"cover_url"})
    rendered = render(page_request.picture)
    context.covers.keep_and_use(
        rendered, lambda name: context.models.edit(viewer, entry.model.id, replace(edit, cover=name))
    )


def _get_own_entry(context: PageContext, page_request: PageRequest) -> Entry:
    """Return the model of the address, which the visitor's team owns. Raises ModelNotFound."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    entry = context.catalog.get(viewer, read_model_id(page_request))
    if entry.model.team != viewer.team:
        raise errors.ModelNotFound(str(entry.model.id))
    return entry


def _render_form(
    context: PageContext, page_request: PageRequest, entry: Entry, problem: str = "", use: str = ""
) -> Response:
    model, form = entry.model, page_request.form
    first = edit_fields.list_values(edit_fields.facts_of(entry)) | {"visibility": [model.visibility.value]}
    values = {name: form.get(name, []) for name in first} if form else first
    if use:
        values |= edit_fields.apply_suggestion(entry, use, {name: values[name] for name in FACT_BY_FIELD})
    if (problem or use) and page_request.picture:
        problem = f"{problem}. Choose the picture again." if problem else "Choose the picture again."
    has_own_cover = Layer.USER in entry.layers and entry.layers[Layer.USER].cover_url is not None
    return render_page(
        page_request,
        "edit.html",
        status=400 if problem and not use else 200,
        model=model,
        values={name: texts[0] if texts else "" for name, texts in values.items()},
        before=_read_before(page_request, first),
        selection=values["category"],
        suggestions=edit_fields.list_suggestions(entry, values),
        has_own_cover=has_own_cover,
        resets_cover="cover_url" in form.get("reset", []),
        removes_cover=bool(page_request.read_field("uncover")),
        has_plain_name=NAME.fullmatch(model.name) is not None,
        problem=problem,
        cover=build_cover(decode_record(wire.render_record(model))),
        types=list({**MODEL_TYPES, model.type.name: model.type}.values()),
        base_models=context.catalog.base_models(page_request.reader),
        base_model_types=list(dict.fromkeys([*BASE_MODEL_TYPES, *filter(None, values["base_model_type"])])),
        categories=[*CATEGORIES.values()],
    )


def _read_before(page_request: PageRequest, values: edit_fields.Values) -> dict[str, list[str]]:
    """Return what the browser got with the form; without such a form, what it gets now."""
    form = page_request.form
    if "before_name" in form:
        return {name: form.get(f"before_{name}", []) for name in values}
    return {name: edit_fields.fingerprint(name, texts) for name, texts in values.items()}


def _read_edit(page_request: PageRequest, entry: Entry) -> Edit:
    """Return the facts that change, and those that follow the other sources again."""
    form = page_request.form
    first = edit_fields.list_values(edit_fields.facts_of(entry)) | {"visibility": [entry.model.visibility.value]}
    before = _read_before(page_request, first)
    facts, resets = edit_fields.read_facts(entry, edit_fields.read_changes(before, form), form)
    if "cover_url" in form.get("reset", []):
        facts, resets = replace(facts, cover_url=None), resets | {"cover_url"}
    if page_request.read_field("uncover"):
        facts = replace(facts, cover_url="")
    visibility = page_request.read_field("visibility")
    resets = {name for name in resets if getattr(facts, name) is None}
    return Edit(
        facts,
        read_visibility(visibility) if [visibility] != before["visibility"] else None,
        resets=resets,
    )
