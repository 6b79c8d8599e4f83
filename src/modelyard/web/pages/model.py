"""The page of one model: its facts with their origins, names and hashes to copy, and related models.

It reads the database, so it runs in a thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from modelyard import errors, wire
from modelyard.domain import TYPE_FAMILIES, Model, ModelQuery, Scope, Source, Verdict, Viewer
from modelyard.facts import Entry, Facts, Layer, complete_files, resolve
from modelyard.licences import format_licence
from modelyard.web.hub.examples import make_examples
from modelyard.web.pages.cards import build_card, build_title, decode_record
from modelyard.web.pages.gallery_search import build_address
from modelyard.web.pages.labels import LAYER_LABELS, SOURCE_LABELS, get_type_label
from modelyard.web.pages.page import PageContext, PageRequest, render_page
from modelyard.web.pages.templates import format_size
from modelyard.web.responses import Response

PREFIX = "/models/"
_ID_DIGITS_MAX = 18
_RELATED_MAX = 12
_VERSIONS_MAX = 100


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a model. ``origin`` is the label of the layer it comes from, or empty."""

    label: str
    value: str
    origin: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Related:
    """Another version or a duplicate of the model."""

    id: int
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Example:
    """How an example image was made, and where it is."""

    address: str
    prompt: str
    negative_prompt: str
    settings: str


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The result of checking an uploaded file, shown to its owner."""

    verdict: str
    reason: str
    is_waiting: bool


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
    card = build_card(decode_record(wire.render_record(model)), model.rank)
    title = facts.title or card.title
    is_own = viewer.team is not None and viewer.team == model.team
    link_for = context.links_for(page_request.request)
    check = _read_check(entry)
    is_suspicious = check is not None and check.verdict == Verdict.SUSPICIOUS
    is_servable = not is_suspicious or context.serves_suspicious
    has_file = model.blob is not None and bool(model.status) and is_servable
    return render_page(
        page_request,
        "model.html",
        model=model,
        title=title,
        version=model.name if model.name != title else "",
        card=card,
        outside_cover=model.cover_url if model.cover_url.startswith(("https://", "http://")) else "",
        upstream=_build_upstream_address(model, facts),
        facts=list(_list_facts(entry, facts)),
        hashes=_list_hashes(model),
        evidence=_list_evidence(entry),
        tags=[(tag, _build_filter_address("tags", tag)) for tag in model.tags],
        trigger_words=facts.trigger_words or (),
        description=facts.description or "",
        files=list(_list_files(facts)),
        examples=list(_list_examples(facts)),
        notes=facts.notes or "",
        prompt=_build_prompt(model),
        link=link_for(model.blob or "", quote(model.sd_name, safe="")) if has_file else "",
        size=format_size(facts.size_bytes) if facts.size_bytes else "",
        api_address=f"{context.base_of(page_request.request)}/v3/model?{wire.NAMES['id']}={model.id}",
        hub_examples=[*make_examples(context.base_of(page_request.request), model, facts.file_name or model.sd_name)]
        if has_file
        else [],
        duplicates=list(_find_duplicates(context, viewer, model)),
        versions=list(_find_versions(context, viewer, model)),
        may_change=is_own and viewer.may(Scope.WRITE) and page_request.session is not None,
        check=check if is_own or is_suspicious else None,
        is_suspicious=is_suspicious,
    )


def _build_upstream_address(model: Model, facts: Facts) -> str:
    """Return the address of the model's page on Civitai, if it was imported from there."""
    if model.source is not Source.CIVITAI or facts.upstream_model_id is None:
        return ""
    return f"https://civitai.com/models/{facts.upstream_model_id}?modelVersionId={model.id}"


