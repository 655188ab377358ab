"""h = x w + bias_input c, w and c the high bytes of W and b, rounded down."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, Range, Twin, Variant, every, partial_sums, spanned
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_FORWARD_INT8

MASTERS = Range.symmetric(127 * 256)
BYTES = Range.symmetric(127)


def variant(
    x: Range = INT8,
    weights: Range = MASTERS,
    fan_in: int = 7,
    fan_out: int = 4,
    flash: tuple[str, ...] = (),
    x_type: str = "",
) -> Variant:
    fraction = 256 if weights == MASTERS else 1
    dtypes = {"x": x_type, "W": weights.dtype(), "b": weights.dtype()}
    sizes = {"fan_in": fan_in, "fan_out": fan_out, "fraction": fraction, "bias_input": 64}
    ranges = {"x": x, "W": weights, "b": weights}
    return Variant(DENSE_FORWARD_INT8, ranges, sizes, flash, dtypes=dtypes)


VARIANTS = {
    "masters": variant(),
    "bytes": variant(weights=BYTES),
    "flash": variant(weights=BYTES, flash=("W", "b")),
    "masters in flash": variant(flash=("W", "b")),
    "uint8": variant(x=Range(0, 255), x_type="uint8"),
    "int16": variant(x=INT16),
    "never 0": variant(x=Range(3, 9)),
    "nothing": variant(x=Range(0, 0)),
    "int64": variant(x=Range.symmetric(2**30)),
    "many": variant(fan_in=784, fan_out=3),
    "narrow": variant(x=Range(0, 1), fan_in=2),
    "one": variant(fan_in=1, fan_out=1),
}
twins = single.twins_of(VARIANTS)
portable_twins = single.twins_of(VARIANTS, portable=True)


def by_hand(x: list, W: list, b: list, fraction: int, bias_input: int) -> dict:
    def unit(sample: list[int], o: int) -> int:
        products = [v * (W[i][o] // fraction) for i, v in enumerate(sample)]
        return bias_input * (b[o] // fraction) + sum(products)

    return {"h": [[unit(sample, o) for o in range(len(b))] for sample in x]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_without_vectors(portable_twins: dict[str, Twin], name: str, kind: str) -> None:
    portable_twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["masters", "bytes", "flash", "int16"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["h"] == "int64"}
    assert wide == {"int64"}
    types = {name: v.program("k").buffers["h"].dtype for name, v in VARIANTS.items()}
    assert types["narrow"] == types["nothing"] == "int16"
    assert types["masters"] == types["many"] == "int32"
    assert types["int64"] == "int64"


@pytest.mark.parametrize("name", ["masters", "bytes", "int64"])
@pytest.mark.parametrize("zeros", [0, 1, 2, 6])
def test_inputs_of_0_are_left_out_of_nothing_else(
    twins: dict[str, Twin], name: str, zeros: int
) -> None:
    data = twins[name].data("random", seed=zeros)
    data["x"][zeros % 5, :] = 0
    data["x"][:, zeros] = 0
    data["x"][:, 3] = np.array([-1, 1, 0, 2, -2])
    twins[name].agree(by_hand, data)


def test_every_forward_weight_is_rounded_down(twins: dict[str, Twin]) -> None:
    """Both sides of every multiple of 256, against the plain quotient."""
    masters = [k * 256 + step for k in range(-127, 128) for step in (-1, 0, 1)][1:-1]
    assert spanned(masters) == MASTERS
    for master in masters:
        data = twins["one"].data("ramp")
        data["W"][...], data["b"][...], data["x"][...] = master, 0, 1
        (value,) = {int(h) for h in twins["one"].agree(by_hand, data)["h"].ravel()}
        assert value * 256 <= master < (value + 1) * 256


def test_a_bias_is_the_weight_of_a_constant_input(twins: dict[str, Twin]) -> None:
    data = twins["masters"].data("extreme")
    data["x"][...] = 0
    data["b"][...] = [256, 255, -1, -257]
    assert twins["masters"].agree(by_hand, data)["h"][0].tolist() == [64, 0, -64, -128]


def test_the_worst_sum_is_reached(twins: dict[str, Twin]) -> None:
    """Of bytes of -127: the high byte of a master goes down to -127 too, as its clamp says."""
    for name in ("masters", "bytes", "many"):
        twin = twins[name]
        data = twin.data("extreme")
        weights = twin.program.buffers["W"].proven
        data["x"][...], data["W"][...], data["b"][...] = -128, weights.low, weights.high
        high = twin.agree(by_hand, data)["h"].max()
        data["W"][...], data["b"][...] = weights.high, weights.low
        low = twin.agree(by_hand, data)["h"].min()
        assert Range(int(low), int(high)) == twin.program.buffers["h"].proven
        assert twin.step.accumulators[0].worst == max(-low, high)


@pytest.mark.parametrize("fraction", [1, 2])
@pytest.mark.parametrize("x", [Range(-2, 1), Range(0, 3), Range(1, 2), Range(-3, -1), Range(0, 0)])
@pytest.mark.parametrize("weights", [Range.symmetric(3), Range(1, 3), Range(-3, -2)])
def test_bound_is_reached_and_never_exceeded(x: Range, weights: Range, fraction: int) -> None:
    """h holds every partial sum on its way, and products with inputs of 0 may be left out."""
    sizes = {"fan_in": 2, "fan_out": 1, "fraction": fraction, "bias_input": 5}
    bound = DENSE_FORWARD_INT8.bound({"x": x, "W": weights, "b": weights}, sizes)
    w = sorted({v // fraction for v in every(weights)})
    terms = sorted({v * u for v, u in product(every(x), w)})
    sums = [partial_sums(way, 5 * c) for c in w for way in product(terms, repeat=2)]
    seen = spanned(total for way in sums for total in way)
    (accumulator,) = bound.accumulators
    assert bound.ranges["h"] == seen
    assert accumulator.worst == seen.magnitude


def test_cost() -> None:
    assert DENSE_FORWARD_INT8.cost({"fan_in": 7, "fan_out": 5}) == Cost(macs=35)
