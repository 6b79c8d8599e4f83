"""Weights of a repository that were split into shards: all shards together say what the model is.

    model-00001-of-00002.safetensors    one shard is the model's file, the others are further files
    model.safetensors.index.json        lists the shards, where it exists

The headers are read from the store of blobs before the transaction of a commit, because it may be a bucket.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import sqlalchemy as sa

from modelyard.blobs import Blobs
from modelyard.domain import Verdict
from modelyard.facts import Facts
from modelyard.inspection import identify_readers
from modelyard.inspection.folders import PIPELINE_INDEX, describe_missing, parse_index, shard_sets
from modelyard.inspection.pickle_scan import worst_of
from modelyard.registry.facts import facts_from_identity
from modelyard.store import blobs
from modelyard.store.repositories import RepositoryFile


@dataclass(frozen=True, slots=True)
class ShardSet:
    """The shards of one model: those that are there, in order, and the paths of the others.

    ``pipeline`` is the class of the pipeline that the shards are a component of.
    """

    files: tuple[RepositoryFile, ...]
    missing: tuple[str, ...] = ()
    pipeline: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What the facts of the set depend on."""
        return self.pipeline, *((file.path, file.sha256) for file in self.files)

    def describe_missing(self) -> str:
        """Say which shards are missing; empty if none is."""
        return describe_missing(self.missing, len(self.files) + len(self.missing)) if self.missing else ""


def find_shards(files: Sequence[RepositoryFile], main: RepositoryFile) -> ShardSet | None:
    """Return the shards that a file of a repository is one of; None if it is no shard."""
    folder, slash, name = main.path.rpartition("/")
    beside = {
        os.fsencode(file.path.removeprefix(folder + slash)): file
        for file in files
        if file.path.rpartition("/")[0] == folder
    }
    for shards in shard_sets(beside, lambda other: _read_json(beside.get(other))):
        if os.fsencode(name) in shards.expected:
            present = [other for other in shards.expected if other in beside and beside[other].sha256]
            return ShardSet(
                tuple(beside[other] for other in present),
                tuple(folder + slash + os.fsdecode(other) for other in shards.missing(present)),
                _class_of_pipeline(files) if slash else "",
            )
    return None


def _class_of_pipeline(files: Sequence[RepositoryFile]) -> str:
    index = _read_json(next((file for file in files if file.path.encode() == PIPELINE_INDEX), None))
    name = index.get("_class_name") if isinstance(index, Mapping) else None
    return name[:100] if isinstance(name, str) else ""


def _read_json(file: RepositoryFile | None) -> object:
    return parse_index(file.content) if file and file.content else None


def identify_shards(storage: Blobs, repository: str, shards: ShardSet) -> Facts | None:
    """Return the facts from the headers of all shards, without the verdict; None if these headers cannot be merged.

    Cost: the header of each shard is read, from a bucket by two requests or more.
    """
    name = f"{repository}/{shards.files[0].path}"
    identity = identify_readers(_open_each(storage, shards), name, pipeline=shards.pipeline)
    return None if identity is None else facts_from_identity(identity)


def _open_each(storage: Blobs, shards: ShardSet) -> Iterator[tuple[BinaryIO, int]]:
    for file in shards.files:
        assert file.sha256 is not None, "a shard is weights"
        with storage.open(file.sha256) as reader:
            yield reader, file.size_bytes


def judge_shards(connection: sa.Connection, shards: ShardSet) -> tuple[Verdict, str]:
    """Return the verdict on a model in shards and its reason: of the worst shard, or that shards are missing."""
    if shards.missing:
        return Verdict.ERROR, shards.describe_missing()
    found = ((file.path, blobs.find(connection, file.sha256)) for file in shards.files if file.sha256)
    judged = ((path, Verdict(blob.verdict), blob.reason) for path, blob in found if blob is not None)
    return worst_of(judged, f"all {len(shards.files)} files are there and sound")
