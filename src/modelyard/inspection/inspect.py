"""Inspects one file: its format, verdict, identity and hashes."""

import base64
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from modelyard.domain import Verdict
from modelyard.errors import CorruptFile, UnsupportedFile
from modelyard.inspection import formats, gguf, hashing, header_metadata, pickle_scan, safetensors
from modelyard.inspection.budget import Budget, Limits
from modelyard.inspection.findings import CERTAIN, Evidence, Finding
from modelyard.inspection.formats import FileFormat, Recognised
from modelyard.inspection.hashing import FileHashes
from modelyard.inspection.header import Header, Tensor
from modelyard.inspection.header_metadata import CLASS_NAME, ORIGIN
from modelyard.inspection.identify import Identity, identify
from modelyard.inspection.safetensors import HEADER_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspecting a file.

    ``verdict`` is about safety and soundness: "clean" (sound, and proven to run nothing), "suspicious" (not proven),
    "dangerous", or "error" (broken, or no model at all). The reason says what was not looked at.
    """

    size_bytes: int
    format: str
    verdict: Verdict
    reason: str
    identity: Identity = field(default_factory=Identity)
    hashes: FileHashes | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    # Names that a pickle imports, and other formats the same bytes can be read as.
    imports: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    # A model of several files: each by its name, and the names of those that are not there.
    files: tuple[tuple[str, "Inspection"], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the file can be taken in: neither broken nor dangerous. Unknown is sound."""
        return self.verdict.is_sound

    def to_json(self) -> dict[str, object]:
        """Return the object that ``modelyard inspect --json`` prints."""
        identity = self.identity
        fields: dict[str, object] = {
            "format": self.format,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "size_bytes": self.size_bytes,
            "hashes": self.hashes.to_json() if self.hashes else None,
            "type": identity.type.to_json(),
            "base_model": identity.base_model.to_json(),
            "base_model_type": identity.base_model_type.to_json(),
            "architecture": identity.architecture.to_json(),
            "dialect": identity.dialect.to_json(),
            "part": identity.part.to_json(),
            "precision": identity.precision.to_json(),
            "parameters": identity.parameters,
            "trigger_words": list(identity.trigger_words),
            "metadata": self.metadata,
            "imports": list(self.imports),
            "also": list(self.also),
        }
        if self.files or self.missing:
            fields["files"] = [
                {
                    "name": name,
                    "format": file.format,
                    "verdict": str(file.verdict),
                    "reason": file.reason,
                    "size_bytes": file.size_bytes,
                    "hashes": file.hashes.to_json() if file.hashes else None,
                }
                for name, file in self.files
            ]
            fields["missing"] = list(self.missing)
        return fields


# ModelSpec's name for a picture in a header.
THUMBNAIL = "modelspec.thumbnail"


@dataclass(frozen=True, slots=True)
class _Contents:
    """The result of reading one format."""

    format: str
    verdict: Verdict
    reason: str
    header: Header | None = None
    imports: tuple[str, ...] = ()


