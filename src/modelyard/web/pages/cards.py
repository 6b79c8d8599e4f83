"""A model as a card of the gallery: from the record that the API answers, so that both always say the same.

Cards are made once and kept: the same popular models are on everybody's first page.
"""

import re
import zlib
from dataclasses import dataclass

import msgspec
from markupsafe import Markup

from modelyard import wire
from modelyard.domain import COVER_WIDTHS, COVERS, TYPE_FAMILIES, Source, cover_path, model_type, split_extension
from modelyard.web.cache import LRUCache
from modelyard.web.pages.templates import environment
from modelyard.web.static_files import static_address

_KEPT_BYTES_MAX = 8 * 1024 * 1024
# Only what is kept here is shown: the page asks no other host for a picture.
_COVER = re.compile(re.escape(COVERS) + r"([A-Za-z0-9_-]{1,100})/\d{1,5}\.webp")
_FILE_NUMBER = re.compile(r"_\d{4,}$")
SOURCE_LABELS = {Source.CIVITAI: "Civitai", Source.TRAINING: "Trained here", Source.UPLOADING: "Uploaded"}

# The drawings of static/art.svg for each type; the name chooses among them. Nine models of ten are LoRAs: theirs are
# many.
_DRAWINGS = {
    "checkpoint": ("hills", "rings", "blocks"),
    "lora": ("waves", "arcs", "leaves", "bars", "moons", "sun", "fans"),
    "textualinversion": ("letters", "quote"),
    "vae": ("hourglass", "lens"),
    "controlnet": ("skeleton", "grid"),
    "upscaler": ("squares", "steps"),
}
_OTHER_DRAWINGS = ("tiles", "kites")
_PALETTES, _TURNS = 12, 4

_decode = msgspec.json.Decoder(wire.ModelRecord).decode


@dataclass(frozen=True, slots=True)
class Art:
    """A placeholder: which drawing, in which colours, turned which way. Chosen by type and name, always the same."""

    address: str
    classes: str


@dataclass(frozen=True, slots=True)
class Cover:
    """A picture that is kept here: its address in the width most need, and in all there are."""

    address: str
    choices: str


@dataclass(frozen=True, slots=True)
class Card:
    """What a template shows of a model."""

    record: wire.ModelRecord
    title: str
    cover: Cover | None
    art: Art | None
    popularity: int | None

    @property
    def type_label(self) -> str:
        """The kind of model, as people read it."""
        return label_of_type(self.record.type.name)

    @property
    def source_label(self) -> str:
        """Where the model came from, as people read it."""
        return SOURCE_LABELS[Source(self.record.source)]


def label_of_type(name: str) -> str:
    """Return a type's name for people: as the API displays it, but for two that it displays as no one writes them."""
    return {"lora": "LoRA", "locon": "LoCon"}.get(name) or model_type(name).display_name


class Cards:
    """Makes cards, and keeps them by what they show."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[bytes, int | None], Markup] = LRUCache(_KEPT_BYTES_MAX)
        self._read: LRUCache[bytes, wire.ModelRecord] = LRUCache(_KEPT_BYTES_MAX)
        self._template = environment().get_template("card.html")

    def read(self, record: bytes) -> wire.ModelRecord:
        """Return what a rendered record says."""
        read = self._read.get(record)
        if read is None:
            read = read_record(record)
            self._read.put(record, read, 4 * len(record))  # its strings and fields as objects, roughly
        return read

    def render(self, record: bytes, read: wire.ModelRecord, rank: int | None) -> Markup:
        """Return the card of a rendered record, which was read already."""
        card = self._kept.get((record, rank))
        if card is None:
            card = Markup(self._template.render(card=card_of(read, rank)))  # noqa: S704 # the template has escaped it
            self._kept.put((record, rank), card, len(card) + len(record))
        return card


def read_record(record: bytes) -> wire.ModelRecord:
    """Read a record, without the links that only a request can fill in."""
    return _decode(wire.fill_holes(record, lambda *_: "") if wire.has_holes(record) else record)


def card_of(record: wire.ModelRecord, rank: int | None) -> Card:
    """Return what is shown of a record."""
    cover, title = cover_of(record), title_of(record)
    return Card(record, title, cover, None if cover else art_of(record.type.name, title), rank)


def cover_of(record: wire.ModelRecord) -> Cover | None:
    """Return the picture of a model, if this server keeps one."""
    found = _COVER.fullmatch(record.cover_url)
    if found is None:
        return None
    choices = ", ".join(f"{cover_path(found[1], width)} {width}w" for width in COVER_WIDTHS)
    return Cover(cover_path(found[1], COVER_WIDTHS[0]), choices)


def title_of(record: wire.ModelRecord) -> str:
    """Return what to call a model. Civitai's ``name`` is the version's; the file is called by the model's."""
    if record.source != Source.CIVITAI:
        return record.name
    stem, _ = split_extension(record.sd_name)
    return " ".join(_FILE_NUMBER.sub("", stem).replace("_", " ").split()) or record.name


def art_of(type_name: str, title: str) -> Art:
    """Return the placeholder of a model without a cover."""
    family = "lora" if type_name in TYPE_FAMILIES["lora"] else type_name
    drawings = _DRAWINGS.get(family, _OTHER_DRAWINGS)
    seed = zlib.crc32(title.encode())
    drawing = drawings[seed % len(drawings)]
    palette = seed // 64 % _PALETTES
    turn = seed // 4096 % _TURNS
    return Art(f"{static_address('art.svg')}#{drawing}", f"art p{palette} t{turn}")
