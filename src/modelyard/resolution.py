"""The models of the catalogue that a workflow needs.

Each need is matched by what is most certain: a hash, the id of a version (in an AIR or an address), the name of a file.
Words come last; what they match is offered, and never counts as found.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import (
    HASH_LENGTHS,
    OWN_ID_MIN,
    QUERY_TERMS_MAX,
    TYPE_FAMILIES,
    ModelQuery,
    Viewer,
    fold,
    fold_file_name,
    squeeze,
)
from modelyard.fetches.sources import Source, VersionSource, parse_air_source, parse_url_source
from modelyard.index import OverBudgetError, question_budget
from modelyard.layouts import comfyui_folder
from modelyard.workflows import Declaration, Need, Needs
from modelyard.workflows.needs import WEIGHTS_SUFFIXES, is_file_name

MODELS_MAX = 5  # matches of one need
# Needs that are searched for by words; each costs up to a page. The largest of the public templates names 15 models.
_WORD_SEARCHES_MAX = 10
_AIR = re.compile(r"(?:(?:urn:)?air:[\w.-]+:[\w.-]+:)?civitai:([0-9]{1,15})@([0-9]{1,15})", re.ASCII | re.IGNORECASE)
_VERSION_ADDRESS = re.compile(
    r"https?://(?:www\.)?civitai\.(?:com|red|green)/(?:api/download/models/|models/[0-9]+[^?#]*\?(?:[^#]*&)?modelVersionId=)"
    r"([0-9]{1,15})(?![0-9])",
    re.IGNORECASE,
)
_FILE_ID = re.compile(r"_[0-9]{4,15}(?=\.[a-z0-9]+\Z|\Z)", re.IGNORECASE)
_NO_WORDS = re.compile(r"[\W_]+")
_LORAS = TYPE_FAMILIES["lora"]
# The types of models whose files are in a folder. A folder that is not here holds models of any type.
_TYPES: Mapping[str, frozenset[str]] = {
    "checkpoints": frozenset({"checkpoint"}),
    "controlnet": frozenset({"controlnet", "t2iadapter"}),
    "diffusion_models": frozenset({"checkpoint", "unet"}),
    "embeddings": frozenset({"textualinversion"}),
    "hypernetworks": frozenset({"hypernetwork"}),
    "loras": _LORAS,
    "text_encoders": frozenset({"textencoder", "clip"}),
    "upscale_models": frozenset({"upscaler"}),
    "vae": frozenset({"vae"}),
}


@dataclass(frozen=True, slots=True)
class Match:
    """What the catalogue has for a need. ``how`` is "none" without ``records``, which are rendered, best first."""

    need: Need
    how: str
    ids: tuple[int, ...] = ()
    records: tuple[bytes, ...] = ()

    @property
    def is_found(self) -> bool:
        """Whether the first record is the model that is needed; what words match is only offered."""
        return self.how not in ("none", "words")


_RECORDS = msgspec.json.Decoder(wire.ModelRecord)


def resolve(catalog: Catalog, viewer: Viewer, needs: Needs) -> list[Match]:
    """Return a match for each need, of the models that the viewer may see. Cost: 20 µs a need, words up to 1 ms."""
    catalog.refresh()
    resolver = _Resolver(catalog, viewer, needs)
    return [resolver.match(need) for need in needs]


class _Resolver:
    def __init__(self, catalog: Catalog, viewer: Viewer, needs: Needs) -> None:
        self._catalog = catalog
        self._viewer = viewer
        self._word_searches_left = _WORD_SEARCHES_MAX
        digits = {spelling for need in needs for text in need.hashes for spelling in _spellings(text)}
        # A file cannot be called as its hash is, for every name ends in a suffix: the texts do not mix.
        self._names = {need.name: _names_of(need.name) for need in needs}
        self._lookup = catalog.look_up(viewer, digits, {name for names in self._names.values() for name in names})

    def match(self, need: Need) -> Match:
        """Return the best match of one need."""
        types = _TYPES.get(need.directory or "", frozenset())
        for text in need.hashes:
            for spelling in _spellings(text):
                if models := self._lookup.best(spelling, types, MODELS_MAX):
                    return _join(need, _kind_of_hash(need, spelling), models)
        for how, version_id in _versions_of(need):
            records = self._catalog.search(self._viewer, ModelQuery(id=version_id, limit=1)).records
            if records:
                return _join(need, how, [(version_id, records[0])])
        for name in self._names[need.name]:
            if models := self._lookup.best(name, types, MODELS_MAX):
                is_sd_name = fold_file_name(_decode_names(models[0][1]).sd_name) == fold_file_name(name)
                return _join(need, "sd_name" if is_sd_name else "file_name", models)
        return self._by_words(need)

    def _by_words(self, need: Need) -> Match:
        if not self._word_searches_left:
            return Match(need, "none")
        words = [squeeze(word) for word in _NO_WORDS.split(fold(_stem(need.name)))]
        words = [word for word in words if len(word) > 1][:QUERY_TERMS_MAX]
        if not words:
            return Match(need, "none")
        self._word_searches_left -= 1
        query = ModelQuery(words=tuple(words), types=_TYPES.get(need.directory or "", frozenset()), limit=MODELS_MAX)
        try:
            records = self._catalog.search(self._viewer, query, question_budget()).records
        except OverBudgetError:
            records = []
        return _join(need, "words", [(_decode_names(record).id, record) for record in records])


def _join(need: Need, how: str, models: Sequence[tuple[int, bytes]]) -> Match:
    ids, records = tuple(model_id for model_id, _ in models), tuple(record for _, record in models)
    return Match(need, how if models else "none", ids, records)


class _Names(msgspec.Struct):
    """What is compared of a record: it is decoded for each need, and the whole takes four times as long."""

    id: int
    sd_name: str


_NAMES = msgspec.json.Decoder(_Names)


def _decode_names(record: bytes) -> _Names:
    return _NAMES.decode(wire.fill_holes(record, lambda *_: "", ""))


def _spellings(digits: str) -> list[str]:
    """Return the spellings of a hash that the index knows: itself, and the beginnings that have a name of their own.

    Some programs write the beginning of SHA-256 where AutoV3 belongs, or all 64 digits of the hash that AutoV3 is the
    beginning of. So a text of any length may be either.
    """
    upper = digits.upper()
    shorter = (12,) if len(upper) == HASH_LENGTHS[-1] else HASH_LENGTHS[-2::-1]
    lengths = [len(upper), *(length for length in shorter if length < len(upper))]
    return [upper[:length] for length in lengths if length in HASH_LENGTHS]


def _kind_of_hash(need: Need, spelling: str) -> str:
    """Return the kind of the hash that found a model: the one that the workflow states, or else by its length."""
    return need.hash_type or {12: "autov3", 64: "sha256"}.get(len(spelling), "autov2")


def _versions_of(need: Need) -> Iterable[tuple[str, int]]:
    """Yield the ids of versions that a need names, and how."""
    if need.air and (match := _AIR.fullmatch(need.air.strip())):
        yield "air", int(match[2])
    if need.version_id is not None:
        yield "air", need.version_id
    if need.url and (match := _VERSION_ADDRESS.match(need.url)):
        yield "url", int(match[1])


def _names_of(name: str) -> list[str]:
    """Return the names that the file may have: as it is, with a suffix if it has none, and without an id at its end."""
    base = name.replace("\\", "/").rpartition("/")[2]
    names = [base]
    if (shorter := _FILE_ID.sub("", base)) != base and _stem(shorter):
        names.append(shorter)
    return names if is_file_name(base) else [name + suffix for name in names for suffix in WEIGHTS_SUFFIXES]


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    suffix = next((suffix for suffix in WEIGHTS_SUFFIXES if base.lower().endswith(suffix)), "")
    return base[: len(base) - len(suffix)]


def find_source(match: Match) -> Source | None:
    """Return where the file of a need can be fetched: the listed version that matches, else its AIR or its address."""
    need = match.need
    if match.is_found and match.ids[0] < OWN_ID_MIN:
        return VersionSource(match.ids[0])
    if need.version_id is not None:
        return VersionSource(need.version_id)
    for text, parse in ((need.air, parse_air_source), (need.url, parse_url_source)):
        if text:
            with contextlib.suppress(errors.InvalidValue):
                return parse(text)
    return None


def declare(matches: Iterable[Match], link_for: Callable[[str, str], str]) -> list[Declaration]:
    """Return where the files of the matches are. What words match, or has no file here, is left out."""
    declarations = []
    for match in matches:
        links: list[tuple[str, str]] = []

        def note(sha256: str, label: str, links: list[tuple[str, str]] = links) -> str:
            links.append((sha256, link_for(sha256, label)))
            return links[-1][1]

        if match.is_found:
            record = _RECORDS.decode(wire.fill_holes(match.records[0], note, ""))
            directory = match.need.directory or comfyui_folder(record.type.name)
            base = match.need.name.replace("\\", "/").rpartition("/")[2]
            name = match.need.name if is_file_name(base) else record.sd_name
            declarations += [Declaration(name, directory, url, sha256, match.need.nodes) for sha256, url in links[:1]]
    return declarations


def join_matches(matches: Iterable[Match], needs: Needs) -> bytes:
    """Return the answer of the API, with the holes of its records."""
    answers = []
    found_count = 0
    for match in matches:
        need = match.need
        digest = need.hashes[0] if need.hashes else None
        head = wire.NeedAnswer(need.name, need.directory, digest, need.url, need.nodes, match.how)
        answers.append((head, match.records))
        found_count += match.is_found
    return wire.join_needs(answers, found_count, needs.unknown_nodes, is_truncated=needs.is_truncated)
