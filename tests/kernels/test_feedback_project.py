"""s = e R."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, partial_sums, spanned
from pocketgen.ir import Cost
from pocketgen.kernels import FEEDBACK_PROJECT

SIZES = {"classes": 4, "n": 6}
VARIANTS = {
    "int32": Variant(FEEDBACK_PROJECT, {"e": INT8, "R": INT16}, SIZES, flash=("R",)),
    "int16": Variant(FEEDBACK_PROJECT, {"e": INT8, "R": Range(-20, 9)}, SIZES, flash=("R",)),
    "int64": Variant(FEEDBACK_PROJECT, {"e": INT32, "R": INT16}, SIZES, flash=("R",)),
    "no flash": Variant(FEEDBACK_PROJECT, {"e": INT16, "R": INT8}, SIZES),
    "one": Variant(
        FEEDBACK_PROJECT, {"e": INT16, "R": INT16}, {"classes": 1, "n": 1}, flash=("R",)
    ),
}
twins = single.twins_of(VARIANTS)


def by_hand(e: list, R: list) -> dict:
    columns = list(zip(*R, strict=True))
    return {
        "s": [
            [sum(x * r for x, r in zip(row, column, strict=True)) for column in columns]
            for row in e
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


@pytest.mark.parametrize("R", [Range(-2, 1), Range(1, 2), Range(-2, -1)])
@pytest.mark.parametrize("e", [Range(-2, 3), Range(2, 3), Range(-3, -2), Range(0, 0)])
def test_bound_is_exact(e: Range, R: Range) -> None:
    """With three classes; the sums on the way have a place in s too."""
    bound = FEEDBACK_PROJECT.bound({"e": e, "R": R}, {"classes": 3, "n": 1})
    terms = sorted({x * r for x, r in product(every(e), every(R))})
    sums = [partial_sums(way) for way in product(terms, repeat=3)]
    (accumulator,) = bound.accumulators
    assert bound.ranges["s"] == spanned(s for way in sums for s in way)
    assert accumulator.worst == max(abs(s) for way in sums for s in way)


def test_cost() -> None:
    assert FEEDBACK_PROJECT.cost({"classes": 7, "n": 5}) == Cost(macs=35)
