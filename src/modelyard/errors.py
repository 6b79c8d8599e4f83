"""Every error Modelyard raises on purpose, and the facts each one carries.

A class exists where a caller would act differently. This module knows no HTTP: ``modelyard.wire.problems`` maps a
class to a status and a reason.

    ModelyardError
    ├── InvalidRequest               a value of the caller cannot be used
    │   ├── InvalidParameter         a query parameter: name, value, accepted values
    │   ├── InvalidValue             a field of a model, key, upload or setting of one: field, value, accepted values
    │   └── RequestTooLong           the query string as a whole
    ├── Unauthenticated              the caller is unknown
    │   ├── MissingKey
    │   └── InvalidKey               unknown, revoked or expired
    ├── Forbidden                    a valid key without the required scope
    │   ├── InvalidSignature         a signed link that this server did not make, or that was changed
    │   ├── SignInRefused            a person whom a proxy or a provider names, and who may not sign in here
    │   ├── CrossSiteRequest         a change by a signed-in user that does not come from a page of this server
    │   ├── FinalUpload              bytes for an upload that others were joined to
    │   ├── RepositoryGated          another hub gives a repository only to those who accepted its terms
    │   └── SuspiciousFile           a file whose safety is not proven, where such files are not sent
    ├── NotFound
    │   ├── RouteNotFound
    │   ├── ModelNotFound            also: another team's private model
    │   ├── UploadNotFound           also: another team's upload
    │   ├── WebhookNotFound          also: another team's webhook or delivery
    │   ├── RepositoryNotFound       also: another team's repository
    │   ├── RevisionNotFound         a repository has one revision
    │   └── EntryNotFound            a repository has no such file, or its file is not here
    ├── Gone                         it existed, and will not come back
    │   ├── LinkExpired
    │   ├── LinkRevoked              the key that the link was made for is revoked or has expired
    │   ├── UploadExpired
    │   ├── FeedPruned               changes that are not recorded any more
    │   └── FileGone                 a file served from its folder that was changed or removed
    ├── MethodNotAllowed
    ├── Conflict                     the request contradicts what is stored
    │   ├── ModelExists              there is such a model
    │   ├── ModelFileMissing         the model has no sound file, so it cannot be available
    │   ├── UploadComplete           the upload has all its bytes, or has become a model
    │   ├── OffsetConflict           the bytes begin at another offset than the upload has reached
    │   ├── RepositoryChanged        the repository is not in the state that a commit was made for
    │   ├── AmbiguousKey             the beginning of a key fits several keys
    │   ├── AmbiguousName            several models have the name
    │   └── ConstraintViolation      the database refuses rows that contradict its constraints
    ├── UploadLocked                 another request is writing to this upload
    ├── RangeNotSatisfiable          the file has no byte in the requested ranges
    ├── TooLarge                     a file or body over its limit
    │   └── QuotaExceeded            the team has used up its storage
    ├── UnsupportedFile              a file of a kind that is not accepted
    │   ├── CorruptFile              a known format, and damaged: where, problem
    │   └── FileRefused              a verified upload that is not sound: verdict, reason
    ├── UnsupportedMediaType         a Content-Type that is not accepted
    ├── HashMismatch                 the bytes are not the announced ones
    ├── RateLimited
    │   ├── TooManyUploads           the team has its maximum of open uploads
    │   └── TooManyStreams           the key has its maximum of open streams
    ├── Unavailable                  a part we depend on does not answer
    │   ├── StorageRefused           the file store refuses the credentials, or has no such bucket
    │   ├── CoverRemoved             a stored picture that nothing used yet
    │   └── StorageFull              no space for the bytes
    ├── DownloadFailed               an outside address has no file for us, and will not have it soon
    │   └── AddressRefused           an address that must not be requested: not public, or not HTTP
    ├── UpstreamRefused              another catalogue refuses the request
    ├── UpstreamFailed               the hub behind this server answers with something that cannot be used
    ├── NothingImported              an import or a scan has no model as its result
    ├── DatabaseDamaged              rows of the database are damaged
    ├── IndexDamaged                 segments of the index are damaged
    └── ConfigurationError           the operator has to act: home folder, port, database, settings
        └── DatabaseUnavailable      the database cannot be opened, now or at all

``Rollback`` and ``Interrupted`` are no errors: they leave a transaction or a long task from within.
"""

