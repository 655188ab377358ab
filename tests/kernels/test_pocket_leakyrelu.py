"""a = leaky ReLU of h in 16 bits, g = 1 / slope."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT16, INT32, Range, Twin, Variant, every, spanned, trunc
from pocketgen.ir import Cost
from pocketgen.kernels import POCKET_LEAKYRELU

SIZES = {"n": 5}
FLAT = 2**31 - 1  # the inverse slope where the slope is 0
VARIANTS = {
    "int32": Variant(POCKET_LEAKYRELU, {"h": INT32}, SIZES),
    "int16": Variant(POCKET_LEAKYRELU, {"h": INT16}, SIZES),
    "no slope": Variant(POCKET_LEAKYRELU, {"h": INT32}, SIZES, without=("g",)),
}
twins = single.twins_of(VARIANTS)


def value_and_slope(h: int) -> tuple[int, int]:
    if h < -32767:
        return -32767, FLAT
    if h < 0:
        return trunc(h, 5), 5
    return (h, 1) if h < 32767 else (32767, FLAT)


def by_hand(h: list) -> dict:
    return {
        "a": [[value_and_slope(x)[0] for x in row] for row in h],
        "g": [[value_and_slope(x)[1] for x in row] for row in h],
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["int32"].agree(by_hand, twins["int32"].drawn(data.draw))


@pytest.mark.parametrize("joint", [-32768, 0, 32767])
@pytest.mark.parametrize("name", ["int32", "no slope"])
def test_every_value_around_the_joints(twins: dict[str, Twin], name: str, joint: int) -> None:
    h = np.arange(joint - 25, joint + 25, dtype=np.int32).reshape(-1, 5)
    twins[name].agree(by_hand, {"h": h})


@pytest.mark.parametrize(
    "h", [Range(-33000, 33000), Range(3, 5), Range(-9, -1), Range(32760, 32770)]
)
def test_bound_holds(h: Range) -> None:
    bound = POCKET_LEAKYRELU.bound({"h": h}, SIZES)
    for name, values in by_hand([list(every(h))]).items():
        seen = spanned(values[0])
        assert bound.ranges[name].union(seen) == bound.ranges[name]


def test_bound_is_reached_by_every_long_enough_range() -> None:
    h = Range(-33000, 33000)
    assert POCKET_LEAKYRELU.bound({"h": h}, SIZES).ranges == {
        name: spanned(values[0]) for name, values in by_hand([list(every(h))]).items()
    }


def test_cost() -> None:
    assert POCKET_LEAKYRELU.cost({"n": 7}) == Cost(divisions=7)
