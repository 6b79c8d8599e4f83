"""Says in plain words why a call to an S3-compatible store failed, from the texts of obstore.

The sentences are safe to show to every caller; what the store answered goes to the log and to commands.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from modelyard import errors

T = TypeVar("T")

NO_BUCKET = "the file store has no such bucket; create it, or correct storage_url"
_REFUSED = "the file store refuses the credentials"
_NO_CREDENTIALS = "no credentials for the file store; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_FULL = "the file store is full"
_CODE = re.compile(r"<Code>(\w+)</Code>(?:<Message>([^<]{0,300}))?")
_STATUS = re.compile(r"status code: (\d{3})")
_BY_CODE = {
    "NoSuchBucket": NO_BUCKET,
    "AccessDenied": "the credentials of the file store lack a right; reading, writing and deleting are needed",
    "SlowDown": "the file store asks to slow down",
    "RequestTimeTooSkewed": "the clock of this machine is wrong, so the file store refuses its requests",
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "InsufficientStorage": _FULL,
}
_BY_STATUS = {401: _REFUSED, 403: _REFUSED, 413: "the file is too large for the file store", 507: _FULL}
# Where obstore asks for credentials if it has none: the metadata service of a cloud.
_METADATA_HOST = "169.254.169.254"
# What the debug text of obstore says about a connection, in lower case.
_BY_TEXT = (
    ("connectionrefused", "the file store cannot be reached: nothing listens at its address"),
    ("dns error", "the file store cannot be reached: its host name is unknown"),
    ("timedout", "the file store does not answer in time"),
    ("timed out", "the file store does not answer in time"),
    ("certificate", "the certificate of the file store is not trusted"),
    ("nospace", _FULL),
)
_DETAIL_CHARS_MAX = 400


def call_store(call: Callable[[], T]) -> T:
    """Call the store. Raises FileNotFoundError for a missing object, Unavailable with the reason for other failures."""
    try:
        return call()
    except FileNotFoundError:
        raise
    except BaseError as problem:
        raise error_of(problem) from problem


def iterate_store(items: Iterable[T]) -> Iterator[T]:
    """Yield what the store sends. Raises Unavailable with the reason if it breaks off."""
    try:
        yield from items
    except BaseError as problem:
        raise error_of(problem) from problem


def error_of(problem: Exception) -> errors.Unavailable:
    """Return our error for one of obstore."""
    text = str(problem)
    code, message = _CODE.findall(text)[0] if _CODE.search(text) else ("", "")
    status = int(_STATUS.findall(text)[0]) if _STATUS.search(text) else 0
    first_line = " ".join(text.partition("Debug source")[0].split())
    detail = f"{code}: {message}" if code else first_line[:_DETAIL_CHARS_MAX]
    sentence = _describe(problem, text, code, status)
    is_refused = sentence in (NO_BUCKET, _REFUSED, _NO_CREDENTIALS, _BY_CODE["AccessDenied"])
    kind = errors.StorageRefused if is_refused else errors.Unavailable
    return kind(sentence, detail=detail)


def no_bucket(problem: Exception) -> errors.StorageRefused:
    """Return the error for a write that found no bucket."""
    return errors.StorageRefused(NO_BUCKET, detail=error_of(problem).detail)


def _describe(problem: Exception, text: str, code: str, status: int) -> str:
    if _METADATA_HOST in text:
        return _NO_CREDENTIALS
    if code in _BY_CODE:
        return _BY_CODE[code]
    if isinstance(problem, PermissionDeniedError | UnauthenticatedError):
        return _REFUSED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    lower = text.lower()
    for part, sentence in _BY_TEXT:
        if part in lower:
            return sentence
    return f"the file store answers with status {status}" if status else "the file store is away or refused"