from collections.abc import Sequence


class ModelyardError(Exception):
    """The root. ``facts`` are JSON-ready and safe to show to the caller; ``str`` has the operator's ``detail`` too."""

    def __init__(self, message: str, *, detail: str = "", **facts: object) -> None:
        super().__init__(f"{message} ({detail})" if detail else message)
        self.message, self.detail, self.facts = message, detail, facts


class Rollback(Exception):
    """Raised inside a write transaction to undo it; the transaction ends without an error."""


class Interrupted(Exception):
    """Raised to leave a task that is asked to stop. Finished parts are stored; running it again continues."""


class InvalidRequest(ModelyardError):
    """A value of the caller cannot be used."""


class InvalidParameter(InvalidRequest):
    """A query parameter has a value that is not accepted."""

    def __init__(self, parameter: str, value: str, allowed: str | Sequence[str], problem: str = "") -> None:
        accepted = allowed if isinstance(allowed, str) else ", ".join(allowed)
        short = value if len(value) <= 64 else value[:64] + "…"
        super().__init__(
            f"{parameter}: {problem or f'{short!r} is not accepted'}; accepted: {accepted}",
            parameter=parameter,
            given=short,
            allowed=allowed if isinstance(allowed, str) else list(allowed),
        )


class InvalidValue(InvalidRequest):
    """A field of a model, an API key or an upload has a value that is not accepted, wherever the value comes from."""


class RequestTooLong(InvalidRequest):
    """The query string is longer than any real query."""


class Unauthenticated(ModelyardError):
    """The caller is unknown."""


class MissingKey(Unauthenticated):
    """The request needs an API key and has none."""

    def __init__(self) -> None:
        super().__init__("API key not provided; send the header 'Authorization: Bearer sk_…'")


class InvalidKey(Unauthenticated):
    """The API key is unknown, revoked or expired; the message does not say which."""

    def __init__(self) -> None:
        # The vendor's own sentence: clients compare it.
        super().__init__("invalid api-key")


class Forbidden(ModelyardError):
    """The key is valid and lacks the scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key lacks the scope {str(scope)!r}", scope=scope)


class InvalidSignature(Forbidden):
    """This server did not make the signed link, or the link was changed; the message does not say which."""

    def __init__(self) -> None:
        ModelyardError.__init__(self, "this link was not made by this server, or was changed")


class SuspiciousFile(Forbidden):
    """The safety of a file is not proven, and the setting ``suspicious_files`` refuses such files."""

    def __init__(self, name: str, reason: str) -> None:
        message = f"the file of {name[:128]!r} is suspicious, and this server does not send such files: {reason[:512]}"
        ModelyardError.__init__(self, message, model=name[:128])


class RepositoryGated(Forbidden):
    """Another hub gives a repository, or its files, only to those who accepted its terms."""

    def __init__(self, repository: str, problem: str) -> None:
        ModelyardError.__init__(self, f"{repository[:200]}: {problem}", repository=repository[:200])


class SignInRefused(Forbidden):
    """A proxy or a provider of identities names a person who may not sign in here, or its answer proves nothing."""

    def __init__(self, problem: str) -> None:
        ModelyardError.__init__(self, problem[:500])


class CrossSiteRequest(Forbidden):
    """A signed-in user's change does not come from a page of this server."""

    def __init__(self) -> None:
        ModelyardError.__init__(self, "this request did not come from this server's own page; reload it")


class FinalUpload(Forbidden):
    """Bytes were sent to an upload that was made by joining others: it has all of them."""

    def __init__(self, upload: str) -> None:
        ModelyardError.__init__(self, "a final upload takes no bytes", upload=upload)


class NotFound(ModelyardError):
    """It does not exist, or the caller may not know of it."""


class RouteNotFound(NotFound):
    """No route has this path."""

    def __init__(self, path: str) -> None:
        super().__init__("there is no such route", path=path[:128])


class ModelNotFound(NotFound):
    """No model that the caller may see has this id, name or hash."""

    def __init__(self, model: str) -> None:
        super().__init__(f"no model {model[:128]!r}", model=model[:128])


class UploadNotFound(NotFound):
    """No upload of the caller's team has this id."""

    def __init__(self, upload: str) -> None:
        super().__init__(f"no upload {upload[:64]!r}", upload=upload[:64])


