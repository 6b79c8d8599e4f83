"""Converts between domain values and table rows; only this module knows the columns of a model.

Building an index reads every model, so ``models_of`` is a hot loop over plain tuples: about 7 µs a row with the reading
(benchmarks/store.py). Lists are JSON text, so that both databases store them alike.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from modelyard import errors
from modelyard.domain import BaseModel, Hashes, Licence, Model, ModelType, Source, Status, Visibility
from modelyard.facts import Entry, Facts, Image, Layer, ModelFile, Recommended, Resource
from modelyard.licences import parse_licence
from modelyard.store import schema
from modelyard.store.damage import damage_error

Row = tuple[object, ...]

TEAM_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
INT64_MAX = 2**63 - 1
_SURROGATE = "holds a lone surrogate, which is no character"

MODEL_COLUMNS = tuple(column for column in schema.models.columns if column.name != "revision")

_Values = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]
# The fields of the values that are stored as JSON, and what reads them: a loop over the fields takes twice as long.
_FIELDS: Mapping[type, _Values] = {
    kind: (tuple(kind.__dataclass_fields__), attrgetter(*kind.__dataclass_fields__))
    for kind in (Facts, Hashes, ModelFile, Image, Resource, Recommended, Licence)
}
_hashes_values = _FIELDS[Hashes][1]
_encode = msgspec.json.Encoder().encode
_facts_decoder = msgspec.json.Decoder(Facts)
_texts_decoder = msgspec.json.Decoder(tuple[str, ...])
_licence_decoder = msgspec.json.Decoder(Licence)
_NO_HASHES = Hashes()
# What only layers have that were stored before migration 0011. Quotes inside of values are escaped.
_OLDER_FORMS = ('"upstream_model_name":', '"licence":"')


def _decode_facts(text: str) -> Facts:
    try:
        if any(form in text for form in _OLDER_FORMS):
            return _decode_older_facts(text)
        return _facts_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise damage_error(None, problem) from problem


def _decode_older_facts(text: str) -> Facts:
    """Decode a layer with another name of the title, and with a licence that is a text."""
    values: dict[str, Any] = msgspec.json.decode(text)
    if "upstream_model_name" in values:
        values.setdefault("title", values.pop("upstream_model_name"))
    licence = values.pop("licence", None)
    facts = msgspec.convert(values, Facts)
    return replace(facts, licence=parse_licence(licence)) if isinstance(licence, str) else facts


def _decode_licence(text: str) -> Licence:
    try:
        return _licence_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise damage_error(None, problem) from problem


def _decode_texts(text: str) -> tuple[str, ...]:
    try:
        return _texts_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise damage_error(None, problem) from problem


def models_of(rows: Iterable[Any]) -> Iterator[Model]:
    """Yield the models of rows whose columns are ``MODEL_COLUMNS``, in their order."""
    # Look up the few values that repeat over a whole catalogue instead of making them: less time, far less memory.
    types: dict[tuple[str, str], ModelType] = {}
    texts: dict[str, tuple[str, ...]] = {"[]": ()}
    licences: dict[str | None, Licence | None] = {None: None}
    sources: Mapping[str, Source] = {source.value: source for source in Source}
    visibilities: Mapping[str, Visibility] = {visibility.value: visibility for visibility in Visibility}
    statuses = {0: Status.UNAVAILABLE, 1: Status.AVAILABLE}
    for (
        id_, name, sd_name, type_name, type_display_name, source, visibility, team, status, base_model, base_model_type,
        is_sdxl, is_nsfw, tags, categories, cover_url, rank, autov1, autov2, autov3, sha256, blake3, crc32, blob,
        file_hashes, title, creator, trigger_words, file_names, published_at, updated_at, added_at, size_bytes, licence,
        version_group,
    ) in rows:  # fmt: skip # one name a column, in the table's order
        type_ = types.get((type_name, type_display_name))
        if type_ is None:
            type_ = types[type_name, type_display_name] = ModelType(type_name, type_display_name)
        category_names = texts.get(categories)
        if category_names is None:
            category_names = texts[categories] = _decode_texts(categories)
        if licence not in licences:
            licences[licence] = _decode_licence(licence)
        yield Model(
            id_,
            name,
            sd_name,
            type_,
            sources[source],
            visibilities[visibility],
            team,
            statuses[status],
            base_model,
            base_model_type,
            # SQLite returns 0 and 1.
            is_sdxl == 1,
            is_nsfw == 1,
            _decode_texts(tags) if tags != "[]" else (),
            category_names,
            cover_url,
            rank,
            Hashes(autov1, autov3, sha256, blake3, crc32, autov2)
            if sha256 or autov2 or autov1 or autov3 or blake3 or crc32
            else _NO_HASHES,
            blob,
            tuple(file_hashes.split()) if file_hashes else (),
            title or "",
            creator or "",
            _decode_texts(trigger_words) if trigger_words else (),
            _decode_texts(file_names) if file_names else (),
            published_at,
            updated_at,
            added_at,
            size_bytes,
            licences[licence],
            version_group or "",
        )


def row_of(model: Model, revision: int) -> Row:
    """Return the row of a model: ``MODEL_COLUMNS``, then the revision."""
    hashes = model.hashes
    return (
        model.id,
        model.name,
        model.sd_name,
        model.type.name,
        model.type.display_name,
        model.source.value,
        model.visibility.value,
        model.team,
        model.status.value,
        model.base_model,
        model.base_model_type,
        model.is_sdxl,
        model.is_nsfw,
        texts_json(model.tags),
        texts_json(model.categories),
        model.cover_url,
        model.rank,
        hashes.autov1,
        hashes.autov2,
        hashes.autov3,
        hashes.sha256,
        hashes.blake3,
        hashes.crc32,
        model.blob,
        " ".join(model.file_hashes) or None,
        model.title or None,
        model.creator or None,
        texts_json(model.trigger_words) if model.trigger_words else None,
        texts_json(model.file_names) if model.file_names else None,
        model.published_at,
        model.updated_at,
        model.added_at,
        model.size_bytes,
        None if model.licence is None else _licence_json(model.licence).decode(),
        model.version_group or None,
        revision,
    )


def texts_json(texts: tuple[str, ...]) -> str:
    """Return the stored form of a list of texts."""
    return _encode(texts).decode() if texts else "[]"


# SQLite stores a row of the layers beside others up to this size; a longer one takes a page of 4 KiB for its end. Most
# layers are longer, so the long facts have a row of their own, whose number is this much greater than the layer's.
_ROW_CHARS_MAX = 900
_LONG_FACTS_OFFSET = 16
_LONG_FACTS = ("files", "images", "description", "notes", "evidence")


def facts_jsons(facts: Facts) -> tuple[str, str]:
    """Return the stored form of one layer without the fields that are None: one row, or one and that of long facts."""
    values = _known_values(facts)
    if facts.hashes is not None:
        values["hashes"] = _known_values(facts.hashes)
    if facts.recommended is not None:
        values["recommended"] = _known_values(facts.recommended)
    if facts.licence is not None:
        values["licence"] = msgspec.Raw(_licence_json(facts.licence))
    if facts.files is not None:
        values["files"] = [_file_json(file) for file in facts.files]
    if facts.images is not None:
        values["images"] = [_image_json(image) for image in facts.images]
    long_values = {name: values.pop(name) for name in _LONG_FACTS if name in values}
    text = _encode(values).decode()
    if not long_values:
        return text, ""
    long_text = _encode(long_values).decode()
    if len(text) + len(long_text) <= _ROW_CHARS_MAX:
        return _join_json(text, long_text), ""
    return text, long_text


def _join_json(text: str, other: str) -> str:
    """Return one JSON object with the members of two; the second has some."""
    return other if text == "{}" else f"{text[:-1]},{other[1:]}"


# A whole catalogue has a few dozen licences.
@lru_cache(maxsize=1024)
def _licence_json(licence: Licence) -> bytes:
    return _encode(_known_values(licence))


def _known_values(value: object) -> dict[str, Any]:
    """Return the fields of a value that are not None."""
    names, read = _FIELDS[type(value)]
    return {name: field for name, field in zip(names, read(value), strict=True) if field is not None}


def _file_json(file: ModelFile) -> dict[str, object]:
    names, read = _FIELDS[ModelFile]
    values: dict[str, object] = {name: value for name, value in zip(names, read(file), strict=True) if value}
    if file.hashes is not None:
        values["hashes"] = _known_values(file.hashes)
    return values


def _image_json(image: Image) -> dict[str, object]:
    values = _known_values(image)
    resources = values.pop("resources")
    if resources:
        values["resources"] = [_known_values(resource) for resource in resources]
    return values


def layers_of(rows: Iterable[Any]) -> dict[int, dict[Layer, Facts]]:
    """Return layers by model id of rows (model id, layer, facts)."""
    texts: dict[int, dict[int, str]] = {}
    for model_id, number, text in rows:
        of_model = texts.setdefault(model_id, {})
        layer = number % _LONG_FACTS_OFFSET
        if layer not in of_model:
            of_model[layer] = text
        elif layer == number:
            of_model[layer] = _join_json(text, of_model[layer])
        else:
            of_model[layer] = _join_json(of_model[layer], text)
    return {
        model_id: {Layer(layer): _decode_facts(text) for layer, text in of_model.items()}
        for model_id, of_model in texts.items()
    }


def base_model_of(row: Any) -> BaseModel:
    """Return the base model of a row (name, architecture, is_sdxl, aliases)."""
    name, architecture, is_sdxl, aliases = row
    return BaseModel(name, architecture, bool(is_sdxl), _decode_texts(aliases))


def row_of_base_model(base_model: BaseModel) -> dict[str, object]:
    """Return the row of a base model, by column."""
    return {
        "name": base_model.name,
        "architecture": base_model.architecture,
        "is_sdxl": base_model.is_sdxl,
        "aliases": texts_json(base_model.aliases),
    }


def layer_rows_of(entry: Entry) -> list[Row]:
    """Return the rows of an entry's layers. Raises InvalidValue if a text in one is invalid."""
    id_ = entry.model.id
    layer_rows: list[Row] = []
    try:
        for layer, facts in entry.layers.items():
            text, long_text = facts_jsons(facts)
            layer_rows.append((id_, layer.value, text))
            if long_text:
                layer_rows.append((id_, layer.value + _LONG_FACTS_OFFSET, long_text))
    except UnicodeEncodeError:
        raise _unstorable(entry.model, _SURROGATE) from None
    return layer_rows


