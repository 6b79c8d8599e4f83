"""The file name of a model: the field ``sd_name``."""

import re

# What an unnamed upload's file is called by, for what inspection found it to be.
_EXTENSIONS = {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "zip": "pt", "pickle": "pt"}


_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


def sd_name_of(name: str, model_id: int, extension: str) -> str:
    """Return the file's name in the catalogue: the id makes it nobody else's."""
    stem = _NOT_IN_NAMES.sub("_", name).strip("._") or "model"
    return f"{stem}_{model_id}.{extension}" if extension else f"{stem}_{model_id}"


def extension_of_format(found: str) -> str:
    """Return the extension of a format that inspection names; empty if it has none of ours."""
    return _EXTENSIONS.get(found, "")


def _extension_of(label: str) -> str:
    return label.rpartition(".")[2] if "." in label.strip(".") else ""


def _name_from(label: str) -> str:
    stem = label.rpartition(".")[0] or label
    return _NOT_IN_NAMES.sub("_", stem).strip("._")[:100] or "model"
