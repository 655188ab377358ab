"""a = h, g = 1."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant
from pocketgen.kernels import IDENTITY

SIZES = {"n": 5}
VARIANTS = {
    "int32": Variant(IDENTITY, {"h": INT32}, SIZES),
    "int16": Variant(IDENTITY, {"h": INT16}, SIZES),
    "int8": Variant(IDENTITY, {"h": INT8}, SIZES),
}
twins = single.twins_of(VARIANTS)


def by_hand(h: list) -> dict:
    return {"a": h, "g": [[1 for _ in row] for row in h]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["int32"].agree(by_hand, twins["int32"].drawn(data.draw))


@pytest.mark.parametrize("h", [INT32, Range(-3, 7), Range(2, 3), Range(0, 0)])
def test_bound_is_exact(h: Range) -> None:
    bound = IDENTITY.bound({"h": h}, SIZES)
    assert bound.ranges == {"a": h, "g": Range(1, 1)}
    assert bound.accumulators == ()
