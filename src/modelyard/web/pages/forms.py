"""Parses the bodies of forms: text fields, and the picture of a form with a file field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from modelyard import errors
from modelyard.web.bodies import JSON_BYTES_MAX

_FIELDS_MAX = 200
_BOUNDARY = re.compile(rb'multipart/form-data;\s*boundary="?([0-9A-Za-z\'()+_,./:=?-]{1,70})"?\s*', re.IGNORECASE)
_NAME = re.compile(rb'(?im)^content-disposition:[^\r\n]*;\s*name="([^"\r\n]*)"')
_FILE_NAME = re.compile(rb"(?im)^content-disposition:[^\r\n]*;\s*filename\*?=")


@dataclass(frozen=True, slots=True)
class Form:
    """A form's fields, and the bytes of its file; empty without a file."""

    fields: Mapping[str, list[str]]
    file: bytes = b""


def is_multipart(content_type: bytes) -> bool:
    """Whether a form may have a file."""
    return _BOUNDARY.fullmatch(content_type) is not None


def parse_form(content_type: bytes, body: bytes) -> Form:
    """Return the form of a body, which is URL-encoded or multipart (RFC 7578). Raises InvalidValue or TooLarge."""
    try:
        if match := _BOUNDARY.fullmatch(content_type):
            return _parse_multipart(match[1], body)
        return Form(parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX))
    except ValueError:
        raise errors.InvalidValue("the form cannot be read") from None


def _parse_multipart(boundary: bytes, body: bytes) -> Form:
    """Return a multipart form. Raises ValueError if it is incomplete or has too many fields."""
    # What comes before the first delimiter and after the last one is no part.
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, _FIELDS_MAX + 1)
    if not parts or not parts[-1].startswith(b"--"):
        raise ValueError
    fields: dict[str, list[str]] = {}
    file, fields_bytes = b"", 0
    for part in parts[:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None:
            raise ValueError
        if _FILE_NAME.search(head):
            file = file or content
            continue
        fields_bytes += len(content)
        if fields_bytes > JSON_BYTES_MAX:
            raise errors.TooLarge("the text of the form", JSON_BYTES_MAX)
        fields.setdefault(name[1].decode(), []).append(content.decode())
    return Form(fields, file)
