"""The parts of a model's page: facts with their origins, files, pictures, versions, and what the check found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard import wire
from modelyard.domain import TYPE_FAMILIES, Licence, Model, Source, Verdict, cover_path
from modelyard.facts import Entry, Facts, Image, Layer, Recommended
from modelyard.fetches.fetches import describe_state
from modelyard.licences import format_licence
from modelyard.store.fetches import OPEN, Fetch
from modelyard.web.pages.gallery_search import build_address
from modelyard.web.pages.labels import LAYER_LABELS, SOURCE_LABELS, format_day
from modelyard.web.pages.templates import format_size
from modelyard.wire.details import FileRecord

_PICTURES_MAX = 24
_PICTURE_WIDTH = 320
# Facts that people read at the top, so that "who said what" does not repeat them as text.
_LONG_FACTS = frozenset({"description", "notes", "images", "files", "evidence", "hashes"})


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a model. ``origin`` is the label of the layer it comes from; ``note`` says what is unusual of it."""

    label: str
    value: str
    origin: str = ""
    note: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of the model: its name, what distinguishes it from the others, and its link if it is here."""

    name: str
    differences: str
    link: str
    problem: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An example image, and how it was made. ``path`` is that of the copy on this server; empty: there is none."""

    address: str
    path: str
    is_nsfw: bool
    prompt: str
    negative_prompt: str
    settings: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the model, as its tab shows it."""

    id: int
    name: str
    note: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The result of checking a file."""

    verdict: str
    reason: str
    is_waiting: bool = False


def list_facts(entry: Entry, facts: Facts) -> Iterator[Fact]:
    """Yield the facts that differ from the usual: a model that everyone may see is not described as such."""
    model = entry.model
    base = model.base_model or "unknown"
    address = build_filter_address("base_models", model.base_model) if model.base_model else ""
    yield _make_fact(entry, "Base model", base, "base_model", address)
    if model.base_model_type not in ("", "Standard"):
        yield _make_fact(entry, "Variant", model.base_model_type, "base_model_type")
    if facts.creator:
        yield _make_fact(entry, "Creator", facts.creator, "creator")
    if model.categories:
        yield _make_fact(entry, "Categories", ", ".join(model.categories), "categories")
    if model.published_at is not None:
        yield _make_fact(entry, "Published", format_day(model.published_at), "published_at")
    if model.added_at is not None:
        yield Fact("Added here", format_day(model.added_at))
    if model.rank:
        yield Fact("Popularity", f"{model.rank:,}")
    if model.team is not None:
        yield Fact("Visible to", "everyone" if model.visibility == "public" else "your team", note=f"team {model.team}")


def build_filter_address(field: str, value: str) -> str:
    """Return the address of the gallery with one filter."""
    return build_address([(wire.NAMES[field], value)])


def _make_fact(entry: Entry, label: str, value: str, name: str, address: str = "") -> Fact:
    origin, note = find_origin(entry.layers, name)
    return Fact(label, value, origin, note, address)


def find_origin(layers: Mapping[Layer, Facts], name: str) -> tuple[str, str]:
    """Return the label of the strongest layer that has a fact, and what is unusual: a guess, or a contradiction."""
    values = [(layer, value) for layer in sorted(layers, reverse=True) if (value := getattr(layers[layer], name))]
    if not values:
        return "", ""
    layer, value = values[0]
    if layer is Layer.GUESS:
        return LAYER_LABELS[layer], "guessed"
    others = [(other, text) for other, text in values[1:] if text != value and other is not Layer.GUESS]
    if others:
        other, text = others[0]
        return LAYER_LABELS[layer], f"{LAYER_LABELS[layer]}; {LAYER_LABELS[other]}: {_format_value(text)}"
    return LAYER_LABELS[layer], ""


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_format_value, value))
    if isinstance(value, Licence):
        return format_licence(value)
    if isinstance(value, Recommended):
        return format_recommended(value)
    name = getattr(value, "display_name", None)
    return str(name if name is not None else value)


def list_origins(entry: Entry, facts: Facts) -> list[tuple[str, str, str]]:
    """Return name, value and origin of each short fact, for developers."""
    rows = []
    for name in Facts.__dataclass_fields__:
        value = getattr(facts, name)
        if value is None or name in _LONG_FACTS or value in ((), ""):
            continue
        rows.append((name, _format_value(value)[:300], find_origin(entry.layers, name)[0]))
    rows.append(("source", SOURCE_LABELS[entry.model.source], ""))
    return rows


def list_hashes(model: Model) -> list[tuple[str, str]]:
    """Return the known hashes of a model's file."""
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


def list_evidence(entry: Entry) -> list[tuple[str, tuple[str, ...]]]:
    """Return the evidence of each layer."""
    return [
        (LAYER_LABELS[layer], evidence)
        for layer in sorted(entry.layers, reverse=True)
        if (evidence := entry.layers[layer].evidence)
    ]


