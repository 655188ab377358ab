"""x = clamp((raw - offset) * multiplier / divisor), feature by feature."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import Range, Twin, Variant, every, limited, trunc
from pocketgen.intmath import INT_LIMITS
from pocketgen.ir import Cost
from pocketgen.kernels import SCALE_FEATURES

PLAIN = {"n": 6, "divisor": 2**8, "low": -127, "high": 127}
INT24 = Range.symmetric(2**24)


def variant(
    raw: str, offset: Range, multiplier: Range, flash: bool = True, **sizes: int
) -> Variant:
    return Variant(
        SCALE_FEATURES,
        {"raw": Range(*INT_LIMITS[raw]), "offset": offset, "multiplier": multiplier},
        {**PLAIN, **sizes},
        dtypes={"raw": raw},
        flash=("offset", "multiplier") if flash else (),
    )


VARIANTS = {
    "int8": variant("int8", Range(-128, 127), Range(-128, 127)),
    "uint8": variant("uint8", Range(0, 255), Range(0, 1000), low=0, high=255),
    "int16": variant("int16", Range(-32768, 32767), Range(-9, 300), divisor=1),
    "uint16": variant("uint16", Range(0, 65535), Range(0, 30000), low=-32767, high=32767),
    "int64": variant("int16", Range.symmetric(65535), INT24, divisor=2**30),
    "no flash": variant("int16", Range(-128, 127), Range(1, 500), flash=False),
    "one": variant("int16", Range(5, 5), Range(-7, -7), n=1),
}
twins = single.twins_of(VARIANTS)


def by_hand(raw: list, offset: list, multiplier: list, divisor: int, low: int, high: int) -> dict:
    return {
        "x": [
            [
                limited(trunc((value - middle) * slope, divisor), low, high)
                for value, middle, slope in zip(row, offset, multiplier, strict=True)
            ]
            for row in raw
        ]
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int16", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["product"] == "int64"}
    assert wide == {"int64"}


@pytest.mark.parametrize("raw", [Range(0, 9), Range(-5, 5), Range(-9, -3)])
@pytest.mark.parametrize("offset", [Range(-3, 3), Range(2, 2), Range(-12, -7)])
@pytest.mark.parametrize("multiplier", [Range(-2, 3), Range(0, 0), Range(2, 4), Range(-4, -1)])
def test_bound_is_reached_and_never_exceeded(raw: Range, offset: Range, multiplier: Range) -> None:
    ranges = {"raw": raw, "offset": offset, "multiplier": multiplier}
    bound = SCALE_FEATURES.bound(ranges, {**PLAIN, "low": -7, "high": 9})
    differences = {value - middle for value, middle in product(every(raw), every(offset))}
    assert bound.ranges["x"] == Range(-7, 9)
    assert {a.name: a.worst for a in bound.accumulators} == {
        "difference": max(map(abs, differences)),
        "product": max(abs(d * m) for d, m in product(differences, every(multiplier))),
    }


def test_cost() -> None:
    assert SCALE_FEATURES.cost({"n": 7}) == Cost(macs=7)
