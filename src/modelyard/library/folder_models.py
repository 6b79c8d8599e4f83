"""Models that consist of several files: pipelines of diffusers, and files that were split into shards.

    my-sd15/model_index.json                              a pipeline: one model with the name of its folder
    my-sd15/unet/diffusion_pytorch_model.safetensors      its part ``unet``
    flux/model-00001-of-00002.safetensors                 a shard: both shards are one model with the name of the folder
    flux/model.safetensors.index.json                     lists the shards, where it exists

``group`` works on names and opens only the two kinds of JSON files. ``summarize`` derives the facts of a model from the
records of its parts. A name in such a file is compared with the names in the folder and never opened.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from modelyard.civitai import json_text
from modelyard.domain import Hashes, Status, Verdict, split_extension
from modelyard.facts import Facts, ModelFile
from modelyard.library.folder_hints import is_type_folder
from modelyard.paths import display_path
from modelyard.store.files import FileRecord, FileState

PIPELINE_INDEX = b"model_index.json"
JSON_BYTES_MAX = 16 << 20
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
# Folders of huggingface_hub's cache: models--<owner>--<name>/snapshots/<revision>.
_CACHE_FOLDER = re.compile(r"models--(?:.*--)?(?P<name>.+)")

ReadJson = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Part:
    """The place of a file in a model of several files.

    ``folder`` identifies the model: its folder, or the common beginning of the paths of its shards. ``files`` are all
    files of the model as (name, role), those that are missing included, by paths relative to the model's folder.
    ``headers`` are the files whose tensors identify the model; only one part has them. ``pipeline`` is the class that
    model_index.json names. ``state`` of the part with headers changes when a file of the model changes.
    """

    folder: bytes
    name: str
    role: str
    label: str
    files: tuple[tuple[str, str], ...]
    headers: tuple[bytes, ...] = ()
    pipeline: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class _Shards:
    """Files with one name but for a number. ``expected`` are the names of all, in order."""

    stem: bytes
    end: bytes
    expected: tuple[bytes, ...]

    def missing(self, names: Collection[bytes]) -> list[bytes]:
        return [name for name in self.expected if name not in names]


def shard_sets(names: Collection[bytes], read: ReadJson) -> list[_Shards]:
    """Return the sets of shards among the names in a folder. ``read`` returns the JSON of a file by its name."""
    totals: dict[tuple[bytes, bytes, int], bytes] = {}
    for name in names:
        match = _SHARD.fullmatch(name) if b"-of-" in name else None
        if match and 1 < int(match["total"]) <= _SHARDS_MAX and 0 < int(match["number"]) <= int(match["total"]):
            totals.setdefault((match["stem"], match["end"], int(match["total"])), name)
    return [
        _Shards(stem, end, _list_indexed(stem, end, names, read) or _list_numbered(stem, end, total, name))
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


def parse_json(raw: bytes) -> object:
    """Return the JSON of an index file; None if it is not JSON."""
    try:
        return json_text.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


# --- grouping --------------------------------------------------------------------------------------------------------


def group_shards(
    folder: bytes, names: Collection[bytes], present: Collection[bytes], read: ReadJson
) -> dict[bytes, Part]:
    """Return the parts among the files of one folder, by name. ``present`` are the names of its model files."""
    sets = shard_sets(names, read)
    parts: dict[bytes, Part] = {}
    for shards in sets:
        found = [name for name in shards.expected if name in present]
        is_alone = len(found) == len(present)
        label = _label_of_shards(folder, shards, is_alone=is_alone)
        roles = _shard_roles(shards.expected)
        for number, name in enumerate(found):
            parts[name] = Part(
                os.path.join(folder, shards.stem + shards.end),
                display_path(name),
                roles[display_path(name)],
                label,
                tuple(roles.items()),
                tuple(os.path.join(folder, other) for other in found) if number == 0 else (),
            )
    return parts


def _shard_roles(names: Sequence[bytes]) -> dict[str, str]:
    return {display_path(name): f"shard {number} of {len(names)}" for number, name in enumerate(names, 1)}


def _label_of_shards(folder: bytes, shards: _Shards, *, is_alone: bool) -> str:
    """Return the name of the folder, if the folder is this model's; else the name of its files without the number."""
    if is_alone and not is_type_folder(folder):
        return _label_of_folder(folder)
    return split_extension(display_path(shards.stem + shards.end))[0]


