"""The nouns: model, source, viewer, query and position.

Plain values. Every part depends on them, and they depend on nothing: standard library only, no I/O, no names of the API
(``modelyard.wire`` has those).
"""

import enum
import time
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
QUERY_TERMS_MAX = 16
# The orders of models: newest, updated and added by date, the latest first; size, the largest first; name, A to Z.
# REVERSED before one means the other direction. Models without the date or size are last in both.
POPULAR = "popular"
SORTS = (POPULAR, "newest", "updated", "name", "size", "added")
REVERSED = "-"
# Names are compared by so many bytes, so that a position in the order of names stays short.
NAME_KEY_BYTES_MAX = 40
_NO_CONTROLS = dict.fromkeys((*range(32), 127))
# Civitai's version ids are in the low millions; ours start where they cannot meet, and stay below 2^31 for clients
# that read ids into 32-bit integers.
OWN_ID_MIN = 1_000_000_000
OWN_ID_MAX = 2**31 - 1
# The end of the year 9999 in Unix time; Python has no later dates.
DATE_SECONDS_MAX = 253_402_300_799


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
    """What an API key allows. READ includes DOWNLOAD, which allows to get the bytes of files and nothing else."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    DOWNLOAD = "download"


class Verdict(enum.StrEnum):
    """How safe inspection found a file; the order of the members is from good to bad."""

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"
    ERROR = "error"
    DANGEROUS = "dangerous"

    @property
    def is_sound(self) -> bool:
        """Whether a file with this verdict may be stored as a model: neither broken nor dangerous."""
        return self in (Verdict.CLEAN, Verdict.SUSPICIOUS)

    def is_servable(self, *, serves_suspicious: bool) -> bool:
        """Whether a file with this verdict may be sent, where the setting ``suspicious_files`` says so."""
        return self is Verdict.CLEAN or (self is Verdict.SUSPICIOUS and serves_suspicious)


@dataclass(frozen=True, slots=True)
class ModelType:
    """A kind of model. Filters compare ``name``, people read ``display_name``."""

    name: str
    display_name: str


# The six types of the vendor's document in its spelling, then the other types of Civitai. A type that is not in this
# table keeps the spelling of its source.
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
# A filter `lora` means the family: low-rank adapters that every LoRA loader accepts. Answers have the exact name.
TYPE_FAMILIES: Mapping[str, frozenset[str]] = {"lora": frozenset({"lora", "locon", "dora"})}
BASE_MODEL_TYPES = ("Standard", "Inpainting", "Refiner", "Pix2Pix", "Depth")
# The categories of uploads. The numbers are part of the API, so a name may change and a number may not. They start
# where the vendor's do.
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

# The paths of covers on this server, in three widths: COVERS, the cover's name, a slash, the width and ".webp".
COVERS = "/covers/"
COVER_WIDTHS = (320, 640, 1280)


def cover_path(name: str, width: int = 640) -> str:
    """Return the path of a cover on this server."""
    return f"{COVERS}{name}/{width}.webp"


# What programs write where they know nothing.
_PLACEHOLDERS = frozenset({"", "unknown", "none", "null", "n/a", "undefined"})


def is_placeholder(text: str) -> bool:
    """Whether a word from another program says only that the program does not know."""
    return text.strip().casefold() in _PLACEHOLDERS


def model_type(spelling: str) -> ModelType:
    """Return the type with this name. An unknown type keeps the spelling as its display name."""
    name = spelling.casefold()
    return MODEL_TYPES.get(name) or ModelType(name, spelling)


@dataclass(frozen=True, slots=True)
class Hashes:
    """A file's hashes, upper-case hexadecimal, ``None`` where unknown. Lengths: 8, 64 or 12, 64, 64, 8."""

    autov1: str | None = None
    autov3: str | None = None
    sha256: str | None = None
    blake3: str | None = None
    crc32: str | None = None
    # The first ten digits of SHA-256. Some sources have only these.
    autov2: str | None = None

    @property
    def short(self) -> str:
        """The first ten digits of SHA-256, which the API calls ``hash_sha256``; empty if unknown."""
        return self.sha256[:10] if self.sha256 else self.autov2 or ""

    def spellings(self) -> frozenset[str]:
        """Return every form that ``filter.hash`` accepts for this file: the full hashes and their usual short forms."""
        forms = {self.autov1, self.autov2, self.autov3, self.sha256, self.blake3, self.crc32}
        if self.sha256:
            forms |= {self.sha256[:10], self.sha256[:12]}
        if self.autov3:
            forms.add(self.autov3[:12])
        return frozenset(filter(None, forms))


