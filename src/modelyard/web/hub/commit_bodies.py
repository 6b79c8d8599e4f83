"""The body of a commit: one change a line, as JSON.

header          the summary, and the commit that the changes are made for (``parentCommit``)
file            a text or a picture, in base64
lfsFile         weights, by the SHA-256 of an upload
deletedFile     a path
deletedFolder   the path of a folder, with or without a slash at its end
copyFile        a path, and the path of the file that it gets (``srcPath``)

Of two lines about one path, the later one holds.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from modelyard import errors
from modelyard.domain import FILE_EXTENSIONS

TEXT_BYTES_MAX = 4 << 20
CHANGES_MAX = 1000
_PATH_CHARS_MAX, _PATH_PARTS_MAX = 500, 12
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
PICTURE_EXTENSIONS = ("png", "jpg", "jpeg", "webp", "gif")
# Of SentencePiece, which T5 has: a message of Protocol Buffers that begins with its first piece.
TOKENIZER_EXTENSION = "model"
_BEGINNINGS = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpg": re.compile(rb"\xff\xd8\xff"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a"),
    TOKENIZER_EXTENSION: re.compile(rb"\n.{1,2}\n", re.DOTALL),
}


class CommitLine(msgspec.Struct, frozen=True):
    """One line of a commit."""

    key: str
    value: dict[str, object]


@dataclass(frozen=True, slots=True)
class CommitBody:
    """The lines of a commit: the SHA-256 of weights, the bytes of small files, and sources of copies, by path.

    ``parents`` has the commit that the client wants to change, if it names one.
    """

    weights: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    removed_folders: set[str] = field(default_factory=set)
    parents: list[str] = field(default_factory=list)

    def forget(self, path: str) -> None:
        """Drop what earlier lines say of a path."""
        for files in (self.weights, self.texts, self.copies):
            files.pop(path, None)


def parse_commit(body: bytes) -> CommitBody:
    """Return the changes of a commit. Raises InvalidValue, which names the line and what it accepts."""
    commit = CommitBody()
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > CHANGES_MAX + 1:
        raise errors.InvalidValue(f"the commit has {len(lines)} lines; accepted: up to {CHANGES_MAX} changes")
    for number, text in enumerate(lines, 1):
        try:
            line = msgspec.json.decode(text, type=CommitLine)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise errors.InvalidValue(f"line {number} of the commit cannot be used: {problem}") from None
        except RecursionError:
            raise errors.InvalidValue(f"line {number} of the commit cannot be used: it is nested too deeply") from None
        _take_line(commit, number, line)
    if not (commit.weights or commit.texts or commit.copies or commit.removed or commit.removed_folders):
        raise errors.InvalidValue("the commit changes nothing; accepted: at least one file")
    return commit


def _take_line(commit: CommitBody, number: int, line: CommitLine) -> None:
    if line.key == "header":
        commit.parents[:] = _parents_of(line.value)
        return
    value = line.value.get("path")
    if line.key == "deletedFolder":
        folder = checked_path(value.removesuffix("/") if isinstance(value, str) else value)
        for path in [
            path for path in (*commit.weights, *commit.texts, *commit.copies) if path.startswith(f"{folder}/")
        ]:
            commit.forget(path)
        commit.removed_folders.add(folder)
        return
    path = checked_path(value)
    commit.forget(path)
    match line.key:
        case "file":
            commit.texts[path] = _content_of(path, line.value)
        case "lfsFile":
            commit.weights[path] = _sha256_of(path, line.value)
        case "deletedFile":
            commit.removed.add(path)
        case "copyFile":
            commit.copies[path] = _source_of(line.value)
        case _:
            raise errors.InvalidValue(
                f"line {number} of the commit: {line.key[:32]!r} is not accepted;"
                " accepted: header, file, lfsFile, deletedFile, deletedFolder, copyFile"
            )


def _parents_of(header: Mapping[str, object]) -> list[str]:
    parent = header.get("parentCommit")
    if parent is None:
        return []
    if not isinstance(parent, str) or not _COMMIT.fullmatch(parent):
        raise errors.InvalidValue("parentCommit: accepted: a commit of 40 hexadecimal digits", field="parentCommit")
    return [parent]


def _source_of(value: Mapping[str, object]) -> str:
    if value.get("srcRevision") not in (None, "main", "HEAD"):
        raise errors.InvalidValue("srcRevision: accepted: main, which is the only revision", field="srcRevision")
    return checked_path(value.get("srcPath"))


def checked_path(value: object) -> str:
    """Return the path of a file in a repository. Raises InvalidValue."""
    path = value if isinstance(value, str) else ""
    parts = path.split("/")
    is_plain = path.isprintable() and "\\" not in path and len(path) <= _PATH_CHARS_MAX
    # Clients download into folders of people. `.git` there would be the settings and hooks of another repository.
    if not is_plain or len(parts) > _PATH_PARTS_MAX or any(part.lower() in ("", ".", "..", ".git") for part in parts):
        raise errors.InvalidValue(
            f"path: {path[:64]!r} is not accepted; accepted: a relative path of up to {_PATH_CHARS_MAX} characters,"
            " without .git",
            field="path",
        )
    return path


def is_weights(path: str) -> bool:
    """Whether a file is uploaded before the commit, by its name."""
    return extension_of(path) in FILE_EXTENSIONS


def extension_of(path: str) -> str:
    """Return the part behind the last dot, in lower case."""
    return path.rpartition(".")[2].lower()


def _sha256_of(path: str, value: Mapping[str, object]) -> str:
    oid = value.get("oid")
    if value.get("algo", "sha256") != "sha256" or not isinstance(oid, str) or not _SHA256.fullmatch(oid):
        raise errors.InvalidValue(f"{path}: accepted: the algo sha256, and an oid of 64 hexadecimal digits")
    if not is_weights(path):
        raise errors.UnsupportedFile(
            f"{path}: not a kind of file that is accepted; accepted: {', '.join(FILE_EXTENSIONS)}, and texts of up to"
            f" {TEXT_BYTES_MAX:,} bytes"
        )
    return oid


def _content_of(path: str, value: Mapping[str, object]) -> bytes:
    content = value.get("content", "")
    try:
        if not isinstance(content, str):
            raise TypeError
        if value.get("encoding", "base64") == "base64":
            raw = base64.b64decode(content, validate=True)
        else:
            raw = content.encode()
    except (binascii.Error, ValueError, TypeError):
        raise errors.InvalidValue(f"{path}: its content cannot be used; accepted: a text in base64") from None
    if is_weights(path) or len(raw) > TEXT_BYTES_MAX or not (_is_text(raw) or _is_small_binary(path, raw)):
        raise errors.UnsupportedFile(
            f"{path}: accepted in a commit: texts in UTF-8, pictures ({', '.join(PICTURE_EXTENSIONS)}) and"
            f" tokenizers ({TOKENIZER_EXTENSION}) of up to {TEXT_BYTES_MAX:,} bytes; weights are uploaded before the"
            " commit"
        )
    return raw


def _is_text(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _is_small_binary(path: str, raw: bytes) -> bool:
    """Whether a file is a picture or a tokenizer, by its name and its beginning. No pickle and no archive begins so."""
    beginning = _BEGINNINGS.get(extension_of(path))
    return beginning is not None and beginning.match(raw) is not None
