"""The signatures of models: a ``model.sig`` that came by a commit is verified by today's keys whenever it is shown."""

import hashlib

import sqlalchemy as sa

from modelyard import errors
from modelyard.domain import Model, Status
from modelyard.registry.readme import README
from modelyard.signatures import FILE_NAME, SignatureCheck, SignaturePolicy, SignatureVerdict, verify
from modelyard.store import repositories

UNSIGNED = "unsigned: the setting require_signature needs a model.sig by a trusted key in a commit"
# Files of a repository that are no part of the model: signers leave them out, or the server writes them.
_OTHER_FILES = (FILE_NAME, README, ".gitattributes", ".gitignore")


def check_model(connection: sa.Connection, model: Model, policy: SignaturePolicy) -> SignatureCheck:
    """Verify the signature of a model's files."""
    rows = repositories.files_of_model(connection, model.id)
    document = next((row.content for row in rows if row.path == FILE_NAME), None)
    if document is None:
        return SignatureCheck(SignatureVerdict.MISSING, f"there is no {FILE_NAME}")
    files = {
        row.path: row.sha256 or hashlib.sha256(row.content or b"").hexdigest()
        for row in rows
        if row.path not in _OTHER_FILES
    }
    if model.blob is not None and model.blob not in files.values():
        files[model.sd_name] = model.blob
    return verify(document, policy.keys, files)


def refuse_unsigned(connection: sa.Connection, model: Model, policy: SignaturePolicy) -> None:
    """Raise UnsupportedFile if no trusted key signed the files of a model."""
    check = check_model(connection, model, policy)
    if not check.is_valid:
        raise errors.UnsupportedFile(
            f"this server needs a {FILE_NAME} by a trusted key (setting require_signature): {check.reason}",
            verdict=check.verdict.value,
            problem=check.reason,
        )


def find_check(connection: sa.Connection, model: Model, policy: SignaturePolicy) -> SignatureCheck | None:
    """Return what to show of the signature of a model; None if there is nothing to say."""
    if not policy.keys:
        return None
    check = check_model(connection, model, policy)
    is_wanted = policy.is_required and model.team is not None and model.status is Status.UNAVAILABLE
    return check if is_wanted or check.verdict is not SignatureVerdict.MISSING else None