def _label_of_folder(folder: bytes) -> str:
    names = display_path(folder).rstrip("/").split("/")
    if len(names) > 2 and names[-2] == "snapshots" and (match := _CACHE_FOLDER.fullmatch(names[-3])):
        return match["name"]
    return names[-1] or "model"


def group_pipeline(folder: bytes, index: object, present: Collection[bytes], read: ReadJson) -> dict[bytes, Part]:
    """Return the parts of a pipeline by path relative to its folder; none if ``index`` describes no pipeline.

    ``present`` are the relative paths of the model files below the folder, and ``read`` takes such a path.
    """
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        return {}
    by_component: dict[bytes, list[bytes]] = {}
    for path in present:
        component, _, rest = path.partition(b"/")
        if rest and _is_weights(os.path.basename(rest)):
            by_component.setdefault(component, []).append(path)
    for component in _components(index):
        by_component.setdefault(component, [])
    files: dict[str, str] = {}
    for component, paths in sorted(by_component.items()):
        role = display_path(component)
        files |= {display_path(path): role for path in sorted(paths)}
        files |= {display_path(path): role for path in _missing_of(component, paths, read)}
    main = next((by_component[name] for name in _MAIN_COMPONENTS if by_component.get(name)), None)
    first = min((path for paths in by_component.values() for path in paths), default=None)
    headers = main if main is not None else by_component[first.partition(b"/")[0]] if first else []
    label, members = _label_of_folder(folder), tuple(files.items())
    return {
        path: Part(
            folder,
            display_path(path),
            display_path(component),
            label,
            members,
            tuple(os.path.join(folder, other) for other in sorted(_one_alternative(headers))) if path == first else (),
            str(index["_class_name"])[:100],
        )
        for component, paths in by_component.items()
        for path in paths
    }


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


# --- facts -----------------------------------------------------------------------------------------------------------


def summarize(header: Facts, records: Collection[FileRecord]) -> tuple[Facts, Status]:
    """Return the facts of a model of several files, and whether it can be used: only if each file is there and sound.

    ``header`` lists the files; ``records`` are those of its parts. The first line of the evidence is the verdict.
    """
    by_name = {record.part: record for record in records if record.is_there}
    files = tuple(_describe(file, by_name.get(file.name)) for file in header.files or ())
    missing = [file.name for file in files if file.name not in by_name]
    unsound = [record for record in by_name.values() if record.state is not FileState.PRESENT]
    pending = [record for record in by_name.values() if record.hashes_pending]
    suspicious = [record for record in by_name.values() if record.verdict == Verdict.SUSPICIOUS]
    if unsound:
        worst = max(unsound, key=lambda record: record.verdict == Verdict.DANGEROUS)
        verdict = f"{worst.verdict or Verdict.ERROR}: {worst.part}: {worst.reason or 'it changed while it was read'}"
    elif missing:
        verdict = f"{Verdict.ERROR}: {len(missing)} of {len(files)} files are missing: {', '.join(missing[:5])}"
    elif pending:
        verdict = f"waiting: {len(pending)} of {len(files)} files are not hashed yet"
    elif suspicious:
        verdict = f"{Verdict.SUSPICIOUS}: {suspicious[0].part}: {suspicious[0].reason}"
    else:
        verdict = f"{Verdict.CLEAN}: all {len(files)} files are there and sound"
    facts = replace(
        header,
        files=files,
        hashes=None,
        size_bytes=sum(file.size_bytes or 0 for file in files),
        evidence=(verdict, *(header.evidence or ())[1:]),
    )
    return facts, Status.UNAVAILABLE if unsound or missing or pending else Status.AVAILABLE


def _describe(file: ModelFile, record: FileRecord | None) -> ModelFile:
    if record is None:
        return replace(file, size_bytes=None)
    hashes = file.hashes
    if record.sha256 and (hashes is None or hashes.sha256 != record.sha256.upper()):
        hashes = Hashes(sha256=record.sha256.upper(), autov2=record.sha256[:10].upper(), autov3=record.autov3)
    return replace(file, size_bytes=record.size_bytes, hashes=hashes if record.sha256 else None)


def list_files(part: Part, known: Facts | None, hashes: Hashes | None) -> tuple[ModelFile, ...]:
    """Return the files of a model, with the hashes that are known of them and those of the part itself."""
    before = {file.name: file.hashes for file in (known.files if known else None) or ()}
    if hashes is not None:
        before[part.name] = hashes
    return tuple(ModelFile(name, role=role, hashes=before.get(name)) for name, role in part.files)
