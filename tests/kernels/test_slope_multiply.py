"""delta = clamp((s / divisor) f / 64): the first rounded down, the second to the nearest."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, limited, spanned
from pocketgen.ir import Cost
from pocketgen.kernels import SLOPE_MULTIPLY

SLOPES = Range(0, 8)
SIZES = {"n": 5, "divisor": 8, "limit": 1023}


def variant(s: Range, f: Range = SLOPES, **sizes: int) -> Variant:
    return Variant(SLOPE_MULTIPLY, {"s": s, "f": f}, {**SIZES, **sizes})


VARIANTS = {
    "int8": variant(INT8, divisor=1),
    "int16": variant(INT16),
    "feedback": variant(Range.symmetric(256 * 63 * 10)),
    "int32": variant(INT32, divisor=128),
    "int64": variant(INT32),
    "int64, from 64 bits": variant(Range.symmetric(2**40)),
    "int32, from 64 bits": variant(Range.symmetric(2**40), divisor=2**20),
    "tight clamp": variant(INT16, limit=3),
    "wide clamp": variant(INT16, divisor=1, limit=32767),
    "one sign": variant(Range(5, 900), divisor=1),
    "one slope": variant(INT16, f=Range(8, 8)),
}
twins = single.twins_of(VARIANTS)


def by_hand(s: list, f: list, divisor: int, limit: int) -> dict:
    def at(error: int, slope: int) -> int:
        return limited((error // divisor * slope + 32) // 64, -limit, limit)

    rows = zip(s, f, strict=True)
    return {"delta": [[at(*pair) for pair in zip(*row, strict=True)] for row in rows]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int16", "int64", "int64, from 64 bits", "tight clamp"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["product"] == "int64"}
    assert wide == {"int64", "int64, from 64 bits"}


def results(twin: Twin, errors: list[int], slope: int) -> list[int]:
    s = np.resize(np.array(errors), (-(-len(errors) // 5), 5))
    data = {"s": s.astype(twin.program.buffers["s"].dtype), "f": np.full(s.shape, slope, np.int8)}
    return twin.agree(by_hand, data)["delta"].ravel().tolist()[: len(errors)]


@pytest.mark.parametrize("slope", [0, 1, 4, 8])
def test_both_sides_of_every_step(twins: dict[str, Twin], slope: int) -> None:
    """The clamp is reached from both sides, each value between has its own turn."""
    edges = sorted({8 * k + step for k in range(-8192, 8193) for step in (-1, 0, 1)})
    seen = results(twins["feedback"], edges, slope)
    assert spanned(seen) == Range.symmetric(min(1023, 8192 * slope // 64))
    assert set(seen) == set(every(spanned(seen)))
    assert seen == sorted(seen)


def test_halves_go_up_and_the_first_quotient_goes_down(twins: dict[str, Twin]) -> None:
    """With the slope 8: s / 8 is 4 at a half, -4 at minus a half."""
    assert results(twins["int16"], [31, 32, -32, -33, -1, 0, 7], 8) == [0, 1, 0, -1, 0, 0, 0]
    assert results(twins["int16"], [95, 96, -96, -97], 8) == [1, 2, -1, -2]


def test_the_clamp_from_both_sides(twins: dict[str, Twin]) -> None:
    assert results(twins["tight clamp"], [32767, 200, 100, -200, -300, -32767], 8) == [
        3, 3, 2, -3, -3, -3,
    ]  # fmt: skip


@pytest.mark.parametrize("f", [Range(0, 8), Range(1, 3), Range(8, 8), Range(0, 0)])
@pytest.mark.parametrize("divisor", [1, 2, 8])
@pytest.mark.parametrize("limit", [1, 4, 99])
@pytest.mark.parametrize("s", [Range(-50, 60), Range(20, 31), Range(-60, -9), Range(0, 0)])
def test_bound_is_exact(s: Range, f: Range, divisor: int, limit: int) -> None:
    bound = SLOPE_MULTIPLY.bound({"s": s, "f": f}, {"n": 1, "divisor": divisor, "limit": limit})
    pairs = list(product(every(s), every(f)))
    (row,) = by_hand([[e for e, _ in pairs]], [[g for _, g in pairs]], divisor, limit)["delta"]
    products = [e // divisor * g for e, g in pairs]
    (accumulator,) = bound.accumulators
    assert bound.ranges["delta"] == spanned(row)
    assert accumulator.worst == max(abs(p + added) for p in products for added in (0, 32))


def test_cost() -> None:
    assert SLOPE_MULTIPLY.cost({"n": 7}) == Cost(macs=7)
