"""h = W x + b, limited to 32 bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import (
    INT8,
    INT16,
    INT32,
    Range,
    Twin,
    Variant,
    every,
    limited,
    partial_sums,
    spanned,
)
from pocketgen.intmath import INT32_MAX
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_FORWARD, DENSE_FORWARD_WIDE

SIZES = {"fan_in": 7, "fan_out": 4, "headroom": 0}
RANGES = {"x": INT8, "W": INT16, "b": INT16}
UINT16 = Range(0, 65535)


def variant(x: Range = INT8, dtype: str = "", flash: tuple[str, ...] = (), **sizes: int) -> Variant:
    dtypes = {"x": dtype} if dtype else {}
    return Variant(DENSE_FORWARD_WIDE, {**RANGES, "x": x}, {**SIZES, **sizes}, flash, (), dtypes)


VARIANTS = {
    "one block": variant(),
    "flash": variant(flash=("W", "b")),
    "blocks of 1": variant(UINT16, "uint16"),
    "blocks of 2": variant(Range(0, 32000), fan_in=8),
    "blocks of 3, rest 1": variant(Range(-20000, 20000)),
    "long blocks": variant(Range(0, 255), "uint8", fan_in=600, fan_out=2),
    "headroom": variant(UINT16, "uint16", headroom=32767),
    "products of 64 bits": variant(INT32),
    "one": variant(UINT16, "uint16", fan_in=1, fan_out=1),
}
twins = single.twins_of(VARIANTS)


def by_hand(x: list, W: list, b: list, headroom: int) -> dict:
    limit = 2**31 - 1 - headroom
    units = list(zip(W, b, strict=True))
    return {
        "h": [
            [limited(bias + dot(weights, sample), -limit, limit) for weights, bias in units]
            for sample in x
        ]
    }


def dot(weights: list[int], sample: list[int]) -> int:
    return sum(w * v for w, v in zip(weights, sample, strict=True))


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["one block", "blocks of 1", "products of 64 bits"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_farthest_h_saturates_or_fits(twins: dict[str, Twin], name: str, sign: int) -> None:
    twin = twins[name]
    data = twin.data("extreme")
    x = twin.program.buffers["x"].proven
    farthest = max(x.low, x.high, key=abs)
    data["x"][...] = farthest
    data["W"][...] = sign * (32767 if farthest > 0 else -32767)
    data["b"][...] = sign * 32767
    h = twin.agree(by_hand, data)["h"]
    worst = {a.name: a.worst for a in twin.step.accumulators}["total"]
    assert (h == sign * min(worst, twin.step.sizes["limit"])).all()


def test_variants_are_what_they_are_called() -> None:
    blocks = {name: v.program("k").forward[0].sizes["block"] for name, v in VARIANTS.items()}
    assert blocks == {
        "one block": 7,
        "flash": 7,
        "blocks of 1": 1,
        "blocks of 2": 2,
        "blocks of 3, rest 1": 3,
        "long blocks": 257,
        "headroom": 1,
        "products of 64 bits": 1,
        "one": 1,
    }
    wide = {name for name, v in VARIANTS.items() if v.accumulators["total"] == "int64"}
    assert wide == set(VARIANTS) - {"one block", "flash", "one"}
    assert VARIANTS["products of 64 bits"].accumulators["sum"] == "int64"


def test_the_weights_keep_their_clamp() -> None:
    for v in VARIANTS.values():
        assert v.program("k").buffers["W"].proven == INT16


@pytest.mark.parametrize("name", ["one block", "flash"])
def test_like_dense_forward_where_nothing_overflows(twins: dict[str, Twin], name: str) -> None:
    data = twins[name].data("random")
    h = np.zeros((5, 4), np.int32)
    DENSE_FORWARD.run(**data, h=h, sizes={})
    np.testing.assert_array_equal(twins[name].by_numpy(data)["h"], h)


@pytest.mark.parametrize("x", [Range(-2, 1), Range(0, 3), Range(1, 2), Range(0, 0)])
@pytest.mark.parametrize("headroom", [0, INT32_MAX - 4, INT32_MAX - 9])
def test_bound_is_reached_and_never_exceeded(x: Range, headroom: int) -> None:
    """So much headroom that h is limited to ±4 or ±9."""
    W, b = Range.symmetric(2), Range(-1, 2)
    bound = DENSE_FORWARD_WIDE.bound(
        {"x": x, "W": W, "b": b}, {"fan_in": 2, "fan_out": 1, "headroom": headroom}
    )
    ways = product(every(b), every(x), every(W), every(x), every(W))
    sums = [partial_sums([x1 * w1, x2 * w2], start) for start, x1, w1, x2, w2 in ways]
    limit = INT32_MAX - headroom
    assert bound.ranges["h"] == spanned(limited(total, -limit, limit) for *_, total in sums)
    worst = {a.name: a.worst for a in bound.accumulators}
    assert worst["total"] == max(abs(total) for way in sums for total in way)
    products = sorted({v * w for v, w in product(every(x), every(W))})
    assert worst["sum"] == max(abs(p + q) for p, q in product(products, products))
    assert bound.sizes == {"block": 2, "blocks": 1, "limit": limit}


@given(
    x=st.tuples(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(-(2**31) + 1, 2**31 - 1)),
    limit=st.integers(1, 32767),
    fan_in=st.integers(1, 65535),
)
def test_a_block_is_the_longest_that_32_bits_hold(
    x: tuple[int, int], limit: int, fan_in: int
) -> None:
    x_range, W = Range(*sorted(x)), Range.symmetric(limit)
    sizes = {"fan_in": fan_in, "fan_out": 1, "headroom": 0}
    bound = DENSE_FORWARD_WIDE.bound({"x": x_range, "W": W, "b": INT16}, sizes)
    block, largest = bound.sizes["block"], x_range.magnitude * limit
    by_name = {a.name: a for a in bound.accumulators}
    assert 1 <= block <= fan_in
    assert block == fan_in or (block + 1) * largest > INT32_MAX
    assert by_name["sum"].worst == block * largest <= by_name["sum"].limit
    assert by_name["sum"].dtype == ("int32" if block * largest <= INT32_MAX else "int64")
    assert by_name["total"].worst == fan_in * largest + 32767 <= by_name["total"].limit


def test_cost() -> None:
    assert DENSE_FORWARD_WIDE.cost({"fan_in": 7, "fan_out": 5}) == Cost(macs=35)
