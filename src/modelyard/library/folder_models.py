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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from modelyard.domain import Hashes, Status, Verdict, split_extension
from modelyard.facts import Facts, ModelFile
from modelyard.inspection.folders import ReadJson, Shards, describe_missing, group_components, shard_sets
from modelyard.library.folder_hints import is_type_folder
from modelyard.paths import display_path
from modelyard.store.files import FileRecord, FileState

# Folders of huggingface_hub's cache: models--<owner>--<name>/snapshots/<revision>.
_CACHE_FOLDER = re.compile(r"models--(?:.*--)?(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Part:
    """The place of a file in a model of several files.

    ``folder`` identifies the model: its folder, or the common beginning of the paths of its shards. ``files`` are all
    files of the model as (name, role), those that are missing included, by paths relative to the model's folder.
    ``headers`` are the files whose tensors identify the model; only one part has them. ``pipeline`` is the class that
    model_index.json names. ``texts`` are the small files of the model, which the same part has. ``state`` of that part
    changes when a file of the model changes.
    """

    folder: bytes
    name: str
    role: str
    label: str
    files: tuple[tuple[str, str], ...]
    headers: tuple[bytes, ...] = ()
    pipeline: str = ""
    texts: tuple[bytes, ...] = ()
    state: str = ""

    @property
    def texts_folder(self) -> bytes:
        """The folder that the small files are in."""
        return self.folder if self.pipeline else os.path.dirname(self.folder)


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


def has_folder_of_its_own(folder: bytes, parts: Mapping[bytes, Part], present: Collection[bytes]) -> bool:
    """Whether the model files of a folder are shards of one model, so that its small files are of this model."""
    models = {part.folder for part in parts.values()}
    return len(models) == 1 and len(parts) == len(present) and not is_type_folder(folder)


def _shard_roles(names: Sequence[bytes]) -> dict[str, str]:
    return {display_path(name): f"shard {number} of {len(names)}" for number, name in enumerate(names, 1)}


def _label_of_shards(folder: bytes, shards: Shards, *, is_alone: bool) -> str:
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
    pipeline = group_components(index, present, read)
    if pipeline is None:
        return {}
    files = {
        display_path(path): display_path(component)
        for component, paths in pipeline.files.items()
        for path in (*paths, *pipeline.missing[component])
    }
    first = min((path for paths in pipeline.files.values() for path in paths), default=None)
    label, members = _label_of_folder(folder), tuple(files.items())
    return {
        path: Part(
            folder,
            display_path(path),
            display_path(component),
            label,
            members,
            tuple(os.path.join(folder, other) for other in sorted(pipeline.headers)) if path == first else (),
            pipeline.class_name,
        )
        for component, paths in pipeline.files.items()
        for path in paths
    }


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
        verdict = f"{Verdict.ERROR}: {describe_missing(missing, len(files))}"
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
