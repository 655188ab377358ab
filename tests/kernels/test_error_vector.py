"""e = a - y."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, Range, Twin, Variant, every, spanned
from pocketgen.kernels import ERROR_VECTOR

SIZES = {"n": 5}
VARIANTS = {
    "int8": Variant(ERROR_VECTOR, {"a": INT8, "y": INT8}, SIZES),
    "narrow": Variant(ERROR_VECTOR, {"a": Range(0, 9), "y": Range(-9, 3)}, SIZES),
    "int16": Variant(ERROR_VECTOR, {"a": INT16, "y": INT16}, SIZES),
    "int32": Variant(ERROR_VECTOR, {"a": Range.symmetric(2**31 - 1 - 32767), "y": INT16}, SIZES),
    "one": Variant(ERROR_VECTOR, {"a": INT8, "y": INT16}, {"n": 1}),
}
twins = single.twins_of(VARIANTS)


def by_hand(a: list, y: list) -> dict:
    rows = zip(a, y, strict=True)
    return {"e": [[got - wanted for got, wanted in zip(*row, strict=True)] for row in rows]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["int32"].agree(by_hand, twins["int32"].drawn(data.draw))


@pytest.mark.parametrize("y", [Range(-9, 9), Range(1, 2), Range(-6, -4)])
@pytest.mark.parametrize("a", [Range(-3, 2), Range(1, 4), Range(-5, -2), Range(0, 0)])
def test_bound_is_exact(a: Range, y: Range) -> None:
    bound = ERROR_VECTOR.bound({"a": a, "y": y}, SIZES)
    seen = spanned(got - wanted for got, wanted in product(every(a), every(y)))
    (accumulator,) = bound.accumulators
    assert bound.ranges["e"] == seen
    assert accumulator.worst == seen.magnitude
