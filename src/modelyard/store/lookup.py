"""Models by what a person calls them: an id, a name, a hash. Whoever may see them: for commands, not for requests."""

import sqlalchemy as sa

from modelyard.domain import HASH_LENGTHS
from modelyard.store import rows, schema

_MODEL = schema.models.c
_HASHES = (_MODEL.sha256, _MODEL.autov2, _MODEL.autov3, _MODEL.autov1, _MODEL.blake3, _MODEL.crc32)
_PREFIXES = ("sha256:", "blake3:", "0x")


def model_ids(connection: sa.Connection, wanted: str, limit: int = 20) -> list[int]:
    """Return the ids of the models that ``wanted`` means; the first meaning that meets any wins: id, name, hash.

    A name is that of the file with or without its extension, or the version's. Cost: a walk over all names.
    """
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 and int(wanted) <= rows.INT64_MAX:
        found = _ids(connection, _MODEL.id == int(wanted), limit)
        if found:
            return found
    stem = _MODEL.sd_name.startswith(wanted + ".", autoescape=True)
    for names in (_MODEL.sd_name == wanted, stem, _MODEL.name == wanted):
        if found := _ids(connection, names, limit):
            return found
    digits = wanted.strip().casefold()
    for prefix in _PREFIXES:
        digits = digits.removeprefix(prefix)
    digits = digits.upper()
    if len(digits) not in HASH_LENGTHS or set(digits) - set("0123456789ABCDEF"):
        return []
    # AutoV3 is told by its first 12 digits, AutoV2 is the first 10 of SHA-256.
    shorter = [column.startswith(digits) for column in (_MODEL.sha256, _MODEL.autov3)] if len(digits) < 64 else []
    return _ids(connection, sa.or_(*(column == digits for column in _HASHES), *shorter), limit)


def _ids(connection: sa.Connection, condition: sa.ColumnElement[bool], limit: int) -> list[int]:
    query = sa.select(_MODEL.id).where(condition).order_by(_MODEL.rank.desc(), _MODEL.id.desc()).limit(limit)
    return list(connection.execute(query).scalars())
