"""The obvious answer: filter, sort, slice. Slow, short, and what the index is compared with."""

from collections.abc import Iterable

from modelyard.domain import Licence, Model, ModelQuery, Offset, Position, Viewer, Visibility, fold, fold_base


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
        and (query.id is None or model.id == query.id)
        and (query.hash is None or query.hash in {*model.hashes.spellings(), *model.file_hashes})
        and all(tag in tags for tag in query.tags)
        and all(any(term in text for text in texts) for term in query.terms)
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


def page(models: Iterable[Model], viewer: Viewer, query: ModelQuery) -> tuple[list[Model], Position | None]:
    found = matching(models, viewer, query)
    if isinstance(query.start, Offset):
        found = found[query.start.matches :]
    elif query.start is not None:
        start = query.start
        found = [m for m in found if (-m.rank, -m.id) > (-start.rank, -start.id)]
    found = found[: query.limit]
    return found, found[-1].position if len(found) == query.limit else None
