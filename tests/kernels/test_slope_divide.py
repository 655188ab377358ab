"""delta = s / g, in 32 bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, limited, spanned, trunc
from pocketgen.ir import Cost
from pocketgen.kernels import SLOPE_DIVIDE

SIZES = {"n": 5}
MAX = 2**31 - 1
SLOPE = Range(1, 127)
INT64 = Range.symmetric(2**62)
VARIANTS = {
    "int8": Variant(SLOPE_DIVIDE, {"s": INT8, "g": SLOPE}, SIZES),
    "int16": Variant(SLOPE_DIVIDE, {"s": INT16, "g": SLOPE}, SIZES),
    "int32": Variant(SLOPE_DIVIDE, {"s": INT32, "g": Range(1, MAX)}, SIZES),
    "least int32": Variant(SLOPE_DIVIDE, {"s": Range(-MAX - 1, 0), "g": SLOPE}, SIZES),
    "saturate": Variant(SLOPE_DIVIDE, {"s": INT64, "g": SLOPE}, SIZES),
    "saturate, flat": Variant(SLOPE_DIVIDE, {"s": INT64, "g": Range(1, MAX)}, SIZES),
    "no slope": Variant(SLOPE_DIVIDE, {"s": INT16, "g": Range(1, 1)}, SIZES),
    "one sign": Variant(SLOPE_DIVIDE, {"s": Range(1, 142), "g": SLOPE}, SIZES),
}
twins = single.twins_of(VARIANTS)


def by_hand(s: list, g: list) -> dict:
    rows = zip(s, g, strict=True)
    return {
        "delta": [
            [limited(trunc(x, slope), -MAX, MAX) for x, slope in zip(*row, strict=True)]
            for row in rows
        ]
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int32", "saturate", "saturate, flat"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called(twins: dict[str, Twin]) -> None:
    saturated = {name for name, twin in twins.items() if twin.step.sizes["saturate"]}
    assert saturated == {"saturate", "saturate, flat", "least int32"}


def test_around_the_limits_of_32_bits(twins: dict[str, Twin]) -> None:
    edges = [sign * (MAX + step) for sign in (-1, 1) for step in (-1, 0, 1, 2, MAX)]
    s = np.array(edges, np.int64).reshape(-1, 5)
    for g in (1, 2, 127):
        twins["saturate"].agree(by_hand, {"s": s, "g": np.full(s.shape, g, np.int8)})


@pytest.mark.parametrize("g", [Range(1, 4), Range(1, 1), Range(2, 3)])
@pytest.mark.parametrize(
    "s", [Range(-9, 11), Range(5, 10), Range(-10, -5), Range(1, 2), Range(0, 0), Range(0, 7)]
)
def test_bound_is_exact(s: Range, g: Range) -> None:
    bound = SLOPE_DIVIDE.bound({"s": s, "g": g}, SIZES)
    assert bound.ranges["delta"] == spanned(trunc(x, y) for x, y in product(every(s), every(g)))
    assert bound.sizes == {"saturate": 0}


@pytest.mark.parametrize(
    ("s", "g", "saturate"),
    [
        (Range.symmetric(MAX), Range(1, 9), 0),
        (Range.symmetric(MAX + 1), Range(1, 9), MAX),
        (Range(-MAX - 1, 5), Range(1, 9), MAX),
        (Range.symmetric(2 * MAX + 1), Range(2, 9), 0),
        (Range.symmetric(2 * MAX + 2), Range(2, 9), MAX),
    ],
)
def test_saturates_exactly_where_it_must(s: Range, g: Range, saturate: int) -> None:
    bound = SLOPE_DIVIDE.bound({"s": s, "g": g}, SIZES)
    assert bound.sizes == {"saturate": saturate}
    assert bound.ranges["delta"] == Range.symmetric(MAX)


def test_cost() -> None:
    assert SLOPE_DIVIDE.cost({"n": 7}) == Cost(divisions=7)
