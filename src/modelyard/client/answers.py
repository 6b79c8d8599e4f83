"""Answers of a server: their bodies as typed values, and their errors as errors of this package."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

import httpx2
import msgspec

from modelyard import errors, wire
from modelyard.retry import parse_retry_after

# Temporary statuses: too many requests, a part of the server that is unavailable, an upload that is locked.
_TEMPORARY_STATUSES = frozenset({423, 429, 502, 503, 504})
TEMPORARY_ERRORS = (httpx2.TransportError, errors.RateLimited, errors.Unavailable, errors.UploadLocked)
_ERRORS: Mapping[tuple[int, str], type[errors.ModelyardError]] = {
    answer: kind for kind, answer in reversed([*wire.ERROR_ANSWERS.items()])
} | {(401, "INVALID_API_KEY"): errors.InvalidKey}
T = TypeVar("T")


def decode(answer: httpx2.Response, type_: type[T]) -> T:
    """Return the body of an answer. Raises ModelyardError for one that is not Modelyard's."""
    try:
        return msgspec.json.decode(answer.content, type=type_)
    except msgspec.MsgspecError as problem:
        raise errors.ModelyardError(
            f"{answer.request.url} did not answer as a Modelyard server does: {problem}"
        ) from problem


def read_error(answer: httpx2.Response) -> errors.ModelyardError:
    """Return an answer's error as an error of this package, with the server's message and facts."""
    try:
        body = answer.json()
        reason, message, facts = str(body["reason"]), str(body["message"]), dict(body.get("metadata") or {})
    except (ValueError, KeyError, TypeError):
        reason, message, facts = "", _describe_foreign_answer(answer), {}
    kind = _ERRORS.get((answer.status_code, reason))
    if kind is None:
        kind = errors.Unavailable if answer.status_code in _TEMPORARY_STATUSES else errors.ModelyardError
    # Without the class's constructor, which would write a message of its own instead of the server's.
    error = kind.__new__(kind)
    errors.ModelyardError.__init__(error, message, **{str(name): value for name, value in facts.items()})
    wait_seconds = parse_retry_after(answer.headers.get("retry-after"))
    if wait_seconds is not None:
        error.facts = {**error.facts, "wait": wait_seconds}
    return error


def retry_after(problem: Exception) -> float | None:
    """Return after how many seconds the server wants the request again, if it says so."""
    wait_seconds = problem.facts.get("wait") if isinstance(problem, errors.ModelyardError) else None
    return float(wait_seconds) if isinstance(wait_seconds, int | float) else None


def _describe_foreign_answer(answer: httpx2.Response) -> str:
    url = answer.request.url
    if answer.has_redirect_location:
        return f"{url} leads to {answer.headers['location']}; use that address"
    return f"{url} answered {answer.status_code}; is there a Modelyard server?"


def translate(problem: Exception) -> errors.ModelyardError:
    """Return an error of this package for a connection that failed."""
    if isinstance(problem, errors.ModelyardError):
        return problem
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(problem)) or type(problem).__name__
    server = "the server"
    with suppress(RuntimeError):  # an error without its request
        if isinstance(problem, httpx2.RequestError):
            server = f"{problem.request.url.scheme}://{problem.request.url.netloc.decode()}"
    return errors.Unavailable(f"{server} cannot be reached: {reason}")