def refuse_unstorable(entry: Entry) -> None:
    """Raise InvalidValue unless every database can store the entry.

    UTF-8 has no lone surrogates, PostgreSQL stores no NUL, and integers have 64 bits. Call this before putting the
    entry into a transaction, so that one bad record does not undo the others.
    """
    refuse_unstorable_model(entry.model)
    layer_rows_of(entry)


def refuse_unstorable_model(model: Model) -> None:
    """Raise InvalidValue if the model's own row cannot be stored."""
    # Join all texts: one search and one encoding instead of twenty.
    text = "\n".join(
        (
            model.name,
            model.sd_name,
            model.type.name,
            model.type.display_name,
            model.base_model,
            model.base_model_type,
            model.cover_url,
            model.blob or "",
            model.title,
            model.creator,
            model.version_group,
            *model.tags,
            *model.categories,
            *(value for value in _hashes_values(model.hashes) if value),
        )
    )
    if "\0" in text:
        raise _unstorable(model, "holds a NUL character")
    # These are stored as JSON, which escapes NUL.
    text = "\n".join((text, *model.trigger_words, *model.file_names))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _unstorable(model, _SURROGATE) from None
    if not 0 <= model.id <= INT64_MAX:
        raise _unstorable(model, f"its id {model.id} is outside 0 to 2^63-1")
    if not -INT64_MAX - 1 <= model.rank <= INT64_MAX:
        raise _unstorable(model, f"its rank {model.rank} has more than 64 bits")
    if model.team is not None:
        refuse_team_name(model.team)
    elif model.visibility is Visibility.PRIVATE:
        raise _unstorable(model, "is private and has no team, so that nobody could see it")


def refuse_team_name(team: str) -> None:
    """Raise InvalidValue unless ``team`` is a team's name."""
    if not TEAM_NAME.fullmatch(team):
        raise errors.InvalidValue(
            f"team: {team[:64]!r} is not accepted; accepted: up to 63 of a-z, 0-9, '-', '_', beginning with a-z or 0-9",
            field="team",
            given=team[:64].encode(errors="replace").decode(),
            allowed=TEAM_NAME.pattern,
        )


def _unstorable(model: Model, problem: str) -> errors.InvalidValue:
    return errors.InvalidValue(f"model {model.id}: {problem}", model=model.id, problem=problem)