def inspect_file(
    path: str | os.PathLike[str],
    *,
    with_hashes: bool = True,
    header_limit_bytes: int = HEADER_LIMIT_BYTES,
    on_bytes: Callable[[int], None] | None = None,
) -> Inspection:
    """Inspect a file: format, verdict, identity, and hashes if ``with_hashes``.

    A broken file is an answer (verdict "error"), not an exception. Without hashes only the header is read: at most
    ``header_limit_bytes``. ``on_bytes`` is called with the bytes hashed by each step.
    Raises FileChanged if the file did not hold still, UnsupportedFile for what is no regular file, OSError if it
    cannot be read.
    """
    # Not to block on a named pipe; without effect on regular files.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as raw:
        before = os.fstat(raw.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise UnsupportedFile("this is not a regular file", path=os.fspath(path))
        with open(os.dup(raw.fileno()), "rb") as reader:  # noqa: PTH123  # a descriptor, no path
            contents, recognised = _read(reader, before.st_size, header_limit_bytes, os.fsdecode(path))
        hashes = None
        if with_hashes:
            raw.seek(0)
            hashes = hashing.hash_reader(raw, before.st_size, on_bytes)
    hashing.check_unchanged(path, before)
    if hashes is not None and contents.format != FileFormat.SAFETENSORS:
        hashes = hashing.without_autov3(hashes)
    return Inspection(
        size_bytes=before.st_size,
        format=contents.format,
        verdict=contents.verdict,
        reason=contents.reason,
        identity=_identify(contents.header, path),
        hashes=hashes,
        metadata=header_metadata.bounded(contents.header.metadata) if contents.header is not None else {},
        imports=contents.imports,
        also=tuple(recognised.also),
    )


def identify_files(paths: Sequence[str | os.PathLike[str]], *, pipeline: str = "", origin: str = "") -> Identity:
    """Identify the model whose tensors are spread over several files. A file without a readable header adds nothing.

    ``pipeline`` is the class that a model_index.json names; ``origin`` is the name of the model that it was made of.
    Raises OSError if a file cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as reader:
            status = os.fstat(reader.fileno())
            if not stat.S_ISREG(status.st_mode):
                continue
            header = _read(reader, status.st_size, HEADER_LIMIT_BYTES, os.fsdecode(path))[0].header
        if header is not None:
            tensors |= header.tensors
            metadata |= header.metadata
    return _identify_together(Header(tensors, metadata), paths[0] if paths else "", pipeline, origin)


# Beyond any model in shards. Untrusted headers of more are not merged, for the sake of the process that reads them.
_SHARD_HEADER_BYTES_MAX = 16 << 20
_SHARD_TENSORS_MAX = 200_000


def identify_readers(readers: Iterable[tuple[BinaryIO, int]], name: str, *, pipeline: str = "") -> Identity | None:
    """Identify the model whose tensors are spread over open files: each reader with the size of its file in bytes.

    Only headers of safetensors and GGUF are read. Returns None if a file has another format or no sound header, or if
    the headers are larger than those of any model. ``name`` is that of the first file with its folder.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for reader, size_bytes in readers:
        header = _read_safe_header(reader, size_bytes)
        if header is None or len(tensors) + len(header.tensors) > _SHARD_TENSORS_MAX:
            return None
        tensors |= header.tensors
        metadata |= header.metadata
    return _identify_together(Header(tensors, metadata), name, pipeline)


def _read_safe_header(reader: BinaryIO, size_bytes: int) -> Header | None:
    try:
        match formats.recognise(reader, size_bytes).format:
            case FileFormat.SAFETENSORS:
                return safetensors.read_frame(reader, size_bytes, _SHARD_HEADER_BYTES_MAX).header
            case FileFormat.GGUF:
                return gguf.read_header(reader, size_bytes, _SHARD_HEADER_BYTES_MAX)
    except (CorruptFile, UnsupportedFile):
        pass
    return None


def _identify_together(header: Header, path: str | os.PathLike[str], pipeline: str = "", origin: str = "") -> Identity:
    notes = {key: value for key, value in ((CLASS_NAME, pipeline), (ORIGIN, origin)) if value}
    identity = _identify(Header(header.tensors, {**header.metadata, **notes}), path)
    if not pipeline:
        return identity
    evidence = Evidence("pipeline", "metadata", "model_index.json", pipeline)
    return replace(identity, type=Finding("checkpoint", CERTAIN, (evidence,)))


def _identify(header: Header | None, path: str | os.PathLike[str]) -> Identity:
    if header is None or not header.tensors:
        return Identity()
    # The names of folder and file. A name need not be text, and what is found is stored as text.
    return identify(header, b"/".join(os.fsencode(path).rsplit(b"/", 2)[-2:]).decode(errors="replace"))


def thumbnail_of(path: str | os.PathLike[str]) -> bytes | None:
    """Return the picture in a safetensors file's header, unchecked; None for none.

    Raises OSError if the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as reader:
        status = os.fstat(reader.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        try:
            metadata = safetensors.read_frame(reader, status.st_size).header.metadata
        except CorruptFile:
            return None
    head, _, encoded = metadata.get(THUMBNAIL, "").partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return None


def _read(reader: BinaryIO, size_bytes: int, limit_bytes: int, name: str) -> tuple[_Contents, Recognised]:
    recognised = formats.recognise(reader, size_bytes)
    budget = Budget()
    try:
        contents = _contents(reader, size_bytes, recognised, limit_bytes, name, budget)
    except CorruptFile as broken:
        return _Contents(recognised.format, Verdict.ERROR, broken.message), recognised
    except UnsupportedFile as unsupported:
        return _Contents(recognised.format, Verdict.ERROR, unsupported.message), recognised
    return _with_polyglots(contents, recognised, reader, size_bytes, budget), recognised


def _contents(
    reader: BinaryIO, size_bytes: int, recognised: Recognised, limit_bytes: int, name: str, budget: Budget
) -> _Contents:
    match recognised.format:
        case FileFormat.SAFETENSORS:
            header = safetensors.read_frame(reader, size_bytes, limit_bytes).header
            return _Contents(FileFormat.SAFETENSORS, Verdict.CLEAN, "a sound safetensors frame", header)
        case FileFormat.ZIP:
            return _of_scan(pickle_scan.scan_zip(reader, size_bytes, budget))
        case FileFormat.PICKLE:
            return _of_scan(pickle_scan.scan_pickle(reader, size_bytes, budget))
        case FileFormat.NPY:
            return _of_scan(pickle_scan.scan_npy(reader, budget))
        case FileFormat.GGUF:
            header = gguf.read_header(reader, size_bytes, limit_bytes)
            reason = "a sound GGUF header; chat templates in it are not looked at"
            return _Contents(FileFormat.GGUF, Verdict.CLEAN, reason, header)
        case FileFormat.ONNX:
            return _Contents(FileFormat.ONNX, Verdict.CLEAN, "ONNX by its first bytes; not looked into further")
    if recognised.maybe_pickle:
        scan = pickle_scan.scan_pickle(reader, size_bytes, budget)
        if scan.verdict is not Verdict.ERROR:
            return _of_scan(scan)
    return _refused(reader, size_bytes, recognised.format, limit_bytes, name)


def _of_scan(scan: pickle_scan.PickleScan) -> _Contents:
    return _Contents(scan.kind, scan.verdict, scan.reason, scan.header, scan.globals)


def _with_polyglots(
    contents: _Contents, recognised: Recognised, reader: BinaryIO, size_bytes: int, budget: Budget
) -> _Contents:
    """Judge what other readers see in the same bytes."""
    if contents.format in (FileFormat.SAFETENSORS, FileFormat.GGUF):
        contents = _with_pickle(contents, reader)
    if FileFormat.ZIP in recognised.also:
        inner = pickle_scan.scan_zip(reader, size_bytes, budget)
        contents = _worsen(contents, inner.verdict, f"the same bytes are a zip ({inner.reason})", inner.globals)
    if FileFormat.TAR in recognised.also:
        contents = _worsen(contents, Verdict.SUSPICIOUS, "the same bytes are a tar archive, not looked into")
    return contents


# A line of a pickle ends with the first byte 10. Tensors have one in nearly all places of 256 bytes.
_HIDDEN_PICKLE = Limits(bytes=64 << 20)


def _with_pickle(contents: _Contents, reader: BinaryIO) -> _Contents:
    """Judge a header as a pickle. A header's length can be chosen so that its bytes are opcodes that step over the rest
    into a tensor. Such a file is sound, and runs code when it is unpickled (tests/attacks has some)."""
    reader.seek(0)
    finding = pickle_scan.find_hidden_pickle(reader, Budget(_HIDDEN_PICKLE))
    return contents if finding is None else _worsen(contents, finding.verdict, finding.reason, finding.globals)


def _worsen(contents: _Contents, verdict: Verdict, reason: str, imports: tuple[str, ...] = ()) -> _Contents:
    return replace(
        contents,
        verdict=pickle_scan.worse(pickle_scan.worse(contents.verdict, verdict), Verdict.SUSPICIOUS),
        reason=f"{contents.reason}; {reason}",
        imports=tuple(sorted({*contents.imports, *imports})),
    )


_REASONS = {
    FileFormat.EMPTY: "the file is empty",
    FileFormat.HTML: "this is an HTML page, not a model: a download that was answered with an error or a login page",
    FileFormat.JSON: "this is JSON text, not a model: a download that was answered with an error, or a side-car",
    FileFormat.XML: "this is an XML text, not a model: a download that was answered with an error",
    FileFormat.LFS_POINTER: "this is a Git LFS pointer, not the file it stands for: fetch it with git lfs pull",
    FileFormat.UNKNOWN: "these bytes are in no format we know",
    FileFormat.TEXT: "this is text, not a model",
}


def _refused(reader: BinaryIO, size_bytes: int, format_: FileFormat, limit_bytes: int, name: str) -> _Contents:
    """Refuse a file that is no model. If its name says safetensors, add the reason why it is not."""
    reason = _REASONS.get(format_, f"this is a file of the kind {format_!s}, not a model we can look into")
    if format_ in (FileFormat.UNKNOWN, FileFormat.EMPTY) and name.lower().endswith((".safetensors", ".sft")):
        try:
            safetensors.read_frame(reader, size_bytes, limit_bytes)
        except CorruptFile as broken:
            reason = f"{reason}; as safetensors: {broken.message}"
    return _Contents(format_, Verdict.ERROR, reason)
