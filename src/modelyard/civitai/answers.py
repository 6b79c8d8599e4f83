"""What the catalogue knows in Civitai's spelling: parts of the answers that ``records`` reads back.

A value that is not known is left out. It uses no files, networks or the catalogue.
"""

from collections.abc import Mapping
from typing import Any

from modelyard.domain import Hashes, Licence, ModelType
from modelyard.facts import Image, ModelFile, Resource

# Programs compare Civitai's spelling exactly.
_TYPES = {
    "lora": "LORA",
    "locon": "LoCon",
    "controlnet": "Controlnet",
    "textualinversion": "TextualInversion",
}
# Civitai's levels of an image that is safe, and of one that is not.
_SAFE_LEVEL, _UNSAFE_LEVEL = 1, 4


def spell_type(kind: ModelType) -> str:
    """Return Civitai's word for a type."""
    return _TYPES.get(kind.name, kind.display_name)


def drop_missing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def make_file(file: ModelFile) -> dict[str, Any]:
    """Return a file of a version."""
    file_format = drop_missing({"format": file.format, "size": file.size_kind, "fp": file.precision})
    content = {
        "id": file.id,
        "name": file.name,
        "type": file.type,
        "sizeKB": None if file.size_bytes is None else file.size_bytes / 1024,
        "primary": file.is_primary,
        "metadata": file_format or None,
        "hashes": make_hashes(file.hashes or Hashes()),
    }
    return drop_missing(content)


def make_hashes(hashes: Hashes) -> dict[str, str]:
    """Return the hashes of a file."""
    spellings = {
        "AutoV1": hashes.autov1,
        "AutoV2": hashes.short or None,
        "AutoV3": hashes.autov3,
        "SHA256": hashes.sha256,
        "BLAKE3": hashes.blake3,
        "CRC32": hashes.crc32,
    }
    return drop_missing(spellings)


def make_permissions(licence: Licence | None) -> dict[str, Any]:
    """Return the four permissions, as far as they are known."""
    if licence is None:
        return {}
    uses = licence.allow_commercial
    permissions = {
        "allowCommercialUse": None if uses is None else [use.capitalize() for use in uses],
        "allowNoCredit": licence.allow_no_credit,
        "allowDerivatives": licence.allow_derivatives,
        "allowDifferentLicense": licence.allow_different_licence,
    }
    return drop_missing(permissions)


def make_cover(address: str) -> dict[str, Any]:
    """Return the picture that everyone may see, without how it was made."""
    return {"url": address, "nsfwLevel": _SAFE_LEVEL, "type": "image"}


def make_image(image: Image) -> dict[str, Any]:
    """Return an example image, with how it was made."""
    level = None if image.is_nsfw is None else _UNSAFE_LEVEL if image.is_nsfw else _SAFE_LEVEL
    meta = {
        "prompt": image.prompt,
        "negativePrompt": image.negative_prompt,
        "seed": image.seed,
        "sampler": image.sampler,
        "steps": image.steps,
        "cfgScale": image.cfg,
        "resources": [_make_resource(resource) for resource in image.resources] or None,
    }
    size = {"width": image.width, "height": image.height}
    return drop_missing({"url": image.url, "nsfwLevel": level, "type": "image", **size, "meta": drop_missing(meta)})


def _make_resource(resource: Resource) -> dict[str, Any]:
    return drop_missing(
        {
            "name": resource.name,
            "type": resource.type,
            "weight": resource.weight,
            "hash": resource.hash,
            "modelVersionId": resource.version_id,
        }
    )
