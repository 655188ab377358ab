"""w = 0."""

from __future__ import annotations

import pytest

from kernels import single
from kernels.single import Range, Twin, Variant
from pocketgen.kernels import FILL_ZERO

VARIANTS = {str(n): Variant(FILL_ZERO, {}, {"n": n}) for n in (1, 2, 63, 64, 1000)}
twins = single.twins_of(VARIANTS)


def by_hand(n: int) -> dict:
    return {"w": [0] * n}


@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str) -> None:
    """Over garbage: single.py fills what is not yet written."""
    twins[name].agree(by_hand, {})


def test_bound_is_exact() -> None:
    bound = FILL_ZERO.bound({}, {"n": 3})
    assert bound.ranges == {"w": Range(0, 0)}
    assert bound.accumulators == ()
