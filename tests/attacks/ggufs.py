"""GGUF files with claims that are not true."""

import struct

from tests.attacks.attack import attack
from tests.inspection.made_files import gguf


def start(tensors: int, entries: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


@attack("clean", name="model.gguf")
def sound_gguf() -> bytes:
    return gguf({"a": (0, [2, 4], 32), "b": (8, [2, 32], 68)}, {"general.architecture": "flux"})


@attack("error", "over the limit of 100,000", name="model.gguf")
def gguf_of_a_billion_tensors() -> bytes:
    return start(1_000_000_000, 0)


@attack("error", "over the limit of 100,000", name="model.gguf")
def gguf_of_a_billion_entries() -> bytes:
    return start(0, 1_000_000_000)


@attack("error", "the file ends at", name="model.gguf")
def gguf_key_longer_than_the_file() -> bytes:
    return start(0, 1) + struct.pack("<Q", 2**63) + b"a"


@attack("error", "the file ends at", name="model.gguf")
def gguf_array_longer_than_the_file() -> bytes:
    return start(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 4, 2**62)


@attack("error", "more texts than any tokenizer", name="model.gguf")
def gguf_array_of_a_trillion_texts() -> bytes:
    return start(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 8, 10**12) + bytes(200)


@attack("error", "too deep", name="model.gguf")
def gguf_arrays_in_arrays() -> bytes:
    return start(0, 1) + text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 1_000


@attack("error", "unknown value type", name="model.gguf")
def gguf_value_of_no_type() -> bytes:
    return start(0, 1) + text(b"a") + struct.pack("<I", 99)


@attack("error", "again", name="model.gguf")
def gguf_key_given_twice() -> bytes:
    one = text(b"a") + struct.pack("<I", 8) + text(b"x")
    return start(0, 2) + one + one


@attack("error", "listed twice", name="model.gguf")
def gguf_tensor_listed_twice() -> bytes:
    one = text(b"a") + struct.pack("<IQIQ", 1, 8, 0, 0)
    return start(2, 0) + one + one + bytes(64)


@attack("error", "dimensions", name="model.gguf")
def gguf_tensor_of_a_billion_dimensions() -> bytes:
    return start(1, 0) + text(b"a") + struct.pack("<I", 1_000_000_000)


@attack("error", "unknown type", name="model.gguf")
def gguf_tensor_of_no_type() -> bytes:
    return start(1, 0) + text(b"a") + struct.pack("<IQIQ", 1, 8, 4_000, 0)


@attack("error", "whole blocks", name="model.gguf")
def gguf_row_that_is_no_whole_block() -> bytes:
    return start(1, 0) + text(b"a") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(64)


@attack("error", "the file at", name="model.gguf")
def gguf_tensor_beyond_the_end() -> bytes:
    return start(1, 0) + text(b"a") + struct.pack("<IQIQ", 1, 2**40, 0, 0) + bytes(64)


@attack("error", "inside tensor", name="model.gguf")
def gguf_tensors_that_overlap() -> bytes:
    first = text(b"a") + struct.pack("<IQIQ", 1, 64, 0, 0)
    second = text(b"b") + struct.pack("<IQIQ", 1, 64, 0, 32)
    return start(2, 0) + first + second + bytes(1_024)


@attack("error", "not a multiple", name="model.gguf")
def gguf_tensor_out_of_step() -> bytes:
    return start(1, 0) + text(b"a") + struct.pack("<IQIQ", 1, 8, 0, 7) + bytes(64)


@attack("error", "power of two", name="model.gguf")
def gguf_alignment_of_zero() -> bytes:
    return start(0, 1) + text(b"general.alignment") + struct.pack("<II", 4, 0)


@attack("error", "is not one of", name="model.gguf")
def gguf_of_a_version_to_come() -> bytes:
    return start(0, 0, version=70_000)


@attack("error", "big-endian", name="model.gguf")
def gguf_of_a_big_endian_machine() -> bytes:
    return b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
