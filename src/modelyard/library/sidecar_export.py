"""Writes sidecars with the catalogue's facts for other programs, in formats that ``library.sidecars`` reads back.

    civitai-info   <stem>.civitai.info     a Civitai version's answer
    lora-manager   <stem>.metadata.json    LoRA Manager
    a1111          <stem>.json             A1111's user metadata

Our sidecars carry a mark (``sidecars.add_mark``). A sidecar without it, or edited since, belongs to another program:
only ``force`` replaces it, and keeps the fields that we do not know. A later scan ignores our own sidecars by the
mark. Nothing is written through a link, and a crash leaves no partial file.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from modelyard.civitai.answers import drop_missing, make_cover, make_file, make_image, make_permissions, spell_type
from modelyard.civitai.markup import html_of_text
from modelyard.domain import OWN_ID_MIN
from modelyard.facts import Entry, Facts, ModelFile, Recommended, complete_files, resolve
from modelyard.library.sidecars import BYTES_MAX, add_mark, is_untouched, parse_object
from modelyard.library.walk import ScanResult
from modelyard.paths import display_path
from modelyard.registry.names import file_id_of
from modelyard.store import Store, files
from modelyard.store.files import FileRecord


class SidecarFormat(StrEnum):
    """The program whose sidecars are written."""

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
    """The result for one sidecar. ``result`` is written, unchanged, foreign, unknown or failed."""

    path: bytes
    result: str
    reason: str = ""


def export(store: Store, scan: ScanResult, form: SidecarFormat, *, force: bool) -> Iterator[ExportResult]:
    """Write a sidecar for each file of a scan that is a model of the catalogue."""
    with store.reading() as connection:
        records = files.below(connection, scan.roots)
    for file in scan.files:
        if file.part is not None:
            continue  # programs look for a sidecar beside a model, not beside its parts
        record = records.get(file.path)
        entry = store.entry(record.model_id) if record is not None and record.model_id is not None else None
        target = os.path.splitext(file.path)[0] + SUFFIXES[form]
        if record is None or entry is None:
            yield ExportResult(target, "unknown", "the file is no model of the catalogue; add it first")
        else:
            yield _write_sidecar(target, make_content(entry, record, form), store.identity, force=force)


def make_content(entry: Entry, file: FileRecord, form: SidecarFormat) -> dict[str, Any]:
    """Return the content of a model's sidecar."""
    return _CONTENTS[form](entry, resolve(entry.layers), file)


def _make_civitai_version(entry: Entry, facts: Facts, file: FileRecord) -> dict[str, Any]:
    model = entry.model
    version = {
        "id": model.id if model.id < OWN_ID_MIN else None,
        "modelId": facts.upstream_model_id,
        "name": model.name,
        "baseModel": model.base_model or None,
        "baseModelType": model.base_model_type or None,
        "publishedAt": facts.published_at,
        "updatedAt": facts.updated_at,
        "trainedWords": list(facts.trigger_words or ()),
        "description": html_of_text(facts.description) if facts.description else facts.notes,
        "images": _list_images(entry, facts),
        "creator": {"username": facts.creator} if facts.creator else None,
        "model": {
            **make_permissions(facts.licence),
            "name": facts.title or model.name,
            "type": spell_type(model.type),
            "nsfw": model.is_nsfw,
            "tags": list(model.tags),
        },
        "files": [make_file(version_file) for version_file in _list_files(entry, facts, file)],
    }
    return drop_missing(version)


def _list_files(entry: Entry, facts: Facts, file: FileRecord) -> tuple[ModelFile, ...]:
    """Return the files of a version; of a version with one file, or of a model of ours, the file itself."""
    model = entry.model
    if facts.files:
        return complete_files(facts)
    file_id = file_id_of(model.sd_name) if model.id < OWN_ID_MIN else None
    name = facts.file_name or model.sd_name
    return (ModelFile(name, file_id, "Model", file.size_bytes, is_primary=True, hashes=model.hashes),)


def _list_images(entry: Entry, facts: Facts) -> list[dict[str, Any]]:
    """Return the images, the cover first: programs show the first one."""
    covers = _list_cover_urls(entry, facts)
    images = [make_cover(address) for address in covers]
    return images + [make_image(image) for image in facts.images or () if image.url not in covers or image.prompt]


