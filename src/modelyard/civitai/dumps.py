"""Reads files and folders of recorded answers, and reports each problem with its file and line.

    .json            one answer, a page {"items": […]} or a list; also one answer per line
    .jsonl .ndjson   one answer per line
    .civitai.info    the answer for one version, which A1111's helpers write beside a model file
    … .gz … .xz      any of these, compressed

Memory use is bounded: lines and documents have a limit, and this module reports longer ones instead of reading them.
The contents of a file never raise an error.
"""

import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import msgspec

from modelyard import json_text
from modelyard.civitai import records
from modelyard.domain import Skipped
from modelyard.facts import Record

# The longest recorded answer of one model is 27 KB, of a page of 100 models 3 MB.
LINE_BYTES_MAX = 16 * 2**20
DOCUMENT_BYTES_MAX = 256 * 2**20

NOT_READABLE = "cannot be read"
DAMAGED_ARCHIVE = "damaged or truncated archive"
NOT_UTF8 = "not UTF-8"
TOO_LONG = "longer than accepted"
EMPTY = "empty file"

_NAMES = re.compile(r".*(\.json|\.jsonl|\.ndjson|\.civitai\.info)(\.gz|\.xz)?", re.IGNORECASE | re.DOTALL)
_LINED_NAMES = re.compile(r".*\.(jsonl|ndjson)(\.gz|\.xz)?", re.IGNORECASE | re.DOTALL)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files in ``paths``, and all files in and below its folders with one of our names, sorted per folder.

    It follows links to folders and visits each folder once, so a loop of links ends.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files.extend(_files_below(path))
        else:
            files.append(path)
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            # A pipe or a device in a folder would block or never end.
            if _NAMES.fullmatch(name) and (path.is_file() or path.is_symlink()):
                yield path


def read_paths(
    paths: Iterable[Path],
    *,
    consumed: Callable[[int], object] = int,
    line_bytes_max: int = LINE_BYTES_MAX,
    document_bytes_max: int = DOCUMENT_BYTES_MAX,
) -> Iterator[Record | Skipped]:
    """Yield the records of the files and folders, in order, and a Skipped for each unusable part.

    ``consumed`` is called with the number of further bytes of a file, as stored on disk, that have been read.
    """
    for path in find_files(paths):
        try:
            with path.open("rb") as raw:
                stream = _Metered(_unpacked(raw, path), raw, consumed)
                yield from _read(stream, path, line_bytes_max, document_bytes_max)
                stream.report()
        except OSError as error:
            yield Skipped(str(path), NOT_READABLE, error.strerror or str(error))


class _Metered:
    """A stream of lines that reports how much of the file below it has been read."""

    def __init__(self, stream: IO[bytes], raw: IO[bytes], consumed: Callable[[int], object]) -> None:
        self._stream, self._raw, self._consumed = stream, raw, consumed
        self._reported = 0
        self._has_size = raw.seekable()  # a pipe has no size, so there is no progress to report

    def readline(self, limit: int) -> bytes:
        line = self._stream.readline(limit)
        self.report()
        return line

    def read(self, limit: int) -> bytes:
        return self._stream.read(limit)

    def report(self) -> None:
        position = self._raw.tell() if self._has_size else 0
        if position != self._reported:
            self._consumed(position - self._reported)
            self._reported = position


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    match path.suffix.lower():
        case ".gz":
            return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value] # reads as IO[bytes] does; typeshed calls it a buffered stream
        case ".xz":
            return lzma.LZMAFile(raw)
    return raw


class _Position:
    """The file and line of the reader, for reports."""

    def __init__(self, path: Path) -> None:
        self.path, self.line = path, 0

    def skipped(self, reason: str, detail: str = "") -> Skipped:
        return Skipped(f"{self.path}:{max(self.line, 1)}", reason, detail)

    def completed(self, outcome: Record | Skipped) -> Record | Skipped:
        if isinstance(outcome, Record):
            return outcome
        at = f"{self.path}:{self.line}"
        return replace(outcome, where=at if outcome.where == records.THE_ANSWER else f"{at}: {outcome.where}")


def _read(stream: _Metered, path: Path, line_bytes_max: int, document_bytes_max: int) -> Iterator[Record | Skipped]:
    position = _Position(path)
    try:
        first = stream.readline(line_bytes_max + 1)
        if not first:
            yield Skipped(str(path), EMPTY)
        elif first.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield position.skipped(NOT_UTF8, "the file begins with the mark of UTF-16")
        else:
            first = first.removeprefix(b"\xef\xbb\xbf")
            if _LINED_NAMES.fullmatch(path.name) or _is_json(first):
                yield from _read_lines(stream, first, position, line_bytes_max)
            else:
                yield from _read_document(stream, first, position, document_bytes_max)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        yield position.skipped(DAMAGED_ARCHIVE, str(error))


def _read_lines(
    stream: "_Metered | io.BytesIO", first: bytes, position: _Position, limit: int
) -> Iterator[Record | Skipped]:
    line = first
    while line:
        position.line += 1
        if len(line) > limit:
            yield position.skipped(TOO_LONG, f"a line of more than {limit:,} bytes")
            while line and not line.endswith(b"\n"):
                line = stream.readline(limit + 1)
        elif not line.isspace():
            for outcome in records.convert(line):
                yield position.completed(outcome)
        line = stream.readline(limit + 1)


def _read_document(stream: _Metered, first: bytes, position: _Position, limit: int) -> Iterator[Record | Skipped]:
    document = first + stream.read(limit + 1 - len(first))
    if len(document) > limit:
        yield position.skipped(
            TOO_LONG, f"a document of more than {limit:,} bytes; one model a line (.jsonl) has no limit"
        )
        return
    try:
        document, answers = _split(document)
    except (msgspec.DecodeError, RecursionError) as error:
        rest = io.BytesIO(document)
        rest.readline()
        if _is_json(rest.readline()):
            # One answer per line, and the first line is damaged.
            lines = io.BytesIO(document)
            yield from _read_lines(lines, lines.readline(), position, limit)
        else:
            position.line = _line_of(error, document)
            yield position.skipped(records.NOT_JSON, str(error))
        return
    before = end = 0
    position.line = 1
    for answer in answers:
        text = bytes(answer)
        start = document.index(text, end)
        position.line += document.count(b"\n", before, start)
        before, end = start, start + len(text)
        for outcome in records.convert(text):
            yield position.completed(outcome)


class _PageOfAnswers(msgspec.Struct):
    items: list[msgspec.Raw]


def _split(document: bytes) -> tuple[bytes, list[msgspec.Raw]]:
    """Return a document, mended if it is damaged, and its answers. Raises DecodeError and RecursionError."""
    try:
        return document, _answers(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = json_text.mend(document)
        return mended, _answers(mended)


def _answers(document: bytes) -> list[msgspec.Raw]:
    """Return the JSON text of each answer in a page or a list, or of the document if it is one answer."""
    match document.lstrip()[:1]:
        case b"[":
            return msgspec.json.decode(document, type=list[msgspec.Raw])
        case b"{":
            with suppress(msgspec.ValidationError):
                return msgspec.json.decode(document, type=_PageOfAnswers).items
    return [msgspec.json.decode(document, type=msgspec.Raw)]


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


_BYTE = re.compile(r"\(byte (\d+)\)|in position (\d+)")


def _line_of(error: Exception, document: bytes) -> int:
    """Return the line of a JSON error. If the error has no position, the end is missing: return the last line."""
    match = _BYTE.search(str(error))
    return 1 + document.count(b"\n", 0, int(match[1] or match[2]) if match else None)
