"""step = step + 1, modulo 2^32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import Range, Twin, Variant
from pocketgen.kernels import COUNT_STEP

WORDS = Range(0, 2**32 - 1)
twins = single.twins_of({"step": Variant(COUNT_STEP, {"step": WORDS})})


def by_hand(step: int) -> dict:
    return {"step": (step + 1) % 2**32}


@pytest.mark.parametrize("step", [0, 1, 255, 65534, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_plain_numpy_and_c(twins: dict[str, Twin], step: int) -> None:
    twins["step"].agree(by_hand, {"step": np.array(step, np.uint32)})


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["step"].agree(by_hand, twins["step"].drawn(data.draw))


def test_bound_is_every_word() -> None:
    assert COUNT_STEP.bound({"step": WORDS}, {}).ranges == {"step": WORDS}