class WebhookNotFound(NotFound):
    """No webhook of the caller's team, or no delivery of the webhook, has this id."""

    def __init__(self, webhook: str) -> None:
        super().__init__(f"no webhook or delivery {webhook[:64]!r}", webhook=webhook[:64])


class RepositoryNotFound(NotFound):
    """No repository that the caller may see has this name."""

    def __init__(self, repository: str) -> None:
        super().__init__(f"no repository {repository[:200]!r}", repository=repository[:200])


class RevisionNotFound(NotFound):
    """The repository has another revision than this one. ``commit`` is the one that it has."""

    def __init__(self, revision: str, commit: str) -> None:
        short = revision[:64]
        super().__init__(f"no revision {short!r}; accepted: main, HEAD, {commit}", revision=short, commit=commit)


class EntryNotFound(NotFound):
    """The repository has no such file at ``commit``, or the file is not here."""

    def __init__(self, path: str, commit: str) -> None:
        super().__init__(f"no file {path[:200]!r} is here", path=path[:200], commit=commit)


class Gone(ModelyardError):
    """It existed, and will not come back."""


class LinkExpired(Gone):
    """The signed link has expired."""

    def __init__(self, expired_at: int) -> None:
        super().__init__("this link has expired; ask for a fresh one", expired_at=expired_at)


class LinkRevoked(Gone):
    """The caller that the signed link was made for has no access any more."""

    def __init__(self) -> None:
        super().__init__("the API key that this link was made for was revoked or has expired; ask with a valid key")


class UploadExpired(Gone):
    """The upload was not finished in time, and its bytes were removed."""

    def __init__(self, upload: str, expired_at: int) -> None:
        super().__init__("this upload has expired; begin another", upload=upload, expired_at=expired_at)


class FeedPruned(Gone):
    """Changes since a position are not recorded any more, or the position is newer than the catalogue, ``future``."""

    def __init__(self, oldest: int, future: int | None = None) -> None:
        reason = f"the catalogue has not reached revision {future}: it was restored, or is another one"
        if future is None:
            reason = f"the feed has all changes since revision {oldest} only"
        super().__init__(f"{reason}; begin again with since=0 and without any model", oldest=oldest)


class FileGone(Gone):
    """A file that is served from its folder was changed or removed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the file of {name[:128]!r} is not there any more, or has changed", model=name[:128])


class MethodNotAllowed(ModelyardError):
    """The route exists, the method does not."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        message = f"{method} is not possible here; accepted: {', '.join(allowed)}"
        super().__init__(message, given=method, allowed=list(allowed))


class Conflict(ModelyardError):
    """The request contradicts what is stored."""


class ModelExists(Conflict):
    """The model that the request would make exists."""


class ModelFileMissing(Conflict):
    """The model cannot be available: its file is not here, or is not sound."""

    def __init__(self, model_id: int) -> None:
        super().__init__("the model's file is not here, or is not sound", model=model_id)


class UploadComplete(Conflict):
    """The upload has all its bytes, or has become a model."""


class OffsetConflict(Conflict):
    """The bytes begin at another offset than the upload has reached."""

    def __init__(self, given: int, offset: int) -> None:
        super().__init__(f"the upload goes on at byte {offset}, not at {given}", given=given, offset=offset)


class RepositoryChanged(Conflict):
    """The repository is not in the state that a commit was made for. Clients know the message."""

    def __init__(self, parent: str, commit: str) -> None:
        super().__init__("A commit has happened since. Please refresh and try again.", parent=parent, commit=commit)


class AmbiguousKey(Conflict):
    """The beginning of an API key fits several keys."""

    def __init__(self, beginning: str, ids: Sequence[int]) -> None:
        super().__init__(f"several keys begin with {beginning!r}: ids {[*ids]}; give the id", ids=[*ids])


class AmbiguousName(Conflict):
    """Several models have the name."""

    def __init__(self, name: str, models: Sequence[str]) -> None:
        message = f"{len(models)} models have the name {name!r}; select one by its id or file name: {', '.join(models)}"
        super().__init__(message, name=name, models=[*models])


class ConstraintViolation(Conflict):
    """The database refuses rows that contradict its constraints."""

    def __init__(self) -> None:
        super().__init__("the database refuses rows that contradict its constraints")


class UploadLocked(ModelyardError):
    """Another request is writing to this upload at this moment."""

    def __init__(self, upload: str) -> None:
        super().__init__("another request is writing to this upload", upload=upload)


