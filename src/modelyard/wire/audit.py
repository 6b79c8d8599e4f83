"""The audit on the wire: the parameters of its list, and its records.

Unlike the list of models, it refuses parameters that it does not have: a filter with a mistake in its name must not
look as if nothing had happened.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from modelyard import errors
from modelyard.facts import format_date
from modelyard.wire.records import Pagination

LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
QUERY_BYTES_MAX = 2048
_INT64_MAX = 2**63 - 1
_DATE_MAX = 253_402_300_799  # the end of the year 9999
_CURSOR = re.compile(r"a_([0-9]{1,19})")
# What the audit records. A filter also takes the part before the point.
VERBS = (
    "model.create", "model.edit", "model.delete", "model.count", "model.purge",
    "repository.create", "repository.commit", "repository.delete",
    "upload.create", "upload.join", "upload.cancel", "fetch.create", "fetch.cancel", "send.create",
    "key.create", "key.expire", "key.revoke",
    "person.create", "person.edit", "person.revoke", "person.restore",
    "session.start", "session.end",
    "webhook.create", "webhook.delete", "webhook.rotate", "webhook.enable", "webhook.test", "webhook.replay",
    "job.retry", "signing_key.rotate",
)  # fmt: skip # a line a group
_GROUPS = tuple(dict.fromkeys(verb.partition(".")[0] for verb in VERBS))
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


class KeyName(msgspec.Struct, frozen=True):
    """A key: the beginning of its SHA-256, and what people call it."""

    fingerprint: str
    name: str


class AuditRecord(msgspec.Struct, frozen=True):
    """A change. ``actor`` is key, command, job or server; ``via`` is the route, the command or the kind of job.

    ``models`` is greater than 1 for a change of many models, which have no ``model_id`` here.
    """

    id: int
    time: str
    team: str | None
    actor: str
    via: str
    verb: str
    model_id: int | None
    models: int
    subject: str
    revision_before: int | None
    revision_after: int | None
    key: KeyName | None
    person: str
    address: str
    request_id: str


class AuditPage(msgspec.Struct, frozen=True):
    """Changes, the newest first."""

    audit: list[AuditRecord]
    pagination: Pagination


class AuditParameters(msgspec.Struct, frozen=True):
    """What a request for the audit asks for."""

    limit: int = LIMIT_DEFAULT
    before: int | None = None
    filters: Mapping[str, Any] = {}


def parse_audit_query(query_string: bytes) -> AuditParameters:
    """Parse the query string. ``filters`` are the fields of the store's query. Raises InvalidParameter."""
    if len(query_string) > QUERY_BYTES_MAX:
        size_bytes = len(query_string)
        raise errors.RequestTooLong(
            f"the query string has {size_bytes} bytes; accepted: up to {QUERY_BYTES_MAX}", limit_bytes=QUERY_BYTES_MAX
        )
    values: dict[str, Any] = {}
    for name, text in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if name not in _PARAMETERS:
            raise errors.InvalidParameter(name[:64], text, list(_PARAMETERS), "there is no such parameter here")
        field, allowed, parse = _PARAMETERS[name]
        if field in values:
            raise errors.InvalidParameter(name, text, "one value", "given more than once")
        try:
            if text:
                values[field] = parse(text)
        except ValueError:
            raise errors.InvalidParameter(name, text, allowed) from None
    limit, before = values.pop("limit", LIMIT_DEFAULT), values.pop("before", None)
    return AuditParameters(limit, before, values)


def format_audit_cursor(number: int) -> str:
    """Return the cursor of the rows before a number."""
    return f"a_{number}"


def parse_time(text: str) -> int:
    """Return a time, given in Unix seconds or ISO 8601, in Unix seconds. Raises ValueError."""
    if text.isascii() and text.isdigit():
        # Milliseconds would be a time that is far away, where nothing happened.
        if len(text) <= 12 and int(text) <= _DATE_MAX:
            return int(text)
        raise ValueError(text[:20])
    if len(text) > 40:
        raise ValueError(text[:40])
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _parse_integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 19 and low <= int(text) <= high:
            return int(text)
        raise ValueError(text[:20])

    return parse


def parse_verb(text: str) -> str:
    """Return a verb of the audit, or the first part of verbs. Raises ValueError."""
    if text not in VERBS and text not in _GROUPS:
        raise ValueError(text[:64])
    return text


def _parse_match(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) <= 64 and pattern.fullmatch(text):
            return text
        raise ValueError(text[:64])

    return parse


def _parse_cursor(text: str) -> int:
    match = _CURSOR.fullmatch(text)
    if match is None or int(match[1]) > _INT64_MAX:
        raise ValueError(text[:32])
    return int(match[1])


def _parse_team(text: str) -> str:
    if len(text) > 64 or not text.isprintable():
        raise ValueError(text[:64])
    return text


_TIME_ALLOWED = "a time such as 2026-11-27T12:00:00Z, or Unix seconds (no milliseconds)"
VERB_ALLOWED = f"{', '.join(VERBS)}, or the first part: {', '.join(_GROUPS)}"
# By name: the field, what is accepted, and the parser.
_PARAMETERS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "pagination.limit": ("limit", f"1 to {LIMIT_MAX}", _parse_integer(1, LIMIT_MAX)),
    "pagination.cursor": ("before", "empty, or the next_cursor of an answer", _parse_cursor),
    "filter.since": ("since", _TIME_ALLOWED, parse_time),
    "filter.until": ("until", _TIME_ALLOWED, parse_time),
    "filter.verb": ("verb", VERB_ALLOWED, parse_verb),
    "filter.model": ("model_id", "a model's id, decimal digits", _parse_integer(0, _INT64_MAX)),
    "filter.key": ("key_fingerprint", "a key's fingerprint, 16 hexadecimal digits", _parse_match(_FINGERPRINT)),
    "filter.team": ("team", "the name of a team", _parse_team),
}


def make_audit_record(row: Any, key_names: Mapping[str, str]) -> AuditRecord:
    """Return a row of the store as the API says it; ``key_names`` are names of keys by fingerprint."""
    fingerprint = row.key_fingerprint
    return AuditRecord(
        row.number,
        format_date(row.at),
        row.team,
        row.actor,
        row.via,
        row.verb,
        row.model_id,
        row.models,
        row.subject,
        row.revision_before,
        row.revision_after,
        KeyName(fingerprint, key_names.get(fingerprint, "")) if fingerprint else None,
        row.person,
        row.address,
        row.request_id,
    )
