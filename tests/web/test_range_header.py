"""Which bytes of a file of ten a Range header asks for, as a table."""

import pytest

from modelyard import errors
from modelyard.web.range_header import read_ranges


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-0", "0-0"),
        ("bytes=2-5", "2-5"),
        ("bytes=2-", "2-9"),
        ("bytes=9-", "9-9"),
        ("bytes=2-99", "2-9"),
        ("bytes=-3", "7-9"),
        ("bytes=-10", "0-9"),
        ("bytes=-11", "0-9"),
        ("bytes=0-1,4-5", "0-1 4-5"),
        ("bytes=8-9,0-7", "8-9 0-7"),
        ("bytes=0-9,0-0", ""),
        ("bytes=0-1,20-30", "0-1"),
        ("bytes=0-1,-0", "0-1"),
        ("bytes=0-1,", "0-1"),
        (" BYTES = 0 - 1 ", ""),
        (" BYTES = 0-1 ", "0-1"),
        ("bytes= 0-1 , 3-4 ", "0-1 3-4"),
        ("bytes=5-2", ""),
        ("bytes=5-5", "5-5"),
        ("bytes=-", ""),
        ("bytes=", ""),
        ("bytes=,", ""),
        ("bytes", ""),
        ("lines=0-1", ""),
        ("bytes=a-b", ""),
        ("bytes=0-1-2", ""),
        ("bytes=+0-1", ""),
        ("bytes=0-999999999999999999", "0-9"),
        ("bytes=0-1999999999999999999", ""),
        ("bytes=10-", "none"),
        ("bytes=10-11", "none"),
        ("bytes=-0", "none"),
        ("bytes=" + ",".join(["20-30"] * 32), "none"),
        ("bytes=" + ",".join(["20-30"] * 33), ""),
        ("bytes=0-1" + " " * (1024 - 9) + ",", ""),
        ("bytes=0-1" + " " * (1024 - 10) + ",", "0-1"),
    ],
)
def test_a_range_header_asks_for_these_bytes(header: str, ranges: str) -> None:
    if ranges == "none":
        with pytest.raises(errors.RangeNotSatisfiable):
            read_ranges(header.encode(), 10)
    else:
        assert ranges == " ".join(f"{each.first}-{each.last}" for each in read_ranges(header.encode(), 10))


def test_a_range_has_both_of_its_ends() -> None:
    (part,) = read_ranges(b"bytes=2-5", 10)

    assert 4 == part.size_bytes