class RangeNotSatisfiable(ModelyardError):
    """The file has no byte in the requested ranges."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes:,} bytes; no range asked for lies in it", size_bytes=size_bytes)
        self.size_bytes = size_bytes


class TooLarge(ModelyardError):
    """A file or a body is over its limit; raised before it takes memory or disk space."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than the {limit_bytes:,} bytes accepted", limit_bytes=limit_bytes)


class QuotaExceeded(TooLarge):
    """The team has used up its storage on this server."""

    def __init__(self, limit_bytes: int, used_bytes: int, asked_bytes: int) -> None:
        ModelyardError.__init__(
            self,
            f"the team may keep {limit_bytes:,} bytes and keeps {used_bytes:,}; {asked_bytes:,} more do not fit",
            limit_bytes=limit_bytes,
            used_bytes=used_bytes,
            asked_bytes=asked_bytes,
        )


class UnsupportedFile(ModelyardError):
    """The file is of a kind that is not accepted: no model file, or no picture where a picture is needed."""


class CorruptFile(UnsupportedFile):
    """The format is recognised and the file is damaged or hostile: where, and what is wrong there."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}", where=where, problem=problem)


class FileRefused(UnsupportedFile):
    """The server has verified an upload, and the file is not sound."""

    def __init__(self, model_id: int, verdict: str, reason: str) -> None:
        super().__init__(
            f"the server refused the file: {verdict}: {reason}; model {model_id} stays unavailable",
            model=model_id,
            verdict=verdict,
            problem=reason,
        )


class UnsupportedMediaType(ModelyardError):
    """The request's Content-Type is not accepted."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Content-Type: accepted: {allowed}", field="content-type", allowed=allowed)


class HashMismatch(ModelyardError):
    """The bytes are not the announced ones."""

    def __init__(self, announced: str, actual: str) -> None:
        super().__init__(f"announced SHA-256 {announced}, received {actual}", announced=announced, actual=actual)


class RateLimited(ModelyardError):
    """Too many requests; ``retry_after_seconds`` says when to come back."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("too many requests", retry_after_seconds=retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class TooManyUploads(RateLimited):
    """The team has its maximum of open uploads; it has to finish or cancel one first."""

    def __init__(self, limit: int, retry_after_seconds: int) -> None:
        ModelyardError.__init__(self, f"the team has {limit} uploads open, which is all it may have", limit=limit)
        self.retry_after_seconds = retry_after_seconds


class TooManyStreams(RateLimited):
    """The key has its maximum of streams of the change feed; it has to close one first."""

    def __init__(self, limit: int) -> None:
        ModelyardError.__init__(self, f"this key has {limit} streams open, which is all it may have", limit=limit)
        self.retry_after_seconds = 5


class Unavailable(ModelyardError):
    """A part we depend on does not answer; trying again later may help."""


class StorageRefused(Unavailable):
    """The file store refuses this server, or lacks its bucket: the operator has to act."""


class CoverRemoved(Unavailable):
    """A stored picture that nothing used yet was removed; store it again."""

    def __init__(self) -> None:
        super().__init__("the picture was removed before it was used; send it again")


class StorageFull(Unavailable):
    """There is no space for the bytes; the operator has to make some."""

    def __init__(self) -> None:
        super().__init__("the server has no room for this file")


class DownloadFailed(ModelyardError):
    """An outside address has no file for us, and trying again soon would not help."""


class AddressRefused(DownloadFailed):
    """An outside address must not be requested: it is not public, or not HTTP."""


class UpstreamRefused(ModelyardError):
    """Another catalogue refuses the request; trying again would not help."""


class UpstreamFailed(ModelyardError):
    """The hub behind this server answers with something that cannot be used."""


class NothingImported(ModelyardError):
    """An import or a scan has no model as its result."""


class DatabaseDamaged(ModelyardError):
    """Rows of the database are damaged; the operator has to restore a backup."""


class IndexDamaged(ModelyardError):
    """Segments of the index are damaged; the server builds it again by itself."""


class ConfigurationError(ModelyardError):
    """The operator has to act: the home folder, a port, the database, a setting."""


class DatabaseUnavailable(ConfigurationError):
    """The database cannot be opened, now or at all; the fact ``reason`` says why, without its address."""
