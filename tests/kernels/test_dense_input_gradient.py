"""s = delta W."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, partial_sums, spanned
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_INPUT_GRADIENT

SIZES = {"fan_in": 6, "fan_out": 4}
VARIANTS = {
    "int32": Variant(DENSE_INPUT_GRADIENT, {"delta": INT8, "W": INT16}, SIZES),
    "int16": Variant(DENSE_INPUT_GRADIENT, {"delta": INT8, "W": Range.symmetric(9)}, SIZES),
    "int64": Variant(DENSE_INPUT_GRADIENT, {"delta": INT32, "W": INT16}, SIZES),
    "one": Variant(DENSE_INPUT_GRADIENT, {"delta": INT16, "W": INT16}, {"fan_in": 1, "fan_out": 1}),
}
twins = single.twins_of(VARIANTS)


def by_hand(delta: list, W: list) -> dict:
    columns = list(zip(*W, strict=True))
    return {
        "s": [
            [sum(d * w for d, w in zip(row, column, strict=True)) for column in columns]
            for row in delta
        ]
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int32", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    assert VARIANTS["int32"].accumulators == {"s": "int32"}
    assert VARIANTS["int64"].accumulators == {"s": "int64"}
    assert VARIANTS["int16"].program("k").buffers["s"].dtype == "int16"


@pytest.mark.parametrize("delta", [Range(-2, 3), Range(2, 3), Range(-3, -2), Range(0, 0)])
def test_bound_is_exact(delta: Range) -> None:
    """With three units; the sums on the way have a place in s too."""
    W = Range.symmetric(2)
    bound = DENSE_INPUT_GRADIENT.bound({"delta": delta, "W": W}, {"fan_in": 1, "fan_out": 3})
    terms = sorted({d * w for d, w in product(every(delta), every(W))})
    sums = [partial_sums(way) for way in product(terms, repeat=3)]
    (accumulator,) = bound.accumulators
    assert bound.ranges["s"] == spanned(s for way in sums for s in way)
    assert accumulator.worst == max(abs(s) for way in sums for s in way)


def test_cost() -> None:
    assert DENSE_INPUT_GRADIENT.cost({"fan_in": 7, "fan_out": 5}) == Cost(macs=35)
