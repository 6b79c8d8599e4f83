"""What SwarmUI and InvokeAI write into pictures → needs."""

from typing import Any

from modelyard.workflows import prompts
from modelyard.workflows.loaders import CHECKPOINTS, CONTROLNET, LORAS, TEXT_ENCODERS, VAE
from modelyard.workflows.needs import NAME_CHARS_MAX, Need, NeedCollector, digits_of

_ENTRIES_MAX = 200
_SWARM_KEYS = {
    "model": CHECKPOINTS,
    "refinermodel": CHECKPOINTS,
    "vae": VAE,
    "refinervae": VAE,
    "controlnetmodel": CONTROLNET,
    "controlnettwomodel": CONTROLNET,
    "controlnetthreemodel": CONTROLNET,
    "loras": LORAS,
    "refinerupscalemethod": prompts.UPSCALE_MODELS,
    "clipvisionmodel": "clip_vision",
    "videomodel": CHECKPOINTS,
}
_MODEL_METHOD = "model-"
_INVOKE_TYPES = {
    "main": CHECKPOINTS,
    "lora": LORAS,
    "vae": VAE,
    "controlnet": CONTROLNET,
    "t2i_adapter": CONTROLNET,
    "ip_adapter": "ipadapter",
    "embedding": prompts.EMBEDDINGS,
    "t5_encoder": TEXT_ENCODERS,
    "clip_embed": TEXT_ENCODERS,
    "clip_vision": "clip_vision",
    "spandrel_image_to_image": prompts.UPSCALE_MODELS,
    "control_lora": CONTROLNET,
    "flux_redux": "style_models",
}
_NO_MODEL = {"", "none", "automatic", "(none)"}


def read_swarm(document: dict[str, Any], needs: NeedCollector) -> None:
    """Collect the needs of ``{"sui_image_params": {…}, "sui_models": [{"name", "param", "hash"}]}``."""
    parameters = document.get("sui_image_params", document)
    if not isinstance(parameters, dict):
        return
    for key, directory in _SWARM_KEYS.items():
        value = parameters.get(key)
        for name in (value if isinstance(value, list) else [value])[:_ENTRIES_MAX]:
            if key != "refinerupscalemethod":
                _add(name, directory, None, needs)
            elif isinstance(name, str) and name.startswith(_MODEL_METHOD):
                _add(name.removeprefix(_MODEL_METHOD), directory, None, needs)
    models = document.get("sui_models")
    for model in (models if isinstance(models, list) else [])[:_ENTRIES_MAX]:
        if isinstance(model, dict):
            param = model.get("param")
            folder = _SWARM_KEYS.get(param) if isinstance(param, str) else None
            _add(model.get("name"), folder, model.get("hash"), needs)
    for key in ("prompt", "negativeprompt"):
        if isinstance(parameters.get(key), str):
            prompts.read_references(parameters[key], None, needs)


def read_invoke(document: dict[str, Any], needs: NeedCollector) -> None:
    """Collect the needs of ``invokeai_metadata``: every value with a name and a type of InvokeAI's models."""
    pending: list[Any] = [document]
    left = 10_000
    while pending and left:
        left -= 1
        value = pending.pop()
        if isinstance(value, dict):
            kind = value.get("type", value.get("model_type"))
            name = value.get("name", value.get("model_name"))
            if isinstance(name, str) and isinstance(kind, str) and kind in _INVOKE_TYPES:
                _add(name, _INVOKE_TYPES[kind], value.get("hash"), needs)
            elif isinstance(name, str) and kind is None and "base_model" in value:
                _add(name, _directory_of_old(value), value.get("hash"), needs)
            pending.extend(reversed([*value.values()][:_ENTRIES_MAX]))
        elif isinstance(value, list):
            pending.extend(reversed(value[:_ENTRIES_MAX]))
    for key in ("positive_prompt", "negative_prompt"):
        if isinstance(document.get(key), str):
            prompts.read_references(document[key], None, needs)


def _directory_of_old(value: dict[str, Any]) -> str | None:
    """Return the folder of a model as InvokeAI 3 wrote it, with its type beside it or not at all."""
    kind = value.get("model_type")
    return _INVOKE_TYPES.get(kind) if isinstance(kind, str) else None


def _add(name: object, directory: str | None, digest: object, needs: NeedCollector) -> None:
    if not isinstance(name, str) or name.strip().casefold() in _NO_MODEL:
        return
    name = name.strip()
    if len(name) > NAME_CHARS_MAX or not name.isprintable():
        return
    # InvokeAI's usual hash is BLAKE3 of the file, which is no hash of ours.
    digits = None if isinstance(digest, str) and digest.startswith("blake3") else digits_of(digest)
    needs.add(Need(name, directory, hashes=(digits,) if digits else ()))
