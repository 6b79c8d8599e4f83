"""The obvious answer: filter, sort, slice. Slow, short, and what the index is compared with."""

import unicodedata
from collections.abc import Iterable

from modelyard.domain import (
    Licence,
    Model,
    ModelQuery,
    Offset,
    Position,
    SortPosition,
    Viewer,
    Visibility,
    fold,
    fold_base,
    size_class,
    year_of,
)


def is_visible(model: Model, viewer: Viewer) -> bool:
    return model.visibility is Visibility.PUBLIC or (viewer.team is not None and model.team == viewer.team)


def passes(model: Model, query: ModelQuery) -> bool:
    texts = [fold(text) for text in (model.sd_name, model.name, *model.tags)]
    tags = {fold(tag).strip() for tag in model.tags}
    return (
        (query.visibility is None or model.visibility is query.visibility)
        and is_chosen({model.source.value}, query.sources)
        and is_chosen({model.type.name}, query.types)
        and (query.is_sdxl is None or model.is_sdxl == query.is_sdxl)
        and (query.is_nsfw is None or model.is_nsfw == query.is_nsfw)
        and (not query.is_inpainting or model.is_inpainting)
        and is_chosen({fold_base(model.base_model)}, query.base_models)
        and passes_licence(model.licence or Licence(), query)
        and is_chosen({size_class(model.size_bytes)}, query.sizes)
        and is_chosen({year_of(model.published_at)}, query.years)
        and (query.id is None or model.id == query.id)
        and (query.hash is None or query.hash in {*model.hashes.spellings(), *model.file_hashes})
        and all(tag in tags for tag in query.tags)
        and all(any(term in text for text in texts) for term in query.terms)
        and holds_words(model, query.words)
    )


def holds_words(model: Model, words: tuple[str, ...]) -> bool:
    fields = (
        model.title,
        model.sd_name,
        model.name,
        model.creator,
        *model.tags,
        *model.trigger_words,
        *model.file_names,
    )
    texts = [squeezed(fold(text)) for text in fields] if words else []
    hashes = {digits.lower() for digits in (*model.hashes.spellings(), *model.file_hashes)}
    return all(word in hashes or any(word in text for text in texts) for word in words)


def squeezed(text: str) -> str:
    """A text without white space, punctuation, control characters and the symbols of ASCII."""
    return "".join(
        letter
        for letter in text
        if not (
            unicodedata.category(letter)[0] in "PZ" or unicodedata.category(letter) == "Cc" or letter in "$+<=>^`|~"
        )
    )


def passes_licence(licence: Licence, query: ModelQuery) -> bool:
    uses = {"unknown"} if licence.allow_commercial is None else set(licence.allow_commercial)
    credit = {None: "unknown", True: "not_required", False: "required"}[licence.allow_no_credit]
    derivatives = {None: "unknown", True: "allowed", False: "not_allowed"}[licence.allow_derivatives]
    return (
        is_chosen({fold(licence.id or "unknown").strip()}, query.licences)
        and is_chosen(uses, query.commercial)
        and is_chosen({credit}, query.credit)
        and is_chosen({derivatives}, query.derivatives)
    )


def is_chosen(values: set[str], choice: frozenset[str]) -> bool:
    """Whether one of a model's values is asked for, or none is asked for at all, and none is excluded."""
    asked_for = {value for value in choice if not value.startswith("!")}
    return (not asked_for or bool(values & asked_for)) and not {f"!{value}" for value in values} & choice


def matching(models: Iterable[Model], viewer: Viewer, query: ModelQuery) -> list[Model]:
    """Every match in the one order, whatever the query's start and limit."""
    found = [model for model in models if is_visible(model, viewer) and passes(model, query)]
    return sorted(found, key=lambda model: (-model.rank, -model.id))


def key_of(model: Model, name: str) -> int | str | None:
    """A model's key in the order, as a position has it."""
    return {
        "popular": model.rank,
        "newest": model.published_at,
        "updated": model.updated_at,
        "added": model.added_at,
        "size": model.size_bytes,
        "name": model.name_key,
    }[name]


def in_order(keys: Iterable[tuple[int | str | None, int]], sort: str) -> list[tuple[int | str | None, int]]:
    """Keys and ids in the order ``sort``."""
    name, is_reversed = sort.removeprefix("-"), sort.startswith("-")
    keyed = [(key, -model_id) for key, model_id in keys if key is not None]
    if name == "name":
        keyed.sort(key=lambda pair: (str(pair[0]).encode(), pair[1]))
    else:
        keyed.sort(key=lambda pair: (-int(pair[0] or 0), pair[1]))
    if is_reversed:
        keyed.reverse()
    rest = sorted((model_id for key, model_id in keys if key is None), reverse=True)
    return [(key, -neg_id) for key, neg_id in keyed] + [(None, model_id) for model_id in rest]


def sorted_page(
    models: Iterable[Model], viewer: Viewer, query: ModelQuery
) -> tuple[list[Model], Position | SortPosition | None]:
    name = query.sort.removeprefix("-")
    by_key = {(key_of(model, name), model.id): model for model in matching(models, viewer, query)}
    start = query.start
    if isinstance(start, SortPosition):
        everything = in_order({*by_key, (start.key, start.id)}, query.sort)
        keys = everything[everything.index((start.key, start.id)) + 1 :]
    else:
        keys = in_order(by_key, query.sort)[start.matches if isinstance(start, Offset) else 0 :]
    keys = keys[: query.limit]
    following = SortPosition(query.sort, *keys[-1]) if len(keys) == query.limit else None
    return [by_key[key] for key in keys], following


def page(
    models: Iterable[Model], viewer: Viewer, query: ModelQuery
) -> tuple[list[Model], Position | SortPosition | None]:
    if query.sort != "popular":
        return sorted_page(models, viewer, query)
    found = matching(models, viewer, query)
    if isinstance(query.start, Offset):
        found = found[query.start.matches :]
    elif isinstance(query.start, Position):
        start = query.start
        found = [m for m in found if (-m.rank, -m.id) > (-start.rank, -start.id)]
    found = found[: query.limit]
    return found, found[-1].position if len(found) == query.limit else None
