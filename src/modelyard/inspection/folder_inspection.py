"""Inspects models of several files: the shards of a split file and the components of a pipeline have one identity.

``list_models`` says which models are in a folder, and ``inspect_model`` inspects one. The verdict is that of the worst
file; a model with a missing file is not sound.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelyard.domain import FILE_EXTENSIONS, Verdict
from modelyard.inspection.folders import (
    INDEX_BYTES_MAX,
    PIPELINE_INDEX,
    describe_missing,
    group_components,
    parse_index,
    shard_sets,
)
from modelyard.inspection.inspect import Inspection, identify_files, inspect_file
from modelyard.inspection.pickle_scan import worst_of


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model. ``headers`` are those whose tensors say what it is; none for a single file."""

    path: Path
    files: tuple[Path, ...]
    missing: tuple[str, ...] = ()
    headers: tuple[Path, ...] = ()
    # The class of a pipeline, and the name of the model that it was made of.
    class_name: str = ""
    origin: str = ""


def list_models(folder: Path) -> list[ModelFiles]:
    """Return the models whose files are in a folder, a pipeline first. Files of other folders in it are left out.

    Raises OSError if the folder cannot be read.
    """
    names = {os.fsencode(path.name) for path in folder.iterdir() if path.is_file()}
    read = partial(_read_json, folder)
    models: list[ModelFiles] = []
    index = read(PIPELINE_INDEX) if PIPELINE_INDEX in names else None
    if pipeline := group_components(index, set(_list_below(folder)), read):
        assert isinstance(index, dict), "it describes a pipeline"
        models.append(
            ModelFiles(
                folder,
                tuple(_join(folder, path) for paths in pipeline.files.values() for path in paths),
                tuple(_text(path) for paths in pipeline.missing.values() for path in paths),
                tuple(_join(folder, path) for path in pipeline.headers),
                pipeline.class_name,
                str(index.get("_name_or_path", "")),
            )
        )
    singles = {name for name in names if _is_model(name)}
    for shards in shard_sets(names, read):
        if singles.isdisjoint(shards.expected):
            continue
        here = tuple(_join(folder, name) for name in shards.expected if name in singles)
        missing = tuple(_text(name) for name in shards.missing(singles))
        models.append(ModelFiles(_join(folder, shards.stem + shards.end), here, missing, here))
        singles.difference_update(shards.expected)
    return models + [ModelFiles(path, (path,)) for path in (_join(folder, name) for name in sorted(singles))]


def inspect_model(
    model: ModelFiles, *, with_hashes: bool = True, on_bytes: Callable[[int], None] | None = None
) -> Inspection:
    """Inspect each file of a model, and the model by the tensors of all. Raises as ``inspect_file`` does."""
    inspections = [inspect_file(path, with_hashes=with_hashes, on_bytes=on_bytes) for path in model.files]
    if not model.headers and not model.class_name:
        return inspections[0]
    folder = model.path if model.class_name else model.path.parent
    files = tuple((_text(path.relative_to(folder)), one) for path, one in zip(model.files, inspections, strict=True))
    verdict, reason = worst_of(
        ((name, one.verdict, one.reason) for name, one in files), f"all files are there and sound: {len(files)}"
    )
    if model.missing and verdict.is_sound:
        verdict, reason = Verdict.ERROR, describe_missing(model.missing, len(model.files) + len(model.missing))
    return Inspection(
        size_bytes=sum(inspection.size_bytes for inspection in inspections),
        format="pipeline" if model.class_name else "shards",
        verdict=verdict,
        reason=reason,
        identity=identify_files(model.headers, pipeline=model.class_name, origin=model.origin),
        files=files,
        missing=model.missing,
    )


def _list_below(folder: Path) -> Iterator[bytes]:
    """Yield the paths of the files in the folders of a folder."""
    for below in folder.iterdir():
        if below.is_dir() and not below.name.startswith("."):
            with suppress(OSError):  # a folder of somebody else
                yield from (
                    os.fsencode(path.relative_to(folder))
                    for path in below.iterdir()
                    if path.is_file() and _is_model(os.fsencode(path.name))
                )


def _is_model(name: bytes) -> bool:
    return not name.startswith(b".") and os.fsdecode(name).lower().endswith(_ENDS)


_ENDS = tuple(f".{extension}" for extension in (*FILE_EXTENSIONS, "pt2", "pkl"))


def _read_json(folder: Path, name: bytes) -> object:
    """Return the JSON of an index file; None if it is none, or larger than an index is."""
    try:
        # A named pipe would block.
        descriptor = os.open(_join(folder, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return parse_index(file.read(INDEX_BYTES_MAX + 1))
    except OSError:
        return None


def _text(path: bytes | Path) -> str:
    """A path as text, also if it is none."""
    return os.fsencode(path).decode(errors="replace")


def _join(folder: Path, name: bytes) -> Path:
    return folder / os.fsdecode(name)
