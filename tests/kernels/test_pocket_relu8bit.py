"""a = min(max(h, 0), 127), g = 1 / slope."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT16, INT32, Range, Twin, Variant, every, limited, spanned
from pocketgen.kernels import POCKET_RELU8BIT

SIZES = {"n": 5}
VARIANTS = {
    "int32": Variant(POCKET_RELU8BIT, {"h": INT32}, SIZES),
    "int16": Variant(POCKET_RELU8BIT, {"h": INT16}, SIZES),
    "no slope": Variant(POCKET_RELU8BIT, {"h": INT32}, SIZES, without=("g",)),
}
twins = single.twins_of(VARIANTS)


def by_hand(h: list) -> dict:
    return {
        "a": [[limited(x, 0, 127) for x in row] for row in h],
        "g": [[1 if 0 <= x <= 127 else 2**31 - 1 for x in row] for row in h],
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["int32"].agree(by_hand, twins["int32"].drawn(data.draw))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_value_around_the_joints(twins: dict[str, Twin], name: str) -> None:
    h = np.arange(-260, 260).reshape(-1, 5)
    twins[name].agree(by_hand, {"h": h.astype(twins[name].program.buffers["h"].dtype)})


@pytest.mark.parametrize("h", [Range(-300, 300), Range(3, 5), Range(-9, -1), Range(128, 400)])
def test_bound_holds(h: Range) -> None:
    bound = POCKET_RELU8BIT.bound({"h": h}, SIZES)
    for name, values in by_hand([list(every(h))]).items():
        seen = spanned(values[0])
        assert bound.ranges[name].union(seen) == bound.ranges[name]


def test_bound_is_reached_by_every_long_enough_range() -> None:
    h = Range(-1, 128)
    assert POCKET_RELU8BIT.bound({"h": h}, SIZES).ranges == {
        name: spanned(values[0]) for name, values in by_hand([list(every(h))]).items()
    }
