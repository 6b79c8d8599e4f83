"""Model cards of the gallery, built from the same records that the API returns.

Cards are cached: the same popular models are on everybody's first page.
"""

import re
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from markupsafe import Markup, escape

from modelyard import wire
from modelyard.domain import COVER_WIDTHS, COVERS, TYPE_FAMILIES, Source, cover_path, split_extension
from modelyard.index import ListedModel
from modelyard.web.cache import LRUCache
from modelyard.web.pages.labels import SOURCE_LABELS, get_type_label
from modelyard.web.pages.templates import format_count, format_size, mark_breaks
from modelyard.web.static_files import static_address

_CACHE_BYTES_MAX = 8 * 1024 * 1024
# Pages show only covers stored on this server, never a picture from another host.
_COVER = re.compile(re.escape(COVERS) + r"([A-Za-z0-9_-]{1,100})/\d{1,5}\.webp")
_FILE_NUMBER = re.compile(r"_\d{4,}$")

# The drawings of static/art.svg for each type; the title selects one. Nine models of ten are LoRAs, so these have most.
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
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_decode = msgspec.json.Decoder(wire.ModelRecord).decode


@dataclass(frozen=True, slots=True)
class Art:
    """The placeholder of a model without a cover. Type and title determine its drawing, colours and rotation."""

    address: str
    classes: str


@dataclass(frozen=True, slots=True)
class Cover:
    """A stored cover: the address of its default width, and a ``srcset`` of all widths."""

    address: str
    srcset: str


@dataclass(frozen=True, slots=True)
class Card:
    """The values of a model that templates show. ``date`` is the day of publication, else of addition."""

    record: wire.ModelRecord
    title: str
    cover: Cover | None
    art: Art | None
    popularity: int | None = None
    size_bytes: int | None = None
    date: str = ""
    versions: int = 1

    @property
    def version(self) -> str:
        """The name of the version, if it says more than the title."""
        return self.record.name if self.record.name != self.title else ""

    @property
    def type_label(self) -> str:
        """The label of the model's type."""
        return get_type_label(self.record.type.name)

    @property
    def source_label(self) -> str:
        """The label of the model's source."""
        return SOURCE_LABELS[Source(self.record.source)]


class Cards:
    """Renders cards. Caches decoded records, and rendered cards by what they show."""

    def __init__(self) -> None:
        self._cards: LRUCache[tuple[ListedModel, Art | None], Markup] = LRUCache(_CACHE_BYTES_MAX)
        self._records: LRUCache[bytes, wire.ModelRecord] = LRUCache(_CACHE_BYTES_MAX)

    def decode(self, body: bytes) -> wire.ModelRecord:
        """Return the record of its JSON text."""
        record = self._records.get(body)
        if record is None:
            record = decode_record(body)
            self._records.put(body, record, 4 * len(body))  # roughly the size of its strings and fields as objects
        return record

    def render_all(self, models: Iterable[ListedModel]) -> list[Markup]:
        """Return the cards of a page. No two of its placeholders are alike."""
        drawings: set[tuple[str, int]] = set()
        return [self._render(model, drawings) for model in models]

    def _render(self, model: ListedModel, drawings: set[tuple[str, int]]) -> Markup:
        record = self.decode(model.record)
        cover, title = build_cover(record), model.title or build_title(record)
        art = None if cover else _choose_art(record.type.name, title, drawings)
        card = self._cards.get((model, art))
        if card is None:
            values = Card(
                record,
                title,
                cover,
                art,
                model.rank,
                model.size_bytes,
                _format_day(model.published_at if model.published_at is not None else model.added_at),
                model.versions,
            )
            card = _render(values)
            self._cards.put((model, art), card, len(card) + len(model.record))
        return card