def _list_facts(entry: Entry, facts: Facts) -> Iterator[Fact]:
    model = entry.model
    yield Fact(
        "Type",
        get_type_label(model.type.name),
        _find_origin(entry, "type"),
        _build_filter_address("types", model.type.name),
    )
    base = model.base_model or "unknown"
    address = _build_filter_address("base_models", model.base_model) if model.base_model else ""
    yield Fact("Base model", base, _find_origin(entry, "base_model"), address)
    if model.base_model_type:
        yield Fact("Variant", model.base_model_type, _find_origin(entry, "base_model_type"))
    yield Fact("SDXL architecture", "yes" if model.is_sdxl else "no")
    yield Fact("Source", SOURCE_LABELS[model.source], "", _build_filter_address("sources", model.source.value))
    yield Fact("Visibility", "everyone" if model.team is None else f"{model.visibility}, owned by team {model.team}")
    yield Fact("Status", "available" if model.status else "not available")
    if model.is_nsfw:
        yield Fact("Safe for work", "no", _find_origin(entry, "is_nsfw"))
    if model.categories:
        yield Fact("Categories", ", ".join(model.categories), _find_origin(entry, "categories"))
    yield Fact("Popularity", f"{model.rank:,}")
    if facts.creator:
        yield Fact("Creator", facts.creator, _find_origin(entry, "creator"))
    if facts.published_at:
        yield Fact("Published", facts.published_at[:10], _find_origin(entry, "published_at"))
    if facts.licence:
        yield Fact("Licence", format_licence(facts.licence), _find_origin(entry, "licence"))
    if facts.file_name:
        yield Fact("File", facts.file_name, _find_origin(entry, "file_name"))
    if facts.size_bytes:
        yield Fact(
            "Size", f"{format_size(facts.size_bytes)} ({facts.size_bytes:,} bytes)", _find_origin(entry, "size_bytes")
        )
    yield Fact("Id", str(model.id))


def _build_filter_address(field: str, value: str) -> str:
    return build_address([(wire.NAMES[field], value)])


def _find_origin(entry: Entry, name: str) -> str:
    """Return the label of the strongest layer that has a fact."""
    for layer in sorted(entry.layers, reverse=True):
        if getattr(entry.layers[layer], name) is not None:
            return LAYER_LABELS[layer]
    return ""


def _list_hashes(model: Model) -> list[tuple[str, str]]:
    hashes = model.hashes
    pairs = (
        ("AutoV2", hashes.short),
        ("SHA-256", hashes.sha256),
        ("AutoV1", hashes.autov1),
        ("AutoV3", hashes.autov3),
        ("BLAKE3", hashes.blake3),
        ("CRC32", hashes.crc32),
    )
    return [(name, digits) for name, digits in pairs if digits]


def _list_evidence(entry: Entry) -> list[tuple[str, tuple[str, ...]]]:
    """Return the evidence of each layer."""
    return [
        (LAYER_LABELS[layer], evidence)
        for layer in sorted(entry.layers, reverse=True)
        if (evidence := entry.layers[layer].evidence)
    ]


def _build_prompt(model: Model) -> str:
    """Return the text that activates the model in a prompt; empty for a type that is not used in prompts."""
    if model.type.name in TYPE_FAMILIES["lora"]:
        return f"<lora:{model.sd_name_in_api}:1>"
    if model.type.name == "textualinversion":
        return model.sd_name_in_api
    return ""


def _read_check(entry: Entry) -> FileCheck | None:
    """Return the result of checking the file; None if the model was not uploaded and its file is not suspicious."""
    is_uploaded = Layer.GUESS in entry.layers and entry.model.source is not Source.CIVITAI
    header = entry.layers.get(Layer.HEADER)
    if header is None or not header.evidence:
        return FileCheck("waiting", "", is_waiting=True) if is_uploaded else None
    verdict, _, reason = header.evidence[0].partition(": ")
    is_shown = is_uploaded or verdict == Verdict.SUSPICIOUS
    return FileCheck(verdict, reason, is_waiting=False) if is_shown else None


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


def _find_versions(context: PageContext, viewer: Viewer, model: Model) -> Iterator[Related]:
    """Yield the other versions of the model's group."""
    versions = [version for version in context.catalog.versions(viewer, model) if version.id != model.id]
    for version in versions[:_VERSIONS_MAX]:
        yield Related(version.id, version.name, version.base_model)


def _list_files(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield name and description of each file of a model that has several."""
    for file in complete_files(facts) if len(facts.files or ()) > 1 else ():
        size = format_size(file.size_bytes) if file.size_bytes else None
        words = (
            file.role,
            file.size_kind,
            file.precision,
            file.format,
            size,
            file.hashes.short if file.hashes else None,
        )
        yield file.name, ", ".join(filter(None, words))


def _list_examples(facts: Facts) -> Iterator[Example]:
    """Yield the images whose prompts are known. The page does not load them: they are on other sites."""
    for image in facts.images or ():
        if image.prompt:
            values = (("sampler", image.sampler), ("steps", image.steps), ("CFG", image.cfg), ("seed", image.seed))
            settings = ", ".join(f"{name} {value}" for name, value in values if value is not None)
            yield Example(image.url, image.prompt, image.negative_prompt or "", settings)
