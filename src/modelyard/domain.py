"""The nouns: what a model is, who looks, what is asked, where a page starts.

Plain values that everything depends on and that depend on nothing: standard library only, no I/O, no spelling of
the API (that is ``modelyard.wire.parameters``).
"""

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
QUERY_TERMS_MAX = 16
# Civitai's version ids are in the low millions; ours start where they cannot meet, and stay below 2^31 for clients
# that read ids into 32-bit integers.
OWN_ID_MIN = 1_000_000_000
OWN_ID_MAX = 2**31 - 1


class Source(enum.StrEnum):
    """Where a model came from."""

    CIVITAI = "civitai"
    TRAINING = "training"
    UPLOADING = "uploading"


class Visibility(enum.StrEnum):
    """Who may see a model: everyone, or the team that owns it."""

    PUBLIC = "public"
    PRIVATE = "private"


class Status(enum.IntEnum):
    """Whether a model can be used; clients know these two numbers only."""

    UNAVAILABLE = 0
    AVAILABLE = 1


class Scope(enum.StrEnum):
    """What an API key allows."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Layer(enum.IntEnum):
    """Where a fact came from; the greater wins."""

    GUESS = 1
    HEADER = 2
    UPSTREAM = 3
    SIDECAR = 4
    USER = 5


@dataclass(frozen=True, slots=True)
class ModelType:
    """A kind of model: ``name`` is what filters compare, ``display_name`` what people read."""

    name: str
    display_name: str


# The document's six, spelled as it spells them, then the other kinds Civitai knows. A type that is not here is kept
# as its source spells it: this table names, it does not restrict.
MODEL_TYPES: Mapping[str, ModelType] = {
    name: ModelType(name, display_name)
    for name, display_name in (
        ("checkpoint", "Checkpoint"),
        ("lora", "Lora"),
        ("vae", "VAE"),
        ("controlnet", "ControlNet"),
        ("upscaler", "Upscaler"),
        ("textualinversion", "Textual Inversion"),
        ("locon", "locon"),
        ("dora", "DoRA"),
        ("hypernetwork", "Hypernetwork"),
        ("aestheticgradient", "AestheticGradient"),
        ("motionmodule", "MotionModule"),
        ("poses", "Poses"),
        ("wildcards", "Wildcards"),
        ("workflows", "Workflows"),
        ("detection", "Detection"),
        ("textencoder", "TextEncoder"),
        ("unet", "UNet"),
        ("clip", "CLIP"),
        ("clipvision", "CLIPVision"),
        ("ipadapter", "IPAdapter"),
        ("t2iadapter", "T2IAdapter"),
        ("other", "Other"),
        ("unknown", "Unknown"),
    )
}
DOCUMENTED_TYPES = ("checkpoint", "lora", "vae", "controlnet", "upscaler", "textualinversion")
# Asking for `lora` means the family: low-rank adapters that every LoRA loader takes. Answers keep the exact name.
TYPE_FAMILIES: Mapping[str, frozenset[str]] = {"lora": frozenset({"lora", "locon", "dora"})}
BASE_MODEL_TYPES = ("Standard", "Inpainting", "Refiner", "Pix2Pix", "Depth")
# What an upload may say it shows. The numbers are part of the API, so a name may change and a number may not; they
# start where the vendor's do.
CATEGORIES: Mapping[int, str] = dict(
    enumerate(
        (
            "realistic",
            "anime",
            "character",
            "style",
            "concept",
            "clothing",
            "poses",
            "background",
            "buildings",
            "vehicle",
            "objects",
            "animal",
            "action",
            "assets",
            "tool",
            "base model",
        ),
        start=100_000,
    )
)
# The extensions of files that hold models, without the dot, the safe one first.
FILE_EXTENSIONS = ("safetensors", "gguf", "ckpt", "pt", "pth", "bin", "onnx", "sft")

# Covers that this server keeps, each in three widths: COVERS, the cover's name, a slash, the width and ".webp".
COVERS = "/covers/"
COVER_WIDTHS = (320, 640, 1280)


def cover_path(name: str, width: int = 640) -> str:
    """Return the path of a cover that this server keeps."""
    return f"{COVERS}{name}/{width}.webp"


def model_type(spelled: str) -> ModelType:
    """Return the type that a source's spelling names; an unknown one keeps its spelling for display."""
    name = spelled.casefold()
    return MODEL_TYPES.get(name) or ModelType(name, spelled)


