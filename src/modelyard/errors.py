"""Every error Modelyard raises on purpose, and the facts each one carries.

A class exists where a caller would act differently. This module knows no HTTP: the table that maps a class to a
status and a reason is in ``modelyard.wire.parameters``.

    ModelyardError
    ├── InvalidRequest               the caller's words cannot be used
    │   ├── InvalidParameter         one query parameter: name, given, allowed
    │   ├── InvalidValue              the request's body: field, given, allowed
    │   └── RequestTooLong           the query string as a whole
    ├── Unauthenticated              who is calling is not known
    │   ├── MissingKey
    │   └── InvalidKey               unknown, revoked or expired
    ├── Forbidden                   a good key without the right scope
    │   ├── InvalidSignature              a signed link that is not ours, or was changed
    │   ├── CrossSiteRequest           a change in a session's name that our own page did not ask for
    │   └── FinalUpload              bytes for an upload that others were joined to
    ├── NotFound
    │   ├── RouteNotFound
    │   ├── ModelNotFound              also: another team's private model
    │   └── UploadNotFound             also: another team's
    ├── Gone                         what was here is not any more
    │   ├── LinkExpired
    │   ├── UploadExpired
    │   └── FileGone                 a file that stays where it is, and is not there as it was
    ├── MethodNotAllowed
    ├── Conflict                     what is to be made exists already
    │   └── OffsetConflict           an upload goes on elsewhere than the bytes sent begin
    ├── Locked                       somebody else is writing to this upload
    ├── RangeNotSatisfiable          no byte of the file lies in the ranges asked for
    ├── TooLarge                     a file or body over its limit
    │   └── QuotaExceeded            what the team may keep here is used up
    ├── UnsupportedFile              not a model file we know how to keep
    │   └── CorruptFile               recognised, and damaged: where, problem
    ├── HashMismatch                 the bytes are not the ones announced
    ├── RateLimited
    │   └── TooManyUploads           the team has as many open as it may
    ├── Unavailable                  a part we depend on is away
    │   └── StorageFull              no room for the bytes
    └── ConfigurationError                   the operator has to act: home folder, port, database, settings
        └── DatabaseUnavailable             the database cannot be opened, now or at all
"""

from collections.abc import Sequence


class ModelyardError(Exception):
    """The root. ``facts`` are JSON-ready and safe to show to the caller."""

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class InvalidRequest(ModelyardError):
    """The caller's words cannot be used as they are."""


class InvalidParameter(InvalidRequest):
    """A query parameter has a value it cannot have."""

    def __init__(self, parameter: str, given: str, allowed: str | Sequence[str], problem: str = "") -> None:
        listed = allowed if isinstance(allowed, str) else ", ".join(allowed)
        shown = given if len(given) <= 64 else given[:64] + "…"
        super().__init__(
            f"{parameter}: {problem or f'{shown!r} is not accepted'}; accepted: {listed}",
            parameter=parameter,
            given=shown,
            allowed=allowed if isinstance(allowed, str) else list(allowed),
        )


class InvalidValue(InvalidRequest):
    """The request's body cannot be used."""


class RequestTooLong(InvalidRequest):
    """The query string is longer than any real question."""


class Unauthenticated(ModelyardError):
    """Who is calling is not known."""


class MissingKey(Unauthenticated):
    """No API key was sent where one is needed."""

    def __init__(self) -> None:
        super().__init__("API key not provided; send the header 'Authorization: Bearer sk_…'")


class InvalidKey(Unauthenticated):
    """The API key is unknown, revoked or expired; which of them is not told."""

    def __init__(self) -> None:
        # The vendor's own sentence: clients compare it.
        super().__init__("invalid api-key")


class Forbidden(ModelyardError):
    """The key is good and lacks the scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key lacks the scope {scope!r}", scope=scope)


class InvalidSignature(Forbidden):
    """A signed link was not made by this server, or was changed; which of them is not told."""

    def __init__(self) -> None:
        ModelyardError.__init__(self, "this link was not made by this server, or was changed")


class CrossSiteRequest(Forbidden):
    """A change in the name of somebody signed in that our own page did not ask for."""

    def __init__(self) -> None:
        ModelyardError.__init__(self, "this request did not come from this server's own page; reload it")


class FinalUpload(Forbidden):
    """Bytes were sent to an upload that was made by joining others: it has all of them."""

    def __init__(self, upload: str) -> None:
        ModelyardError.__init__(self, "a final upload takes no bytes", upload=upload)


class NotFound(ModelyardError):
    """What was asked for is not here, or is not the caller's to know of."""


