"""x = clamp((raw - offset) * multiplier / divisor)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import Range, Twin, Variant, every, limited, spanned, trunc
from pocketgen.intmath import INT_LIMITS
from pocketgen.ir import Cost
from pocketgen.kernels import SCALE_INPUT

PLAIN = {"n": 6, "offset": 0, "multiplier": 1, "divisor": 1, "low": -127, "high": 127}


def variant(raw: str, **sizes: int) -> Variant:
    return Variant(
        SCALE_INPUT, {"raw": Range(*INT_LIMITS[raw])}, {**PLAIN, **sizes}, dtypes={"raw": raw}
    )


VARIANTS = {
    "int8": variant("int8"),
    "uint8": variant("uint8", offset=128, multiplier=3, divisor=2),
    "to uint8": variant("uint8", low=0, high=255, multiplier=2, divisor=4),
    "int16": variant("int16", offset=-32768, multiplier=-7, divisor=2**11),
    "uint16": variant("uint16", offset=65535, multiplier=255, divisor=2**16),
    "to int16": variant("uint16", offset=32768, low=-32767, high=32767),
    "int64": variant("uint16", offset=-65535, multiplier=2**24, divisor=2**30),
    "int64, negative": variant("int16", offset=65535, multiplier=-(2**24), divisor=2**20),
    "nothing": variant("int16", multiplier=0),
    "range": variant("int16", low=-500, high=99),
    "one value": variant("uint8", low=7, high=7),
}
twins = single.twins_of(VARIANTS)


def by_hand(raw: list, offset: int, multiplier: int, divisor: int, low: int, high: int) -> dict:
    def scaled(value: int) -> int:
        return limited(trunc((value - offset) * multiplier, divisor), low, high)

    return {"x": [[scaled(value) for value in row] for row in raw]}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["int16", "int64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


@pytest.mark.parametrize("name", ["int8", "uint8", "to uint8"])
def test_every_raw_value_of_8_bits(twins: dict[str, Twin], name: str) -> None:
    raw = twins[name].program.buffers["raw"]
    values = np.resize(np.arange(raw.proven.low, raw.proven.high + 1), (43, 6))
    twins[name].agree(by_hand, {"raw": values.astype(raw.dtype)})


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["product"] == "int64"}
    assert wide == {"int64", "int64, negative"}


@pytest.mark.parametrize("raw", [Range(0, 40), Range(-20, 20), Range(-9, -3)])
@pytest.mark.parametrize("offset", [-30, 0, 11])
@pytest.mark.parametrize("multiplier", [-9, -1, 0, 1, 5])
@pytest.mark.parametrize(("divisor", "low", "high"), [(1, -127, 127), (4, -20, 20), (2, 3, 9)])
def test_bound_is_exact(
    raw: Range, offset: int, multiplier: int, divisor: int, low: int, high: int
) -> None:
    sizes = {**PLAIN, "offset": offset, "multiplier": multiplier, "divisor": divisor}
    bound = SCALE_INPUT.bound({"raw": raw}, {**sizes, "low": low, "high": high})
    result = by_hand([list(every(raw))], offset, multiplier, divisor, low, high)
    differences = [value - offset for value in every(raw)]
    assert bound.ranges["x"] == spanned(result["x"][0])
    assert {a.name: a.worst for a in bound.accumulators} == {
        "difference": max(map(abs, differences)),
        "product": max(abs(d * multiplier) for d in differences),
    }


def test_cost() -> None:
    assert SCALE_INPUT.cost({"n": 7}) == Cost(macs=7)
