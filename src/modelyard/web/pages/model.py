"""One model's page: everything that is known of it, where each fact comes from, and what to copy.

It asks the store, so it runs in a thread; the gallery never waits for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from modelyard import errors, wire
from modelyard.domain import (
    TYPE_FAMILIES,
    Entry,
    Facts,
    Layer,
    Model,
    ModelQuery,
    Scope,
    Source,
    Viewer,
    fold,
    resolve,
)
from modelyard.web.pages.cards import SOURCE_LABELS, art_of, cover_of, label_of_type, read_record, title_of
from modelyard.web.pages.gallery import address_of
from modelyard.web.pages.page import Site, Visit, page
from modelyard.web.pages.templates import size
from modelyard.web.responses import Response

PREFIX = "/models/"
_ID_DIGITS_MAX = 18
LAYER_LABELS = {
    Layer.GUESS: "a guess",
    Layer.HEADER: "read in the file",
    Layer.UPSTREAM: "from upstream",
    Layer.SIDECAR: "from a file beside it",
    Layer.USER: "its owner’s word",
}
# So many records are looked at to find other versions: each is one read of the store.
_CANDIDATES_MAX = 24
_RELATED_MAX = 12


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of what is known: ``origin`` is the layer that said so, in words; empty where it needs none."""

    label: str
    value: str
    origin: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Related:
    """Another model of the catalogue that belongs to this one."""

    id: int
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a look at an uploaded file came to, for its owner."""

    verdict: str
    reason: str
    is_waiting: bool


def id_of(visit: Visit) -> int:
    """Return the model's id that a path names. Raises ModelNotFound."""
    text = visit.request.path_parameters["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX):
        raise errors.ModelNotFound(text)
    return int(text)


def show(site: Site, visit: Visit) -> Response:
    """Answer a model's page."""
    viewer = visit.reader
    entry = site.catalog.get(viewer, id_of(visit))
    model, facts = entry.model, resolve(entry.layers) if entry.layers else Facts()
    record = read_record(wire.render_record(model))
    title, cover = facts.upstream_model_name or title_of(record), cover_of(record)
    is_own = viewer.team is not None and viewer.team == model.team
    link_for = site.links_for(visit.request)
    has_file = model.blob is not None and bool(model.status)
    return page(
        visit,
        "model.html",
        model=model,
        title=title,
        version=model.name if model.name != title else "",
        type_label=label_of_type(model.type.name),
        source_label=SOURCE_LABELS[model.source],
        cover=cover,
        art=None if cover else art_of(model.type.name, title_of(record)),
        outside_cover=model.cover_url if model.cover_url.startswith(("https://", "http://")) else "",
        upstream=_upstream_address(model, facts),
        facts=list(_facts(entry, facts)),
        hashes=_hashes(model),
        evidence=_evidence(entry),
        tags=[(tag, address_of([(wire.NAMES["tags"], tag)])) for tag in model.tags],
        trigger_words=facts.trigger_words or (),
        notes=facts.notes or "",
        prompt=_prompt(model),
        link=link_for(model.blob or "", quote(model.sd_name, safe="")) if has_file else "",
        size=size(facts.size_bytes) if facts.size_bytes else "",
        question=f"{site.base_of(visit.request)}/v3/model?{wire.NAMES['id']}={model.id}",
        duplicates=list(_duplicates(site, viewer, model)),
        versions=list(_versions(site, viewer, entry, facts)),
        is_own=is_own,
        may_change=is_own and viewer.may(Scope.WRITE) and visit.session is not None,
        check=_check(entry) if is_own else None,
    )


def _upstream_address(model: Model, facts: Facts) -> str:
    """Return where Civitai shows the model, for a model it told of."""
    if model.source is not Source.CIVITAI or facts.upstream_model_id is None:
        return ""
    return f"https://civitai.com/models/{facts.upstream_model_id}?modelVersionId={model.id}"


def _facts(entry: Entry, facts: Facts) -> Iterator[Fact]:
    model = entry.model
    yield Fact("Type", label_of_type(model.type.name), _origin(entry, "type"), _narrowed("types", model.type.name))
    base = model.base_model or "unknown"
    address = _narrowed("base_model", model.base_model) if model.base_model else ""
    yield Fact("Base model", base, _origin(entry, "base_model"), address)
    if model.base_model_type:
        yield Fact("Variant", model.base_model_type, _origin(entry, "base_model_type"))
    yield Fact("SDXL architecture", "yes" if model.is_sdxl else "no")
    yield Fact("Source", SOURCE_LABELS[model.source], "", _narrowed("source", model.source.value))
    yield Fact("Visibility", "everyone" if model.team is None else f"{model.visibility}, of team {model.team}")
    yield Fact("Status", "available" if model.status else "not available")
    if model.is_nsfw:
        yield Fact("Safe for work", "no", _origin(entry, "is_nsfw"))
    if model.categories:
        yield Fact("Categories", ", ".join(model.categories), _origin(entry, "categories"))
    yield Fact("Popularity", f"{model.rank:,}")
    if facts.published_at:
        yield Fact("Published", facts.published_at[:10], _origin(entry, "published_at"))
    if facts.licence:
        yield Fact("Licence", facts.licence, _origin(entry, "licence"))
    if facts.file_name:
        yield Fact("File", facts.file_name, _origin(entry, "file_name"))
    if facts.size_bytes:
        yield Fact("Size", f"{size(facts.size_bytes)} ({facts.size_bytes:,} bytes)", _origin(entry, "size_bytes"))
    yield Fact("Id", str(model.id))


def _narrowed(field: str, value: str) -> str:
    return address_of([(wire.NAMES[field], value)])


def _origin(entry: Entry, name: str) -> str:
    """Return which layer said a fact, in words: the strongest that speaks of it."""
    for layer in sorted(entry.layers, reverse=True):
        if getattr(entry.layers[layer], name) is not None:
            return LAYER_LABELS[layer]
    return ""


def _hashes(model: Model) -> list[tuple[str, str]]:
    hashes = model.hashes
    named = (
        ("AutoV2", hashes.short),
        ("SHA-256", hashes.sha256),
        ("AutoV1", hashes.autov1),
        ("AutoV3", hashes.autov3),
        ("BLAKE3", hashes.blake3),
        ("CRC32", hashes.crc32),
    )
    return [(name, digits) for name, digits in named if digits]


def _evidence(entry: Entry) -> list[tuple[str, tuple[str, ...]]]:
    """Return what each layer shows for what it says."""
    return [
        (LAYER_LABELS[layer], said)
        for layer in sorted(entry.layers, reverse=True)
        if (said := entry.layers[layer].evidence)
    ]


def _prompt(model: Model) -> str:
    """Return what goes into a prompt to use the model, where that is how it is used."""
    if model.type.name in TYPE_FAMILIES["lora"]:
        return f"<lora:{model.sd_name_in_api}:1>"
    if model.type.name == "textualinversion":
        return model.sd_name_in_api
    return ""


def _check(entry: Entry) -> Check | None:
    """Return what became of an uploaded file; None where none was."""
    if Layer.GUESS not in entry.layers or entry.model.source is Source.CIVITAI:
        return None
    found = entry.layers.get(Layer.HEADER)
    if found is None or not found.evidence:
        return Check("waiting", "", is_waiting=True)
    verdict, _, reason = found.evidence[0].partition(": ")
    return Check(verdict, reason, is_waiting=False)


def _related(site: Site, viewer: Viewer, query: ModelQuery) -> Iterator[wire.ModelRecord]:
    return map(read_record, site.catalog.search(viewer, query).records)


def _duplicates(site: Site, viewer: Viewer, model: Model) -> Iterator[Related]:
    """Yield models with the same bytes, then those with the same tensors under another header."""
    seen = {model.id}
    for digits, note in ((model.hashes.sha256, "the same file"), (model.hashes.autov3, "the same tensors")):
        for record in _related(site, viewer, ModelQuery(hash=digits, limit=_RELATED_MAX)) if digits else ():
            if record.id not in seen:
                seen.add(record.id)
                yield Related(record.id, title_of(record), note)


def _versions(site: Site, viewer: Viewer, entry: Entry, facts: Facts) -> Iterator[Related]:
    """Yield other versions of the same upstream model.

    The index has no set for that number. A model's versions share its tags and mostly their file's first word, so those
    are looked for, and the number decides: what is shown is right, but a version called otherwise may be missed.
    """
    if facts.upstream_model_id is None:
        return
    words = fold(facts.upstream_model_name or title_of(read_record(wire.render_record(entry.model)))).split()
    tags = tuple(fold(tag).strip() for tag in entry.model.tags)
    seen, shown = {entry.model.id}, 0
    for query in (ModelQuery(tags=tags), ModelQuery(terms=tuple(words[:3]))):
        for record in _related(site, viewer, _limited(query)) if query.tags or query.terms else ():
            if record.id in seen or shown == _RELATED_MAX:
                continue
            seen.add(record.id)
            other = site.catalog.get(viewer, record.id)
            if resolve(other.layers).upstream_model_id == facts.upstream_model_id:
                shown += 1
                yield Related(record.id, record.name, record.base_model)


def _limited(query: ModelQuery) -> ModelQuery:
    return ModelQuery(tags=query.tags, terms=query.terms, limit=_CANDIDATES_MAX)