@dataclass(frozen=True, slots=True)
class Hashes:
    """A file's hashes, upper-case hexadecimal, ``None`` where unknown. Lengths: 8, 64 or 12, 64, 64, 8."""

    autov1: str | None = None
    autov3: str | None = None
    sha256: str | None = None
    blake3: str | None = None
    crc32: str | None = None
    # Kept apart from SHA-256 because some sources tell only these first ten digits of it.
    autov2: str | None = None

    @property
    def short(self) -> str:
        """The first ten digits of SHA-256, the form that the API calls ``hash_sha256``; empty if unknown."""
        return self.sha256[:10] if self.sha256 else self.autov2 or ""

    def spellings(self) -> frozenset[str]:
        """Every form a caller may ask for this file by: the full hashes and their customary short forms."""
        known = {self.autov1, self.autov2, self.autov3, self.sha256, self.blake3, self.crc32}
        if self.sha256:
            known.add(self.sha256[:10])
        if self.autov3:
            known.add(self.autov3[:12])
        return frozenset(filter(None, known))


HASH_LENGTHS = (8, 10, 12, 64)


@dataclass(frozen=True, slots=True)
class Model:
    """One model as the catalogue answers it: every field resolved, none missing."""

    id: int
    name: str
    sd_name: str
    type: ModelType
    source: Source
    visibility: Visibility = Visibility.PUBLIC
    team: str | None = None
    status: Status = Status.AVAILABLE
    base_model: str = ""
    base_model_type: str = ""
    is_sdxl: bool = False
    is_nsfw: bool = False
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    # An address, or the path of a cover that this server keeps.
    cover_url: str = ""
    rank: int = 0
    hashes: Hashes = field(default_factory=Hashes)
    # SHA-256 (lower case) of the bytes this server can hand out; None where it holds none.
    blob: str | None = None

    @property
    def sd_name_in_api(self) -> str:
        """The name generation calls take: without the extension for the kinds that prompts name."""
        if self.type.name in TYPE_FAMILIES["lora"] or self.type.name == "textualinversion":
            stem, dot, extension = self.sd_name.rpartition(".")
            # A dot inside a name such as "v1.5 style" is no extension: those hold no spaces and are short.
            return stem if dot and stem and extension.isalnum() and len(extension) <= 12 else self.sd_name
        return self.sd_name

    @property
    def is_inpainting(self) -> bool:
        """Whether this is a checkpoint made for inpainting."""
        return self.type.name == "checkpoint" and self.base_model_type == "Inpainting"

    @property
    def position(self) -> "Position":
        """Where the model stands in the one order of everything."""
        return Position(self.rank, self.id)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one layer says about a model; ``None`` is silence, an empty value is a statement.

    The first group is answered by the API, the second is shown on a model's page.
    """

    name: str | None = None
    sd_name: str | None = None
    type: ModelType | None = None
    base_model: str | None = None
    base_model_type: str | None = None
    is_nsfw: bool | None = None
    tags: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    cover_url: str | None = None
    rank: int | None = None
    hashes: Hashes | None = None

    file_name: str | None = None
    size_bytes: int | None = None
    upstream_model_id: int | None = None
    upstream_model_name: str | None = None
    trigger_words: tuple[str, ...] | None = None
    published_at: str | None = None
    licence: str | None = None
    notes: str | None = None
    evidence: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One model as one source tells it, on its way in. ``id`` is None where the catalogue shall give one."""

    id: int | None
    source: Source
    layer: Layer
    facts: Facts
    visibility: Visibility = Visibility.PUBLIC
    team: str | None = None
    status: Status = Status.AVAILABLE


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as the store keeps it: what is answered, and the layers it was resolved from."""

    model: Model
    layers: Mapping[Layer, Facts]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A model that was removed; followers of the store take it out."""

    id: int


FACT_NAMES = tuple(f.name for f in fields(Facts))


# What describes the file that ``sd_name`` names, and not the model.
_FILE_FACTS = frozenset({"hashes", "file_name", "size_bytes"})


