"""h = W x + b."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, Range, Twin, Variant, every, partial_sums, spanned
from pocketgen.intmath import INT32_MAX
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_FORWARD

SIZES = {"fan_in": 7, "fan_out": 4, "headroom": 0}
RANGES = {"x": INT8, "W": INT16, "b": INT16}
UINT16 = Range(0, 65535)
VARIANTS = {
    "int8": Variant(DENSE_FORWARD, RANGES, SIZES),
    "flash": Variant(DENSE_FORWARD, RANGES, SIZES, flash=("W", "b")),
    "uint8": Variant(DENSE_FORWARD, {**RANGES, "x": Range(0, 255)}, SIZES, dtypes={"x": "uint8"}),
    "uint16": Variant(DENSE_FORWARD, {**RANGES, "x": UINT16}, SIZES, dtypes={"x": "uint16"}),
    "int32": Variant(DENSE_FORWARD, {**RANGES, "x": Range(-(2**28), 2**28)}, SIZES),
    "long": Variant(DENSE_FORWARD, RANGES, {"fan_in": 300, "fan_out": 2, "headroom": 0}),
    "one": Variant(DENSE_FORWARD, RANGES, {"fan_in": 1, "fan_out": 1, "headroom": 0}),
}
twins = single.twins_of(VARIANTS)


def by_hand(x: list, W: list, b: list) -> dict:
    units = list(zip(W, b, strict=True))
    return {"h": [[bias + dot(weights, sample) for weights, bias in units] for sample in x]}


def dot(weights: list[int], sample: list[int]) -> int:
    return sum(w * v for w, v in zip(weights, sample, strict=True))


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int8", "int32"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


@pytest.mark.parametrize("x", [Range(-2, 1), Range(0, 3), Range(1, 2), Range(-3, -1), Range(0, 0)])
@pytest.mark.parametrize("b", [Range(-2, 2), Range(0, 1)])
def test_bound_is_reached_and_never_exceeded(x: Range, b: Range) -> None:
    W = Range.symmetric(2)
    bound = DENSE_FORWARD.bound({"x": x, "W": W, "b": b}, {"fan_in": 2, "fan_out": 1})
    ways = product(every(b), every(x), every(W), every(x), every(W))
    sums = [partial_sums([x1 * w1, x2 * w2], start) for start, x1, w1, x2, w2 in ways]
    (accumulator,) = bound.accumulators
    assert bound.ranges["h"] == spanned(total for *_, total in sums)
    assert accumulator.worst == max(abs(total) for way in sums for total in way)
    assert accumulator.dtype == "int32"


def highest(x: Range, b: Range, limit: int, fan_in: int) -> int:
    """The largest h there is."""
    return fan_in * x.magnitude * limit + b.high


@given(
    x=st.tuples(st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20)).map(sorted),
    fan_in=st.integers(1, 65535),
    headroom=st.integers(0, 2**17),
)
@example(x=[0, 255], fan_in=784, headroom=0)
@example(x=[-128, 127], fan_in=1, headroom=0)
@example(x=[-1, 1], fan_in=1, headroom=32767)
def test_weight_limit_is_the_largest(x: list[int], fan_in: int, headroom: int) -> None:
    x_range, b = Range(*x), INT16
    sizes = {"fan_in": fan_in, "fan_out": 1, "headroom": headroom}
    assert DENSE_FORWARD.weight_limit is not None
    limit = DENSE_FORWARD.weight_limit({"x": x_range, "b": b}, sizes)
    if x_range.magnitude:
        assert highest(x_range, b, limit, fan_in) + headroom <= INT32_MAX
        assert highest(x_range, b, limit + 1, fan_in) + headroom > INT32_MAX
    ranges = {"x": x_range, "W": Range.symmetric(max(limit, 0)), "b": b}
    h = DENSE_FORWARD.bound(ranges, sizes).ranges["h"]
    assert limit < 1 or h.magnitude + headroom <= INT32_MAX


def test_weight_limit_of_mnist() -> None:
    assert DENSE_FORWARD.weight_limit is not None
    sizes = {"fan_in": 784, "fan_out": 100, "headroom": 0}
    assert DENSE_FORWARD.weight_limit({"x": Range(0, 255), "b": INT16}, sizes) == 10741


def test_the_limit_is_used_up_without_overflow(twins: dict[str, Twin]) -> None:
    """The variant int32 is tightened; its extremes come within one weight's step of 2**31."""
    twin = twins["int32"]
    limit = twin.program.buffers["W"].proven.magnitude
    assert 1 <= limit < 32767
    data = twin.data("extreme")
    data["x"][...], data["W"][...], data["b"][...] = 2**28, limit, 32767
    h = twin.agree(by_hand, data)["h"]
    assert h.max() == twin.step.accumulators[0].worst > INT32_MAX - 7 * 2**28


def test_where_nothing_comes_in_h_is_as_narrow_as_the_bias() -> None:
    """As with a scale whose multiplier is 0: the sum has 32 bits, h only 16."""
    nothing = {"narrow": Variant(DENSE_FORWARD, {**RANGES, "x": Range(0, 0)}, SIZES)}
    twin = single.compile_all(nothing)["narrow"]
    assert twin.program.buffers["h"].dtype == "int16"
    twin.agree(by_hand, "extreme")


def test_cost() -> None:
    assert DENSE_FORWARD.cost({"fan_in": 7, "fan_out": 5}) == Cost(macs=35)