HASH_LENGTHS = (8, 10, 12, 64)


@dataclass(frozen=True, slots=True)
class Licence:
    """What a model's licence allows. None: unknown, which is never "allowed".

    ``allow_commercial`` lists the commercial uses that are allowed, of ``COMMERCIAL_USES``; empty: none is.
    """

    id: str | None = None
    name: str | None = None
    url: str | None = None
    allow_commercial: tuple[str, ...] | None = None
    allow_no_credit: bool | None = None
    allow_derivatives: bool | None = None
    allow_different_licence: bool | None = None


COMMERCIAL_USES = ("image", "rent", "sell")
# The value of a licence filter for models whose licence does not say.
UNKNOWN = "unknown"


# The classes of sizes that the filter knows, each with the bytes below which a file is in it.
SIZE_CLASSES: Mapping[str, int] = {
    "0-100mb": 100 * 10**6,
    "100-500mb": 500 * 10**6,
    "500mb-2gb": 2 * 10**9,
    "2-8gb": 8 * 10**9,
    "8gb": 2**63,
}
_SIZE_NAMES, _SIZE_BOUNDS = tuple(SIZE_CLASSES), tuple(SIZE_CLASSES.values())


def size_class(size_bytes: int | None) -> str:
    """Return the class of a size."""
    if size_bytes is None:
        return UNKNOWN
    return _SIZE_NAMES[bisect_right(_SIZE_BOUNDS, size_bytes)]


def year_of(seconds: int | None) -> str:
    """Return the year of a date (UTC)."""
    return UNKNOWN if seconds is None else str(time.gmtime(seconds).tm_year)


@dataclass(frozen=True, slots=True)
class Model:
    """One model as the catalogue answers it. Every field is resolved."""

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
    # An address, or the path of a cover on this server.
    cover_url: str = ""
    rank: int = 0
    hashes: Hashes = field(default_factory=Hashes)
    # SHA-256 (lower case) of the bytes that this server can serve; None if it has none.
    blob: str | None = None
    # Every form of the hashes of its further files, sorted.
    file_hashes: tuple[str, ...] = ()
    # The upstream model's name, or the display title of an own model, in any script.
    title: str = ""
    creator: str = ""
    trigger_words: tuple[str, ...] = ()
    # The names of its files, as their source gives them.
    file_names: tuple[str, ...] = ()
    # Unix seconds; None where unknown. ``added_at`` is when this catalogue first stored the model.
    published_at: int | None = None
    updated_at: int | None = None
    added_at: int | None = None
    size_bytes: int | None = None
    licence: Licence | None = None
    # The versions of one model have the same group; empty if it has none.
    version_group: str = ""

    @property
    def sd_name_in_api(self) -> str:
        """The name for generation calls: without the extension for the types that prompts name."""
        if self.type.name in TYPE_FAMILIES["lora"] or self.type.name == "textualinversion":
            return split_extension(self.sd_name)[0] or self.sd_name
        return self.sd_name

    @property
    def is_inpainting(self) -> bool:
        """Whether this is an inpainting checkpoint."""
        return self.type.name == "checkpoint" and self.base_model_type == "Inpainting"

    @property
    def name_key(self) -> str:
        """The name by which models are sorted: the title, or else ``sd_name``, folded and cut."""
        name = fold(self.title or self.sd_name).translate(_NO_CONTROLS).strip()
        return name.encode()[:NAME_KEY_BYTES_MAX].decode(errors="ignore")

    @property
    def position(self) -> "Position":
        """The model's position in the order of all models."""
        return Position(self.rank, self.id)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model. ``aliases`` are other spellings of its name, compared by ``fold_base``."""

    name: str
    architecture: str
    is_sdxl: bool
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller. ``team`` is None for a caller without a key, who sees public models only.

    ``key_fingerprint`` names the key in signed links and sessions; empty without a key. Callers with several keys of a
    team are equal: they see the same. ``user`` is the name of a person who signed in without a key; empty for keys.
    """

    team: str | None
    scopes: frozenset[Scope] = frozenset({Scope.READ})
    key_fingerprint: str = field(default="", compare=False)
    user: str = field(default="", compare=False)

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope. An admin's key has all."""
        implied = scope is Scope.DOWNLOAD and Scope.READ in self.scopes
        return scope in self.scopes or Scope.ADMIN in self.scopes or implied


