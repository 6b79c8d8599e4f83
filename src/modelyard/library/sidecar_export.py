"""What the catalogue knows → side-cars for other programs. Knows the forms that ``ingest.sidecars`` reads back.

    civitai-info   <stem>.civitai.info     a Civitai version's answer
    lora-manager   <stem>.metadata.json    LoRA Manager
    a1111          <stem>.json             A1111's user metadata

A side-car of ours carries a mark (``sidecars.marked``); one without it, or edited since, is somebody else's, and is
replaced only by ``force``, keeping the fields that we know nothing of. The mark also keeps this catalogue from taking
its own words, read back, for somebody's. Nothing is written through a link, and never half: a file is whole or absent.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from modelyard.domain import OWN_ID_MIN, Entry, Facts, resolve
from modelyard.library.sidecars import BYTES_MAX, is_untouched, marked
from modelyard.library.walk import ScanResult
from modelyard.store import Store, files
from modelyard.store.files import FileRecord


class SidecarFormat(StrEnum):
    """Whose side-cars are written."""

    CIVITAI_INFO = "civitai-info"
    LORA_MANAGER = "lora-manager"
    A1111 = "a1111"


SUFFIXES: Mapping[SidecarFormat, bytes] = {
    SidecarFormat.CIVITAI_INFO: b".civitai.info",
    SidecarFormat.LORA_MANAGER: b".metadata.json",
    SidecarFormat.A1111: b".json",
}


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of one side-car. ``result`` is written, unchanged, foreign, unknown or failed."""

    path: bytes
    result: str
    reason: str = ""


def export(store: Store, scanned: ScanResult, form: SidecarFormat, *, force: bool) -> Iterator[ExportResult]:
    """Write a side-car for each file in the scanned places that is a model of the catalogue."""
    with store.reading() as connection:
        known = files.below(connection, scanned.roots)
    for found in scanned.found:
        file = known.get(found.path)
        entry = store.entry(file.model_id) if file is not None and file.model_id is not None else None
        target = _target(found.path, form)
        if file is None or entry is None:
            yield ExportResult(target, "unknown", "the file is no model of the catalogue; add it first")
        else:
            yield _write_one(target, content(entry, file, form), store.identity, force=force)


def _target(path: bytes, form: SidecarFormat) -> bytes:
    stem, dot, _ = os.path.basename(path).rpartition(b".")
    return os.path.join(os.path.dirname(path), (stem if dot else os.path.basename(path)) + SUFFIXES[form])


def content(entry: Entry, file: FileRecord, form: SidecarFormat) -> dict[str, Any]:
    """Return what is written for a model, by the names that the form has for it."""
    return _CONTENTS[form](entry, resolve(entry.layers), file)


# Civitai's spelling, which its readers compare exactly.
_CIVITAI_TYPES = {
    "lora": "LORA",
    "locon": "LoCon",
    "controlnet": "Controlnet",
    "textualinversion": "TextualInversion",
}


def _civitai_version(entry: Entry, facts: Facts, file: FileRecord) -> dict[str, Any]:
    model = entry.model
    hashes = model.hashes
    spelled = {
        "AutoV1": hashes.autov1,
        "AutoV2": hashes.short or None,
        "AutoV3": hashes.autov3,
        "SHA256": hashes.sha256,
        "BLAKE3": hashes.blake3,
        "CRC32": hashes.crc32,
    }
    version = {
        "id": model.id if model.id < OWN_ID_MIN else None,
        "modelId": facts.upstream_model_id,
        "name": model.name,
        "baseModel": model.base_model or None,
        "baseModelType": model.base_model_type or None,
        "publishedAt": facts.published_at,
        "trainedWords": list(facts.trigger_words or ()),
        "description": facts.notes,
        "images": [{"url": address, "nsfwLevel": 1, "type": "image"} for address in _outside_covers(entry, facts)],
        "model": {
            "name": facts.upstream_model_name or model.name,
            "type": _CIVITAI_TYPES.get(model.type.name, model.type.display_name),
            "nsfw": model.is_nsfw,
            "tags": list(model.tags),
        },
        "files": [
            {
                "name": facts.file_name or model.sd_name,
                "type": "Model",
                "sizeKB": file.size_bytes / 1024,
                "primary": True,
                "hashes": {name: digits for name, digits in spelled.items() if digits},
            }
        ],
    }
    return {name: value for name, value in version.items() if value is not None}


def _outside_covers(entry: Entry, facts: Facts) -> list[str]:
    """Return where others find the cover: one that is kept here came from where a source says, if one does."""
    addresses = (entry.model.cover_url, facts.cover_url or "")
    return [address for address in addresses if address.startswith(("https://", "http://"))][:1]


def _loramanager(entry: Entry, facts: Facts, file: FileRecord) -> dict[str, Any]:
    model = entry.model
    stem = os.path.basename(file.path).rpartition(b".")[0].decode("utf-8", "replace")
    return {
        "file_name": stem,
        "model_name": facts.upstream_model_name or model.name,
        "file_path": file.path.decode("utf-8", "replace"),
        "size": file.size_bytes,
        "modified": file.mtime_ns / 1_000_000_000,
        "sha256": file.sha256 or "",
        "hash_status": "completed" if file.sha256 else "pending",
        "autov3": (file.autov3 or "")[:12].lower(),
        "base_model": model.base_model or "Unknown",
        "tags": list(model.tags),
        "notes": facts.notes or "",
        "from_civitai": model.id < OWN_ID_MIN,
        "civitai": _civitai_version(entry, facts, file),
    }


def _a1111(entry: Entry, facts: Facts, _: FileRecord) -> dict[str, Any]:
    base = entry.model.base_model
    generation = "SDXL" if entry.model.is_sdxl else "SD1" if base.startswith("SD 1") else ""
    generation = generation or ("SD2" if base.startswith("SD 2") else "Unknown")
    return {
        "description": facts.notes or "",
        "sd version": generation,
        "activation text": ", ".join(facts.trigger_words or ()),
        "preferred weight": 0,
        "notes": "",
    }


_CONTENTS: Mapping[SidecarFormat, Callable[[Entry, Facts, FileRecord], dict[str, Any]]] = {
    SidecarFormat.CIVITAI_INFO: _civitai_version,
    SidecarFormat.LORA_MANAGER: _loramanager,
    SidecarFormat.A1111: _a1111,
}


def _write_one(path: bytes, said: dict[str, Any], identity: str, *, force: bool) -> ExportResult:
    try:
        before = _read(path)
        if before is not None:
            if not (is_untouched(before, identity) or force):
                return ExportResult(path, "foreign", "it is somebody else's, or was edited; --force replaces it")
            # Fields that other programs keep there are theirs to keep.
            said = {**_object(before), **said}
        raw = msgspec.json.format(msgspec.json.encode(marked(said, identity)), indent=2) + b"\n"
        if raw == before:
            return ExportResult(path, "unchanged")
        _replace(path, raw)
    except OSError as problem:
        return ExportResult(path, "failed", problem.strerror or str(problem))
    return ExportResult(path, "written")


def _read(path: bytes) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(BYTES_MAX)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _replace(path: bytes, raw: bytes) -> None:
    # Beside it, so that the rename stays on one file system; by a name that nothing takes for a side-car.
    partial = os.path.join(os.path.dirname(path), b".modelyard-" + secrets.token_hex(8).encode() + b".part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.lexists(partial):
            os.unlink(partial)
        raise