def list_file_rows(
    files: Sequence[tuple[str, FileRecord]], link_for: Callable[[str, str], str], *, is_servable: bool
) -> list[FileRow]:
    """Return the files of a model, each with what it does not share with the others, and a link if it is here."""
    columns = [_describe_file(file) for _, file in files]
    shared = set.intersection(*map(set, columns)) if len(columns) > 1 else set()
    rows = []
    for (sha256, file), words in zip(files, columns, strict=True):
        is_usable = is_servable and file.is_here and file.scan in (None, Verdict.CLEAN, Verdict.SUSPICIOUS)
        problem = str(file.scan.value) if file.scan is not None and not file.scan.is_sound else ""
        size = format_size(file.size_bytes) if file.size_bytes else ""
        differences = ", ".join(filter(None, (*(word for word in words if word not in shared), size)))
        link = link_for(sha256, quote(file.name, safe="")) if is_usable and sha256 else ""
        rows.append(FileRow(file.name, differences, link, problem))
    return rows


def _describe_file(file: FileRecord) -> list[str]:
    type_ = file.type if file.type != "Model" else None
    return [word for word in (file.role, type_, file.size_kind, file.precision, file.format) if word]


def list_pictures(images: Sequence[Image], name_by_address: Mapping[str, str]) -> list[Picture]:
    """Return the example images that are here or whose prompts are known, those that are here first.

    The page loads nothing from other sites: ``name_by_address`` has the covers that this server made of addresses.
    """
    pictures = [_make_picture(image, name_by_address.get(image.url)) for image in images]
    pictures = [picture for picture in pictures if picture.path or picture.prompt]
    return sorted(pictures, key=lambda picture: not picture.path)[:_PICTURES_MAX]


def _make_picture(image: Image, name: str | None) -> Picture:
    values = (("sampler", image.sampler), ("steps", image.steps), ("CFG", image.cfg), ("seed", image.seed))
    settings = ", ".join(f"{name} {value}" for name, value in values if value is not None)
    path = cover_path(name, _PICTURE_WIDTH) if name else ""
    return Picture(image.url, path, bool(image.is_nsfw), image.prompt or "", image.negative_prompt or "", settings)


def list_versions(model: Model, versions: Sequence[Model]) -> list[Version]:
    """Return the versions of the model's group with date and size; empty if there is no other."""
    has_bases = len({version.base_model for version in versions}) > 1
    rows = []
    for version in versions:
        day = format_day(version.published_at or version.updated_at or version.added_at)
        size = format_size(version.size_bytes) if version.size_bytes else ""
        problem = "" if version.status else "not available"
        note = " · ".join(filter(None, (version.base_model if has_bases else "", day, size, problem)))
        rows.append(Version(version.id, version.name, note, version.id == model.id))
    return rows if len(rows) > 1 else []


def build_prompt(model: Model, facts: Facts) -> str:
    """Return the text that activates the model in a prompt; empty for a type that is not used in prompts."""
    if model.type.name in TYPE_FAMILIES["lora"]:
        weight = facts.recommended.weight if facts.recommended else None
        return f"<lora:{model.sd_name_in_api}:{1 if weight is None else f'{weight:g}'}>"
    return model.sd_name_in_api if model.type.name == "textualinversion" else ""


def format_recommended(values: Recommended) -> str:
    """Return the values that a source recommends for generation, as one line."""
    weight = f"weight {values.weight:g}" if values.weight is not None else ""
    if values.weight_min is not None and values.weight_max is not None:
        weight = f"{weight or 'weight'} ({values.weight_min:g} to {values.weight_max:g})"
    others: list[tuple[str, object]] = [("clip skip", values.clip_skip), ("sampler", values.sampler)]
    others.append(("steps", values.steps))
    others.append(("CFG", values.cfg))
    return ", ".join(filter(None, (weight, *(f"{name} {value}" for name, value in others if value is not None))))


def read_check(entry: Entry) -> FileCheck | None:
    """Return the result of checking the file; None if there is nothing to say of it."""
    is_uploaded = Layer.GUESS in entry.layers and entry.model.source is not Source.CIVITAI
    header = entry.layers.get(Layer.HEADER)
    if header is None or not header.evidence:
        return FileCheck("waiting", "", is_waiting=True) if is_uploaded and not entry.model.status else None
    verdict, colon, reason = header.evidence[0].partition(": ")
    if not colon or (entry.model.status and verdict not in (Verdict.SUSPICIOUS, Verdict.DANGEROUS)):
        return None
    return FileCheck(verdict, reason)


def describe_fetch(fetch: Fetch | None) -> str:
    """Say how far an open fetch of the model's file is; empty if there is none."""
    if fetch is None or fetch.state != OPEN:
        return ""
    if describe_state(fetch) == "verifying":
        return "The server has fetched the file and is checking it."
    size = f" of {format_size(fetch.size_bytes)}" if fetch.size_bytes else ""
    problem = f" {fetch.problem}." if fetch.problem else ""
    return f"The server is fetching the file: {format_size(fetch.received_bytes)}{size}.{problem}"
