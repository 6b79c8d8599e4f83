"""Errors on the wire: status, reason, message and metadata."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard import errors
from modelyard.wire.records import _encode

# The entry of the most specific class applies: `render_error` searches the class and its ancestors, in this order.
ERROR_ANSWERS: Mapping[type[errors.ModelyardError], tuple[int, str]] = {
    errors.ModelyardError: (500, "INTERNAL"),
    errors.InvalidRequest: (400, "INVALID_ARGUMENT"),
    errors.InvalidValue: (400, "INVALID_REQUEST_BODY"),
    errors.RequestTooLong: (414, "INVALID_ARGUMENT"),
    errors.Unauthenticated: (401, "INVALID_API_KEY"),
    errors.MissingKey: (401, "MISSING_API_KEY"),
    errors.Forbidden: (403, "API_NOT_ALLOWED"),
    errors.InvalidSignature: (403, "LINK_REFUSED"),
    errors.FinalUpload: (403, "UPLOAD_FINAL"),
    errors.SuspiciousFile: (403, "FILE_SUSPICIOUS"),
    errors.RepositoryGated: (403, "REPOSITORY_GATED"),
    errors.NotFound: (404, "API_NOT_FOUND"),
    errors.ModelNotFound: (404, "MODEL_NOT_FOUND"),
    errors.UploadNotFound: (404, "UPLOAD_NOT_FOUND"),
    errors.WebhookNotFound: (404, "WEBHOOK_NOT_FOUND"),
    errors.Gone: (410, "GONE"),
    errors.LinkExpired: (410, "LINK_EXPIRED"),
    errors.LinkRevoked: (410, "LINK_REVOKED"),
    errors.UploadExpired: (410, "UPLOAD_EXPIRED"),
    errors.FileGone: (410, "FILE_GONE"),
    errors.MethodNotAllowed: (405, "METHOD_NOT_ALLOWED"),
    errors.Conflict: (409, "CONFLICT"),
    errors.ModelExists: (409, "MODEL_ALREADY_EXISTED"),
    errors.ModelFileMissing: (409, "MODEL_FILE_MISSING"),
    errors.UploadComplete: (409, "UPLOAD_COMPLETE"),
    errors.AmbiguousKey: (409, "AMBIGUOUS_KEY"),
    errors.ConstraintViolation: (409, "CONSTRAINT_VIOLATION"),
    errors.OffsetConflict: (409, "UPLOAD_OFFSET_CONFLICT"),
    errors.RepositoryChanged: (412, "REPOSITORY_CHANGED"),
    errors.UploadLocked: (423, "UPLOAD_LOCKED"),
    errors.RangeNotSatisfiable: (416, "RANGE_NOT_SATISFIABLE"),
    errors.TooLarge: (413, "FILE_EXCEEDS_MAX_SIZE"),
    errors.QuotaExceeded: (413, "QUOTA_EXCEEDED"),
    errors.UnsupportedFile: (415, "UNSUPPORTED_FILE"),
    errors.UnsupportedMediaType: (415, "UNSUPPORTED_MEDIA_TYPE"),
    errors.HashMismatch: (422, "HASH_MISMATCH"),
    errors.RateLimited: (429, "RATE_LIMIT_EXCEEDED"),
    errors.TooManyUploads: (429, "TOO_MANY_UPLOADS"),
    errors.TooManyStreams: (429, "TOO_MANY_STREAMS"),
    errors.UpstreamFailed: (502, "UPSTREAM_FAILED"),
    errors.Unavailable: (503, "UNAVAILABLE"),
    errors.StorageFull: (507, "INSUFFICIENT_STORAGE"),
}


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The answer for an error: status, body and headers."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def render_error(error: errors.ModelyardError) -> ErrorAnswer:
    """Return the answer for any of our errors."""
    status, reason = next(ERROR_ANSWERS[kind] for kind in type(error).__mro__ if kind in ERROR_ANSWERS)
    if status == 500:
        return error_answer(status, reason, "internal error", error.facts)
    headers: tuple[tuple[str, str], ...] = ()
    if status == 401:
        headers = (("WWW-Authenticate", "Bearer"),)
    elif isinstance(error, errors.RateLimited):
        headers = (("Retry-After", str(error.retry_after_seconds)),)
    elif isinstance(error, errors.Unavailable) and status == 503:
        headers = (("Retry-After", str(error.facts.get("retry_after_seconds", 1))),)
    elif isinstance(error, errors.RangeNotSatisfiable):
        headers = (("Content-Range", f"bytes */{error.size_bytes}"),)
    elif isinstance(error, errors.MethodNotAllowed):
        headers = (("Allow", ", ".join(error.allowed)),)
    return error_answer(status, reason, error.message, error.facts, headers)


def error_answer(
    status: int, reason: str, message: str, facts: Mapping[str, object], headers: tuple[tuple[str, str], ...] = ()
) -> ErrorAnswer:
    """Return the answer for a status and a reason."""
    body = {"code": status, "reason": reason, "message": message, "metadata": dict(facts)}
    return ErrorAnswer(status, _encode(body), headers)
