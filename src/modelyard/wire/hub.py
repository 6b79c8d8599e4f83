"""The Hugging Face Hub's JSON: descriptions of repositories, entries of their trees, and the names of its headers."""

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

COMMIT_HEADER = "X-Repo-Commit"
ERROR_CODE_HEADER = "X-Error-Code"
ERROR_MESSAGE_HEADER = "X-Error-Message"
LINKED_ETAG_HEADER = "X-Linked-Etag"
LINKED_SIZE_HEADER = "X-Linked-Size"

_TWO_DIGITS = tuple(f"{number:02d}" for number in range(60))


class LfsRecord(msgspec.Struct, frozen=True, rename="camel"):
    """The pointer of a large file, as trees have it."""

    oid: str
    size: int
    pointer_size: int


class SiblingLfsRecord(msgspec.Struct, frozen=True, rename="camel"):
    """The same, as descriptions of models have it."""

    sha256: str
    size: int
    pointer_size: int


class LastCommitRecord(msgspec.Struct, frozen=True):
    """The commit that an entry is from."""

    id: str
    title: str
    date: str


class EntryRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A file or a directory of a tree. Large files have ``lfs``."""

    type: str
    path: str
    size: int
    oid: str
    lfs: LfsRecord | msgspec.UnsetType = msgspec.UNSET
    last_commit: LastCommitRecord | msgspec.UnsetType = msgspec.UNSET


class SiblingRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A file in the description of a model. ``blobs=true`` asks for all but the name."""

    rfilename: str
    size: int | msgspec.UnsetType = msgspec.UNSET
    blob_id: str | msgspec.UnsetType = msgspec.UNSET
    lfs: SiblingLfsRecord | msgspec.UnsetType = msgspec.UNSET


class AccessTokenRecord(msgspec.Struct, frozen=True, rename="camel"):
    """The key of the caller; ``role`` is ``read`` or ``write``."""

    display_name: str
    role: str


class AuthRecord(msgspec.Struct, frozen=True, rename="camel"):
    """How the caller is known."""

    access_token: AccessTokenRecord
    type: str = "access_token"


class WhoamiRecord(msgspec.Struct, frozen=True):
    """The answer of ``whoami-v2``: the caller's team is the user."""

    id: str
    name: str
    fullname: str
    auth: AuthRecord
    orgs: tuple[str, ...] = ()
    type: str = "user"


class RefRecord(msgspec.Struct, frozen=True, rename="camel"):
    """The one branch of a repository."""

    target_commit: str
    name: str = "main"
    ref: str = "refs/heads/main"


class RefsRecord(msgspec.Struct, frozen=True):
    """The branches and tags of a repository."""

    branches: tuple[RefRecord, ...]
    converts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class CommitRecord(msgspec.Struct, frozen=True):
    """One commit of the history, which has one."""

    id: str
    title: str
    date: str
    message: str = ""
    authors: tuple[str, ...] = ()


class PathsBody(msgspec.Struct, frozen=True):
    """The paths that a caller asks for."""

    paths: tuple[str, ...] | str = ()
    expand: bool = False


class ErrorRecord(msgspec.Struct, frozen=True):
    """The body of an error."""

    error: str


@lru_cache(maxsize=4096)
def format_time(seconds: int) -> str:
    """Return Unix seconds as the hub writes them. Its Python client accepts no other form."""
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    return f"{_format_day(day)}T{_TWO_DIGITS[minute // 60]}:{_TWO_DIGITS[minute % 60]}:{_TWO_DIGITS[second]}.000Z"


@lru_cache(maxsize=4096)
def _format_day(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
