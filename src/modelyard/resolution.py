"""The models of the catalogue that a workflow needs.

Each need is matched by what is most certain: a hash, the id of a version (in an AIR or an address), the name of a file.
Words come last; what they match is offered, and never counts as found.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from modelyard import wire
from modelyard.catalog import Catalog
from modelyard.domain import (
    HASH_LENGTHS,
    QUERY_TERMS_MAX,
    TYPE_FAMILIES,
    ModelQuery,
    Viewer,
    fold,
    fold_file_name,
    squeeze,
)
from modelyard.index import OverBudgetError, question_budget
from modelyard.workflows import Need, Needs
from modelyard.workflows.needs import WEIGHTS_SUFFIXES, is_file_name

MODELS_MAX = 5  # matches of one need
# Needs that are searched for by words; each costs up to a page.
_WORD_SEARCHES_MAX = 50
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
    """Return a match for each need, of the models that the viewer may see. Cost: some 20 µs a need, words 0.3 ms."""
    catalog.refresh()
    resolver = _Resolver(catalog, viewer, needs)
    return [resolver.match(need) for need in needs]


class _Resolver:
    def __init__(self, catalog: Catalog, viewer: Viewer, needs: Needs) -> None:
        self._catalog = catalog
        self._viewer = viewer
        self._word_searches_left = _WORD_SEARCHES_MAX
        digits = {spelling for need in needs for text in need.hashes for spelling in _spellings(text)}
        self._by_hash = catalog.find_by_hash(viewer, digits)
        names = {name for need in needs for name in _names_of(need)}
        self._by_name = catalog.find_by_file_name(viewer, names)

    def match(self, need: Need) -> Match:
        """Return the best match of one need."""
        for text in need.hashes:
            for spelling in _spellings(text):
                if ids := self._by_hash[0][spelling]:
                    return self._join(need, _kind_of_hash(need, spelling), ids, self._by_hash[1])
        for how, version_id in _versions_of(need):
            records = self._catalog.search(self._viewer, ModelQuery(id=version_id, limit=1)).records
            if records:
                return self._join(need, how, [version_id], {version_id: records[0]})
        for name in _names_of(need):
            if ids := self._by_name[0][name]:
                return self._by_file_name(need, name, ids)
        return self._by_words(need)

    def _by_file_name(self, need: Need, name: str, ids: list[int]) -> Match:
        match = self._join(need, "file_name", ids, self._by_name[1])
        is_sd_name = fold_file_name(_decode(match.records[0]).sd_name) == fold_file_name(name)
        return replace(match, how="sd_name") if is_sd_name else match

    def _by_words(self, need: Need) -> Match:
        words = [squeeze(word) for word in _NO_WORDS.split(fold(_stem(need.name)))]
        words = [word for word in words if len(word) > 1][:QUERY_TERMS_MAX]
        if not words or not self._word_searches_left:
            return Match(need, "none")
        self._word_searches_left -= 1
        query = ModelQuery(words=tuple(words), types=_TYPES.get(need.directory or "", frozenset()), limit=MODELS_MAX)
        try:
            records = self._catalog.search(self._viewer, query, question_budget()).records
        except OverBudgetError:
            records = []
        by_id = {_decode(record).id: record for record in records}
        return self._join(need, "words", [*by_id], by_id) if by_id else Match(need, "none")

    def _join(self, need: Need, how: str, ids: Iterable[int], records: Mapping[int, bytes]) -> Match:
        """Return a match. Models of a type that the folder is for come first, and alone if there are some."""
        types = _TYPES.get(need.directory or "")
        ids = [*ids]
        if types:
            suitable = [model_id for model_id in ids if _decode(records[model_id]).type.name in types]
            ids = suitable or ids
        ids = ids[:MODELS_MAX]
        return Match(need, how, tuple(ids), tuple(records[model_id] for model_id in ids))


def _decode(record: bytes) -> wire.ModelRecord:
    return _RECORDS.decode(wire.fill_holes(record, lambda *_: "", ""))


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


def _names_of(need: Need) -> list[str]:
    """Return the names that the file may have: as it is, with a suffix if it has none, and without an id at its end."""
    base = need.name.replace("\\", "/").rpartition("/")[2]
    names = [base]
    if (shorter := _FILE_ID.sub("", base)) != base and _stem(shorter):
        names.append(shorter)
    return names if is_file_name(base) else [name + suffix for name in names for suffix in WEIGHTS_SUFFIXES]


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    suffix = next((suffix for suffix in WEIGHTS_SUFFIXES if base.lower().endswith(suffix)), "")
    return base[: len(base) - len(suffix)]


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
