"""x = (a kept + 4) / 8, rounded down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, spanned
from pocketgen.ir import Cost
from pocketgen.kernels import SCALE_KEPT


def variant(a: Range, kept: int, dtype: str = "") -> Variant:
    return Variant(SCALE_KEPT, {"a": a}, {"n": 6, "kept": kept}, dtypes={"a": dtype})


VARIANTS = {
    **{f"int8, {kept}": variant(INT8, kept) for kept in range(1, 8)},
    "uint8": variant(Range(0, 255), 7, "uint8"),
    "uint16": variant(Range(0, 65535), 7, "uint16"),
    "int16": variant(INT16, 5),
    "int32": variant(Range.symmetric(2**28), 7),
    "int64": variant(INT32, 7),
    "int64 by what is added": variant(Range.symmetric(2**30), 2),
    "negative": variant(Range(-128, -5), 3),
}
twins = single.twins_of(VARIANTS)


def by_hand(a: list, kept: int) -> dict:
    return {"x": [[(value * kept + 4) // 8 for value in row] for row in a]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int8, 7", "uint16", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


@pytest.mark.parametrize("kept", range(1, 8))
def test_every_value_of_8_bits_to_the_nearest_and_halves_up(
    twins: dict[str, Twin], kept: int
) -> None:
    a = np.resize(np.arange(-128, 128), (43, 6)).astype(np.int8)
    x = twins[f"int8, {kept}"].agree(by_hand, {"a": a})["x"]
    beyond = 8 * x.astype(int) - kept * a.astype(int)  # eighths by which x is too large
    assert set(beyond.ravel().tolist()) <= set(range(-3, 5))
    assert (beyond == 4).any()


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["product"] == "int64"}
    assert wide == {"int64", "int64 by what is added"}


@pytest.mark.parametrize("kept", range(1, 9))
@pytest.mark.parametrize("a", [Range(-20, 20), Range(3, 9), Range(-9, -1), Range(0, 0)])
def test_bound_is_exact(a: Range, kept: int) -> None:
    bound = SCALE_KEPT.bound({"a": a}, {"n": 1, "kept": kept})
    (accumulator,) = bound.accumulators
    products = [value * kept for value in every(a)]
    assert bound.ranges["x"] == spanned(by_hand([list(every(a))], kept)["x"][0])
    assert accumulator.worst == max(abs(p + added) for p in products for added in (0, 4))


def test_cost() -> None:
    assert SCALE_KEPT.cost({"n": 7}) == Cost(macs=7)
