"""A change of a model, as JSON or as the options of a command: only what is given becomes the owner's word."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from modelyard import errors
from modelyard.domain import COMMERCIAL_USES, Licence, Status, model_type
from modelyard.facts import Facts, Recommended
from modelyard.registry.fields import (
    checked_categories,
    checked_cover,
    checked_description,
    checked_title,
    checked_word,
    read_category,
    read_name,
    read_tags,
    read_trigger_words,
    read_visibility,
    refused,
)
from modelyard.registry.models import Edit

_URL_CHARS_MAX = 2048
_NUMBER_MAX = 10_000


class LicenceChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a licence allows; null is unknown."""

    id: str | None = None
    name: str | None = None
    url: str | None = None
    allow_commercial: list[str] | None = None
    allow_no_credit: bool | None = None
    allow_derivatives: bool | None = None
    allow_different_licence: bool | None = None


class RecommendedChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values that an owner recommends for generation."""

    weight: float | None = None
    weight_min: float | None = None
    weight_max: float | None = None
    clip_skip: int | None = None
    sampler: str | None = None
    steps: int | None = None
    cfg: float | None = None


class Change(msgspec.Struct, frozen=True):
    """The fields of a model that change. An absent field stays.

    A field that is null loses the value of its owner: the value of the file, or of an import, counts again.
    """

    name: str | msgspec.UnsetType | None = msgspec.UNSET
    title: str | msgspec.UnsetType | None = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    trigger_words: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    categories: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    category_id: int | str | msgspec.UnsetType = msgspec.UNSET
    type_name: str | msgspec.UnsetType | None = msgspec.UNSET
    base_model: str | msgspec.UnsetType | None = msgspec.UNSET
    base_model_type: str | msgspec.UnsetType | None = msgspec.UNSET
    licence: LicenceChange | str | msgspec.UnsetType | None = msgspec.UNSET
    recommended: RecommendedChange | msgspec.UnsetType | None = msgspec.UNSET
    version_group: str | msgspec.UnsetType | None = msgspec.UNSET
    cover_url: str | msgspec.UnsetType | None = msgspec.UNSET
    visibility: str | msgspec.UnsetType = msgspec.UNSET
    is_nsfw: bool | msgspec.UnsetType | None = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET


def edit_of(change: Change) -> Edit:
    """Return the edit that a change asks for. Raises InvalidValue, which names the field and what it accepts."""
    values = {name: value for name in Change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    if not values:
        raise errors.InvalidValue(
            f"nothing to change; accepted: {', '.join(Change.__struct_fields__)}", allowed=[*Change.__struct_fields__]
        )
    resets = ["type" if name == "type_name" else name for name, value in values.items() if value is None]
    values = {name: value for name, value in values.items() if value is not None}
    status = values.get("status")
    if status not in (None, 0, 1):
        raise errors.InvalidValue(f"status: {status} is not accepted; accepted: 0, 1", field="status", given=status)
    return Edit(
        _facts_of(values),
        read_visibility(values["visibility"]) if "visibility" in values else None,
        None if status is None else Status(status),
        resets,
    )


def _facts_of(values: dict[str, Any]) -> Facts:
    categories = values.get("categories")
    if "category_id" in values:
        categories = [*read_category(str(values["category_id"])), *(categories or [])]
    facts: dict[str, Any] = {name: read(values[name]) for name, read in _READERS.items() if name in values}
    if "name" in values:
        facts["name"], title = read_name(values["name"])
        if title is not None:
            facts.setdefault("title", title)
    if values.get("type_name"):
        facts["type"] = model_type(checked_word("type_name", values["type_name"]))
    if categories is not None:
        facts["categories"] = checked_categories(categories)
    return Facts(**facts)


def _read_licence(licence: LicenceChange | str) -> Licence:
    if isinstance(licence, str):
        return Licence(id=checked_word("licence", licence).casefold() or None)
    uses = licence.allow_commercial
    if uses is not None and (unknown := set(uses).difference(COMMERCIAL_USES)):
        raise refused("licence.allow_commercial", min(unknown), f"{', '.join(COMMERCIAL_USES)}, or an empty list")
    url = licence.url
    if url and (len(url) > _URL_CHARS_MAX or not url.startswith(("https://", "http://")) or not url.isprintable()):
        raise refused("licence.url", url, "an address beginning with https:// or http://")
    return Licence(
        checked_word("licence.id", licence.id).casefold() or None if licence.id else None,
        checked_title("licence.name", licence.name) or None if licence.name else None,
        url or None,
        None if uses is None else tuple(use for use in COMMERCIAL_USES if use in uses),
        licence.allow_no_credit,
        licence.allow_derivatives,
        licence.allow_different_licence,
    )


def read_recommended(recommended: RecommendedChange) -> Recommended:
    """Return recommended values. Raises InvalidValue for a number out of range."""
    for name in ("weight", "weight_min", "weight_max", "clip_skip", "steps", "cfg"):
        value = getattr(recommended, name)
        least = 0 if name in ("clip_skip", "steps") else -_NUMBER_MAX
        if value is not None and not least <= value <= _NUMBER_MAX:
            raise refused(f"recommended.{name}", str(value), f"a number from {least} to {_NUMBER_MAX}")
    sampler = recommended.sampler
    return Recommended(
        recommended.weight,
        recommended.weight_min,
        recommended.weight_max,
        recommended.clip_skip,
        checked_word("recommended.sampler", sampler) or None if sampler else None,
        recommended.steps,
        recommended.cfg,
    )


_READERS: Mapping[str, Callable[[Any], object]] = {
    "title": lambda text: checked_title("title", text),
    "description": checked_description,
    "tags": read_tags,
    "trigger_words": read_trigger_words,
    "base_model": lambda word: checked_word("base_model", word),
    "base_model_type": lambda word: checked_word("base_model_type", word),
    "licence": _read_licence,
    "recommended": read_recommended,
    "version_group": lambda name: checked_word("version_group", name),
    "is_nsfw": bool,
    "cover_url": checked_cover,
}
