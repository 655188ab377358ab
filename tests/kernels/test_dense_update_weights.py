"""W = update(W, G), G = sum over the batch of delta x."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import (
    INT8,
    INT16,
    INT32,
    Range,
    Twin,
    Variant,
    every,
    limited,
    partial_sums,
    trunc,
)
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_UPDATE_WEIGHTS, SGD_STEP

UINT8 = Range(0, 255)


def variant(
    fan_in: int = 6, fan_out: int = 3, tile: int = 64, lr_inv: int = 1000, **ranges: Range
) -> Variant:
    known = {"x": INT8, "delta": INT8, "W": INT16, "n": Range(1, 5), "lr_shift": Range(0, 15)}
    return Variant(
        DENSE_UPDATE_WEIGHTS,
        {**known, **ranges},
        {"fan_in": fan_in, "fan_out": fan_out, "batch": 5, "tile": min(tile, fan_in)},
        element=SGD_STEP,
        update={"lr_inv": lr_inv},
    )


VARIANTS = {
    "int32": variant(),
    "fast": variant(lr_inv=1),
    "raw": replace(variant(x=UINT8), dtypes={"x": "uint8"}),
    "clamp": variant(lr_inv=1, W=Range.symmetric(63)),
    "int64": variant(x=INT16, delta=INT32),
    "int64, slow": variant(x=INT16, delta=INT32, lr_inv=2**31 - 1),
    "int64, fast": variant(x=INT16, delta=INT32, lr_inv=1),
    "one tile": variant(fan_in=64, fan_out=2),
    "a tile and one": variant(fan_in=65, fan_out=2),
    "small tiles": variant(fan_in=7, tile=3),
    "no tile left": variant(fan_in=6, tile=3),
    "one": variant(fan_in=1, fan_out=1),
}
twins = single.twins_of(VARIANTS)


def by_hand(x: list, delta: list, W: list, lr_shift: int, lr_inv: int, limit: int) -> dict:
    def moved(o: int, i: int) -> int:
        gradient = sum(d[o] * row[i] for d, row in zip(delta, x, strict=True))
        return limited(W[o][i] + trunc(trunc(gradient, 2**lr_shift), -lr_inv), -limit, limit)

    return {"W": [[moved(o, i) for i in range(len(W[0]))] for o in range(len(W))]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_size_of_batch(twins: dict[str, Twin], name: str, n: int) -> None:
    twin = twins[name]
    data = twin.data("random", seed=n)
    room = {"n": np.array(n, np.uint16), "lr_shift": np.array(0, np.uint8)}
    for values in ("x", "delta"):
        buffer = twin.program.buffers[values]
        rng = np.random.default_rng(n)
        limits, shape = buffer.proven, (n, *buffer.shape)
        room[values] = rng.integers(limits.low, limits.high, shape, endpoint=True, dtype=np.int64)
        room[values] = room[values].astype(buffer.dtype)
    twin.agree(by_hand, {**data, **room})


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_units_without_a_delta_in_some_samples(twins: dict[str, Twin], silent: int) -> None:
    """The C leaves out samples whose delta is 0."""
    data = twins["fast"].data("random", seed=2)
    data["delta"][silent::2] = 0
    twins["fast"].agree(by_hand, data)


@pytest.mark.parametrize("value", [-2, -1, 1, 2])
def test_units_with_the_smallest_of_deltas(twins: dict[str, Twin], value: int) -> None:
    """None but 0 is left out."""
    data = twins["fast"].data("random", seed=2)
    data["n"][...], data["lr_shift"][...] = 5, 0
    data["x"] = np.resize(data["x"], (5, 6))
    data["delta"] = np.full((5, 3), value, np.int8)
    twins["fast"].agree(by_hand, data)


@pytest.mark.parametrize("name", ["int32", "fast", "int64", "small tiles"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    assert VARIANTS["int32"].accumulators["gradient"] == "int32"
    assert VARIANTS["int64"].accumulators["gradient"] == "int64"


@pytest.mark.parametrize("delta", [Range(-2, 1), Range(2, 3), Range(-3, -2), Range(0, 0)])
@pytest.mark.parametrize("x", [Range(-1, 2), Range(0, 3), Range(1, 2)])
def test_bound_is_exact(x: Range, delta: Range) -> None:
    ranges = {"x": x, "delta": delta, "n": Range(1, 3), "W": INT16}
    sizes = {"fan_in": 1, "fan_out": 1, "batch": 3, "tile": 1}
    (accumulator,) = DENSE_UPDATE_WEIGHTS.bound(ranges, sizes).accumulators
    terms = sorted({v * d for v, d in product(every(x), every(delta))})
    sums = [total for way in product(terms, repeat=3) for total in partial_sums(way)]
    assert accumulator.worst == max(map(abs, sums))


def test_the_worst_gradient_is_reached_without_overflow(twins: dict[str, Twin]) -> None:
    data = twins["int64, fast"].data("extreme")
    data["x"] = np.full((5, 6), -32767, np.int16)
    data["delta"] = np.full((5, 3), 2**31 - 1, np.int32)
    data["n"] = np.array(5, np.uint16)
    twins["int64, fast"].agree(by_hand, data)
    (gradient, *_) = twins["int64, fast"].step.accumulators
    assert gradient.worst == 5 * 32767 * (2**31 - 1)


def test_a_gradient_of_just_minus_2_to_the_31() -> None:
    """The magnitude of -2**31 has no place in 32 bits: -32768 * 128, 512 times."""
    known = {"n": Range(1, 512), "W": INT16, "lr_shift": Range(0, 15)}
    edge = Variant(
        DENSE_UPDATE_WEIGHTS,
        {"x": Range(-32768, 32767), "delta": Range(-100, 128), **known},
        {"fan_in": 1, "fan_out": 1, "batch": 512, "tile": 1},
        element=SGD_STEP,
        update={"lr_inv": 1000},
        samples=512,
    )
    twin = single.compile_all({"edge": edge})["edge"]
    data = twin.data("extreme")
    data["x"], data["delta"] = np.full((512, 1), -32768, np.int16), np.full((512, 1), 128, np.int16)
    data |= {"n": np.array(512, np.uint16), "lr_shift": np.array(0, np.uint8)}
    twin.agree(by_hand, data)


def test_cost() -> None:
    assert DENSE_UPDATE_WEIGHTS.cost({"fan_in": 7, "fan_out": 5, "batch": 3}) == Cost(
        macs=105, divisions=35
    )
