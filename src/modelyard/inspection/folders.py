"""Which files of a folder are parts of one model: shards of a file that was split, and the components of a pipeline.

    model_index.json                              a pipeline of diffusers: the folder is one model
    unet/diffusion_pytorch_model.safetensors      its component ``unet``
    model-00001-of-00002.safetensors              a shard: both shards are one model
    model.safetensors.index.json                  lists the shards, where it exists

It works on names, and on the JSON of the two kinds of index files. A name in such a file is compared with the names in
the folder and never opened.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from modelyard import json_text

# An index file larger than this is not read.
INDEX_BYTES_MAX = 16 << 20
PIPELINE_INDEX = b"model_index.json"
# More shards than any model has. A name with a larger number is a name like any other.
_SHARDS_MAX = 1_000
_SHARD = re.compile(rb"(?P<stem>.+)-(?P<number>[0-9]{1,5})-of-(?P<total>[0-9]{1,5})(?P<end>(\.\w+)+)")
# Weights as diffusers and transformers name them. Other files with the extension .bin are settings of a trainer.
_WEIGHTS = re.compile(rb"((diffusion_)?(pytorch_|flax_)?model|adapter_model|pytorch_lora_weights)[\w.-]*")
_SAFE_EXTENSIONS = (b".safetensors", b".gguf", b".sft")
_COMPONENT = re.compile(r"[\w.-]{1,100}", re.ASCII)
_COMPONENTS_MAX = 100
# The classes of a pipeline that have no weights.
_WITHOUT_WEIGHTS = re.compile(r".*(Tokenizer|TokenizerFast|Scheduler|FeatureExtractor|Processor|ProcessorFast)")
# The component that says what a pipeline is, best first.
_MAIN_COMPONENTS = (b"transformer", b"unet", b"prior", b"decoder")

ReadJson = Callable[[bytes], object]
_MISSING_SHOWN_MAX = 5


def parse_index(raw: bytes) -> object:
    """Return the JSON of an index file; None if it is no JSON, or larger than an index is."""
    if len(raw) > INDEX_BYTES_MAX:
        return None
    try:
        return json_text.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def describe_missing(missing: Sequence[str], files_count: int) -> str:
    """Say which of the files of a model are missing; ``files_count`` is the number of all, those that are missing
    included."""
    shown = ", ".join(missing[:_MISSING_SHOWN_MAX]) + (", …" if len(missing) > _MISSING_SHOWN_MAX else "")
    return f"{len(missing)} of {files_count} files {'is' if len(missing) == 1 else 'are'} missing: {shown}"


@dataclass(frozen=True, slots=True)
class Shards:
    """Files with one name but for a number. ``expected`` are the names of all, in order."""

    stem: bytes
    end: bytes
    expected: tuple[bytes, ...]

    def missing(self, names: Collection[bytes]) -> list[bytes]:
        return [name for name in self.expected if name not in names]


def shard_sets(names: Collection[bytes], read: ReadJson) -> list[Shards]:
    """Return the sets of shards among the names in a folder. ``read`` returns the JSON of a file by its name."""
    totals: dict[tuple[bytes, bytes, int], bytes] = {}
    for name in names:
        match = _SHARD.fullmatch(name) if b"-of-" in name else None
        if match and 1 < int(match["total"]) <= _SHARDS_MAX and 0 < int(match["number"]) <= int(match["total"]):
            totals.setdefault((match["stem"], match["end"], int(match["total"])), name)
    return [
        Shards(stem, end, _list_indexed(stem, end, names, read) or _list_numbered(stem, end, total, name))
        for (stem, end, total), name in sorted(totals.items())
    ]


def _list_numbered(stem: bytes, end: bytes, total: int, example: bytes) -> tuple[bytes, ...]:
    digits = len(example) - len(stem) - len(end) - len(b"--of-")
    width = digits // 2
    return tuple(b"%s-%0*d-of-%0*d%s" % (stem, width, number, width, total, end) for number in range(1, total + 1))


def _list_indexed(stem: bytes, end: bytes, names: Collection[bytes], read: ReadJson) -> tuple[bytes, ...]:
    """Return the shards that an index file lists; none if there is no usable index."""
    variant, _, extension = end[1:].rpartition(b".")
    index = b".".join(filter(None, (stem, extension, b"index", variant, b"json")))
    document = read(index) if index in names else None
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict):
        return ()
    listed = sorted({os.fsencode(name) for name in weight_map.values() if isinstance(name, str)})
    matches = [_SHARD.fullmatch(name) for name in listed[: _SHARDS_MAX + 1]]
    is_usable = all(match and (match["stem"], match["end"]) == (stem, end) for match in matches)
    return tuple(listed) if 0 < len(listed) <= _SHARDS_MAX and is_usable else ()


def is_shard_of(path: str, other: str) -> bool:
    """Whether two paths are shards of one file."""
    one, two = (_SHARD.fullmatch(os.fsencode(name)) for name in (path, other))
    return bool(one and two and one.group("stem", "total", "end") == two.group("stem", "total", "end"))


def is_of_network(path: str) -> bool:
    """Whether a file of a pipeline is of the component that says what the pipeline is."""
    component, slash, _ = path.partition("/")
    return bool(slash) and component.encode(errors="surrogateescape") in _MAIN_COMPONENTS


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The files of a pipeline by its components, in order of names; by paths relative to its folder."""

    class_name: str
    files: Mapping[bytes, Sequence[bytes]]
    missing: Mapping[bytes, Sequence[bytes]]
    # The files whose tensors say what it is.
    headers: Sequence[bytes]


