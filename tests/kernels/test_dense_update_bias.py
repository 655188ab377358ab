"""b = update(b, G), G = sum over the batch of delta."""

from __future__ import annotations

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
from pocketgen.kernels import DENSE_UPDATE_BIAS, SGD_STEP


def variant(fan_out: int = 4, lr_inv: int = 1000, delta: Range = INT16) -> Variant:
    return Variant(
        DENSE_UPDATE_BIAS,
        {"delta": delta, "n": Range(1, 5), "b": INT16, "lr_shift": Range(0, 15)},
        {"fan_out": fan_out, "batch": 5},
        element=SGD_STEP,
        update={"lr_inv": lr_inv},
    )


VARIANTS = {
    "int32": variant(),
    "fast": variant(lr_inv=1),
    "int8": variant(lr_inv=3, delta=INT8),
    "int64": variant(delta=INT32),
    "int64, slow": variant(delta=INT32, lr_inv=2**31 - 1),
    "int64, fast": variant(delta=INT32, lr_inv=1),
    "one": variant(fan_out=1, lr_inv=2),
}
twins = single.twins_of(VARIANTS)


def by_hand(delta: list, b: list, lr_shift: int, lr_inv: int, limit: int) -> dict:
    def moved(o: int) -> int:
        gradient = sum(row[o] for row in delta)
        return limited(b[o] + trunc(trunc(gradient, 2**lr_shift), -lr_inv), -limit, limit)

    return {"b": [moved(o) for o in range(len(b))]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_size_of_batch(twins: dict[str, Twin], name: str, n: int) -> None:
    delta = twins[name].program.buffers["delta"]
    rng = np.random.default_rng(n)
    values = rng.integers(delta.proven.low, delta.proven.high, (n, delta.size), endpoint=True)
    room = {
        "n": np.array(n, np.uint16),
        "lr_shift": np.array(0, np.uint8),
        "delta": values.astype(delta.dtype),
    }
    twins[name].agree(by_hand, {**twins[name].data("random", seed=n), **room})


@pytest.mark.parametrize("name", ["int32", "fast", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    assert VARIANTS["int32"].accumulators["gradient"] == "int32"
    assert VARIANTS["int64"].accumulators["gradient"] == "int64"


@pytest.mark.parametrize("delta", [Range(-2, 3), Range(2, 3), Range(-3, -2), Range(0, 0)])
def test_bound_is_exact(delta: Range) -> None:
    ranges = {"delta": delta, "n": Range(1, 3), "b": INT16}
    (accumulator,) = DENSE_UPDATE_BIAS.bound(ranges, {"fan_out": 1, "batch": 3}).accumulators
    sums = [total for way in product(every(delta), repeat=3) for total in partial_sums(way)]
    assert accumulator.worst == max(map(abs, sums))


def test_cost() -> None:
    assert DENSE_UPDATE_BIAS.cost({"fan_out": 5, "batch": 3}) == Cost(divisions=5)
