"""s = delta w, w the high bytes of W, rounded down."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, partial_sums, spanned
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_INPUT_GRADIENT_INT8

MASTERS = Range.symmetric(127 * 256)
BYTES = Range.symmetric(127)
DELTA = Range.symmetric(1023)


def variant(
    delta: Range = DELTA, weights: Range = MASTERS, fan_in: int = 7, fan_out: int = 4
) -> Variant:
    fraction = 256 if weights == MASTERS else 1
    sizes = {"fan_in": fan_in, "fan_out": fan_out, "fraction": fraction}
    dtypes = {"W": weights.dtype()}
    return Variant(DENSE_INPUT_GRADIENT_INT8, {"delta": delta, "W": weights}, sizes, dtypes=dtypes)


VARIANTS = {
    "masters": variant(),
    "bytes": variant(weights=BYTES),
    "int8": variant(delta=INT8, weights=BYTES, fan_out=2),
    "int16": variant(delta=INT16),
    "int64": variant(delta=INT32),
    "many": variant(fan_in=3, fan_out=784),
    "one": variant(fan_in=1, fan_out=1),
}
twins = single.twins_of(VARIANTS)


def by_hand(delta: list, W: list, fraction: int) -> dict:
    def error(row: list[int], i: int) -> int:
        return sum(d * (W[i][o] // fraction) for o, d in enumerate(row))

    return {"s": [[error(row, i) for i in range(len(W))] for row in delta]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["masters", "bytes", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["s"] == "int64"}
    assert wide == {"int64"}
    types = {name: v.program("k").buffers["s"].dtype for name, v in VARIANTS.items()}
    assert types["int8"] == "int16"
    assert types["masters"] == types["many"] == "int32"
    assert types["int64"] == "int64"


def test_every_forward_weight_is_rounded_down(twins: dict[str, Twin]) -> None:
    """Both sides of every multiple of 256, against the plain quotient."""
    for master in [k * 256 + step for k in range(-127, 128) for step in (-1, 0, 1)][1:-1]:
        data = twins["one"].data("ramp")
        data["W"][...], data["delta"][...] = master, 1
        (value,) = {int(s) for s in twins["one"].agree(by_hand, data)["s"].ravel()}
        assert value * 256 <= master < (value + 1) * 256


@pytest.mark.parametrize("name", ["masters", "bytes", "many"])
def test_the_worst_sum_is_reached(twins: dict[str, Twin], name: str) -> None:
    twin = twins[name]
    data = twin.data("extreme")
    weights = twin.program.buffers["W"].proven
    ends = []
    for W in (weights.low, weights.high):
        data["delta"][...], data["W"][...] = 1023, W
        ends += [int(value) for value in np.unique(twin.agree(by_hand, data)["s"])]
    assert Range(*ends) == twin.program.buffers["s"].proven
    assert twin.step.accumulators[0].worst == max(map(abs, ends))


@pytest.mark.parametrize("fraction", [1, 2])
@pytest.mark.parametrize("delta", [Range(-2, 3), Range(2, 3), Range(-3, -2), Range(0, 0)])
@pytest.mark.parametrize("weights", [Range.symmetric(3), Range(1, 3), Range(-3, -2)])
def test_bound_is_exact(delta: Range, weights: Range, fraction: int) -> None:
    """With two units, whose sums on the way have a place in s too."""
    sizes = {"fan_in": 1, "fan_out": 2, "fraction": fraction}
    bound = DENSE_INPUT_GRADIENT_INT8.bound({"delta": delta, "W": weights}, sizes)
    w = {value // fraction for value in every(weights)}
    terms = sorted({d * u for d, u in product(every(delta), w)})
    seen = spanned(s for way in product(terms, repeat=2) for s in [0, *partial_sums(way)])
    (accumulator,) = bound.accumulators
    assert bound.ranges["s"] == seen
    assert accumulator.worst == seen.magnitude


def test_cost() -> None:
    assert DENSE_INPUT_GRADIENT_INT8.cost({"fan_in": 7, "fan_out": 5}) == Cost(macs=35)