def group_components(index: object, present: Collection[bytes], read: ReadJson) -> Pipeline | None:
    """Return the components of a pipeline; None if ``index`` describes no pipeline.

    ``present`` are the relative paths of the model files below the folder, and ``read`` takes such a path.
    """
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        return None
    files: dict[bytes, list[bytes]] = {}
    for path in sorted(present):
        component, _, rest = path.partition(b"/")
        if rest and _is_weights(os.path.basename(rest)):
            files.setdefault(component, []).append(path)
    for component in _components(index):
        files.setdefault(component, [])
    files = dict(sorted(files.items()))
    main = next((files[name] for name in _MAIN_COMPONENTS if files.get(name)), None)
    first = next((paths for paths in files.values() if paths), [])
    return Pipeline(
        index["_class_name"][:100],
        files,
        {component: _missing_of(component, paths, read) for component, paths in files.items()},
        _one_alternative(first if main is None else main),
    )


def list_folders(index: object, paths: Collection[bytes]) -> set[bytes]:
    """Return the folders of a pipeline's components, those without weights included."""
    names = [name.encode() for name in index if _COMPONENT.fullmatch(name)] if isinstance(index, dict) else []
    folders = {path.partition(b"/")[0] for path in paths if b"/" in path}
    return {*names[:_COMPONENTS_MAX], *folders} - {b".", b".."}


def _components(index: Mapping[str, Any]) -> list[bytes]:
    """Return the components with weights that a model_index.json lists: ``{"unet": ["diffusers", "UNet2D…"]}``."""
    names = [
        name.encode()
        for name, value in index.items()
        if isinstance(value, list)
        and len(value) == 2
        and isinstance(value[1], str)
        and value[0]
        and _COMPONENT.fullmatch(name)
        and not _WITHOUT_WEIGHTS.fullmatch(value[1])
    ]
    return names[:_COMPONENTS_MAX]


def _is_weights(name: bytes) -> bool:
    return name.lower().endswith(_SAFE_EXTENSIONS) or _WEIGHTS.fullmatch(name) is not None


def _missing_of(component: bytes, paths: Sequence[bytes], read: ReadJson) -> list[bytes]:
    """Return the files that a component lacks. A component often has several alternatives; one of them is enough."""
    if not paths:
        return [component + b"/"]
    missing: list[bytes] = []
    shards: set[bytes] = set()
    for folder in {os.path.dirname(path) for path in paths}:
        names = {os.path.basename(path) for path in paths if os.path.dirname(path) == folder}
        for shard_set in shard_sets(names, partial(_read_below, read, folder)):
            shards |= {os.path.join(folder, name) for name in shard_set.expected}
            lacks = [os.path.join(folder, name) for name in shard_set.missing(names)]
            if not lacks:
                return []
            missing += lacks
    return missing if shards.issuperset(paths) else []


def _read_below(read: ReadJson, folder: bytes, name: bytes) -> object:
    return read(os.path.join(folder, name))


def _one_alternative(paths: Sequence[bytes]) -> list[bytes]:
    """Return the files of one variant: the same tensors in another format or precision say nothing new."""
    by_end: dict[bytes, list[bytes]] = {}
    for path in sorted(paths):
        match = _SHARD.fullmatch(os.path.basename(path))
        key = os.path.join(os.path.dirname(path), match["stem"] + match["end"]) if match else path
        by_end.setdefault(key, []).append(path)
    best = min(by_end, key=lambda key: (not key.lower().endswith(_SAFE_EXTENSIONS), len(key), key), default=b"")
    return by_end.get(best, [])
