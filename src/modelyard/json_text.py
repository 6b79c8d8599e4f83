"""Decodes JSON that other programs wrote, and mends the damage that real answers have.

    half an emoji ("\\ud83d")    → the replacement character
    NUL ("\\u0000")             → the replacement character: PostgreSQL stores none
    bytes that are no UTF-8     → the replacement character
    NaN, Infinity               → null
    line feeds in a text        → spaces

Text without damage is decoded once, by msgspec. ``convert`` leaves out the fields of a value that have a wrong type.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar, get_args, get_origin

import msgspec

_Part = TypeVar("_Part", bound=msgspec.Struct)

# A text of JSON, or a number that JSON does not have.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b', re.DOTALL)
# A whole pair of surrogates, half a pair or NUL, or any other escape.
_ESCAPE = re.compile(rb"(\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|(\\u[dD][89a-fA-F]\w\w|\\u0000)|\\.", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f]")


def decode(text: bytes, kind: Any = Any) -> Any:
    """Return the value of a JSON text, as ``kind``.

    Raises msgspec.ValidationError if it is not of that kind, msgspec.DecodeError if nobody can read it as JSON, and
    RecursionError if it is nested too deeply.
    """
    if b"\\u0000" in text:
        text = mend(text)
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(mend(text), type=kind)


def mend(text: bytes) -> bytes:
    """Return a JSON text without the damage that this module knows. Its lines stay where they are outside texts."""
    return _TOKEN.sub(_mend_token, bytes(text).decode("utf-8", "replace").encode())


def _mend_token(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if not token.startswith(b'"'):
        return b"null"
    if b"\\u" in token:
        token = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[2] else escape[0], token)
    return _CONTROL.sub(b" ", token)


def convert(answer: object, kind: type[_Part]) -> _Part:
    """Return a part of an answer without the fields that have a wrong value.

    Raises ValidationError if a field without a default is missing or wrong.
    """
    try:
        return msgspec.convert(answer, kind, strict=False)
    except msgspec.ValidationError:
        if not isinstance(answer, dict):
            raise
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name in answer:
            try:
                values[name] = _convert_field(answer[name], field.type)
            except msgspec.ValidationError:
                if field.required:
                    raise
    # Complete the check: a field without a default may be missing.
    return msgspec.convert({**values}, kind, strict=False, from_attributes=True)


def _convert_field(value: object, kind: Any) -> Any:
    """Return the value of a field: a part with the fields that are right, a list of the parts that are right."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        for choice in get_args(kind):
            if isinstance(choice, type) and issubclass(choice, msgspec.Struct) and isinstance(value, dict):
                return convert(value, choice)
            (item, *_) = get_args(choice) or (None,)
            if get_origin(choice) is list and isinstance(value, list) and isinstance(item, type):
                return list(_convert_items(value, item))
        raise


def _convert_items(values: list[Any], kind: Any) -> Iterator[Any]:
    for value in values:
        with suppress(msgspec.ValidationError):
            yield convert(value, kind) if issubclass(kind, msgspec.Struct) else msgspec.convert(value, kind)
