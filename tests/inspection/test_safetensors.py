"""Safetensors headers at the edges of their limits: what is just accepted, and what is just refused.

Not covered here: hostile files (tests/attacks), headers made by rule (test_fuzz.py).
"""

import io
import json
import re
import struct
from collections.abc import Sequence

import pytest

from modelyard.errors import CorruptFile
from modelyard.inspection.header import Header
from modelyard.inspection.safetensors import check_length, parse_header, read_frame

# Bits a number, from the reference parser.
BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip # one table


def entry(dtype: object, shape: Sequence[object], begin: object, end: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def parsed(document: object, body_bytes: int) -> Header:
    return parse_header(json.dumps(document).encode(), body_bytes)


def test_every_type_takes_the_bits_of_the_reference_parser() -> None:
    for dtype, bits in BITS.items():
        assert (dtype, (8, 3)) == parsed({"a": entry(dtype, [8, 3], 0, 3 * bits)}, 3 * bits).tensors["a"]
        with pytest.raises(CorruptFile, match=f"is {3 * bits + 1:,} bytes, .* needs {3 * bits:,}"):
            parsed({"a": entry(dtype, [8, 3], 0, 3 * bits + 1)}, 3 * bits + 1)


@pytest.mark.parametrize("dtype", ["F16 ", "f16", "", "C128", "F8"])
def test_types_that_are_not_listed_are_refused_of_any_size(dtype: str) -> None:
    for document in ({"a": entry(dtype, [0], 0, 0)}, {"a": entry(dtype, [8], 8, 7)}):
        with pytest.raises(CorruptFile, match="is not a type"):
            parsed(document, 0)


def test_a_headers_length_is_two_at_least_and_ends_inside_the_file_and_under_the_limit() -> None:
    assert 2 == check_length(struct.pack("<Q", 2), 10)
    assert 50 == check_length(struct.pack("<Q", 50), 58, 50)
    for length, size_bytes, problem in (
        (0, 10, "0 bytes cannot hold"),
        (1, 10, "1 bytes cannot hold"),
        (3, 10, "3 bytes end at 11, the file at 10"),
        (51, 1_000, "51 bytes is over the limit of 50"),
    ):
        with pytest.raises(CorruptFile, match=problem):
            check_length(struct.pack("<Q", length), size_bytes, 50)
    with pytest.raises(CorruptFile, match="needs 8 bytes, the file has 7"):
        check_length(bytes(7), 7)


def test_a_file_that_is_shorter_than_was_announced_is_refused() -> None:
    content = struct.pack("<Q", 20) + b"{}"

    with pytest.raises(CorruptFile, match="announced with 20 bytes and ends after 2"):
        read_frame(io.BytesIO(content), 28)


def test_brackets_and_commas_have_a_limit() -> None:
    """Spaces bring the header over the length from which on they are counted."""

    def header(structure: int) -> bytes:
        return b'{"__metadata__": {}, "a": [' + b"," * (structure - 6) + b"]" + b" " * 2_000_000 + b"}"

    with pytest.raises(CorruptFile, match="2,000,001 brackets and commas"):
        parse_header(header(2_000_001), 0)
    with pytest.raises(CorruptFile, match="is not JSON"):
        parse_header(header(2_000_000), 0)


@pytest.mark.parametrize("half", [r"\ud800", r"\uD800", r"\udfff", r"\uDc00", r"\ude00\ud83d"])
def test_half_a_surrogate_pair_is_refused_in_either_case(half: str) -> None:
    for text in (
        f'{{"{half}": 1}}',
        f'{{"__metadata__": {{"a": "{half}"}}}}',
        f'{{"__metadata__": {{"{half}": "a"}}}}',
    ):
        with pytest.raises(CorruptFile, match="surrogate"):
            parse_header(text.encode(), 0)


@pytest.mark.parametrize("whole", [r"\ud83d\ude00", r"\uD83D\uDE00", "\N{GRINNING FACE}"])
def test_a_whole_surrogate_pair_is_a_character(whole: str) -> None:
    header = parse_header(f'{{"__metadata__": {{"a": "{whole}"}}}}'.encode(), 0)

    assert {"a": "\N{GRINNING FACE}"} == header.metadata


@pytest.mark.parametrize(("begin", "end"), [(0, "4"), ("0", 4), (0, 4.0), (0.0, 4), (False, 4), (0, None), ([0], 4)])
def test_offsets_are_whole_numbers(begin: object, end: object) -> None:
    with pytest.raises(CorruptFile, match="is not a pair of numbers"):
        parsed({"a": entry("U8", [4], begin, end)}, 4)


@pytest.mark.parametrize(
    ("shape", "dtype", "begin", "end", "problem"),
    [
        ([2**61 - 1], "F64", 0, 2**64 - 8, "64 bits"),
        ([2**58], "F64", 0, 2**61, "64 bits"),
        ([2**64], "U8", 0, 2**64, "64 bits"),
        ([0, 2**64], "U8", 0, 0, "only"),
        ([1], "U8", 2**64 - 1, 2**64, "not a span"),
        ([0], "U8", 2**64, 2**64, "not a span"),
        ([2], "U8", -1, 1, "not a span"),
    ],
)
def test_sizes_and_offsets_are_counted_in_64_bits(
    shape: list[int], dtype: str, begin: int, end: int, problem: str
) -> None:
    document = {"a": entry(dtype, shape, begin, end)}
    if problem == "only":
        assert tuple(shape) == parsed(document, 0).tensors["a"].shape
    else:
        with pytest.raises(CorruptFile, match=problem):
            parsed(document, 4)


def test_sizes_are_not_multiplied_once_they_are_too_large() -> None:
    """Their whole product has twenty million digits, and takes longer than a test may."""
    with pytest.raises(CorruptFile, match="64 bits"):
        parsed({"a": entry("U8", [2**63 - 1] * 1_000_000, 0, 4)}, 4)


def test_tensors_may_be_listed_in_any_order() -> None:
    document = {"c": entry("U8", [2], 6, 8), "a": entry("U8", [4], 0, 4), "b": entry("U8", [2], 4, 6)}

    assert ["c", "a", "b"] == list(parsed(document, 8).tensors)
    with pytest.raises(CorruptFile, match="tensor 'c': ends at 8, but only 7 bytes"):
        parsed(document, 7)
    with pytest.raises(CorruptFile, match="tensor 'c': ends at 8, and 1 bytes follow"):
        parsed(document, 9)


def test_a_gap_is_seen_though_later_tensors_are_in_order() -> None:
    document = {"b": entry("U8", [2], 2, 4), "a": entry("U8", [1], 0, 1), "c": entry("U8", [4], 4, 8)}

    with pytest.raises(CorruptFile, match="tensor 'b': begins at 2 and leaves a gap after tensor 'a', which ends at 1"):
        parsed(document, 8)
    with pytest.raises(CorruptFile, match="tensor 'c': begins at 1 and overlaps tensor 'a', which ends at 4"):
        parsed({"c": entry("U8", [3], 1, 4), "a": entry("U8", [4], 0, 4)}, 4)


EMPTY = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
ENTRIES = {
    "sound": f'"a":{EMPTY}',
    "a name that is a key": f'"dtype":{EMPTY}',
    "letters beyond ASCII": f'"ä":{EMPTY}',
    "spaces": f'"a" : {EMPTY} , "b":{EMPTY} ',
    "a name twice": f'"a":{EMPTY},"a":{EMPTY}',
    "a name twice, one with an escape": f'"a":{EMPTY},"\\u0061":{EMPTY}',
    "a key twice": f'"a":{EMPTY[:-1]},"dtype":"U8"}}',
    "a key twice, one with an escape": f'"a":{EMPTY[:-1]},"\\u0064type":"U8"}}',
    "another key": f'"a":{EMPTY[:-1]},"more":1}}',
    "another key instead": '"a":{"dtype":"U8","shape":[0],"offsets":[0,0]}',
    "a negative size": '"a":{"dtype":"U8","shape":[-1,0],"data_offsets":[0,0]}',
    "a span backwards": '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,-1]}',
    "a span beyond the body": '"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}',
    "a number with a point": '"a":{"dtype":"U8","shape":[0.0],"data_offsets":[0,0]}',
    "a name of a control character": f'"\x01":{EMPTY}',
    "nothing after a comma": f'"a":{EMPTY},',
    "notes in the middle": f'"a":{EMPTY},"__metadata__":{{"k":"v"}}',
    "notes twice": f'"a":{EMPTY},"__metadata__":{{"k":"v"}},"__metadata__":{{"k":"w"}}',
}


def outcome(header: str) -> tuple[object, ...]:
    try:
        made = parse_header(header.encode(), 0)
    except CorruptFile as error:
        return (re.sub(r"character \d+", "", error.message),)
    return {**made.tensors, "ä escaped": ("U8", (0,))}, made.metadata


@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES)
@pytest.mark.parametrize("notes", ["", '"__metadata__":{},', '"__metadata__":{"dtype":"\\"shape\\""},'])
def test_a_header_in_the_plain_form_is_judged_as_one_with_escapes(entries: str, notes: str) -> None:
    escaped = f'"\\u00e4 escaped":{EMPTY},'

    assert outcome(f"{{{notes}{escaped}{entries}}}") == outcome(f"{{{notes}{entries}}}")
