"""AIR, the name of a model version that programs share: ``urn:air:sd1:lora:civitai:4201@114600``."""

import re
from dataclasses import dataclass

from modelyard.domain import OWN_ID_MIN, Model

ALLOWED = "urn:air:<ecosystem>:<type>:civitai:<model id>@<version id>"
_WORD = r"[a-z0-9][a-z0-9_.-]{0,62}"
_AIR = re.compile(
    rf"(?:urn:)?air:(?P<ecosystem>{_WORD}):(?P<type>{_WORD}):civitai:(?P<model>[0-9]{{1,15}})@(?P<version>[0-9]{{1,15}})",
    re.ASCII | re.IGNORECASE,
)
# The types that AIR names otherwise.
_TYPES = {"textualinversion": "embedding", "locon": "lycoris", "hypernetwork": "hypernet", "motionmodule": "motion"}
_ECOSYSTEMS = (("sd 1", "sd1"), ("sd 2", "sd2"), ("sd 3", "sd3"), ("flux.1", "flux1"), ("stable cascade", "scascade"))
_NOT_IN_WORDS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Air:
    """The parts of a name. ``model_id`` and ``version_id`` are Civitai's."""

    ecosystem: str
    type: str
    model_id: int
    version_id: int

    def __str__(self) -> str:
        return f"urn:air:{self.ecosystem}:{self.type}:civitai:{self.model_id}@{self.version_id}"


def parse_air(text: str) -> Air:
    """Return the parts of a name. Raises ValueError."""
    match = _AIR.fullmatch(text.strip())
    if match is None:
        raise ValueError
    return Air(match["ecosystem"].lower(), match["type"].lower(), int(match["model"]), int(match["version"]))


def air_of(model: Model, upstream_model_id: int | None) -> Air | None:
    """Return the name of a model; None for a model that is no version of Civitai."""
    if upstream_model_id is None or model.id >= OWN_ID_MIN:
        return None
    type_ = _TYPES.get(model.type.name) or _NOT_IN_WORDS.sub("", model.type.name) or "other"
    return Air(_find_ecosystem(model), type_, upstream_model_id, model.id)


def _find_ecosystem(model: Model) -> str:
    if model.is_sdxl:
        return "sdxl"
    name = model.base_model.casefold()
    ecosystem = next((word for start, word in _ECOSYSTEMS if name.startswith(start)), None)
    return ecosystem or _NOT_IN_WORDS.sub("", name) or "other"
