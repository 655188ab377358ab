"""w = clamp(w - (G rate + half) / divisor), rounded down: called for single elements."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, limited
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_UPDATE_BIAS, MASTER_STEP

MASTERS = Range.symmetric(127 * 256)
BYTES = Range.symmetric(127)


def variant(delta: Range, batch: int, divisor: int, rate: int = 16, w: Range = MASTERS) -> Variant:
    """A step of which only the element kernel matters; its gradient is batch * delta."""
    return Variant(
        DENSE_UPDATE_BIAS,
        {"delta": delta, "n": Range(1, batch), "b": w, "rate": Range(0, rate)},
        {"fan_out": 1, "batch": batch},
        dtypes={"b": w.dtype()},
        samples=batch,
        element=MASTER_STEP,
        update={"half": divisor // 2, "divisor": divisor},
    )


# Named for the types of gradient, scaled and moved.
VARIANTS = {
    "32 32 32": variant(INT16, 20, 2**13),
    "32 32 32, largest rate": variant(INT16, 20, 2**8, rate=255),
    "32 32 32, bytes": variant(INT8, 20, 2**4, w=BYTES),
    "32 32 32, whole steps": variant(INT8, 20, 1, rate=1),
    "32 64 32": variant(INT32, 1, 2**20, rate=255),
    "32 64 32, just": variant(Range.symmetric(2**31 - 1), 1, 2, rate=1),
    "64 64 32": variant(INT32, 20, 2**20, rate=255),
    "64 64 64": variant(INT32, 20, 2**2, rate=255),
    "32 32 64": variant(INT32, 1, 1, rate=1),
    "64 64 64, bytes": variant(INT32, 20, 2**2, rate=255, w=BYTES),
}
twins = single.twins_of(VARIANTS)


def by_hand(w: int, gradient: int, rate: int, half: int, divisor: int, limit: int) -> int:
    return limited(w - (gradient * rate + half) // divisor, -limit, limit)


def in_c(twin: Twin) -> Any:
    return getattr(twin.library, twin.function.update)


def worst_gradient(twin: Twin) -> int:
    return next(a.worst for a in twin.step.accumulators if a.name == "gradient")


def gradients(twin: Twin, rate: int) -> list[int]:
    """0, the ends, and both sides of every place where something changes."""
    sizes, worst = twin.step.update.sizes, worst_gradient(twin)
    divisor, limit = sizes["divisor"], sizes["limit"]
    places = {0, divisor // 2, divisor, 3 * divisor // 2, limit * divisor, 2 * limit * divisor}
    quotients = {place // max(rate, 1) for place in places} | {worst, 2**31 // max(rate, 1)}
    near = {sign * (q + step) for q in quotients for step in (-1, 0, 1) for sign in (-1, 1)}
    return sorted(g for g in near if abs(g) <= worst)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("share", [0, 1, 2])
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, share: int) -> None:
    """With a rate of 0, of 1, and with the largest."""
    twin = twins[name]
    rate = (0, 1, VARIANTS[name].ranges["rate"].high)[share]
    sizes, function, worst = twin.step.update.sizes, in_c(twin), worst_gradient(twin)
    limit, rng = sizes["limit"], np.random.default_rng(share)
    ws = sorted({-limit, 1 - limit, -1, 0, 1, limit - 1, limit, *rng.integers(-limit, limit, 20)})
    gs = [*gradients(twin, rate), *rng.integers(-worst, worst, 100).tolist()]
    w, gradient = (a.ravel() for a in np.meshgrid(np.array(ws), np.array(gs, np.int64)))
    pairs = list(zip(w.tolist(), gradient.tolist(), strict=True))
    expected = [by_hand(*pair, rate, sizes["half"], sizes["divisor"], limit) for pair in pairs]
    in_numpy = MASTER_STEP.run(w.astype(VARIANTS[name].dtypes["b"]), gradient, rate, sizes)
    np.testing.assert_array_equal(in_numpy, expected)
    assert [function(*pair, rate) for pair in pairs] == expected


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=50)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twin = twins[name]
    sizes, worst = twin.step.update.sizes, worst_gradient(twin)
    w = data.draw(st.integers(-sizes["limit"], sizes["limit"]))
    gradient = data.draw(st.integers(-worst, worst))
    rate = data.draw(st.integers(0, VARIANTS[name].ranges["rate"].high))
    expected = by_hand(w, gradient, rate, sizes["half"], sizes["divisor"], sizes["limit"])
    assert int(MASTER_STEP.run(np.array(w), np.array(gradient), np.uint8(rate), sizes)) == expected
    assert in_c(twin)(w, gradient, rate) == expected


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_called_by_a_kernel(twins: dict[str, Twin], name: str, kind: str) -> None:
    def bias(delta: list, b: list, rate: int, half: int, divisor: int, limit: int) -> dict:
        gradients = [sum(column) for column in zip(*delta, strict=True)]
        pairs = zip(b, gradients, strict=True)
        return {"b": [by_hand(*pair, rate, half, divisor, limit) for pair in pairs]}

    twins[name].agree(bias, kind)


def test_variants_are_what_they_are_called(twins: dict[str, Twin]) -> None:
    for name, twin in twins.items():
        types = {a.name: a.dtype for a in twin.step.accumulators}
        words = [types[sum_][3:] for sum_ in ("gradient", "scaled", "moved")]
        assert " ".join(words) == name.split(",")[0]


def test_exact_halves_move_a_weight_down(twins: dict[str, Twin]) -> None:
    """16 / 2^13: a gradient of 256 is half a unit; plus half moves, minus half does not."""
    step = in_c(twins["32 32 32"])
    assert [step(5, g, 16) for g in (255, 256, 257, 767, 768)] == [5, 4, 4, 4, 3]
    assert [step(5, g, 16) for g in (-255, -256, -257, -767, -768, -769)] == [5, 5, 6, 6, 6, 7]


@pytest.mark.parametrize("name", VARIANTS)
def test_no_gradient_and_no_rate_move_nothing(twins: dict[str, Twin], name: str) -> None:
    limit, worst = twins[name].step.update.sizes["limit"], worst_gradient(twins[name])
    for w in (-limit, -1, 0, 1, limit):
        assert in_c(twins[name])(w, 0, 1) == in_c(twins[name])(w, worst, 0) == w


@pytest.mark.parametrize("name", VARIANTS)
def test_c_counts_what_the_clamp_holds_back(twins: dict[str, Twin], name: str) -> None:
    """In a debug build: a weight that would go beyond the clamp, not one that just reaches it."""
    twin = twins[name]
    sizes, rate = twin.step.update.sizes, VARIANTS[name].ranges["rate"].high
    limit = sizes["limit"]
    for w in (-limit, 0, limit):
        for gradient in gradients(twin, rate):
            before = twin.library.clamped
            in_c(twin)(w, gradient, rate)
            beyond = abs(w - (gradient * rate + sizes["half"]) // sizes["divisor"]) > limit
            assert (twin.library.clamped - before) % 2**32 == beyond, (w, gradient)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("gradient", [Range.symmetric(1), Range.symmetric(9), Range(-9, 2)])
@pytest.mark.parametrize("rate", [Range(0, 1), Range(0, 3)])
@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_bound_is_reached_and_never_exceeded(
    limit: int, gradient: Range, rate: Range, divisor: int
) -> None:
    w, half = Range.symmetric(limit), divisor // 2
    bound = MASTER_STEP.bound(
        {"w": w, "gradient": gradient, "rate": rate},
        {"half": half, "divisor": divisor, "limit": limit},
    )
    products = {g * r for g, r in product(every(gradient), every(rate))}
    moved = [a - (p + half) // divisor for a in every(w) for p in products]
    assert {a.name: a.worst for a in bound.accumulators} == {
        "scaled": max(abs(p + added) for p in products for added in (0, half)),
        "moved": max(map(abs, moved)),
    }
    assert bound.ranges["w"] == w


def test_cost() -> None:
    assert MASTER_STEP.cost({}) == Cost(macs=1)
