"""Grams cut from texts, and the sets written of them, beside plain dictionaries.

Not covered here: how a search reads them (test_index.py).
"""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from modelyard.index import grams
from modelyard.index.grams import cut_grams, cut_pairs
from modelyard.index.set_writer import write_sets
from modelyard.index.terms import FURTHER


def written_sets(cuts: list[grams.Cut]) -> dict[int, list[int]]:
    """Return the rows of each set, as a segment reads them."""
    arrays: defaultdict[str, list[object]] = defaultdict(list)
    write_sets(lambda name, values: arrays[name].append(values), cuts, 0)
    (keys,), (at,), (sizes,) = (arrays[f"set_{name}_0"] for name in ("keys", "at", "bytes"))
    blob = b"".join(arrays["set_blob_0"])  # type: ignore[arg-type] # the blob comes as bytes only
    pairs = zip(np.asarray(keys).tolist(), np.asarray(at).tolist(), np.asarray(sizes).tolist(), strict=True)
    return {
        key: [-1 - start] if start < 0 else BitMap.deserialize(blob[start : start + size]).to_array().tolist()
        for key, start, size in pairs
    }


def grams_of(text: bytes) -> set[int]:
    spelled = (text[at : at + size] for size in (1, 2, 3) for at in range(len(text) - size + 1))
    return {len(gram) << 24 | int.from_bytes(gram) for gram in spelled if min(gram) > 0x20}


texts = st.lists(st.text("ab \n夜", max_size=8).map(str.encode), min_size=1, max_size=12)


@given(texts=texts, further=texts, first_row=st.sampled_from([0, 16_384, 65_536]))
def test_every_gram_has_the_rows_whose_text_has_it_and_those_where_only_the_further_has(
    texts: list[bytes], further: list[bytes], first_row: int
) -> None:
    further = [(further * len(texts))[row] for row in range(len(texts))]
    expected: defaultdict[int, list[int]] = defaultdict(list)
    for row, (text, more) in enumerate(zip(texts, further, strict=True), first_row):
        for key in grams_of(text):
            expected[key].append(row)
        for key in grams_of(more) - grams_of(text):
            expected[key | FURTHER].append(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grams, "_BLOCK_ROWS", 3)
        cut = cut_grams(texts, further, first_row)

    if len(cut.keys):
        assert expected == written_sets([cut])
    assert len(cut.keys) or not expected


def test_sets_of_every_size_across_containers_are_written() -> None:
    expected = {
        1: [70_000],
        2: [3, 65_535],
        3: [9, 65_536, 131_072],
        4: list(range(0, 65_536, 2)),
        5: [5, *range(65_536, 131_072)],
        6: list(range(0, 130 * 400, 400)),
    }
    cuts = []
    # Two cuts for each container: the sets of some keys lie in both.
    for low in range(0, 3 << 16, 1 << 15):
        pairs = [(key, row & 0xFFFF) for key, rows in expected.items() for row in rows if row >> 15 == low >> 15]
        keys, rows = np.array(pairs, np.int64).reshape(-1, 2).T
        cuts.append(cut_pairs(keys, rows, low & ~0xFFFF))

    assert expected == written_sets(cuts)
