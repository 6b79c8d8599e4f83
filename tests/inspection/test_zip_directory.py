"""Which zips two readers could read differently: each field of each record, changed alone."""

import struct
from io import BytesIO
from typing import Any

import pytest

from modelyard.inspection.budget import Budget
from modelyard.inspection.zip_directory import find_ambiguity

LARGE = 0xFFFFFFFF
DESCRIPTOR_FLAG = 1 << 3


def local(content: bytes = b"x", **given: Any) -> bytes:
    """A member with its own header."""
    field = {"signature": b"PK\x03\x04", "flags": 0, "method": 0, "crc": 7, "name": b"a", "extra": b""} | given
    sizes = field.get("compressed", len(content)), field.get("size", len(content))
    name, extra = field["name"], field["extra"]
    header = struct.pack(
        "<4s5H3L2H",
        field["signature"],
        20,
        field["flags"],
        field["method"],
        0,
        0,
        field["crc"],
        *sizes,
        len(name),
        len(extra),
    )
    return header + name + extra + content


def central(offset: int = 0, **given: Any) -> bytes:
    """An entry of the directory for a member of one byte."""
    field = {"signature": b"PK\x01\x02", "flags": 0, "method": 0, "crc": 7, "compressed": 1, "size": 1, "name": b"a"}
    field |= {"extra": b"", "comment": b"", "disk": 0} | given
    name, extra, comment = field["name"], field["extra"], field["comment"]
    numbers = field["crc"], field["compressed"], field["size"], len(name), len(extra), len(comment), field["disk"]
    start = struct.pack("<4s6H", field["signature"], 20, field.get("needs", 20), field["flags"], field["method"], 0, 0)
    return start + struct.pack("<3L5H2L", *numbers, 0, 0, offset) + name + extra + comment


def end(offset: int, size_bytes: int, members: int = 1, **given: Any) -> bytes:
    field = {"disk": 0, "first_disk": 0, "members_here": members, "comment": b""} | given
    disks = field["disk"], field["first_disk"], field["members_here"], members
    comment = field["comment"]
    return (
        struct.pack("<4s4H2LH", b"PK\x05\x06", *disks, size_bytes, offset, field.get("comment_bytes", len(comment)))
        + comment
    )


def end_64(offset: int, size_bytes: int, members: int = 1, **given: Any) -> bytes:
    """A zip64 record and its locator, for a directory that ends where the record begins."""
    field = {"signature": b"PK\x06\x06", "bytes": 44, "disk": 0, "first_disk": 0, "members_here": members} | given
    at = field.get("at", offset + size_bytes)
    numbers = (
        field["bytes"],
        45,
        45,
        field["disk"],
        field["first_disk"],
        field["members_here"],
        members,
        size_bytes,
        offset,
    )
    record = struct.pack("<4sQ2H2L4Q", field["signature"], *numbers)
    return record + struct.pack("<4sLQL", b"PK\x06\x07", field.get("locator_disk", 0), at, field.get("disks", 1))


M = local()
D = central()
ZIP = M + D + end(len(M), len(D))
BIG = M + D + end_64(len(M), len(D))


def zip_of(members: bytes, directory: bytes, count: int = 1) -> bytes:
    return members + directory + end(len(members), len(directory), count)


def extra(kind: int, content: bytes) -> bytes:
    return struct.pack("<2H", kind, len(content)) + content


def sizes_64(*numbers: int) -> bytes:
    return extra(1, struct.pack(f"<{len(numbers)}Q", *numbers))


