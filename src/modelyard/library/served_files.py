"""Decides which files in the user's folders may be sent to clients.

A file is sent only while its fingerprint is the one recorded when it was hashed. Otherwise its model becomes
unavailable until the folder is scanned again.
"""

import os
from dataclasses import replace

from modelyard.registry import models
from modelyard.store import Store, files
from modelyard.store.files import FileRecord, FileState


def find(store: Store, sha256: str) -> FileRecord | None:
    """Return the record of a sound file with these bytes, or None.

    The fingerprint is for the caller to compare once the file is open.
    """
    with store.reading() as connection:
        records = [record for record in files.with_sha256(connection, [sha256]) if record.is_servable]
    for record in records:
        if files.is_as_recorded(record):
            return record
    return None


def is_on_other_node(store: Store, sha256: str) -> bool:
    """Whether a sound file with these bytes lies on another node."""
    with store.reading() as connection:
        records = files.with_sha256(connection, [sha256])
    return any(record.is_servable and not record.is_of(store.node) for record in records)


def mark_missing(store: Store, sha256: str) -> None:
    """Record which files with these bytes changed or are gone, and make models unavailable that have no other file.

    A missing folder changes no record: it may be on another machine, or on a disk that is not mounted.
    """
    with store.reading() as connection:
        if not _find_losses(files.with_sha256(connection, [sha256]), store.node):
            return
    with store.transaction() as writing:
        records = files.with_sha256(writing.connection, [sha256])
        losses = _find_losses(records, store.node)
        files.put(writing.connection, [(record, None) for record in losses.values()])
        available = {record.model_id for record in records if record.is_servable and record.path not in losses}
        lost_ids = {record.model_id for record in losses.values() if record.model_id is not None}
        models.mark_unavailable(writing, lost_ids - available)


def _find_losses(records: list[FileRecord], node: str) -> dict[bytes, FileRecord]:
    """Return, by path, the new records of sound files of a node that changed or are gone."""
    losses = {}
    for record in records:
        is_lost = record.is_servable and record.is_of(node) and not files.is_as_recorded(record)
        if is_lost and os.path.isdir(os.path.dirname(record.path)):
            state = FileState.CHANGED if os.path.lexists(record.path) else FileState.MISSING
            losses[record.path] = replace(record, state=state)
    return losses
