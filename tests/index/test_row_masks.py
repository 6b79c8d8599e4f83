"""A mask has the rows of a bitmap, whatever the containers are in which roaring keeps it."""

import random

import numpy as np
import pytest
from pyroaring import BitMap

from modelyard.index.row_masks import mark

_SOME = random.Random(3).sample(range(65_536), 30_000)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [0, 7, 65_535, 65_536, 199_999],
        _SOME,
        [*(row + 65_536 for row in _SOME), *range(190_000, 200_000, 3)],
        range(3, 200_000),
        [*range(100, 5_000), *range(70_000, 70_400), 199_990],
        [row for row in range(200_000) if row % 90 > 3],
        [*range(9), *range(65_536, 65_600), *range(131_080, 150_000), *range(196_608, 200_000)],
    ],
    ids=["none", "few", "dense", "dense later", "all but three", "runs", "many runs", "runs with offsets"],
)
@pytest.mark.parametrize("has_runs", [False, True])
def test_a_mask_has_the_rows_of_a_bitmap(rows: list[int], has_runs: bool) -> None:
    bitmap = BitMap(rows)
    if has_runs:
        bitmap.run_optimize()
    mask = np.zeros(200_000, bool)
    mask[1] = True

    mark(mask, bitmap)

    assert sorted({1, *rows}) == np.flatnonzero(mask).tolist()
