"""Finds models by id, name, title or hash, for commands.

It ignores who may see a model, so requests must not use it.
"""

import sqlalchemy as sa

from modelyard.domain import HASH_LENGTHS
from modelyard.store import rows, schema

_MODEL = schema.models.c
_HASHES = (_MODEL.sha256, _MODEL.autov2, _MODEL.autov3, _MODEL.autov1, _MODEL.blake3, _MODEL.crc32)
_PREFIXES = ("sha256:", "blake3:", "0x")


def model_ids(connection: sa.Connection, text: str, limit: int = 20) -> list[int]:
    """Return the ids of the models with this id; if there is none, with this name; if there is none, with this hash.

    A name is that of the file with or without its extension, that of the version, or the title. Cost: a walk over all
    names.
    """
    if text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= rows.INT64_MAX:
        ids = _ids(connection, _MODEL.id == int(text), limit)
        if ids:
            return ids
    stem = _MODEL.sd_name.startswith(text + ".", autoescape=True)
    for names in (_MODEL.sd_name == text, stem, _MODEL.name == text, _MODEL.title == text):
        if ids := _ids(connection, names, limit):
            return ids
    digits = text.strip().casefold()
    for prefix in _PREFIXES:
        digits = digits.removeprefix(prefix)
    digits = digits.upper()
    if len(digits) not in HASH_LENGTHS or set(digits) - set("0123456789ABCDEF"):
        return []
    # People write the first 12 digits of AutoV3; AutoV2 is the first 10 digits of SHA-256.
    shorter = [column.startswith(digits) for column in (_MODEL.sha256, _MODEL.autov3)] if len(digits) < 64 else []
    is_further = _MODEL.id.in_(sa.select(schema.model_hashes.c.model_id).where(schema.model_hashes.c.digits == digits))
    return _ids(connection, sa.or_(*(column == digits for column in _HASHES), *shorter, is_further), limit)


def _ids(connection: sa.Connection, condition: sa.ColumnElement[bool], limit: int) -> list[int]:
    query = sa.select(_MODEL.id).where(condition).order_by(_MODEL.rank.desc(), _MODEL.id.desc()).limit(limit)
    return list(connection.execute(query).scalars())
