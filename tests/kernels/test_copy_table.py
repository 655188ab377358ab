"""w = table."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT16, Range, Twin, Variant
from pocketgen.kernels import COPY_TABLE


def variant(n: int, flash: bool = True) -> Variant:
    return Variant(
        COPY_TABLE,
        {"table": INT16},
        {"n": n},
        flash=("table",) if flash else (),
        dtypes={"table": "int16"},
    )


VARIANTS = {
    "one": variant(1),
    "some": variant(9),
    "many": variant(1000),
    "no flash": variant(9, flash=False),
}
twins = single.twins_of(VARIANTS)


def by_hand(table: list) -> dict:
    return {"w": table}


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], data: st.DataObject) -> None:
    twins["some"].agree(by_hand, twins["some"].drawn(data.draw))


@pytest.mark.parametrize("table", [INT16, Range(-3, 7), Range(2, 2)])
def test_bound_is_exact(table: Range) -> None:
    bound = COPY_TABLE.bound({"table": table}, {"n": 3})
    assert bound.ranges == {"w": table}
    assert bound.accumulators == ()
