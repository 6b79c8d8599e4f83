"""The tags of a model on the hub: its own, and what the catalogue knows of it in the hub's words."""

from collections.abc import Sequence

from modelyard.domain import OWN_ID_MIN, Model
from modelyard.web.hub.base_models import hub_id_of

PIPELINE_TAG = "text-to-image"
LIBRARY = "diffusers"
NSFW = "not-for-all-audiences"
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
    hub_id, library = hub_id_of(base_model), library_of(type_name)
    tags = [*((library,) if library else ()), type_name, *own]
    if hub_id:
        tags.append(f"base_model:{hub_id}")
    if licence:
        tags.append(f"license:{licence}")
    if is_nsfw:
        tags.append(NSFW)
    if civitai:
        tags.append(f"civitai:{civitai}")
    return list(dict.fromkeys(tags))


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


def licence_of(model: Model) -> str | None:
    """Return the id of the licence; ``other`` for one without an id, None if nothing is known."""
    if model.licence is None:
        return None
    return model.licence.id or "other"
