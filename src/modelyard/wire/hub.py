"""The Hugging Face Hub's JSON: descriptions of repositories, entries of their trees, and the names of its headers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

COMMIT_HEADER = "X-Repo-Commit"
ERROR_CODE_HEADER = "X-Error-Code"
ERROR_MESSAGE_HEADER = "X-Error-Message"
LINKED_ETAG_HEADER = "X-Linked-Etag"
LINKED_SIZE_HEADER = "X-Linked-Size"
# "topic; message": clients in Python print the message.
WARNING_HEADER = "X-HF-Warning"
# The namespace of the models that everybody may see.
PUBLIC = "public"

# The years 1 to 9999. Sources have any number as a date.
_SECONDS_MIN, _SECONDS_MAX = -62_135_596_800, 253_402_300_799
_MINUTES = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440))
_SECONDS = tuple(f"{second:02d}.000Z" for second in range(60))


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


class SummaryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a list."""

    id: str
    author: str
    private: bool
    downloads: int = 0
    tags: Sequence[str]
    library_name: str | None
    object_id: str = msgspec.field(name="_id")
    model_id: str = msgspec.field(name="modelId")
    created_at: str = msgspec.field(name="createdAt")
    last_modified: str = msgspec.field(name="lastModified")
    gated: bool = False
    disabled: bool = False
    likes: int = 0
    pipeline_tag: str


class PathsBody(msgspec.Struct, frozen=True):
    """The paths that a caller asks for."""

    paths: tuple[str, ...] | str = ()
    expand: bool = False


class ErrorRecord(msgspec.Struct, frozen=True):
    """The body of an error."""

    error: str


def format_time(seconds: int) -> str:
    """Return Unix seconds as the hub writes them. Its Python client accepts no other form, and years of four digits."""
    minute, second = divmod(min(max(seconds, _SECONDS_MIN), _SECONDS_MAX), 60)
    return f"{_format_day(minute // 1440)}{_MINUTES[minute % 1440]}{_SECONDS[second]}"


@lru_cache(maxsize=16_384)
def _format_day(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
