"""The tags of a model on the hub: its own, and what the catalogue knows of it in the hub's words."""

from collections.abc import Sequence
from functools import lru_cache

from modelyard.domain import OWN_ID_MIN, Model
from modelyard.wire.hub_base_models import hub_id_of

PIPELINE_TAG = "text-to-image"
LIBRARY = "diffusers"
NSFW = "not-for-all-audiences"
_UPSTREAM_GROUP = "civitai:"
# The types that diffusers loads.
LIBRARY_TYPES = frozenset(
    (
        "checkpoint",
        "lora",
        "locon",
        "dora",
        "vae",
        "controlnet",
        "textualinversion",
        "unet",
        "motionmodule",
        "ipadapter",
    )
)


def library_of(type_name: str) -> str | None:
    """Return the library that loads models of this type."""
    return LIBRARY if type_name in LIBRARY_TYPES else None


def join_tags(
    own: Sequence[str], type_name: str, base_model: str, *, is_nsfw: bool, licence: str | None, civitai: str | None
) -> list[str]:
    """Return the tags of a model from its fields, each once."""
    before, after = surrounding_tags(type_name, base_model, is_nsfw, licence)
    tags = [*before, *own, *after]
    if civitai:
        tags.append(f"civitai:{civitai}")
    return tags if len(set(tags)) == len(tags) else list(dict.fromkeys(tags))


@lru_cache(maxsize=1024)
def surrounding_tags(
    type_name: str, base_model: str, is_nsfw: bool, licence: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags before and after those that are a model's own. Few models have different ones."""
    hub_id, library = hub_id_of(base_model), library_of(type_name)
    after = (
        f"base_model:{hub_id}" if hub_id else "",
        f"license:{licence}" if licence else "",
        NSFW if is_nsfw else "",
    )
    return ((library, type_name) if library else (type_name,)), tuple(tag for tag in after if tag)


def tags_of(model: Model, upstream_model_id: int | None) -> list[str]:
    """Return the tags of a model. ``upstream_model_id`` is that of Civitai, if the model is from there."""
    is_upstream = upstream_model_id is not None and model.id < OWN_ID_MIN
    return join_tags(
        model.tags,
        model.type.name,
        model.base_model,
        is_nsfw=model.is_nsfw,
        licence=licence_of(model),
        civitai=f"{upstream_model_id}@{model.id}" if is_upstream else None,
    )


def upstream_id(model_id: int, version_group: str) -> int | None:
    """Return the id of Civitai's model that a version is of; None if the model is from elsewhere."""
    digits = version_group.removeprefix(_UPSTREAM_GROUP)
    is_upstream = model_id < OWN_ID_MIN and digits != version_group and digits.isdecimal()
    return int(digits) if is_upstream else None


def licence_of(model: Model) -> str | None:
    """Return the id of the licence; ``other`` for one without an id, None if nothing is known."""
    if model.licence is None:
        return None
    return model.licence.id or "other"
