"""The file name of a model: the field ``sd_name``."""

import re

# The extension of a file that came without one, by the format that inspection finds.
_EXTENSIONS = {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "zip": "pt", "pickle": "pt"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


def sd_name_of(name: str, model_id: int, extension: str) -> str:
    """Return the file's name in the catalogue. The id makes it unique."""
    stem = _NOT_IN_NAMES.sub("_", name).strip("._") or "model"
    return f"{stem}_{model_id}.{extension}" if extension else f"{stem}_{model_id}"


def extension_of_format(file_format: str) -> str:
    """Return the extension of a format; empty if we have none for it."""
    return _EXTENSIONS.get(file_format, "")


def extension_of(label: str) -> str:
    """Return the extension of a file name, without the dot; empty if it has none."""
    return label.rpartition(".")[2] if "." in label.strip(".") else ""


def name_of(label: str) -> str:
    """Return a model's name from a file name."""
    stem = label.rpartition(".")[0] or label
    return _NOT_IN_NAMES.sub("_", stem).strip("._")[:100] or "model"
