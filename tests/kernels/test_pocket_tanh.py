"""a = PocketTanh(v), g = 1 / slope, v = h / divisor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT16, INT32, Range, Twin, Variant, every, spanned, trunc
from pocketgen.ir import Cost
from pocketgen.kernels import POCKET_TANH

SIZES = {"n": 5, "divisor": 256}
VARIANTS = {
    "int32": Variant(POCKET_TANH, {"h": INT32}, SIZES),
    "784 inputs": Variant(POCKET_TANH, {"h": INT32}, {"n": 5, "divisor": 256 * 784}),
    "65535 inputs": Variant(POCKET_TANH, {"h": INT32}, {"n": 5, "divisor": 256 * 65535}),
    "int16": Variant(POCKET_TANH, {"h": INT16}, SIZES),
    "no slope": Variant(POCKET_TANH, {"h": INT32}, SIZES, without=("g",)),
}
twins = single.twins_of(VARIANTS)

# Of each straight piece: its last v, and a as a function of v.
PIECES = [
    (-128, lambda v: -127),
    (-75, lambda v: trunc(v, 4) - 88),
    (-32, lambda v: v - 32),
    (31, lambda v: 2 * v),
    (74, lambda v: v + 32),
    (127, lambda v: trunc(v, 4) + 88),
    (2**31, lambda v: 127),
]
SLOPES = [(31, 1), (74, 2), (127, 8), (2**31, 127)]  # the last |v|, and g


def curve(v: int) -> int:
    return next(piece(v) for last, piece in PIECES if v <= last)


def by_hand(h: list, divisor: int) -> dict:
    v = [[trunc(x, divisor) for x in row] for row in h]
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


@pytest.mark.parametrize("name", ["int32", "784 inputs", "no slope"])
def test_every_v_and_both_sides_of_every_joint(twins: dict[str, Twin], name: str) -> None:
    d = VARIANTS[name].sizes["divisor"]
    h = [v * d + step for v in range(-132, 133) for step in (1 - d, -1, 0, 1, d - 1)]
    result = twins[name].agree(by_hand, {"h": np.array(h, np.int32).reshape(-1, 5)})
    assert (result["a"].min(), result["a"].max()) == (-127, 127)
    if "g" in result:
        assert set(result["g"].ravel().tolist()) == {1, 2, 8, 127}


@pytest.mark.parametrize(
    "h", [Range(-700, 700), Range(0, 130), Range(-3, -1), Range(120, 131), Range(-600, -200)]
)
def test_bound_is_reached_and_never_exceeded(h: Range) -> None:
    """v = h / 5: every piece lies within ±140."""
    bound = POCKET_TANH.bound({"h": h}, {"n": 1, "divisor": 5})
    result = by_hand([list(every(h))], 5)
    (accumulator,) = bound.accumulators
    assert bound.ranges["a"] == spanned(result["a"][0])
    assert accumulator.worst == max(abs(trunc(x, 5)) for x in every(h))
    slopes = spanned(result["g"][0])
    assert bound.ranges["g"].union(slopes) == bound.ranges["g"]
    if h == Range(-700, 700):
        assert bound.ranges["g"] == slopes


def test_cost() -> None:
    assert POCKET_TANH.cost({"n": 7}) == Cost(divisions=7)