TWO = local() + local(name=b"b")
ENTRIES = central() + central(len(M), name=b"b")
DESCRIBED = local(flags=DESCRIPTOR_FLAG, crc=0, compressed=0, size=0)
DESCRIPTION = central(flags=DESCRIPTOR_FLAG)
OTHER_HEADER = "a member's own header says something else than the directory"
OTHER_END = "its zip64 record says something else than its end record"
NO_RECORD = "its zip64 record is not one"
CASES = {
    "one member": (ZIP, ""),
    "two members": (zip_of(TWO, ENTRIES, 2), ""),
    "in another order": (zip_of(TWO, central(len(M), name=b"b") + central(), 2), ""),
    "none": (end(0, 0, 0), ""),
    "with a comment": (M + D + end(len(M), len(D), comment=b"hello"), ""),
    "with comments of members": (zip_of(M, central(comment=b"hello")), ""),
    "with a descriptor of 12 bytes": (zip_of(DESCRIBED + bytes(12), DESCRIPTION), ""),
    "with a descriptor of 16 bytes": (zip_of(DESCRIBED + bytes(16), DESCRIPTION), ""),
    "with a descriptor of 20 bytes": (zip_of(DESCRIBED + bytes(20), DESCRIPTION), ""),
    "with a descriptor of 24 bytes": (zip_of(DESCRIBED + bytes(24), DESCRIPTION), ""),
    "with a descriptor between members": (
        zip_of(DESCRIBED + bytes(12) + local(name=b"b"), DESCRIPTION + central(len(DESCRIBED) + 12, name=b"b"), 2),
        "",
    ),
    "zip64": (BIG + end(len(M), len(D)), ""),
    "zip64 with all numbers": (BIG + end(LARGE, LARGE, 0xFFFF), ""),
    "zip64 sizes of a member": (
        zip_of(local(compressed=LARGE, size=LARGE), central(compressed=LARGE, size=LARGE, extra=sizes_64(1, 1))),
        "",
    ),
    "zip64 place of a member": (zip_of(M, central(LARGE, extra=sizes_64(0))), ""),
    "no end": (M + D, "it has no end record that ends the file"),
    "bytes after the end": (ZIP + b"x", "it has no end record that ends the file"),
    "two ends": (
        M + D + end(len(M), len(D), comment=end(0, 0, 0)),
        "it has two end records that end the file",
    ),
    "an end in the comment": (
        M + D + end(len(M), len(D), comment=end(0, 0, 0) + b"x"),
        "another end record is in its comment",
    ),
    "another disk": (M + D + end(len(M), len(D), disk=1), "it is a part of several files"),
    "another first disk": (M + D + end(len(M), len(D), first_disk=1), "it is a part of several files"),
    "other members here": (M + D + end(len(M), len(D), members_here=2), "it is a part of several files"),
    "a large offset alone": (M + D + end(LARGE, len(D)), "it lacks its zip64 record"),
    "a large size alone": (M + D + end(len(M), LARGE), "it lacks its zip64 record"),
    "many members alone": (M + D + end(len(M), len(D), 0xFFFF), "it lacks its zip64 record"),
    "a gap before the end": (
        M + D + b"x" + end(len(M), len(D)),
        "its directory does not end where the end record begins",
    ),
    "a locator that points elsewhere": (
        M + D + end_64(len(M), len(D), at=3) + end(len(M), len(D)),
        "its zip64 locator points elsewhere",
    ),
    "a locator on another disk": (
        M + D + end_64(len(M), len(D), locator_disk=1) + end(len(M), len(D)),
        "its zip64 locator points elsewhere",
    ),
    "a locator of two disks": (
        M + D + end_64(len(M), len(D), disks=2) + end(len(M), len(D)),
        "its zip64 locator points elsewhere",
    ),
    "a zip64 record of another kind": (
        M + D + end_64(len(M), len(D), signature=b"PK\x06\x05") + end(len(M), len(D)),
        NO_RECORD,
    ),
    "a longer zip64 record": (M + D + end_64(len(M), len(D), bytes=45) + end(len(M), len(D)), NO_RECORD),
    "a zip64 record on another disk": (M + D + end_64(len(M), len(D), disk=1) + end(len(M), len(D)), NO_RECORD),
    "a zip64 record with another first disk": (
        M + D + end_64(len(M), len(D), first_disk=1) + end(len(M), len(D)),
        NO_RECORD,
    ),
    "a zip64 record of other members": (
        M + D + end_64(len(M), len(D), members_here=2) + end(len(M), len(D)),
        NO_RECORD,
    ),
    "another offset in zip64": (BIG + end(len(M) + 1, len(D)), OTHER_END),
    "another size in zip64": (BIG + end(len(M), len(D) + 1), OTHER_END),
    "other members in zip64": (BIG + end(len(M), len(D), 2), OTHER_END),
    "an entry of another kind": (
        zip_of(M, central(signature=b"PK\x01\x03")),
        "its directory has an entry that readers take differently",
    ),
    "an entry on another disk": (
        zip_of(M, central(disk=1)),
        "its directory has an entry that readers take differently",
    ),
    "a name that ends early": (
        zip_of(local(name=b"a\0b"), central(name=b"a\0b")),
        "its directory has an entry that readers take differently",
    ),
    "more bytes than entries": (zip_of(M, D + b"x"), "its directory holds more than its members"),
    "fewer entries than members": (zip_of(M, D, 2), "a record of its directory is cut off"),
    "large sizes without zip64": (zip_of(M, central(compressed=LARGE)), "a record of its directory is cut off"),
    "an extra field that is cut off": (
        zip_of(M, central(extra=struct.pack("<2H", 9, 1))),
        "a member's extra field is damaged",
    ),
    "two zip64 fields": (
        zip_of(M, central(LARGE, extra=sizes_64(0) + sizes_64(0))),
        "a member's extra field is damaged",
    ),
    "two other fields": (zip_of(M, central(extra=extra(9, b"x") + extra(9, b"y"))), ""),
    "bytes after the extra fields": (zip_of(M, central(extra=extra(9, b"x") + b"abc")), ""),
    "another name in Unicode": (zip_of(M, central(extra=extra(0x7075, bytes(5) + b"b"))), "a member has two names"),
    "the same name in Unicode": (zip_of(M, central(extra=extra(0x7075, bytes(5) + b"a"))), ""),
    "an empty name in Unicode": (zip_of(M, central(extra=extra(0x7075, bytes(5)))), ""),
    "a Unicode name outside ASCII": (
        zip_of(M, central(extra=extra(0x7075, bytes(5) + "é".encode()))),
        "a member has two names",
    ),
    "a Unicode name of a name in an old encoding": (
        zip_of(local(name=b"\x82"), central(name=b"\x82", extra=extra(0x7075, bytes(5) + "é".encode()))),
        "",
    ),
    "members that overlap": (zip_of(M, D + central(len(M) - 1, name=b"b"), 2), "its members overlap"),
    "bytes before the members": (zip_of(b"x" + M, central(1)), "bytes lie between its members"),
    "bytes between the members": (
        zip_of(M + b"x" + local(name=b"b"), D + central(len(M) + 1, name=b"b"), 2),
        "bytes lie between its members",
    ),
    "12 bytes between members without a descriptor": (
        zip_of(M + bytes(12) + local(name=b"b"), D + central(len(M) + 12, name=b"b"), 2),
        "bytes lie between its members",
    ),
    "a descriptor of 13 bytes": (
        zip_of(DESCRIBED + bytes(13), DESCRIPTION),
        "its members do not end where its directory begins",
    ),
    "bytes before the directory": (zip_of(M + b"x", D), "its members do not end where its directory begins"),
    "a header of another kind": (zip_of(local(signature=b"PK\x03\x05"), D), OTHER_HEADER),
    "a header with another name": (zip_of(local(name=b"b"), D), OTHER_HEADER),
    "a header with other flags": (zip_of(local(flags=1), D), OTHER_HEADER),
    "a header with another method": (zip_of(local(method=8), D), OTHER_HEADER),
    "a header with another checksum": (zip_of(local(crc=8), D), OTHER_HEADER),
    "a header with another compressed size": (zip_of(local(compressed=2), D), OTHER_HEADER),
    "a header with another size": (zip_of(local(size=2), D), OTHER_HEADER),
    "a header with an empty size and no descriptor": (zip_of(local(size=0), D), OTHER_HEADER),
    "a header with a size beside a descriptor": (
        zip_of(local(flags=DESCRIPTOR_FLAG, size=2) + bytes(12), DESCRIPTION),
        OTHER_HEADER,
    ),
    "a header with an extra field": (zip_of(local(extra=b"abcd"), D), ""),
    "no header": (zip_of(b"", D), OTHER_HEADER),
}


@pytest.mark.parametrize("name", CASES)
def test_a_zip_that_readers_may_read_differently_is_refused_with_the_reason(name: str) -> None:
    content, reason = CASES[name]

    assert reason == find_ambiguity(BytesIO(content), len(content), Budget())
