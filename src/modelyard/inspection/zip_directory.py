"""Finds whether two readers of a zip could see different members.

    member, member, …, directory, [zip64 record, locator,] end record

Readers find the directory from the file's end, and differ where its parts disagree: zipfile computes where it begins,
miniz (torch's reader) believes the offset that is written. So each part has to begin where the one before it ends, and
say the same as the others.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from modelyard.inspection.budget import Budget

# zipfile makes an object of about 600 bytes for each 46 bytes of the directory.
DIRECTORY_BYTES_MAX = 8 << 20
_TAIL_BYTES = 22 + 65_535
_END, _END_64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_CENTRAL, _LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 1, 0x7075
_HAS_DESCRIPTOR = 1 << 3
# Behind a member's bytes: with or without a signature, with sizes of 32 or 64 bits.
_DESCRIPTOR_BYTES = (0, 12, 16, 20, 24)


class _Ambiguous(Exception):
    """Two readers could see different members."""


@dataclass(frozen=True, slots=True)
class _Directory:
    offset: int
    size_bytes: int
    members: int


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    flags: int
    method: int
    crc: int
    compressed_bytes: int
    size_bytes: int
    offset: int


def find_ambiguity(reader: BinaryIO, size_bytes: int, budget: Budget) -> str:
    """Return why readers could see different members, or an empty text. Raises OverBudget for too many members."""
    try:
        directory = _read_end(reader, size_bytes)
        members = _read_directory(reader, directory, budget)
        _check_members(reader, members, directory.offset)
    except _Ambiguous as problem:
        return str(problem)
    except struct.error:
        return "a record of its directory is cut off"
    return ""


def _read_at(reader: BinaryIO, offset: int, size_bytes: int) -> bytes:
    reader.seek(offset)
    return reader.read(size_bytes)


def _read_end(reader: BinaryIO, size_bytes: int) -> _Directory:
    begin = max(0, size_bytes - _TAIL_BYTES)
    tail = _read_at(reader, begin, _TAIL_BYTES)
    places = _find_ends(tail)
    if not places:
        raise _Ambiguous("it has no end record that ends the file")
    if len(places) > 1:
        raise _Ambiguous("it has two end records that end the file")
    at = places[0]
    if tail.rfind(b"PK\x05\x06") != at:
        raise _Ambiguous("another end record is in its comment")
    _, disk, first_disk, members_here, members, directory_bytes, offset, _ = _END.unpack_from(tail, at)
    if disk or first_disk or members_here != members:
        raise _Ambiguous("it is a part of several files")
    end = begin + at
    directory = _Directory(offset, directory_bytes, members)
    if end >= _LOCATOR.size and (locator := _read_at(reader, end - _LOCATOR.size, _LOCATOR.size))[:4] == b"PK\x06\x07":
        directory = _read_zip64(reader, end - _LOCATOR.size, locator, directory)
        end -= _LOCATOR.size + _END_64.size
    elif _MAX_32 in (offset, directory_bytes) or members == _MAX_16:
        raise _Ambiguous("it lacks its zip64 record")
    if directory.offset + directory.size_bytes != end:
        raise _Ambiguous("its directory does not end where the end record begins")
    return directory


def _find_ends(tail: bytes) -> list[int]:
    """Return where records lie whose comment ends the file."""
    places = []
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            places.append(at)
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return places


def _read_zip64(reader: BinaryIO, locator_at: int, locator: bytes, plain: _Directory) -> _Directory:
    _, disk, offset, disks = _LOCATOR.unpack(locator)
    if disk or disks > 1 or offset != locator_at - _END_64.size:
        raise _Ambiguous("its zip64 locator points elsewhere")
    signature, record_bytes, _, _, disk, first_disk, members_here, members, directory_bytes, begin = _END_64.unpack(
        _read_at(reader, offset, _END_64.size)
    )
    if signature != b"PK\x06\x06" or record_bytes != _END_64.size - 12 or disk or first_disk or members_here != members:
        raise _Ambiguous("its zip64 record is not one")
    if (
        plain.offset not in (begin, _MAX_32)
        or plain.size_bytes not in (directory_bytes, _MAX_32)
        or plain.members not in (members, _MAX_16)
    ):
        raise _Ambiguous("its zip64 record says something else than its end record")
    return _Directory(begin, directory_bytes, members)


def _read_directory(reader: BinaryIO, directory: _Directory, budget: Budget) -> list[_Member]:
    budget.spend_members(directory.members)
    if directory.size_bytes > DIRECTORY_BYTES_MAX:
        raise _Ambiguous(f"its directory of {directory.size_bytes:,} bytes is over the limit")
    raw = _read_at(reader, directory.offset, directory.size_bytes)
    members = []
    at = 0
    for _ in range(directory.members):
        signature, *fields = _CENTRAL.unpack_from(raw, at)
        _, _, flags, method, _, _, crc, compressed, size, name_bytes, extra_bytes, comment_bytes, disk, _, _, offset = (
            fields
        )
        at += _CENTRAL.size
        name, extra = raw[at : at + name_bytes], raw[at + name_bytes : at + name_bytes + extra_bytes]
        at += name_bytes + extra_bytes + comment_bytes
        if signature != b"PK\x01\x02" or disk or b"\0" in name:
            raise _Ambiguous("its directory has an entry that readers take differently")
        size, compressed, offset = _read_extra(extra, name, [size, compressed, offset])
        members.append(_Member(name, flags, method, crc, compressed, size, offset))
    if at != len(raw):
        raise _Ambiguous("its directory holds more than its members")
    return members


def _read_extra(extra: bytes, name: bytes, numbers: list[int]) -> list[int]:
    """Return the numbers with those that stand in the zip64 field."""
    large = [index for index, number in enumerate(numbers) if number == _MAX_32]
    fields = dict(_split_extra(extra))
    if large:
        values = struct.unpack_from(f"<{len(large)}Q", fields.get(_ZIP64_EXTRA, b""))
        for index, value in zip(large, values, strict=True):
            numbers[index] = value
    other_name = fields.get(_UNICODE_PATH_EXTRA, b"")[5:]
    if other_name and other_name != name and (other_name.isascii() or name.isascii()):
        raise _Ambiguous("a member has two names")
    return numbers


def _split_extra(extra: bytes) -> list[tuple[int, bytes]]:
    fields: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(extra):
        kind, size_bytes = struct.unpack_from("<2H", extra, at)
        if at + 4 + size_bytes > len(extra) or any(kind == other == _ZIP64_EXTRA for other, _ in fields):
            raise _Ambiguous("a member's extra field is damaged")
        fields.append((kind, extra[at + 4 : at + 4 + size_bytes]))
        at += 4 + size_bytes
    return fields


def _check_members(reader: BinaryIO, members: list[_Member], directory_offset: int) -> None:
    """Check that the members cover the file up to the directory, and that their own headers say the same."""
    position = 0
    has_descriptor = False
    for member in sorted(members, key=lambda member: member.offset):
        gap = member.offset - position
        if gap not in (_DESCRIPTOR_BYTES if has_descriptor else (0,)):
            raise _Ambiguous("its members overlap" if gap < 0 else "bytes lie between its members")
        position = member.offset + _check_local(reader, member) + member.compressed_bytes
        has_descriptor = bool(member.flags & _HAS_DESCRIPTOR)
    if directory_offset - position not in (_DESCRIPTOR_BYTES if has_descriptor else (0,)):
        raise _Ambiguous("its members do not end where its directory begins")


def _check_local(reader: BinaryIO, member: _Member) -> int:
    """Compare a member's own header with its entry; return the header's length."""
    raw = _read_at(reader, member.offset, _LOCAL.size)
    signature, _, flags, method, _, _, crc, compressed, size, name_bytes, extra_bytes = _LOCAL.unpack(raw)
    name = reader.read(name_bytes)
    if signature != b"PK\x03\x04" or (name, flags, method) != (member.name, member.flags, member.method):
        raise _Ambiguous("a member's own header says something else than the directory")
    for here, there in ((crc, member.crc), (compressed, member.compressed_bytes), (size, member.size_bytes)):
        if here != there and not (here == 0 and flags & _HAS_DESCRIPTOR) and here != _MAX_32:
            raise _Ambiguous("a member's own header says something else than the directory")
    return _LOCAL.size + int(name_bytes) + int(extra_bytes)