class RouteNotFound(NotFound):
    """No route has this path."""

    def __init__(self, path: str) -> None:
        super().__init__("there is no such route", path=path[:128])


class ModelNotFound(NotFound):
    """No model the caller may see has this id, name or hash."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no model {wanted[:128]!r}", model=wanted[:128])


class UploadNotFound(NotFound):
    """No upload of the caller's team has this id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no upload {wanted[:64]!r}", upload=wanted[:64])


class Gone(ModelyardError):
    """What was here is not any more, and will not come back."""


class LinkExpired(Gone):
    """The signed link was good until a time that is past."""

    def __init__(self, expired_at: int) -> None:
        super().__init__("this link has expired; ask for a fresh one", expired_at=expired_at)


class UploadExpired(Gone):
    """The upload was not finished in time, and what came of it was cleared."""

    def __init__(self, upload: str, expired_at: int) -> None:
        super().__init__("this upload has expired; begin another", upload=upload, expired_at=expired_at)


class FileGone(Gone):
    """A file that was added in place is not there any more, or is not what it was."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the file of {name[:128]!r} is not there any more, or has changed", model=name[:128])


class MethodNotAllowed(ModelyardError):
    """The route exists, the method does not."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(
            f"{method} is not possible here; accepted: {', '.join(allowed)}",
            given=method,
            allowed=list(allowed),
        )


class Conflict(ModelyardError):
    """What is to be made exists already."""


class OffsetConflict(Conflict):
    """The bytes sent do not begin where the upload has ended so far."""

    def __init__(self, given: int, offset: int) -> None:
        super().__init__(f"the upload goes on at byte {offset}, not at {given}", given=given, offset=offset)


class UploadLocked(ModelyardError):
    """Somebody else is writing to this upload at this moment."""

    def __init__(self, upload: str) -> None:
        super().__init__("another request is writing to this upload", upload=upload)


class RangeNotSatisfiable(ModelyardError):
    """No byte of the file lies in the ranges asked for."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes:,} bytes; no range asked for lies in it", size_bytes=size_bytes)
        self.size_bytes = size_bytes


class TooLarge(ModelyardError):
    """A file or a body is over its limit; raised before memory or disk is taken for it."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than the {limit_bytes:,} bytes accepted", limit_bytes=limit_bytes)


class QuotaExceeded(TooLarge):
    """What the team may keep on this server is used up."""

    def __init__(self, limit_bytes: int, used_bytes: int, asked_bytes: int) -> None:
        ModelyardError.__init__(
            self,
            f"the team may keep {limit_bytes:,} bytes and keeps {used_bytes:,}; {asked_bytes:,} more do not fit",
            limit_bytes=limit_bytes,
            used_bytes=used_bytes,
            asked_bytes=asked_bytes,
        )


class UnsupportedFile(ModelyardError):
    """The bytes are not a model file we know how to keep."""


class CorruptFile(UnsupportedFile):
    """The format is recognised and the file is damaged or hostile: where, and what is wrong there."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}", where=where, problem=problem)


class HashMismatch(ModelyardError):
    """The bytes are not the ones that were announced."""

    def __init__(self, announced: str, actual: str) -> None:
        super().__init__(f"announced SHA-256 {announced}, received {actual}", announced=announced, actual=actual)


class RateLimited(ModelyardError):
    """Too many requests; ``retry_after_seconds`` says when to come back."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("too many requests", retry_after_seconds=retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class TooManyUploads(RateLimited):
    """The team has as many uploads open as it may; one has to be finished or given up first."""

    def __init__(self, limit: int, retry_after_seconds: int) -> None:
        ModelyardError.__init__(self, f"the team has {limit} uploads open, which is all it may have", limit=limit)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ModelyardError):
    """A part we depend on is away; trying again later may help."""


class StorageFull(Unavailable):
    """There is no room for the bytes; the operator has to make some."""

    def __init__(self) -> None:
        super().__init__("the server has no room for this file")


class ConfigurationError(ModelyardError):
    """The operator has to act: the home folder, a port, the database, a setting."""


class DatabaseUnavailable(ConfigurationError):
    """The database cannot be opened; one that was open a while ago may be again."""
