"""The file name of a model: the field ``sd_name``, by which prompts and calls name it.

upload     <name>_<id of the model>.<extension>
Civitai    <stem>_<id of Civitai's file>.<extension>
library    <stem>.<extension>                              with the model's id where the name is taken
training   model_<Unix time>_<10 digits of SHA-256>.<extension>
"""

import re

from modelyard.domain import split_extension

# The extension of a file that was uploaded without one, by the format that inspection found.
_EXTENSIONS = {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "zip": "pt", "pickle": "pt"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_NAME_CHARS_MAX = 100


def sd_name_of(name: str, model_id: int, extension: str) -> str:
    """Return the file name of an uploaded model."""
    return _join(_clean(name), model_id, extension)


def sd_name_of_version(file_name: str, file_id: int) -> str:
    """Return the file name of a Civitai version, by one of its files."""
    stem, extension = split_version_file(file_name)
    return _join(stem, file_id, extension)


def sd_name_of_file(stem: str, extension: str, model_id: int | None = None) -> str:
    """Return the file name of a model in the library; give its id where another model has the name."""
    return _join(stem, model_id, extension)


def sd_name_of_training(finished_at: int, sha256: str, extension: str) -> str:
    """Return the file name of a trained model; ``finished_at`` is in Unix seconds."""
    return _join(f"model_{finished_at}", sha256[:10].upper(), extension)


def split_version_file(file_name: str) -> tuple[str, str]:
    """Return stem and extension of the name that Civitai gives a file, without control characters."""
    return split_extension(_CONTROL.sub(" ", file_name).strip())


def extension_of_format(name: str) -> str:
    """Return the extension of a format that inspection names; empty if it has none of ours."""
    return _EXTENSIONS.get(name, "")


def split_label(label: str) -> tuple[str, str]:
    """Return the model's name and the extension that an uploaded file's label gives."""
    stem, _, extension = label.rpartition(".")
    return _clean(stem or label, _NAME_CHARS_MAX), extension if "." in label.strip(".") else ""


def _clean(name: str, chars_max: int | None = None) -> str:
    return _NOT_IN_NAMES.sub("_", name).strip("._")[:chars_max] or "model"


def _join(stem: str, number: int | str | None, extension: str) -> str:
    unique = stem if number is None else f"{stem}_{number}"
    return f"{unique}.{extension}" if extension else unique
