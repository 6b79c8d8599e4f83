"""The page of one model: what it looks like, what it may be used for, how to use it, and everything else below.

It reads the database, so it runs in a thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from modelyard import errors, wire
from modelyard.catalog import may_see
from modelyard.domain import Licence, Model, ModelQuery, Scope, Source, Verdict, Viewer
from modelyard.facts import Facts, resolve
from modelyard.licences import list_uses
from modelyard.registry.signatures import find_check
from modelyard.signatures import SignatureCheck
from modelyard.store import blobs, covers, fetches, files, sends
from modelyard.web.api.model_details import list_files
from modelyard.web.hub.examples import make_examples
from modelyard.web.pages import model_parts
from modelyard.web.pages.cards import build_card, build_title, decode_record
from modelyard.web.pages.page import PageContext, PageRequest, render_page
from modelyard.web.pages.sends import describe_progress
from modelyard.web.pages.templates import format_size
from modelyard.web.responses import Response

PREFIX = "/models/"
_ID_DIGITS_MAX = 18
_RELATED_MAX = 12


@dataclass(frozen=True, slots=True)
class Related:
    """A duplicate of the model."""

    id: int
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Transfers:
    """How far the team's newest fetch of the model's file is, and its newest send of it; empty if there is none."""

    fetching: str = ""
    sending: str = ""
    send_state: str = ""


def read_model_id(page_request: PageRequest) -> int:
    """Return the model's id from the path. Raises ModelNotFound."""
    text = page_request.request.path_parameters["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX):
        raise errors.ModelNotFound(text)
    return int(text)


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the page of a model."""
    viewer = page_request.reader
    entry = context.catalog.get(viewer, read_model_id(page_request))
    model, facts = entry.model, resolve(entry.layers) if entry.layers else Facts()
    card, check = build_card(decode_record(wire.render_record(model)), model.rank), model_parts.read_check(entry)
    title = facts.title or card.title
    verdict = check.verdict if check else ""
    is_refused = verdict == Verdict.SUSPICIOUS and not context.serves_suspicious
    is_usable = bool(model.status) and verdict != Verdict.DANGEROUS and not is_refused
    link_for = context.links_for(page_request.request)
    with context.catalog.store.reading() as connection:
        local_files = files.of_models(connection, [model.id]).get(model.id, [])
        stored = blobs.find(connection, model.blob) if model.blob else None
        copies = covers.at_addresses(connection, [image.url for image in facts.images or ()])
    visible = [file for file in local_files if may_see(viewer, file)]
    rows = model_parts.list_file_rows(list_files(entry, visible, stored), link_for, is_servable=is_usable)
    link = link_for(model.blob or "", quote(model.sd_name, safe="")) if model.blob and is_usable else ""
    base = context.base_of(page_request.request)
    may_write = viewer.may(Scope.WRITE) and page_request.session is not None
    return render_page(
        page_request,
        "model.html",
        model=model,
        title=title,
        version=model.name if model.name != title else "",
        back=_find_back(page_request),
        card=card,
        outside_cover=model.cover_url if model.cover_url.startswith(("https://", "http://")) else "",
        upstream=_build_upstream_address(model, facts),
        facts=list(model_parts.list_facts(entry, facts)),
        origin_of=lambda name: model_parts.find_origin(entry.layers, name),
        origins=model_parts.list_origins(entry, facts),
        hashes=model_parts.list_hashes(model),
        evidence=model_parts.list_evidence(entry),
        tags=[(tag, model_parts.build_filter_address("tags", tag)) for tag in model.tags],
        trigger_words=facts.trigger_words or (),
        recommended=model_parts.format_recommended(facts.recommended) if facts.recommended else "",
        licence=facts.licence,
        uses=list_uses(facts.licence or Licence()),
        description=facts.description or "",
        notes=facts.notes or "",
        files=rows,
        pictures=model_parts.list_pictures(facts.images or (), copies),
        prompt=model_parts.build_prompt(model, facts),
        is_usable=is_usable,
        link=link,
        size=format_size(facts.size_bytes) if facts.size_bytes else "",
        pull_command=f"modelyard pull --url {base} {model.id}",
        api_address=f"{base}/v3/model?{wire.NAMES['id']}={model.id}",
        hub_examples=[*make_examples(base, model, facts.file_name or model.sd_name)] if link else [],
        duplicates=list(_find_duplicates(context, viewer, model)),
        versions=model_parts.list_versions(model, context.catalog.versions(viewer, model)),
        may_change=may_write and viewer.team is not None and viewer.team == model.team,
        check=check,
        signature=_find_signature(context, model),
        targets=context.send_endpoints.sends.target_names if may_write and link else [],
        source=_name_source(model, facts) if may_write and is_usable and not link else "",
        transfers=_describe_transfers(context, viewer, model.id),
    )


def _find_signature(context: PageContext, model: Model) -> SignatureCheck | None:
    with context.catalog.store.reading() as connection:
        return find_check(connection, model, context.models.signatures)


def _describe_transfers(context: PageContext, viewer: Viewer, model_id: int) -> Transfers:
    if viewer.team is None:
        return Transfers()
    with context.catalog.store.reading() as connection:
        fetch = fetches.newest_of_model(connection, model_id, viewer.team)
        send = sends.newest_of_model(connection, model_id, viewer.team)
    if send is None:
        return Transfers(model_parts.describe_fetch(fetch))
    return Transfers(model_parts.describe_fetch(fetch), describe_progress(send), send.state)


def _find_back(page_request: PageRequest) -> str:
    """Return the address of the list that the visitor came from, if it was one; a script returns to its place too."""
    headers = page_request.request.headers
    referrer = headers.get(b"referer", b"")[:2048].decode("latin-1")
    try:
        parts = urlsplit(referrer)
    except ValueError:  # a bracket without its end
        return "/"
    is_list = parts.netloc.encode("latin-1") == headers.get(b"host") and parts.path == "/" and parts.query
    return f"/?{parts.query}" if is_list else "/"


def _name_source(model: Model, facts: Facts) -> str:
    """Return what the server can fetch the model's file from; empty if that is not known."""
    if model.source is not Source.CIVITAI or facts.upstream_model_id is None:
        return ""
    return f"civitai:{facts.upstream_model_id}@{model.id}"


def _build_upstream_address(model: Model, facts: Facts) -> str:
    """Return the address of the model's page on Civitai, if it was imported from there."""
    if model.source is not Source.CIVITAI or facts.upstream_model_id is None:
        return ""
    return f"https://civitai.com/models/{facts.upstream_model_id}?modelVersionId={model.id}"


def _search_records(context: PageContext, viewer: Viewer, query: ModelQuery) -> Iterator[wire.ModelRecord]:
    return map(decode_record, context.catalog.search(viewer, query).records)


def _find_duplicates(context: PageContext, viewer: Viewer, model: Model) -> Iterator[Related]:
    """Yield models with the same bytes, then models with the same tensors but another header."""
    ids = {model.id}
    for digits, note in ((model.hashes.sha256, "same file"), (model.hashes.autov3, "same tensors")):
        for record in _search_records(context, viewer, ModelQuery(hash=digits, limit=_RELATED_MAX)) if digits else ():
            if record.id not in ids:
                ids.add(record.id)
                yield Related(record.id, build_title(record), note)
