"""A person's word on which version a file is: stronger than hashes and sidecars, and kept by every later scan."""

import os

from modelyard import errors
from modelyard.domain import OWN_ID_MIN
from modelyard.library.probe import probe
from modelyard.library.reconcile import FileOutcome, Ownership, Reconciler
from modelyard.library.walk import find_file
from modelyard.paths import display_path
from modelyard.store import Store, WriteTransaction, files
from modelyard.store.files import UNLINKED, FileRecord


def link(store: Store, path: bytes, version_id: int) -> FileOutcome:
    """Make a scanned file one of a version's files.

    Raises ModelNotFound for a version that is not in the catalogue, and InvalidValue for a file that cannot be linked.
    """
    with store.transaction() as transaction:
        record = _find_record(transaction, path)
        entry = transaction.entries([version_id]).get(version_id)
        if entry is None:
            raise errors.ModelNotFound(str(version_id))
        if version_id >= OWN_ID_MIN:
            raise _refused(path, f"{version_id} is a model of this catalogue; accepted: the id of an imported version")
        if record.visibility is not entry.model.visibility:
            raise _refused(path, f"the file is {record.visibility} and the version {entry.model.visibility}")
        return _relink(store, transaction, record, version_id)


def unlink(store: Store, path: bytes) -> FileOutcome:
    """Make a file that belongs to a version a model of its own. Raises InvalidValue if it belongs to none."""
    with store.transaction() as transaction:
        record = _find_record(transaction, path)
        if record.model_id is None or record.model_id >= OWN_ID_MIN:
            raise _refused(path, "it belongs to no version")
        return _relink(store, transaction, record, UNLINKED)


def _find_record(transaction: WriteTransaction, path: bytes) -> FileRecord:
    real_path = os.path.realpath(path)
    record = files.at_paths(transaction.connection, [real_path]).get(real_path)
    if record is None:
        raise _refused(path, "it is no file of the catalogue; add it first with `modelyard add`")
    if record.folder is not None:
        raise _refused(path, "it is a part of a model that consists of several files")
    return record


def _relink(store: Store, transaction: WriteTransaction, record: FileRecord, linked_id: int) -> FileOutcome:
    file = find_file(record.path)
    if file is None or not record.is_there or not files.is_as_recorded(record):
        raise _refused(record.path, "it is gone or has changed; run `modelyard add` with its folder first")
    assert record.id is not None, "it came from the store"
    files.set_link(transaction.connection, record.id, linked_id)
    reconciler = Reconciler(transaction, store.node)
    (outcome,) = reconciler.take([probe(file, with_hashes=False, catalogue=store.identity)], Ownership(), {})
    reconciler.finish()
    return outcome


def _refused(path: bytes, reason: str) -> errors.InvalidValue:
    return errors.InvalidValue(f"{display_path(path)}: {reason}", field="file", given=display_path(path))
