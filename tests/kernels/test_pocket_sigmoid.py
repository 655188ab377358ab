"""a = PocketSigmoid(v), g = 1 / slope, v = h / 256."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT16, INT32, Range, Twin, Variant, every, spanned, trunc
from pocketgen.ir import Cost
from pocketgen.kernels import POCKET_SIGMOID

SIZES = {"n": 5}
VARIANTS = {
    "int32": Variant(POCKET_SIGMOID, {"h": INT32}, SIZES),
    "int16": Variant(POCKET_SIGMOID, {"h": INT16}, SIZES),
    "no slope": Variant(POCKET_SIGMOID, {"h": INT32}, SIZES, without=("g",)),
}
twins = single.twins_of(VARIANTS)

# Of each straight piece: its last v, and a as a function of v.
PIECES = [
    (-128, lambda v: 1),
    (-75, lambda v: trunc(v, 8) + 20),
    (-32, lambda v: trunc(v, 2) + 48),
    (31, lambda v: v + 64),
    (74, lambda v: trunc(v, 2) + 80),
    (127, lambda v: trunc(v, 8) + 108),
    (2**31, lambda v: 127),
]
SLOPES = [(31, 1), (74, 2), (127, 8), (2**31, 127)]  # the last |v|, and g


def curve(v: int) -> int:
    return next(piece(v) for last, piece in PIECES if v <= last)


def by_hand(h: list) -> dict:
    v = [[trunc(x, 256) for x in row] for row in h]
    return {
        "a": [[curve(x) for x in row] for row in v],
        "g": [[next(g for last, g in SLOPES if abs(x) <= last) for x in row] for row in v],
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["int32"].agree(by_hand, twins["int32"].drawn(data.draw))


@pytest.mark.parametrize("name", ["int32", "no slope"])
def test_every_v_and_both_sides_of_every_joint(twins: dict[str, Twin], name: str) -> None:
    h = [v * 256 + step for v in range(-132, 133) for step in (-255, -1, 0, 1, 255)]
    result = twins[name].agree(by_hand, {"h": np.array(h, np.int32).reshape(-1, 5)})
    assert (result["a"].min(), result["a"].max()) == (1, 127)
    if "g" in result:
        assert set(result["g"].ravel().tolist()) == {1, 2, 8, 127}


@pytest.mark.parametrize(
    "h", [Range(-34000, 34000), Range(0, 6000), Range(-800, -1), Range(32000, 33000)]
)
def test_bound_holds(h: Range) -> None:
    bound = POCKET_SIGMOID.bound({"h": h}, SIZES)
    result = by_hand([list(every(h))])
    (accumulator,) = bound.accumulators
    assert accumulator.worst == max(abs(trunc(x, 256)) for x in every(h))
    for name in ("a", "g"):
        seen = spanned(result[name][0])
        assert bound.ranges[name].union(seen) == bound.ranges[name]


def test_bound_is_reached_by_every_long_enough_range() -> None:
    h = Range(-34000, 34000)
    assert POCKET_SIGMOID.bound({"h": h}, SIZES).ranges == {
        name: spanned(values[0]) for name, values in by_hand([list(every(h))]).items()
    }


def test_cost() -> None:
    assert POCKET_SIGMOID.cost({"n": 7}) == Cost(divisions=7)
