"""GGUF headers at the edges of their limits: what is just accepted, and what is just refused.

Not covered here: hostile files (tests/attacks).
"""

import io
import struct
from collections.abc import Sequence

import pytest

from modelyard.errors import CorruptFile
from modelyard.inspection import gguf
from modelyard.inspection.header import Header

# Numbers and bytes a block, from the reference implementation.
BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip # one table


def text(value: str, width: str = "Q") -> bytes:
    return struct.pack(f"<{width}", len(value)) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, sizes: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def header_of(entries: Sequence[bytes], tensors: Sequence[bytes] = (), alignment: int = 32) -> bytes:
    """A header of version 3, padded to where the tensors begin."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join([*entries, *tensors])
    return out + bytes(-len(out) % alignment)


def read(content: bytes, limit_bytes: int = gguf.HEADER_LIMIT_BYTES) -> Header:
    return gguf.read_header(io.BytesIO(content), len(content), limit_bytes)


def test_every_type_takes_the_bytes_of_its_blocks() -> None:
    """One byte less is a file that was cut off."""
    for kind, (name, numbers, size) in BLOCKS.items():
        head = header_of([], [tensor("a", [numbers, 3], kind)])

        assert (name, (3, numbers)) == read(head + bytes(3 * size)).tensors["a"]
        with pytest.raises(CorruptFile, match=f"ends at {len(head) + 3 * size:,}, the file at"):
            read(head + bytes(3 * size - 1))
        if numbers > 1:
            with pytest.raises(CorruptFile, match="whole blocks"):
                read(header_of([], [tensor("a", [numbers // 2, 2], kind)]) + bytes(size))


def test_types_that_are_not_listed_are_unknown() -> None:
    for kind in set(range(64)) - BLOCKS.keys():
        with pytest.raises(CorruptFile, match=f"unknown type {kind}"):
            read(header_of([], [tensor("a", [256], kind)]) + bytes(4096))


@pytest.mark.parametrize(("version", "width"), [(1, "I"), (2, "Q"), (3, "Q")])
def test_counts_and_lengths_have_32_bits_in_the_first_version_and_64_since(version: int, width: str) -> None:
    content = b"GGUF" + struct.pack(f"<I{width}{width}", version, 1, 1)
    content += text("key", width) + struct.pack("<I", 8) + text("value", width)
    content += (
        text("a", width) + struct.pack("<I", 2) + struct.pack(f"<{width}{width}", 4, 2) + struct.pack("<IQ", 0, 0)
    )
    content += bytes(-len(content) % 32) + bytes(32)

    assert Header({"a": ("F32", (2, 4))}, {"key": "value"}) == read(content)  # type: ignore[dict-item]  # a tensor is a tuple


@pytest.mark.parametrize(
    ("kind", "raw", "written"),
    [
        (0, b"\xff", "255"),
        (1, b"\xff", "-1"),
        (2, b"\xff\xff", "65535"),
        (3, b"\xff\xff", "-1"),
        (4, b"\xff" * 4, "4294967295"),
        (5, b"\xff" * 4, "-1"),
        (6, struct.pack("<f", 0.5), "0.5"),
        (7, b"\1", "True"),
        (8, text("flux"), "flux"),
        (8, text("x" * 5_000), "x" * 4_096),
        (10, b"\xff" * 8, "18446744073709551615"),
        (11, b"\xff" * 8, "-1"),
        (12, struct.pack("<d", 0.25), "0.25"),
        (9, struct.pack("<IQ", 0, 8) + bytes(8), "[0, 0, 0, 0, 0, 0, 0, 0]"),
        (9, struct.pack("<IQ", 2, 9) + bytes(18), "[0, 0, 0, 0, 0, 0, 0, 0, … (9)]"),
        (9, struct.pack("<IQ", 8, 9) + text("ab") * 9, "[ab, ab, ab, ab, ab, ab, ab, ab, … (9)]"),
        (9, struct.pack("<IQ", 9, 1) * 2 + struct.pack("<IQ", 0, 1) + b"\7", "[[[7]]]"),
    ],
)
def test_every_kind_of_value_is_written_out_and_the_next_one_is_found(kind: int, raw: bytes, written: str) -> None:
    content = header_of([entry("key", kind, raw), entry("next", 8, text("one"))])

    assert {"key": written, "next": "one"} == read(content).metadata


def test_arrays_are_nested_three_deep_at_most() -> None:
    with pytest.raises(CorruptFile, match="too deep"):
        read(header_of([entry("key", 9, struct.pack("<IQ", 9, 1) * 3 + struct.pack("<IQ", 0, 1) + b"\7")]))


def test_the_counts_of_tensors_and_of_entries_have_a_limit() -> None:
    """At the limit the count is believed, so the file is refused for what it lacks; over it, for the count."""
    for tensors, entries, problem in (
        (100_000, 0, "the file ends at"),
        (100_001, 0, "tensor count: 100,001 is over"),
        (0, 100_000, "the file ends at"),
        (0, 100_001, "metadata count: 100,001 is over"),
    ):
        with pytest.raises(CorruptFile, match=problem):
            read(b"GGUF" + struct.pack("<IQQ", 3, tensors, entries))


def test_the_texts_of_all_arrays_together_have_a_limit() -> None:
    count = 4_000_000
    array = struct.pack("<IQ", 8, count + 1) + text("") * 8

    with pytest.raises(CorruptFile, match="more texts than any tokenizer"):
        read(header_of([entry("key", 9, array)]))
    with pytest.raises(CorruptFile, match="the file ends at"):
        read(header_of([entry("key", 9, struct.pack("<IQ", 8, count) + text("") * 8)]))


def test_the_header_is_held_under_the_callers_limit() -> None:
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry("key", 9, struct.pack("<IQ", 0, 100) + bytes(100))
    padded = content + bytes(-len(content) % 32)

    assert 1 == len(read(padded, len(content)).metadata)
    with pytest.raises(CorruptFile, match="over its limit in size"):
        read(padded, len(content) - 1)


def test_a_tensor_has_eight_dimensions_at_most() -> None:
    assert (1,) * 8 == read(header_of([], [tensor("a", [1] * 8)]) + bytes(4)).tensors["a"].shape
    with pytest.raises(CorruptFile, match="9 dimensions"):
        read(header_of([], [tensor("a", [1] * 9)]) + bytes(4))


def test_tensors_may_touch_and_may_not_overlap_whatever_their_order() -> None:
    def of_offsets(first: int, second: int) -> bytes:
        return header_of([], [tensor("a", [8], 0, first), tensor("b", [9], 0, second)]) + bytes(128)

    assert ["a", "b"] == list(read(of_offsets(0, 32)).tensors)
    assert ["a", "b"] == list(read(of_offsets(64, 0)).tensors)
    with pytest.raises(CorruptFile, match="begins at 32, inside tensor 'b'"):
        read(of_offsets(32, 0))


@pytest.mark.parametrize("alignment", [1, 8, 64])
def test_offsets_count_from_the_alignment_that_the_file_gives(alignment: int) -> None:
    head = header_of(
        [entry("general.alignment", 4, struct.pack("<I", alignment))],
        [tensor("a", [1]), tensor("b", [1], 0, max(alignment, 4))],
        alignment,
    )
    size = max(alignment, 4) + 4

    assert 2 == len(read(head + bytes(size)).tensors)
    with pytest.raises(CorruptFile, match="the file at"):
        read(head + bytes(size - 1))
    if alignment > 1:
        with pytest.raises(CorruptFile, match=f"not a multiple of {alignment}"):
            read(
                header_of(
                    [entry("general.alignment", 4, struct.pack("<I", alignment))],
                    [tensor("a", [1], 0, alignment // 2)],
                    alignment,
                )
                + bytes(size)
            )


@pytest.mark.parametrize("alignment", [0, 3, 33, 2**32 - 1])
def test_an_alignment_that_is_no_power_of_two_is_refused(alignment: int) -> None:
    with pytest.raises(CorruptFile, match="not a power of two"):
        read(header_of([entry("general.alignment", 4, struct.pack("<I", alignment))]))


@pytest.mark.parametrize("digits", [str(2**40), "1" * 1_000, "-32", "", "32 "])
def test_an_alignment_is_a_number_of_32_bits_in_digits(digits: str) -> None:
    with pytest.raises(CorruptFile, match="not a power of two"):
        read(header_of([entry("general.alignment", 8, text(digits))]))


def test_a_file_that_was_cut_off_after_its_size_was_taken_is_refused() -> None:
    content = header_of([entry("key", 8, text("value"))])[:40]

    with pytest.raises(CorruptFile, match="the file ends at 40"):
        gguf.read_header(io.BytesIO(content), 1_000)
