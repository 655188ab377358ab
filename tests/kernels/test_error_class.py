"""e = a - y, y = target at the label, 0 elsewhere."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, Range, Twin, Variant, every, spanned
from pocketgen.kernels import ERROR_CLASS

LABELS = Range(0, 4)
VARIANTS = {
    "int8": Variant(ERROR_CLASS, {"a": INT8, "label": LABELS}, {"n": 5, "target": 15}),
    "narrow": Variant(ERROR_CLASS, {"a": Range(0, 9), "label": LABELS}, {"n": 5, "target": 15}),
    "int16": Variant(ERROR_CLASS, {"a": INT16, "label": LABELS}, {"n": 5, "target": 32767}),
    "negative": Variant(ERROR_CLASS, {"a": INT16, "label": LABELS}, {"n": 5, "target": -32767}),
    "int32": Variant(
        ERROR_CLASS,
        {"a": Range.symmetric(2**31 - 1 - 127), "label": LABELS},
        {"n": 5, "target": 127},
    ),
    "one class": Variant(ERROR_CLASS, {"a": INT8, "label": Range(0, 0)}, {"n": 1, "target": 15}),
    "many": Variant(ERROR_CLASS, {"a": INT8, "label": Range(0, 299)}, {"n": 300, "target": 15}),
}
twins = single.twins_of(VARIANTS)


def by_hand(a: list, label: list, target: int) -> dict:
    pairs = zip(a, label, strict=True)
    return {"e": [[x - (target if c == y else 0) for c, x in enumerate(row)] for row, y in pairs]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int16", "negative"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_each_label_marks_its_own_class(twins: dict[str, Twin]) -> None:
    data = {"a": np.zeros((5, 5), np.int8), "label": np.arange(5, dtype=np.uint16)}
    np.testing.assert_array_equal(twins["int8"].agree(by_hand, data)["e"], -15 * np.eye(5))


@pytest.mark.parametrize("target", [-9, -1, 1, 15])
@pytest.mark.parametrize("a", [Range(-3, 2), Range(1, 4), Range(-5, -2), Range(0, 0)])
def test_bound_is_exact(a: Range, target: int) -> None:
    bound = ERROR_CLASS.bound({"a": a, "label": Range(0, 1)}, {"n": 2, "target": target})
    ways = (by_hand([list(row)], [label], target)["e"][0]
            for *row, label in product(every(a), every(a), (0, 1)))  # fmt: skip
    seen = spanned(e for row in ways for e in row)
    (accumulator,) = bound.accumulators
    assert bound.ranges["e"] == seen
    assert accumulator.worst == seen.magnitude
