"""Terms are found in texts that lie end to end, never across two of them, by the library and by numpy alike."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.index import letters as letters_module
from modelyard.index.letters import bitmap_of, rows_with

_TEXTS = st.lists(st.text("ab\n.", max_size=9).map(str.encode), max_size=12)
_TERMS = st.text("ab.", min_size=1, max_size=5).map(str.encode)


@pytest.mark.parametrize("has_library", [True, False], ids=["library", "numpy"])
@given(texts=_TEXTS, term=_TERMS)
@example(texts=[b"xaba", b"babab"], term=b"abab")
@example(texts=[b"ab", b"", b"a", b"bab"], term=b"aba")
def test_a_term_is_found_in_the_texts_that_hold_it(texts: list[bytes], term: bytes, *, has_library: bool) -> None:
    letters = np.frombuffer(b"".join(texts), np.uint8)
    at = np.cumsum([0, *map(len, texts)])
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not has_library:
            monkeypatch.setattr(letters_module, "stringzilla", None)
        rows = bitmap_of(rows_with(letters, at, term), 100)

    assert [100 + row for row, text in enumerate(texts) if term in text] == [*rows]


def test_a_term_longer_than_all_texts_is_nowhere() -> None:
    assert [] == rows_with(np.frombuffer(b"ab", np.uint8), np.array([0, 2]), b"abc").tolist()
