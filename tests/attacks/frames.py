"""Safetensors files that are not what they say, or only look as if they were not."""

import json
import struct
from pathlib import Path

from tests.attacks.attack import attack
from tests.inspection.made_files import frame, header_bytes


def entry(begin: int, end: int, shape: object = None, dtype: str = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def framed(document: object, body: int = 0) -> bytes:
    return frame(json.dumps(document).encode(), bytes(body))


@attack("error", "0 bytes cannot hold")
def header_of_length_zero() -> bytes:
    return frame(b"", b"{}")


@attack("error", "bytes end at")
def header_longer_than_the_file() -> bytes:
    return struct.pack("<Q", 5_000) + b"{}"


@attack("error", "over the limit of 100,000,000", sparse=True)
def header_over_the_limit(path: Path) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 200_000_000) + b"{")
        file.truncate(200_000_008)


@attack("error", "no format we know")
def header_length_of_all_ones() -> bytes:
    return b"\xff" * 8 + b"{}"


@attack("error", "is not JSON")
def header_that_is_not_json() -> bytes:
    return frame(b'{"a":')


@attack("error", "no format we know")
def header_that_is_a_list() -> bytes:
    return frame(b"[1,2,3]\0")


@attack("error", "does not begin with '{'")
def header_with_a_space_before_it() -> bytes:
    return frame(b" " + json.dumps({"a": entry(0, 4)}).encode(), bytes(4))


@attack("error", "is not UTF-8")
def header_that_is_not_utf8() -> bytes:
    return frame(b'{"\xff\xfe": 1}')


@attack("error", "surrogate")
def name_with_half_a_surrogate_pair() -> bytes:
    return frame(rb'{"\ud800": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', b"x")


@attack("error", "control character")
def name_with_a_raw_newline() -> bytes:
    return frame(b'{"a\nb": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', b"x")


@attack("error", "'a' twice")
def tensor_named_twice() -> bytes:
    one, two = json.dumps(entry(0, 4)), json.dumps(entry(0, 8))
    return frame(f'{{"a": {one}, "a": {two}}}'.encode(), bytes(8))


@attack("error", "'a' twice")
def tensor_named_twice_by_escapes() -> bytes:
    return frame(f'{{"a": {json.dumps(entry(0, 4))}, "\\u0061": {json.dumps(entry(0, 4))}}}'.encode(), bytes(4))


@attack("error", "'dtype' twice")
def dtype_given_twice() -> bytes:
    return frame(b'{"a": {"dtype": "U8", "dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}', b"x")


@attack("error", "'__metadata__' twice")
def metadata_given_twice() -> bytes:
    return frame(b'{"__metadata__": {"a": "1"}, "__metadata__": {"a": "2"}}')


@attack("error", "'a' twice")
def metadata_key_given_twice() -> bytes:
    return frame(b'{"__metadata__": {"a": "1", "a": "2"}}')


@attack("clean")
def header_padded_with_spaces() -> bytes:
    return frame(json.dumps({"a": entry(0, 4)}).encode() + b" " * 40, bytes(4))


@attack("error", "is not JSON")
def header_followed_by_text() -> bytes:
    return frame(json.dumps({"a": entry(0, 4)}).encode() + b" {}", bytes(4))


@attack("error", "overlaps")
def tensors_that_overlap() -> bytes:
    return framed({"a": entry(0, 8), "b": entry(4, 12)}, 12)


@attack("error", "overlaps")
def two_tensors_on_the_same_bytes() -> bytes:
    return framed({"a": entry(0, 8), "b": entry(0, 8)}, 8)


@attack("error", "gap after tensor 'a'")
def gap_between_tensors() -> bytes:
    return framed({"a": entry(0, 4), "b": entry(8, 12)}, 12)


@attack("error", "gap after the header")
def gap_before_the_first_tensor() -> bytes:
    return framed({"a": entry(4, 8)}, 8)


@attack("error", "only 6 bytes follow")
def tensor_beyond_the_end() -> bytes:
    return framed({"a": entry(0, 8)}, 6)


@attack("error", "belong to none")
def bytes_after_the_last_tensor() -> bytes:
    return framed({"a": entry(0, 8)}, 40)


@attack("error", "belong to none")
def bytes_without_any_tensor() -> bytes:
    return framed({}, 8)


@attack("clean")
def no_tensors_at_all() -> bytes:
    return frame(b"{}")


@attack("clean")
def tensors_of_size_zero() -> bytes:
    return framed({"a": entry(0, 0, [2, 0]), "b": entry(0, 4), "c": entry(4, 4, [0])}, 4)


@attack("clean")
def tensor_without_dimensions() -> bytes:
    return framed({"a": entry(0, 4, [], "F32")}, 4)


@attack("clean")
def types_of_eight_and_four_bits() -> bytes:
    document = {
        "a": entry(0, 4, [4], "F8_E4M3"),
        "b": entry(4, 8, [2, 2], "F8_E5M2"),
        "c": entry(8, 10, [4], "F4"),
        "d": entry(10, 13, [4], "F6_E2M3"),
        "e": entry(13, 14, [1], "F8_E8M0"),
    }
    return framed(document, 14)


