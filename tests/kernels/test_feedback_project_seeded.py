"""s = e R, R[c][o] = draw(key, c n + o) in [-limit, limit] without 0."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, drawn, every, partial_sums
from pocketgen.ir import Cost
from pocketgen.kernels import FEEDBACK_PROJECT, FEEDBACK_PROJECT_SEEDED

SIZES = {"classes": 4, "n": 6, "key": 0x12345678, "limit": 32767}
VARIANTS = {
    "int32": Variant(FEEDBACK_PROJECT_SEEDED, {"e": INT8}, SIZES),
    "int16": Variant(FEEDBACK_PROJECT_SEEDED, {"e": INT8}, {**SIZES, "limit": 21}),
    "int64": Variant(FEEDBACK_PROJECT_SEEDED, {"e": INT32}, SIZES),
    "signs": Variant(FEEDBACK_PROJECT_SEEDED, {"e": INT16}, {**SIZES, "limit": 1}),
    "overflowing key": Variant(FEEDBACK_PROJECT_SEEDED, {"e": INT16}, {**SIZES, "key": 2**32 - 5}),
    "key of 0": Variant(
        FEEDBACK_PROJECT_SEEDED, {"e": INT16}, {"classes": 1, "n": 1, "key": 0, "limit": 9}
    ),
}
twins = single.twins_of(VARIANTS)


def matrix(classes: int, n: int, key: int, limit: int) -> list:
    return [[drawn(key, c * n + o, limit) for o in range(n)] for c in range(classes)]


def by_hand(e: list, classes: int, n: int, key: int, limit: int) -> dict:
    columns = list(zip(*matrix(classes, n, key, limit), strict=True))
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


def test_the_same_as_a_stored_matrix() -> None:
    rng = np.random.default_rng(1)
    e = rng.integers(-128, 128, (9, 4)).astype(np.int8)
    stored, seeded = np.zeros((2, 9, 6), np.int32)
    FEEDBACK_PROJECT.run(e, np.array(matrix(**SIZES), np.int16), stored, {})
    FEEDBACK_PROJECT_SEEDED.run(e, seeded, SIZES)
    np.testing.assert_array_equal(stored, seeded)


def test_variants_are_what_they_are_called() -> None:
    assert VARIANTS["int32"].accumulators == {"s": "int32"}
    assert VARIANTS["int64"].accumulators == {"s": "int64"}
    assert VARIANTS["int16"].program("k").buffers["s"].dtype == "int16"


@pytest.mark.parametrize("e", [Range(-2, 3), Range(2, 3), Range(-3, -2), Range(0, 0)])
def test_bound_is_exact_for_the_worst_matrix(e: Range) -> None:
    bound = FEEDBACK_PROJECT_SEEDED.bound({"e": e}, {"classes": 2, "n": 1, "key": 0, "limit": 2})
    terms = sorted({x * r for x, r in product(every(e), (-2, -1, 1, 2))})
    sums = [partial_sums(way) for way in product(terms, repeat=2)]
    (accumulator,) = bound.accumulators
    worst = max(abs(s) for way in sums for s in way)
    assert bound.ranges["s"] == Range.symmetric(worst)
    assert accumulator.worst == worst


def test_cost() -> None:
    assert FEEDBACK_PROJECT_SEEDED.cost({"classes": 7, "n": 5}) == Cost(macs=35)
