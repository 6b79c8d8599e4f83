"""The fields of the form that edits a model: what each shows of facts, what each source says, and what a save means.

A field that keeps its value changes nothing. A field with the value that the other sources have together gives up the
owner's value, so that it follows them again; any other value becomes the owner's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelyard import errors
from modelyard.domain import CATEGORIES, Licence, Model, model_type
from modelyard.facts import Entry, Facts, Layer, Recommended, resolve
from modelyard.licences import format_licence, parse_licence
from modelyard.registry.changes import RecommendedChange, read_recommended
from modelyard.registry.fields import (
    checked_categories,
    checked_cover,
    checked_description,
    checked_word,
    read_name,
    read_tags,
    read_trigger_words,
    refused,
)
from modelyard.web.pages.labels import LAYER_LABELS, get_type_label

Values = Mapping[str, list[str]]
# The fact of each field. Several fields may show parts of one fact.
_COMMERCIAL = ("licence_image", "licence_rent", "licence_sell")
_TERMS = {
    "licence_credit": "allow_no_credit",
    "licence_derivatives": "allow_derivatives",
    "licence_different": "allow_different_licence",
}
_LICENCE = ("licence_name", "licence_url", *_COMMERCIAL, *_TERMS)
_WEIGHT = ("weight", "weight_min", "weight_max")
FACT_BY_FIELD = {
    "name": "name",
    "type_name": "type",
    "base_model": "base_model",
    "base_model_type": "base_model_type",
    "description": "description",
    "trigger_words": "trigger_words",
    **dict.fromkeys(_WEIGHT, "recommended"),
    "tags": "tags",
    "category": "categories",
    **dict.fromkeys(_LICENCE, "licence"),
    "cover_url": "cover_url",
    "is_nsfw": "is_nsfw",
}
_LONG = ("description", "trigger_words")
_SHOWN_CHARS_MAX = 160


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one source says of a fact. ``key`` names it in the form, ``is_current`` whether the field shows it."""

    key: str
    label: str
    text: str
    is_current: bool


def list_values(facts: Facts) -> dict[str, list[str]]:
    """Return the values of the form's fields for facts."""
    licence, recommended = facts.licence or Licence(), facts.recommended or Recommended()
    uses = licence.allow_commercial
    return {
        "name": [facts.name or ""],
        "type_name": [facts.type.name if facts.type else ""],
        "base_model": [facts.base_model or ""],
        "base_model_type": [facts.base_model_type or ""],
        "description": [facts.description or ""],
        "trigger_words": ["\n".join(facts.trigger_words or ())],
        **{name: [_format_number(getattr(recommended, name))] for name in _WEIGHT},
        "tags": [", ".join(facts.tags or ())],
        "category": [category for category in facts.categories or () if category in CATEGORIES.values()],
        "licence_name": [licence.name or licence.id or ""],
        "licence_url": [licence.url or ""],
        **{name: [_format_answer(None if uses is None else name[8:] in uses)] for name in _COMMERCIAL},
        **{name: [_format_answer(getattr(licence, field))] for name, field in _TERMS.items()},
        "cover_url": [facts.cover_url or ""],
        "is_nsfw": ["1"] if facts.is_nsfw else [],
    }


def facts_of(entry: Entry) -> Facts:
    """Return the facts that the form shows: the resolved ones, spelled as the model has them."""
    model = entry.model
    return replace(
        resolve(entry.layers) if entry.layers else Facts(),
        name=model.name,
        type=model.type,
        base_model=model.base_model,
        base_model_type=model.base_model_type,
        tags=model.tags,
        categories=model.categories,
        cover_url=model.cover_url,
        is_nsfw=model.is_nsfw,
    )


def list_suggestions(entry: Entry, values: Values) -> dict[str, list[Suggestion]]:
    """Return what the sources besides the owner say, by fact, the strongest first, each value once."""
    suggestions: dict[str, list[Suggestion]] = {}
    for layer in sorted((layer for layer in entry.layers if layer is not Layer.USER), reverse=True):
        layer_values = list_values(entry.layers[layer])
        for fact in dict.fromkeys(FACT_BY_FIELD.values()):
            text = _describe(entry.layers[layer], fact)
            sources = suggestions.setdefault(fact, [])
            if text and fact != "cover_url" and text not in [other.text for other in sources]:
                names = [name for name in layer_values if FACT_BY_FIELD[name] == fact]
                is_current = all(_is_same(name, layer_values[name], values[name]) for name in names)
                sources.append(Suggestion(f"{fact}.{int(layer)}", LAYER_LABELS[layer], text, is_current))
    return suggestions


def apply_suggestion(entry: Entry, key: str, values: Values) -> dict[str, list[str]]:
    """Return the values of the form with what a source says of one fact. Raises InvalidValue for an unknown key."""
    fact, _, number = key.partition(".")
    layers = {str(int(layer)): facts for layer, facts in entry.layers.items()}
    if fact not in FACT_BY_FIELD.values() or number not in layers:
        raise errors.InvalidValue(f"use: {key[:64]!r} is not accepted", field="use", given=key[:64])
    layer_values = list_values(layers[number])
    return {name: layer_values[name] if FACT_BY_FIELD[name] == fact else value for name, value in values.items()}


def fingerprint(name: str, texts: list[str]) -> list[str]:
    """Return the values that the form carries to tell what it showed: a digest of a long one."""
    if name not in _LONG:
        return texts
    return [hashlib.sha256(_lines(texts).encode()).hexdigest()[:32]]


