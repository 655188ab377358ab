"""a = PocketTanh(z), f = 4 slope, z = (h + half) / divisor, rounded down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, spanned
from pocketgen.kernels import POCKET_TANH, POCKET_TANH_INT8


def variant(h: Range, divisor: int, without: tuple[str, ...] = ()) -> Variant:
    sizes = {"n": 5, "half": divisor // 2, "divisor": divisor}
    return Variant(POCKET_TANH_INT8, {"h": h}, sizes, without=without)


VARIANTS = {
    "int32": variant(Range(-(2**31) + 1, 2**31 - 1 - 64), 128),
    "784 inputs": variant(Range.symmetric(784 * 128 * 127), 2**15),
    "int16": variant(INT16, 128),
    "int8": variant(INT8, 2),
    "not divided": variant(INT16, 1),
    "int64": variant(INT32, 128),
    "no slope": variant(Range.symmetric(2**30), 128, without=("f",)),
}
twins = single.twins_of(VARIANTS)

# Of each straight piece: its last |z|, |a| as a function of |z|, and four times the slope.
PIECES = [
    (31, lambda z: 2 * z, 8),
    (74, lambda z: z + 32, 4),
    (127, lambda z: z // 4 + 88, 1),
    (2**33, lambda z: 127, 0),
]


def at(z: int) -> tuple[int, int]:
    return next((piece(abs(z)), slope) for last, piece, slope in PIECES if abs(z) <= last)


def by_hand(h: list, half: int, divisor: int) -> dict:
    z = [[(x + half) // divisor for x in row] for row in h]
    return {
        "a": [[-at(x)[0] if x < 0 else at(x)[0] for x in row] for row in z],
        "f": [[at(x)[1] for x in row] for row in z],
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int32", "int16", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["rounded"] == "int64"}
    assert wide == {"int64"}


@pytest.mark.parametrize("name", ["int32", "784 inputs", "int16", "no slope"])
def test_every_z_and_both_sides_of_every_rounding(twins: dict[str, Twin], name: str) -> None:
    d, h = VARIANTS[name].sizes["divisor"], twins[name].program.buffers["h"]
    steps = (-d // 2, 1 - d // 2, -1, 0, 1, d // 2 - 1, d // 2)
    values = [z * d + step for z in range(-132, 133) for step in steps]
    values = np.array(values).reshape(-1, 5)
    result = twins[name].agree(by_hand, {"h": values.astype(h.dtype)})
    assert (result["a"].min(), result["a"].max()) == (-127, 127)
    if "f" in result:
        assert set(result["f"].ravel().tolist()) == {0, 1, 4, 8}


def test_exact_halves_go_up(twins: dict[str, Twin]) -> None:
    """z = 1 at 64, 0 at -64, of 128; -1 one below."""
    h = np.array([[64, 63, -64, -65, -192]], np.int16)
    assert twins["int16"].agree(by_hand, {"h": h})["a"].tolist() == [[2, 0, 0, -2, -2]]


def test_it_is_the_curve_of_pocket_tanh_and_its_slope(twins: dict[str, Twin]) -> None:
    """Where nothing is rounded: PocketNN's curve, whose inverse slopes are 1, 2, 8 and 127."""
    h = np.arange(-300, 300, dtype=np.int16).reshape(-1, 5)
    a, g = np.zeros((2, *h.shape), np.int64)
    POCKET_TANH.run(h=h, a=a, g=g, sizes={"n": 5, "divisor": 1})
    result = twins["not divided"].agree(by_hand, {"h": h})
    np.testing.assert_array_equal(result["a"], a)
    true_slope = {1: 8, 2: 4, 8: 1, 127: 0}
    assert result["f"].ravel().tolist() == [true_slope[slope] for slope in g.ravel().tolist()]


@pytest.mark.parametrize(
    "h", [Range(-700, 700), Range(0, 130), Range(-3, -1), Range(490, 530), Range(-600, -200)]
)
def test_bound_is_reached_and_never_exceeded(h: Range) -> None:
    """z = h / 4 to the nearest: every piece lies within ±175."""
    bound = POCKET_TANH_INT8.bound({"h": h}, {"n": 1, "half": 2, "divisor": 4})
    result = by_hand([list(every(h))], 2, 4)
    (accumulator,) = bound.accumulators
    assert bound.ranges["a"] == spanned(result["a"][0])
    assert accumulator.worst == max(abs(x + added) for x in every(h) for added in (0, 2))
    slopes = spanned(result["f"][0])
    assert bound.ranges["f"].union(slopes) == bound.ranges["f"]
    if h == Range(-700, 700):
        assert bound.ranges["f"] == slopes