def _list_cover_urls(entry: Entry, facts: Facts) -> list[str]:
    """Return the address of the cover on another server: the model's own, or the one that a source gave."""
    addresses = (entry.model.cover_url, facts.cover_url or "")
    return [address for address in addresses if address.startswith(("https://", "http://"))][:1]


def _make_metadata_json(entry: Entry, facts: Facts, file: FileRecord) -> dict[str, Any]:
    model = entry.model
    stem = display_path(os.path.splitext(os.path.basename(file.path))[0])
    return {
        "file_name": stem,
        "model_name": facts.title or model.name,
        "file_path": display_path(file.path),
        "size": file.size_bytes,
        "modified": file.fingerprint.mtime_ns / 1_000_000_000,
        "sha256": file.sha256 or "",
        "hash_status": "completed" if file.sha256 else "pending",
        "autov3": (file.autov3 or "")[:12].lower(),
        "base_model": model.base_model or "Unknown",
        "tags": list(model.tags),
        "notes": facts.notes or "",
        **({"modelDescription": html_of_text(facts.description)} if facts.description else {}),
        **({"usage_tips": _make_usage_tips(facts.recommended)} if facts.recommended else {}),
        "from_civitai": model.id < OWN_ID_MIN,
        "civitai": _make_civitai_version(entry, facts, file),
    }


def _make_usage_tips(values: Recommended) -> str:
    """Return LoRA Manager's JSON text of the recommended values."""
    tips = {
        "strength": values.weight,
        "strength_min": values.weight_min,
        "strength_max": values.weight_max,
        "clip_skip": values.clip_skip,
    }
    return msgspec.json.encode(drop_missing(tips)).decode()


def _make_a1111(entry: Entry, facts: Facts, _: FileRecord) -> dict[str, Any]:
    base = entry.model.base_model
    generation = "SDXL" if entry.model.is_sdxl else "SD1" if base.startswith("SD 1") else ""
    generation = generation or ("SD2" if base.startswith("SD 2") else "Unknown")
    return {
        "description": facts.description or facts.notes or "",
        "sd version": generation,
        "activation text": ", ".join(facts.trigger_words or ()),
        "preferred weight": (facts.recommended.weight if facts.recommended else None) or 0,
        "notes": (facts.notes or "") if facts.description else "",
    }


_CONTENTS: Mapping[SidecarFormat, Callable[[Entry, Facts, FileRecord], dict[str, Any]]] = {
    SidecarFormat.CIVITAI_INFO: _make_civitai_version,
    SidecarFormat.LORA_MANAGER: _make_metadata_json,
    SidecarFormat.A1111: _make_a1111,
}


def _write_sidecar(path: bytes, content: dict[str, Any], identity: str, *, force: bool) -> ExportResult:
    try:
        before = _read_bytes(path)
        if before is not None:
            if not (is_untouched(before, identity) or force):
                return ExportResult(
                    path, "foreign", "it belongs to another program, or was edited; --force replaces it"
                )
            # Keep the fields of other programs.
            content = {**_read_object(before), **content}
        raw = msgspec.json.format(msgspec.json.encode(add_mark(content, identity)), indent=2) + b"\n"
        if raw == before:
            return ExportResult(path, "unchanged")
        _replace_file(path, raw)
    except OSError as problem:
        return ExportResult(path, "failed", problem.strerror or str(problem))
    return ExportResult(path, "written")


def _read_bytes(path: bytes) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(BYTES_MAX)


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        return parse_object(raw)
    except (ValueError, RecursionError):
        return {}


def _replace_file(path: bytes, raw: bytes) -> None:
    # In the same folder, so that the rename stays on one file system; no program takes the name for a sidecar.
    partial = os.path.join(os.path.dirname(path), b".modelyard-" + secrets.token_hex(8).encode() + b".part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            # The folder is the user's. Who may read it may read the sidecar, and the umask is for our own files.
            os.fchmod(file.fileno(), os.stat(os.path.dirname(partial) or b".").st_mode & 0o644)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.lexists(partial):
            os.unlink(partial)
        raise
