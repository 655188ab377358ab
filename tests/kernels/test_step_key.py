"""key = key(seed, step streams + stream)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import Range, Twin, Variant, key_of
from pocketgen.kernels import STEP_KEY

WORDS = Range(0, 2**32 - 1)


def variant(seed: int, streams: int, stream: int) -> Variant:
    return Variant(STEP_KEY, {"step": WORDS}, {"seed": seed, "streams": streams, "stream": stream})


VARIANTS = {
    "first": variant(0, 5, 1),
    "second": variant(0, 5, 2),
    "last": variant(0, 5, 4),
    "another seed": variant(1, 5, 1),
    "largest seed": variant(2**32 - 1, 7, 3),
    "half of all seeds": variant(2**31, 7, 3),
    "one stream": variant(9, 1, 0),
}
twins = single.twins_of(VARIANTS)
STEPS = [0, 1, 2, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]


def by_hand(step: int, seed: int, streams: int, stream: int) -> dict:
    return {"key": key_of(seed, (step * streams + stream) % 2**32)}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, step: int) -> None:
    twins[name].agree(by_hand, {"step": np.array(step, np.uint32)})


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_every_step_place_and_seed_has_a_key_of_its_own(twins: dict[str, Twin]) -> None:
    names = ["first", "second", "last", "another seed"]
    keys = {
        int(twins[name].by_c({"step": np.array(step, np.uint32)})["key"])
        for name in names
        for step in range(100)
    }
    assert len(keys) == 100 * len(names)


def test_bound_is_every_word() -> None:
    assert STEP_KEY.bound({"step": WORDS}, VARIANTS["first"].sizes).ranges == {"key": WORDS}
