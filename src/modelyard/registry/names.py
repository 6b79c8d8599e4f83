"""The file name of a model: the field ``sd_name``, by which prompts and calls name it.

upload     <name>_<id of the model>.<extension>
Civitai    <stem>_<id of Civitai's file>.<extension>
library    <stem>.<extension>                              with the model's id where the name is taken
training   model_<Unix time>_<10 digits of SHA-256>.<extension>

A name has no path separator and at most 240 bytes, so that a folder can hold it, with ".part" behind it. A model that
has a name keeps it.
"""

import re
from dataclasses import replace

from anyascii import anyascii

from modelyard.domain import split_extension
from modelyard.facts import Facts

# The extension of a file that was uploaded without one, by the format that inspection found.
_EXTENSIONS = {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "zip": "pt", "pickle": "pt"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SEPARATORS = re.compile(r"[/\\]")
_NUMBER_AND_EXTENSION = re.compile(r"_([0-9]{1,15})(\.[^.]+)?$")
_NAME_CHARS_MAX = 100
_TITLE_CHARS_MAX = 200
_FILE_NAME_BYTES_MAX = 240


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
    """Return stem and extension of the name that Civitai gives a file, without folders and control characters."""
    return split_extension(_CONTROL.sub(" ", _SEPARATORS.split(file_name)[-1]).strip())


def file_id_of(sd_name: str) -> int | None:
    """Return the id of Civitai's file in the name of a version; None if it has none."""
    match = _NUMBER_AND_EXTENSION.search(sd_name)
    return int(match[1]) if match else None


def keep_name(newer: Facts, older: Facts) -> Facts:
    """Return ``newer`` with the older ``sd_name`` if both are names of one file, by different rules."""
    name, before = newer.sd_name, older.sd_name
    if not name or not before or name == before or not newer.file_name or newer.file_name != older.file_name:
        return newer
    end = _NUMBER_AND_EXTENSION.search(name)
    return replace(newer, sd_name=before) if end and before.endswith(end[0]) else newer


def extension_of_format(name: str) -> str:
    """Return the extension of a format that inspection names; empty if it has none of ours."""
    return _EXTENSIONS.get(name, "")


def split_label(label: str) -> tuple[str, str, str | None]:
    """Return the name and the extension that an uploaded file's label gives, and its title if the name differs.

    The name is empty if the label has no letter that ASCII can show.
    """
    stem, _, extension = label.rpartition(".")
    name = api_name(stem or label) if label else "model"
    title = (stem or label).strip()[:_TITLE_CHARS_MAX]
    title = "" if title == name else title
    return name, extension if "." in label.strip(".") else "", title or None


def api_name(text: str) -> str:
    """Return a model's name for calls: transliterated into ASCII, at most 100 characters; empty if none is left."""
    return _NOT_IN_NAMES.sub("_", anyascii(text)).strip("._")[:_NAME_CHARS_MAX]


def fallback_name(model_id: int) -> str:
    """Return the name of a model whose own name cannot be written in ASCII."""
    return f"model_{model_id}"


def _clean(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", anyascii(name)).strip("._") or "model"


def _join(stem: str, number: int | str | None, extension: str) -> str:
    end = ("" if number is None else f"_{number}") + (f".{extension}" if extension else "")
    raw = _SEPARATORS.sub("_", stem).encode("utf-8", "surrogatepass")
    return raw[: _FILE_NAME_BYTES_MAX - len(end.encode())].decode("utf-8", "ignore") + end