def read_changes(shown: Values, values: Values) -> set[str]:
    """Return the facts of which a field differs from what the form showed."""
    return {
        FACT_BY_FIELD[name]
        for name in FACT_BY_FIELD
        if not _is_same("", fingerprint(name, values.get(name, [])), shown.get(name, []))
    }


def read_facts(entry: Entry, changes: set[str], values: Values) -> tuple[Facts, set[str]]:
    """Return the facts that become the owner's, and the names of those that follow the other sources again."""
    others: dict[Layer, Facts] = {layer: facts for layer, facts in entry.layers.items() if layer is not Layer.USER}
    rest = list_values(resolve(others) if others else Facts())
    resets = set()
    for fact in changes - {"cover_url"}:
        names = [name for name in FACT_BY_FIELD if FACT_BY_FIELD[name] == fact]
        if all(_is_same(name, rest[name], values.get(name, [])) for name in names) and (
            fact != "name" or rest["name"][0]
        ):
            resets.add(fact)
    return _read_facts(
        entry, changes - resets, {name: (texts or [""])[0].strip() for name, texts in values.items()}, values
    ), resets


def _read_facts(entry: Entry, changes: set[str], texts: Mapping[str, str], values: Values) -> Facts:
    facts = Facts()
    if "name" in changes:
        name, title = read_name(texts.get("name", ""))
        facts = replace(facts, name=name, title=title)
    if "type" in changes and texts.get("type_name"):
        facts = replace(facts, type=model_type(checked_word("type_name", texts["type_name"])))
    if "base_model" in changes:
        facts = replace(facts, base_model=checked_word("base_model", texts.get("base_model", "")))
    if "base_model_type" in changes:
        facts = replace(facts, base_model_type=checked_word("base_model_type", texts.get("base_model_type", "")))
    if "description" in changes:
        facts = replace(facts, description=checked_description(texts.get("description", "")))
    if "trigger_words" in changes:
        facts = replace(facts, trigger_words=read_trigger_words(texts.get("trigger_words", "").splitlines()))
    if "recommended" in changes:
        facts = replace(facts, recommended=_read_weight(facts_of(entry).recommended, texts))
    if "tags" in changes:
        facts = replace(facts, tags=read_tags(texts.get("tags", "").split(",")))
    if "categories" in changes:
        facts = replace(facts, categories=checked_categories(values.get("category", [])))
    if "licence" in changes:
        facts = replace(facts, licence=_read_licence(entry.model, texts))
    if "cover_url" in changes:
        facts = replace(facts, cover_url=checked_cover(texts.get("cover_url", "")))
    if "is_nsfw" in changes:
        facts = replace(facts, is_nsfw=bool(texts.get("is_nsfw")))
    return facts


def _read_weight(before: Recommended | None, texts: Mapping[str, str]) -> Recommended:
    numbers: dict[str, float | None] = {}
    for name in _WEIGHT:
        text = texts.get(name, "").replace(",", ".")
        try:
            numbers[name] = float(text) if text else None
        except ValueError:
            raise refused(name, text, "a number such as 0.8") from None
    weight, weight_min, weight_max = (numbers[name] for name in _WEIGHT)
    read_recommended(RecommendedChange(weight, weight_min, weight_max))
    return replace(before or Recommended(), weight=weight, weight_min=weight_min, weight_max=weight_max)


def _read_licence(model: Model, texts: Mapping[str, str]) -> Licence:
    before, name, url = model.licence or Licence(), texts.get("licence_name", ""), texts.get("licence_url", "")
    if url and not (url.startswith(("https://", "http://")) and url.isprintable() and len(url) <= 2048):
        raise refused("licence_url", url, "an address beginning with https:// or http://")
    is_same_name = name == (before.name or before.id or "")
    names = before if is_same_name else parse_licence(name) if name else Licence()
    answers = {field: _read_answer(field, texts) for field in (*_COMMERCIAL, *_TERMS)}
    is_stated = any(answers[field] is not None for field in _COMMERCIAL)
    return Licence(
        names.id,
        names.name,
        url or names.url if not is_same_name else url or None,
        tuple(field[8:] for field in _COMMERCIAL if answers[field]) if is_stated else None,
        answers["licence_credit"],
        answers["licence_derivatives"],
        answers["licence_different"],
    )


def _read_answer(field: str, texts: Mapping[str, str]) -> bool | None:
    text = texts.get(field, "")
    if text not in ("", "yes", "no"):
        raise refused(field, text, "yes, no, or nothing")
    return None if not text else text == "yes"


def _describe(facts: Facts, fact: str) -> str:
    """Return a fact as short text for people; empty if the layer has no value, or an empty one."""
    value = getattr(facts, fact)
    if fact == "is_nsfw" and value is not None:
        return "not safe for work" if value else "safe for work"
    if not value:
        return ""
    if fact == "type":  # a guess that knows nothing is no suggestion
        return "" if value.name == "unknown" else get_type_label(value.name)
    if fact == "licence":
        return format_licence(value)
    if fact == "recommended":
        numbers = (value.weight, value.weight_min, value.weight_max)
        return " / ".join(_format_number(number) or "–" for number in numbers) if any(numbers) else ""
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…"


def _is_same(name: str, one: list[str], other: list[str]) -> bool:
    if name in _LONG:
        return _lines(one) == _lines(other)
    return _normalize(one) == _normalize(other)


def _normalize(texts: list[str]) -> set[str]:
    """Return the texts of a field as browsers send them back: text fields have no line breaks."""
    return {text.replace("\r", "").replace("\n", "").strip() for text in texts} - {""}


def _lines(texts: list[str]) -> str:
    return "\n".join(line.rstrip() for line in "".join(texts).strip().splitlines())


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _format_answer(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
