"""Headers made by rule are read as they were made, and damaged ones refused; random damage crashes nothing."""

import io
import json
import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import CorruptFile, UnsupportedFile
from modelyard.inspection import formats, gguf, pickle_opcodes, safetensors, state_dict
from modelyard.inspection.budget import Budget, Limits
from modelyard.inspection.safetensors import DTYPE_BITS
from tests.inspection import fuzz
from tests.inspection.made_files import frame, header_bytes

# Whole bytes for every type: a last size of 8.
shapes = st.lists(st.integers(0, 5), max_size=3).map(lambda sizes: [*sizes, 8])
headers = st.dictionaries(
    st.text(max_size=12).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(sorted(DTYPE_BITS)), shapes),
    min_size=1,
    max_size=6,
)
notes = st.dictionaries(st.text(max_size=6), st.text(max_size=12), max_size=3)


@settings(max_examples=150, deadline=None)
@given(made=headers, metadata=notes)
def test_a_header_is_read_as_it_was_written(made: dict[str, tuple[str, list[int]]], metadata: dict[str, str]) -> None:
    raw, body = header_bytes(made, metadata)

    found = safetensors.parse_header(raw, body)

    assert {name: (dtype, tuple(shape)) for name, (dtype, shape) in made.items()} == dict(found.tensors)
    assert metadata == found.metadata


@settings(max_examples=150, deadline=None)
@given(made=headers, at=st.integers(0), change=st.integers(-9, 9).filter(bool), end=st.integers(0, 1))
def test_a_header_with_one_offset_changed_is_refused(
    made: dict[str, tuple[str, list[int]]], at: int, change: int, end: int
) -> None:
    raw, body = header_bytes(made)
    document = json.loads(raw)
    name = sorted(document)[at % len(document)]
    document[name]["data_offsets"][end] += change

    with pytest.raises(CorruptFile):
        safetensors.parse_header(json.dumps(document).encode(), body)


@settings(max_examples=100, deadline=None)
@given(made=headers, change=st.integers(-9, 9).filter(bool))
def test_a_body_of_another_size_is_refused(made: dict[str, tuple[str, list[int]]], change: int) -> None:
    raw, body = header_bytes(made)
    assert body == sum(math.prod(shape) * DTYPE_BITS[dtype] // 8 for dtype, shape in made.values())

    with pytest.raises(CorruptFile):
        safetensors.parse_header(raw, max(body + change, 0) if body + change >= 0 else body + 1)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_recognised_or_refused_by_every_reader(content: bytes) -> None:
    formats.recognise(io.BytesIO(content), len(content))
    for made in (content, frame(content), b"GGUF\x03\0\0\0" + content, b"\x80\x04" + content):
        for read in (safetensors.read_frame, gguf.read_header):
            with suppress(CorruptFile, UnsupportedFile):
                read(io.BytesIO(made), len(made))
        state_dict.header_of(pickle_opcodes.walk(io.BytesIO(made), Budget(Limits(opcodes=5_000))).value)


def test_random_damage_is_refused_or_taken_and_crashes_nothing() -> None:
    taken = fuzz.fuzz(3_000, seed=7)

    assert all(taken[reader.__name__] > 0 for reader in (fuzz.read_safetensors, fuzz.read_gguf, fuzz.walk_pickle))
