"""What a visitor does with several chosen models: a command that downloads them all, and changes of the own ones."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode

from modelyard import errors, wire
from modelyard.domain import LIMIT_MAX, Scope
from modelyard.facts import Entry, Facts
from modelyard.registry.fields import read_tags, read_visibility
from modelyard.registry.models import Edit
from modelyard.web.pages.cards import build_title, decode_record
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

PATH = "/selection"
_DONE = {
    "tag": "The tags were added.",
    "public": "Everyone can see the models now.",
    "private": "Only the team can see the models now.",
    "delete": "The models were deleted.",
}


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the chosen models with what the visitor can do with them."""
    parameters = parse_qs(page_request.query_string.decode("latin-1"))
    done, target = (parameters.get(name, [""])[0] for name in ("done", "target"))
    return _render(context, page_request, parameters.get("id", []), done=done, target=target)


def change(context: PageContext, page_request: PageRequest) -> Response:
    """Do what the form says with the chosen models of the team. It asks before it deletes."""
    viewer = page_request.require_session(Scope.WRITE).viewer
    texts, action = page_request.form.get("id", []), page_request.read_field("action")
    entries = [entry for entry in _read_entries(context, page_request, texts) if entry.model.team == viewer.team]
    try:
        if action not in _DONE:
            raise errors.InvalidValue(f"action: {action[:16]!r} is not accepted; accepted: {', '.join(_DONE)}")
        if not entries:
            raise errors.InvalidValue("None of the chosen models is your team's.")
        if action == "delete":
            if not page_request.read_field("confirm"):
                raise errors.InvalidValue("Tick the box to delete the models.")
            for entry in entries:
                context.models.remove(viewer, entry.model.id)
            texts = [text for text in texts if int(text) not in {entry.model.id for entry in entries}]
        else:
            edits = [_make_edit(page_request, action, entry) for entry in entries]
            for entry, edit in zip(entries, edits, strict=True):
                context.models.edit(viewer, entry.model.id, edit)
    except (errors.InvalidRequest, errors.Conflict) as problem:
        return _render(context, page_request, texts, problem=problem.message)
    return redirect(f"{PATH}?{urlencode([*(('id', text) for text in texts), ('done', action)])}")


def _make_edit(page_request: PageRequest, action: str, entry: Entry) -> Edit:
    if action == "tag":
        tags = read_tags(page_request.read_field("tags").split(","))
        if not tags:
            raise errors.InvalidValue("tags: none was given; accepted: tags, separated by commas")
        return Edit(Facts(tags=read_tags([*entry.model.tags, *tags])))
    return Edit(visibility=read_visibility(action))


def _read_entries(context: PageContext, page_request: PageRequest, texts: list[str]) -> list[Entry]:
    """Return the models with these ids that the visitor may see. Raises InvalidValue."""
    viewer = page_request.reader
    ids = list(dict.fromkeys(texts))
    if len(ids) > LIMIT_MAX:
        raise errors.InvalidValue(f"id: {len(ids)} models are too many; accepted: up to {LIMIT_MAX}")
    entries = []
    for text in ids:
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise errors.InvalidValue(f"id: {text[:32]!r} is not accepted; accepted: a model's id, decimal digits")
        try:
            entries.append(context.catalog.get(viewer, int(text)))
        except errors.ModelNotFound:
            continue  # it was deleted meanwhile, or another team's
    return entries


def _render(
    context: PageContext,
    page_request: PageRequest,
    texts: list[str],
    *,
    done: str = "",
    target: str = "",
    problem: str = "",
) -> Response:
    entries = _read_entries(context, page_request, texts) if texts or not problem else []
    session = page_request.session
    may_write = session is not None and session.viewer.may(Scope.WRITE)
    team = session.viewer.team if session is not None else None
    models = [
        {
            "model": entry.model,
            "title": entry.model.title or build_title(decode_record(wire.render_record(entry.model))),
            "is_own": may_write and entry.model.team == team,
        }
        for entry in entries
    ]
    ids = [entry.model.id for entry in entries if entry.model.blob]
    base = context.base_of(page_request.request)
    return render_page(
        page_request if not page_request.form else replace(page_request, form={}),
        "selection.html",
        status=400 if problem else 200,
        models=models,
        own_count=sum(bool(model["is_own"]) for model in models),
        unchanged=[model["title"] for model in models if not model["is_own"]] if done in _DONE else [],
        absent_count=len(set(texts)) - len(entries),
        command=f"modelyard pull --url {base} {' '.join(map(str, ids))}" if ids else "",
        missing_count=len(entries) - len(ids),
        sendable=[entry.model.id for entry in entries if entry.model.blob and entry.model.status],
        targets=context.send_endpoints.sends.target_names if may_write else [],
        chosen_target=target,
        done=_DONE.get(done, ""),
        problem=problem,
    )