ANONYMOUS = Viewer(team=None)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A position in the order of all models: rank descending, then id descending. It stays valid without its model."""

    rank: int
    id: int


@dataclass(frozen=True, slots=True)
class SortPosition:
    """A position in the order ``sort``: a model's key in it (None: unknown), and its id. Valid without its model."""

    sort: str
    key: int | str | None
    id: int


@dataclass(frozen=True, slots=True)
class Offset:
    """A start after this many matches."""

    matches: int


@dataclass(frozen=True, slots=True)
class ModelQuery:
    """A valid query. None and empty values restrict nothing.

    A set of values matches models with any of them. A value that begins with ``!`` excludes models with it, so a set
    of such values alone matches all other models; ``split_choice`` divides a set. ``terms``, ``words``,
    ``tags`` and ``base_models`` are folded; ``types`` has families expanded; ``hash`` is upper-case hex.
    """

    visibility: Visibility | None = None
    sources: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    is_sdxl: bool | None = None
    is_inpainting: bool = False
    is_nsfw: bool | None = None
    terms: tuple[str, ...] = ()
    # The words of ``filter.search``; a query has terms or words.
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    base_models: frozenset[str] = frozenset()
    licences: frozenset[str] = frozenset()
    commercial: frozenset[str] = frozenset()
    credit: frozenset[str] = frozenset()
    derivatives: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()
    years: frozenset[str] = frozenset()
    id: int | None = None
    hash: str | None = None
    limit: int = LIMIT_DEFAULT
    start: Position | SortPosition | Offset | None = None
    # One of SORTS, or one after REVERSED. A position of another order than this one is not valid.
    sort: str = POPULAR


def split_sort(sort: str) -> tuple[str, bool]:
    """Return the order's name, and whether it is reversed."""
    return sort.removeprefix(REVERSED), sort.startswith(REVERSED)


NOT = "!"


def split_choice(values: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the values that a query asks for, and those that it excludes."""
    excluded = frozenset(value.removeprefix(NOT) for value in values if value.startswith(NOT))
    return frozenset(value for value in values if not value.startswith(NOT)), excluded


def split_extension(file_name: str) -> tuple[str, str]:
    """Return a file's stem, and its extension without the dot, empty where the name has none.

    The part behind the last dot is an extension if it looks like one: letters and digits, short, not all digits. So
    ``kl-f8.vae.pt`` ends in ``pt``, and ``style v1.5`` has no extension.
    """
    stem, _, extension = file_name.rpartition(".")
    is_extension = len(extension) <= 12 and extension.isalnum() and not extension.isdecimal()
    return (stem, extension) if is_extension and len(extension) < len(file_name) else (file_name, "")


def fold_file_name(name: str) -> str:
    """Return a file's name as names are compared: without its folders, and whatever its case."""
    return fold(name.replace("\\", "/").rpartition("/")[2].strip())


def fold(text: str) -> str:
    """Return ``text`` as search compares it: Unicode NFKC, then casefold."""
    # ASCII is its own NFKC, and most names are ASCII: a tenth of the cost.
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


class _Separators(dict[int, str]):
    """Maps what separates words to a space: punctuation, white space, control characters, the symbols of ASCII."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        category = unicodedata.category(letter)
        is_separator = category[0] in "PZ" or category == "Cc" or (code < 128 and category[0] == "S")
        self[code] = " " if is_separator else letter
        return self[code]


_SEPARATORS = _Separators()
_ASCII_SEPARATORS = bytes(code for code in range(128) if _SEPARATORS[code] == " ")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a folded text, each once. A word has no separator in it."""
    return tuple(dict.fromkeys(text.translate(_SEPARATORS).split()))


def squeeze(text: str) -> str:
    """Return a folded text without what separates words."""
    if text.isascii():
        # A twentieth of the time, and nearly all texts are ASCII.
        return text.encode().translate(None, _ASCII_SEPARATORS).decode()
    return "".join(text.translate(_SEPARATORS).split())


def fold_base(name: str) -> str:
    """Return a base model's name as filters compare it: ``SD_1.5`` and ``sd 1.5`` are the same."""
    return fold(name).replace("_", " ").strip()


def search_text(sd_name: str, name: str, tags: Sequence[str]) -> str:
    """Return the folded text that search terms are matched against.

    Line feeds separate the fields. A term has no white space, so that it cannot match across two fields.
    """
    return fold("\n".join((sd_name, name, *tags)))


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that was read and not imported.

    ``where`` names its location (``models.jsonl.xz:17: model 23, version 25``). ``reason`` is one of a few sentences
    that a summary counts. ``detail`` is specific to this record.
    """

    where: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" + (f": {self.detail}" if self.detail else "")