def _render(card: Card) -> Markup:
    """Return a card as an item of a list. The template language takes 40 µs more, and a page has 24 of them (2026-11).

    Values are escaped, or numbers.
    """
    record = card.record
    title, number = escape(card.title), record.id
    release = f"{mark_breaks(card.version)}"
    if card.versions > 1:
        release += f"{' · ' if card.version else ''}{card.versions} versions"
    marks = ' <span class="veil">NSFW</span>' if record.is_nsfw else ""
    marks += ' <b class="private">private</b>' if record.visibility == "private" else ""
    marks += "" if record.status else ' <b class="waiting">not available</b>'
    popularity = format_count(card.popularity) if card.popularity is not None else "–"
    foot = f"<span>{format_size(card.size_bytes)}</span>" if card.size_bytes is not None else ""
    if card.date:
        foot += f"<span>{escape(card.date)}</span>"
    elif record.source != Source.CIVITAI:
        foot += f"<span>{escape(card.source_label)}</span>"
    return Markup(  # noqa: S704 # see above
        f'<li class="card{" nsfw" if record.is_nsfw else ""}"><label class="pick"><input type="checkbox" name="id" '
        f'value="{number}" form="choose"><span class="unseen">Choose {title}</span></label>'
        f'<a href="/models/{number}" id="m{number}">\n'
        f'<span class="cover">{_render_picture(card)}</span>\n'
        f'<span class="title">{mark_breaks(card.title)}</span>\n'
        f'<span class="meta release">{release}</span>\n'
        f'<span class="meta"><span class="chip">{escape(card.type_label)}</span> · '
        f"{escape(record.base_model or 'Unknown base model')}{marks}</span>\n"
        f'<span class="meta foot"><span class="popularity"><span class="unseen">popularity </span>{popularity}</span>'
        f"{foot}</span></a></li>"
    )


def _render_picture(card: Card) -> str:
    if card.art is not None:
        return f'<svg class="{card.art.classes}" aria-hidden="true"><use href="{escape(card.art.address)}"/></svg>'
    assert card.cover is not None, "a card without a cover has a drawing"
    return (
        f'<img src="{escape(card.cover.address)}" srcset="{escape(card.cover.srcset)}" '
        f'sizes="(max-width: 34rem) 45vw, 12rem" alt="" width="320" height="400" loading="lazy" decoding="async">'
    )


def decode_record(body: bytes) -> wire.ModelRecord:
    """Decode a record. Its download links stay empty, because each request has its own."""
    return _decode(wire.fill_holes(body, lambda *_: ""))


def build_card(record: wire.ModelRecord, rank: int | None) -> Card:
    """Return the card of a record."""
    cover, title = build_cover(record), build_title(record)
    return Card(record, title, cover, None if cover else _choose_art(record.type.name, title, set()), rank)


def _format_day(seconds: int | None) -> str:
    """Return a date such as 7 Nov 2025 (UTC); empty if it is unknown."""
    if seconds is None:
        return ""
    day = time.gmtime(seconds)
    return f"{day.tm_mday} {_MONTHS[day.tm_mon - 1]} {day.tm_year}"


def build_cover(record: wire.ModelRecord) -> Cover | None:
    """Return the model's cover, if this server stores it."""
    match = _COVER.fullmatch(record.cover_url)
    if match is None:
        return None
    srcset = ", ".join(f"{cover_path(match[1], width)} {width}w" for width in COVER_WIDTHS)
    return Cover(cover_path(match[1], COVER_WIDTHS[0]), srcset)


def build_title(record: wire.ModelRecord) -> str:
    """Return the title of a model. Civitai's ``name`` is that of the version, so the file name gives the title."""
    if record.source != Source.CIVITAI:
        return record.name
    stem, _ = split_extension(record.sd_name)
    return " ".join(_FILE_NUMBER.sub("", stem).replace("_", " ").split()) or record.name


def _choose_art(type_name: str, title: str, others: set[tuple[str, int]]) -> Art:
    """Return the placeholder of a title, and add its drawing and palette to ``others``.

    If they are among the others already, the next ones that are not.
    """
    family = "lora" if type_name in TYPE_FAMILIES["lora"] else type_name
    drawings = _DRAWINGS.get(family, _OTHER_DRAWINGS)
    seed = zlib.crc32(title.encode())
    drawing, palette, turn = seed % len(drawings), seed // 64 % _PALETTES, seed // 4096 % _TURNS
    # Other colours first, so that a title keeps its drawing as long as there are any. Nearly always the first look is
    # free.
    looks = (
        (drawings[(drawing + step // _PALETTES) % len(drawings)], (palette + step) % _PALETTES)
        for step in range(_PALETTES * len(drawings))
    )
    look = next((look for look in looks if look not in others), (drawings[drawing], palette))
    others.add(look)
    return Art(f"{static_address('art.svg')}#{look[0]}", f"art p{look[1]} t{turn}")
