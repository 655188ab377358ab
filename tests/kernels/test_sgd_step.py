"""w = clamp(w + (G / 2^lr_shift) / -lr_inv): called by update kernels, here for single elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT16, INT32, Range, Twin, Variant, every, limited, trunc
from pocketgen.intmath import INT32_MAX
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_UPDATE_BIAS, SGD_STEP


def variant(delta: Range, batch: int, lr_inv: int, w: Range = INT16) -> Variant:
    """A step of which only the element kernel matters; its gradient is batch * delta."""
    return Variant(
        DENSE_UPDATE_BIAS,
        {"delta": delta, "n": Range(1, batch), "b": w, "lr_shift": Range(0, 15)},
        {"fan_out": 1, "batch": batch},
        element=SGD_STEP,
        update={"lr_inv": lr_inv},
    )


VARIANTS = {
    "int32": variant(INT16, 20, 1000),
    "int32, tight clamp": variant(INT16, 20, 3, Range.symmetric(63)),
    "int32, limited": variant(INT32, 1, 1),  # w + gradient would overflow
    "int64, limited": variant(INT32, 20, 1000),
    "int64, limited, tight clamp": variant(INT32, 20, 1000, Range.symmetric(1)),
    "int64, limited, long division": variant(INT32, 65535, 2**31 - 1),
}
twins = single.twins_of(VARIANTS)


def by_hand(w: int, gradient: int, lr_shift: int, lr_inv: int, limit: int) -> int:
    """Without the limit on the gradient, which must change nothing."""
    return limited(w + trunc(trunc(gradient, 2**lr_shift), -lr_inv), -limit, limit)


def in_c(twin: Twin) -> Any:
    return getattr(twin.library, twin.function.update)


def worst_gradient(twin: Twin) -> int:
    return next(a.worst for a in twin.step.accumulators if a.name == "gradient")


def gradients(twin: Twin) -> list[int]:
    """0, the ends, and both sides of every place where something changes."""
    sizes = twin.step.update.sizes
    lr_inv, limit, worst = sizes["lr_inv"], sizes["limit"], worst_gradient(twin)
    places = {0, 1, lr_inv, 2 * lr_inv, limit * lr_inv, 2 * limit * lr_inv, worst, INT32_MAX}
    places |= {(2 * limit + 1) * lr_inv, sizes["gradient_limit"]}
    near = {sign * (p + step) for p in places for step in (-1, 0, 1) for sign in (-1, 1)}
    return sorted(g for g in near if abs(g) <= worst)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("lr_shift", [0, 1, 15])
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, lr_shift: int) -> None:
    twin = twins[name]
    sizes = twin.step.update.sizes
    limit, function = sizes["limit"], in_c(twin)
    rng = np.random.default_rng(lr_shift)
    ws = sorted({-limit, 1 - limit, -1, 0, 1, limit - 1, limit, *rng.integers(-limit, limit, 20)})
    worst = worst_gradient(twin)
    gs = [*gradients(twin), *rng.integers(-worst, worst, 100).tolist()]
    w, gradient = (a.ravel() for a in np.meshgrid(np.array(ws), np.array(gs, np.int64)))
    pairs = list(zip(w.tolist(), gradient.tolist(), strict=True))
    expected = [by_hand(a, g, lr_shift, sizes["lr_inv"], limit) for a, g in pairs]
    np.testing.assert_array_equal(
        SGD_STEP.run(w.astype(np.int16), gradient, lr_shift, sizes), expected
    )
    assert [
        function(int(a), int(g), lr_shift) for a, g in zip(w, gradient, strict=True)
    ] == expected


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=50)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twin = twins[name]
    sizes, worst = twin.step.update.sizes, worst_gradient(twin)
    w = data.draw(st.integers(-sizes["limit"], sizes["limit"]))
    gradient = data.draw(st.integers(-worst, worst))
    lr_shift = data.draw(st.integers(0, 15))
    expected = by_hand(w, gradient, lr_shift, sizes["lr_inv"], sizes["limit"])
    assert int(SGD_STEP.run(np.array(w), np.array(gradient), lr_shift, sizes)) == expected
    assert in_c(twin)(w, gradient, lr_shift) == expected


def test_variants_are_what_they_are_called(twins: dict[str, Twin]) -> None:
    for name, twin in twins.items():
        types = {a.name: a.dtype for a in twin.step.accumulators}
        assert types["gradient"] == name[:5]
        assert bool(twin.step.update.sizes["gradient_limit"]) == ("limited" in name)
        assert types["scaled"] == ("int64" if "long division" in name else "int32")
        assert types["moved"] == "int32"


@pytest.mark.parametrize("name", VARIANTS)
def test_c_counts_what_the_clamp_holds_back(twins: dict[str, Twin], name: str) -> None:
    """In a debug build: a weight that would go beyond the clamp, not one that just reaches it."""
    twin = twins[name]
    lr_inv, limit = twin.step.update.sizes["lr_inv"], twin.step.update.sizes["limit"]
    for w in (-limit, 0, limit):
        for gradient in gradients(twin):
            before = twin.library.clamped
            in_c(twin)(w, gradient, 0)
            beyond = abs(w + trunc(gradient, -lr_inv)) > limit
            assert (twin.library.clamped - before) % 2**32 == beyond, (w, gradient)


@given(
    gradient=st.integers(0, 2**45) | st.integers(2**31 - 70000, 2**31 + 70000),
    lr_inv=st.integers(1, 2**31 - 1) | st.integers(1, 100),
    limit=st.integers(1, 32767),
)
@example(gradient=2**31 - 1, lr_inv=1, limit=32767)
@example(gradient=2**31 - 1 - 32767, lr_inv=1, limit=32767)
@example(gradient=2**31 - 32767, lr_inv=1, limit=32767)
@example(gradient=2**31, lr_inv=2**31 - 1, limit=1)
def test_nothing_between_gradient_and_weight_overflows(
    gradient: int, lr_inv: int, limit: int
) -> None:
    ranges = {"w": Range.symmetric(limit), "gradient": Range.symmetric(gradient)}
    bound = SGD_STEP.bound({**ranges, "lr_shift": Range(0, 15)}, {"lr_inv": lr_inv, "limit": limit})
    scaled, moved = bound.accumulators
    taken = min(gradient, bound.sizes["gradient_limit"] or gradient)
    assert scaled.worst == taken <= scaled.limit
    assert moved.worst == limit + taken // lr_inv <= INT32_MAX
    assert moved.dtype == "int32"  # as the C declares it
    assert bound.ranges["w"] == ranges["w"]


@pytest.mark.parametrize("lr_inv", [1, 2, 3])
def test_limiting_the_gradient_changes_no_result(lr_inv: int) -> None:
    """Every weight and every gradient, where the clamp is 4: |w| <= 4, gradient within ±40."""
    sizes = {"lr_inv": lr_inv, "limit": 4, "gradient_limit": (2 * 4 + 1) * lr_inv}
    w, gradient = np.meshgrid(np.arange(-4, 5), np.arange(-40, 41))
    for lr_shift in (0, 1, 2):
        with_limit = SGD_STEP.run(w, gradient, lr_shift, sizes)
        without = SGD_STEP.run(w, gradient, lr_shift, {**sizes, "gradient_limit": 0})
        np.testing.assert_array_equal(with_limit, without)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("gradient", [Range.symmetric(1), Range.symmetric(9)])
@pytest.mark.parametrize("lr_inv", [1, 2])
def test_bound_is_reached_and_never_exceeded(limit: int, gradient: Range, lr_inv: int) -> None:
    w = Range.symmetric(limit)
    ranges = {"w": w, "gradient": gradient, "lr_shift": Range(0, 15)}
    bound = SGD_STEP.bound(ranges, {"lr_inv": lr_inv, "limit": limit})
    moved = [a + trunc(g, -lr_inv) for a in every(w) for g in every(gradient)]
    worst = {a.name: a.worst for a in bound.accumulators}
    assert worst == {"scaled": gradient.magnitude, "moved": max(map(abs, moved))}


def test_cost() -> None:
    assert SGD_STEP.cost({}) == Cost(divisions=1)
