"""w[i] = centre + draw(key(seed, stream), i) in [-limit, limit] without 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import Range, Twin, Variant, drawn, key_of, spanned
from pocketgen.kernels import DRAW_UNIFORM

SEEDS = Range(0, 2**32 - 1)


def variant(n: int, stream: int, limit: int, centre: int = 0) -> Variant:
    sizes = {"n": n, "stream": stream, "limit": limit, "centre": centre}
    return Variant(DRAW_UNIFORM, {"seed": SEEDS}, sizes, dtypes={"w": "int16"})


VARIANTS = {
    "one": variant(1, 0x101, 362),
    "weights": variant(60, 0x101, 362),
    "biases": variant(60, 0x201, 362),
    "signs": variant(60, 0x102, 1),
    "widest": variant(60, 0x103, 32767),
    "many": variant(3000, 0x104, 7),
    "masters": variant(60, 0x101, 32256, centre=128),
    "one side": variant(60, 0x101, 20, centre=-300),
    "bytes": replace(variant(60, 0x101, 126), dtypes={"w": "int8"}),
    "at the top": variant(60, 0x101, 767, centre=32000),
}
twins = single.twins_of(VARIANTS)


def by_hand(seed: int, n: int, stream: int, limit: int, centre: int) -> dict:
    return {"w": [centre + drawn(key_of(seed, stream), i, limit) for i in range(n)]}


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, seed: int) -> None:
    twins[name].agree(by_hand, {"seed": np.array(seed, np.uint32)})


@pytest.mark.parametrize("name", ["weights", "signs", "widest", "masters", "one side"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_streams_and_seeds_differ(twins: dict[str, Twin]) -> None:
    first = {"seed": np.array(1, np.uint32)}
    weights = twins["weights"].by_c(first)["w"]
    assert (weights != twins["biases"].by_c(first)["w"]).any()
    assert (weights != twins["weights"].by_c({"seed": np.array(2, np.uint32)})["w"]).any()


def test_any_shape_is_drawn_in_storage_order() -> None:
    sizes = {"n": 6, "stream": 0x101, "limit": 9, "centre": 0}
    flat, matrix = np.zeros(6, np.int16), np.zeros((2, 3), np.int16)
    DRAW_UNIFORM.run(7, flat, sizes)
    DRAW_UNIFORM.run(7, matrix, sizes)
    np.testing.assert_array_equal(matrix.ravel(), flat)


def test_bound_is_reached_and_zero_is_not(twins: dict[str, Twin]) -> None:
    """3000 numbers of 14 values each: all of them come."""
    w = twins["many"].by_c({"seed": np.array(1, np.uint32)})["w"]
    bound = DRAW_UNIFORM.bound({}, VARIANTS["many"].sizes)
    assert bound.ranges["w"] == spanned(w.tolist()) == Range(-7, 7)
    assert set(w.tolist()) == {*range(-7, 0), *range(1, 8)}


def test_the_centre_moves_all_and_is_not_drawn(twins: dict[str, Twin]) -> None:
    first = {"seed": np.array(1, np.uint32)}
    sizes = {**VARIANTS["many"].sizes, "centre": 128}
    moved = np.zeros(3000, np.int16)
    DRAW_UNIFORM.run(1, moved, sizes)
    np.testing.assert_array_equal(moved - 128, twins["many"].by_c(first)["w"])
    assert DRAW_UNIFORM.bound({}, sizes).ranges["w"] == spanned(moved.tolist()) == Range(121, 135)
    assert 128 not in moved