def fill_missing(newer: Facts, older: Facts) -> Facts:
    """Return ``newer`` with what it is silent or empty about filled from ``older``: the same source, told twice.

    An upstream that lost its tags, or answers half a record after an outage, does not take away what it said before.
    Numbers and booleans are statements even when they are 0 or false. Where the file is another one by now, what was
    said of the old one does not describe it.
    """
    is_other_file = bool(newer.sd_name and older.sd_name and newer.sd_name != older.sd_name)
    merged: dict[str, object] = {}
    for name in FACT_NAMES:
        value, before = getattr(newer, name), getattr(older, name)
        if name in _FILE_FACTS and is_other_file:
            before = None
        if name == "hashes" and value is not None and before is not None:
            value = _joined(value, before)
        merged[name] = before if value is None or value in ("", ()) else value
    return Facts(**merged)  # type: ignore[arg-type] # each value comes from the field of the same name


def resolve(layers: Mapping[Layer, Facts]) -> Facts:
    """Return, for each fact, what the strongest layer that speaks of it says."""
    ordered = [layers[layer] for layer in sorted(layers, reverse=True)]
    if len(ordered) == 1:
        return ordered[0]
    resolved: dict[str, object] = {}
    for name in FACT_NAMES:
        said = [value for facts in ordered if (value := getattr(facts, name)) is not None]
        if name == "hashes" and len(said) > 1:
            for weaker in said[1:]:
                said[0] = _joined(said[0], weaker)
        resolved[name] = said[0] if said else None
    return Facts(**resolved)  # type: ignore[arg-type] # each value comes from the field of the same name


def _joined(stronger: Hashes, weaker: Hashes) -> Hashes:
    """Return the hashes of one file from both, or the stronger ones alone where they are of two files."""
    pairs = [(getattr(stronger, f.name), getattr(weaker, f.name)) for f in fields(Hashes)]
    # AutoV2 is the beginning of SHA-256, and AutoV3 is told whole or by its first 12 digits.
    if any(one and other and not _agree(one, other) for one, other in [*pairs, (stronger.short, weaker.short)]):
        return stronger
    return Hashes(*(max(one or "", other or "", key=len) or None for one, other in pairs))


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A family that models are made for. ``aliases`` are other spellings of the same, compared by ``fold_base``."""

    name: str
    architecture: str
    is_sdxl: bool
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is looking. ``team`` is None for a caller without a key: public models only."""

    team: str | None
    scopes: frozenset[Scope] = frozenset({Scope.READ})

    def may(self, scope: Scope) -> bool:
        """Whether the key carries the scope; an admin's key carries all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


ANONYMOUS = Viewer(team=None)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the total order: rank descending, then id descending. It stays valid when its model is gone."""

    rank: int
    id: int


@dataclass(frozen=True, slots=True)
class Offset:
    """Skip this many matches from the start."""

    matches: int


@dataclass(frozen=True, slots=True)
class ModelQuery:
    """One question, already valid. ``None`` and empty mean: no restriction.

    ``terms``, ``tags`` and ``base_model`` are folded; ``types`` has families expanded; ``hash`` is upper-case hex.
    """

    visibility: Visibility | None = None
    source: Source | None = None
    types: frozenset[str] = frozenset()
    is_sdxl: bool | None = None
    is_inpainting: bool = False
    is_nsfw: bool | None = None
    terms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    base_model: str | None = None
    id: int | None = None
    hash: str | None = None
    limit: int = LIMIT_DEFAULT
    start: Position | Offset | None = None


def fold(text: str) -> str:
    """Return ``text`` as search compares it: Unicode NFKC, then casefold."""
    # ASCII is its own NFKC, and most names are ASCII: a tenth of the cost.
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def fold_base(name: str) -> str:
    """Return a base model's name as filters compare it: ``SD_1.5`` and ``sd 1.5`` are one."""
    return fold(name).replace("_", " ").strip()


def search_text(sd_name: str, name: str, tags: Sequence[str]) -> str:
    """Return the folded text that terms are looked for in.

    Fields are divided by line feeds: a term has no white space, so none can match across two fields.
    """
    return fold("\n".join((sd_name, name, *tags)))


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was read and not taken.

    ``where`` leads a person to it (``models.jsonl.xz:17: model 23, version 25``), ``reason`` is one of a few sentences
    that a summary can count, ``detail`` is what is particular to this case.
    """

    where: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" + (f": {self.detail}" if self.detail else "")