@attack("error", "whole byte")
def half_a_byte() -> bytes:
    return framed({"a": entry(0, 2, [3], "F4")}, 2)


@attack("error", "not a type")
def type_that_does_not_exist() -> bytes:
    return framed({"a": entry(0, 4, [4], "F3_E1M1")}, 4)


@attack("error", "not a type")
def type_that_is_a_number() -> bytes:
    return framed({"a": {"dtype": 16, "shape": [1], "data_offsets": [0, 1]}}, 1)


@attack("error", "not a type")
def type_that_is_a_list() -> bytes:
    return framed({"a": {"dtype": ["U8"], "shape": [1], "data_offsets": [0, 1]}}, 1)


@attack("error", "lacks shape")
def tensor_without_a_shape() -> bytes:
    return framed({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, 1)


@attack("error", "is a list, not an object")
def tensor_that_is_a_list() -> bytes:
    return framed({"a": [1, 2]}, 1)


@attack("error", "is not a size")
def negative_size() -> bytes:
    return framed({"a": entry(0, 4, [-4])}, 4)


@attack("error", "is not a size")
def two_negative_sizes_whose_product_fits() -> bytes:
    return framed({"a": entry(0, 24, [-2, -3], "F32")}, 24)


@attack("error", "is not a size")
def size_that_is_true() -> bytes:
    return framed({"a": entry(0, 1, [True])}, 1)


@attack("error", "is not a size")
def size_with_a_fraction() -> bytes:
    return framed({"a": entry(0, 4, [4.0])}, 4)


@attack("error", "64 bits")
def size_that_wraps_around() -> bytes:
    return framed({"a": entry(0, 0, [2**33, 2**33])})


@attack("error", "64 bits")
def bits_that_wrap_around() -> bytes:
    return framed({"a": entry(0, 0, [2**61], "F64")})


@attack("error", "64 bits")
def size_that_wraps_around_before_a_zero() -> bytes:
    return framed({"a": entry(0, 0, [2**63, 2**63, 0], "F32")})


@attack("error", "not JSON we accept")
def number_of_ten_thousand_digits() -> bytes:
    digits = b"9" * 10_000
    return frame(b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, ' + digits + b"]}}", b"x")


@attack("error", "NaN is not a number")
def offset_that_is_not_a_number() -> bytes:
    return frame(b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, NaN]}}', b"x")


@attack("error", "not a span")
def offsets_in_reverse() -> bytes:
    return framed({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]}}, 4)


@attack("error", "not a span")
def negative_offsets() -> bytes:
    return framed({"a": {"dtype": "U8", "shape": [4], "data_offsets": [-4, 0]}}, 4)


@attack("error", "not a pair")
def three_offsets() -> bytes:
    return framed({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, 1)


@attack("error", "__metadata__, 'a': is a number, not text")
def metadata_with_a_number() -> bytes:
    return framed({"__metadata__": {"a": 1}})


@attack("error", "__metadata__, 'a': is an object, not text")
def metadata_with_an_object() -> bytes:
    return framed({"__metadata__": {"a": {"b": "c"}}})


@attack("error", "__metadata__: is a list")
def metadata_that_is_a_list() -> bytes:
    return framed({"__metadata__": ["a"]})


@attack("clean")
def metadata_that_is_null() -> bytes:
    return framed({"__metadata__": None})


@attack("clean", large=True)
def thumbnail_of_sixteen_megabytes() -> bytes:
    picture = "data:image/jpeg;base64," + "A" * (16 << 20)
    raw, body = header_bytes({"a": ("U8", [4])}, {"modelspec.thumbnail": picture, "modelspec.title": "big"})
    return frame(raw, bytes(body))


@attack("clean", large=True)
def metadata_with_nul_and_ten_thousand_keys() -> bytes:
    raw, body = header_bytes({"a": ("U8", [4])}, {f"key\0{number}": "value\0" * 50 for number in range(10_000)})
    return frame(raw, bytes(body))


@attack("error", "brackets and commas", large=True)
def header_of_brackets() -> bytes:
    return frame(b'{"a": [' + b"[]," * 3_000_000 + b"[]]}")


@attack("error", "nested too deep", large=True)
def header_nested_deep() -> bytes:
    return frame(b'{"a": ' + b"[" * 500_000 + b"]" * 500_000 + b"}")


@attack("error", "is an object, not text")
def metadata_nested_in_metadata() -> bytes:
    return framed({"__metadata__": {"__metadata__": {"a": "b"}}})


@attack("clean")
def tensor_called_as_the_parent_folder() -> bytes:
    return framed({"../../etc/passwd": entry(0, 4), "": entry(4, 8), "a\u202eb": entry(8, 12)}, 12)


@attack("clean", sparse=True)
def sound_file_of_seven_gigabytes(path: Path) -> None:
    raw, body = header_bytes({f"layer.{number}": ("F16", [1024, 1024]) for number in range(3_500)})
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + body)
