"""w = clamp(w - (G rate + fraction) / divisor), rounded down, fraction random."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every, limited, scattered
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_UPDATE_BIAS, MASTER_STEP_NOISY

MASTERS = Range.symmetric(127 * 256)
BYTES = Range.symmetric(127)
WORDS = Range(0, 2**32 - 1)


def variant(delta: Range, batch: int, bits: int, rate: int = 16, w: Range = MASTERS) -> Variant:
    """Four elements, so that four random numbers of a row are taken."""
    return Variant(
        DENSE_UPDATE_BIAS,
        {"delta": delta, "n": Range(1, batch), "b": w, "rate": Range(0, rate), "noise": WORDS},
        {"fan_out": 4, "batch": batch},
        dtypes={"b": w.dtype()},
        samples=batch,
        element=MASTER_STEP_NOISY,
        update={"bits": bits, "divisor": 2**bits},
    )


# Named for the types of gradient, scaled and moved.
VARIANTS = {
    "32 32 32": variant(INT16, 20, 13),
    "32 32 32, bytes": variant(INT8, 20, 21, w=BYTES),
    "32 32 32, fast bytes": variant(INT8, 20, 4, w=BYTES),
    "32 32 32, one bit": variant(INT8, 20, 1, rate=255),
    "32 32 32, most bits": variant(INT8, 20, 28, rate=255, w=BYTES),
    "32 64 32": variant(INT32, 1, 20, rate=255),
    "64 64 32": variant(INT32, 20, 28, rate=255, w=BYTES),
    "64 64 64": variant(INT32, 20, 2, rate=255),
}
twins = single.twins_of(VARIANTS)


def by_hand(
    w: int, gradient: int, rate: int, noise: int, bits: int, divisor: int, limit: int
) -> int:
    fraction = scattered(noise) // 2 ** (32 - bits)
    return limited(w - (gradient * rate + fraction) // divisor, -limit, limit)


def in_c(twin: Twin) -> Any:
    return getattr(twin.library, twin.function.update)


def worst_gradient(twin: Twin) -> int:
    return next(a.worst for a in twin.step.accumulators if a.name == "gradient")


def gradients(twin: Twin, rate: int) -> list[int]:
    """0, the ends, and both sides of every place where something changes."""
    sizes, worst = twin.step.update.sizes, worst_gradient(twin)
    divisor, limit = sizes["divisor"], sizes["limit"]
    places = {0, 1, divisor // 2, divisor, limit * divisor, 2 * limit * divisor}
    quotients = {place // max(rate, 1) for place in places} | {worst, 2**31 // max(rate, 1)}
    near = {sign * (q + step) for q in quotients for step in (-1, 0, 1) for sign in (-1, 1)}
    return sorted(g for g in near if abs(g) <= worst)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("share", [0, 1, 2])
@pytest.mark.parametrize("noise", [0, 12345, 2**32 - 100])
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, share: int, noise: int) -> None:
    """With a rate of 0, of 1, and with the largest; every element has a number of its own."""
    twin = twins[name]
    rate = (0, 1, VARIANTS[name].ranges["rate"].high)[share]
    sizes, function, worst = twin.step.update.sizes, in_c(twin), worst_gradient(twin)
    limit, rng = sizes["limit"], np.random.default_rng(share)
    ws = sorted({-limit, -1, 0, 1, limit, *rng.integers(-limit, limit, 10)})
    gs = [*gradients(twin, rate), *rng.integers(-worst, worst, 50).tolist()]
    w, gradient = np.meshgrid(np.array(ws), np.array(gs, np.int64))
    triples = [
        (*pair, (noise + i) % 2**32)
        for i, pair in enumerate(zip(w.ravel().tolist(), gradient.ravel().tolist(), strict=True))
    ]
    expected = [
        by_hand(a, g, rate, word, sizes["bits"], sizes["divisor"], limit) for a, g, word in triples
    ]
    narrow, key = w.astype(VARIANTS[name].dtypes["b"]), np.array(noise, np.uint32)
    in_numpy = MASTER_STEP_NOISY.run(narrow, gradient, np.array(rate, np.uint8), key, sizes)
    np.testing.assert_array_equal(in_numpy.ravel(), expected)
    assert [function(a, g, rate, word) for a, g, word in triples] == expected


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=50)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twin = twins[name]
    sizes, worst = twin.step.update.sizes, worst_gradient(twin)
    w = data.draw(st.integers(-sizes["limit"], sizes["limit"]))
    gradient = data.draw(st.integers(-worst, worst))
    rate = data.draw(st.integers(0, VARIANTS[name].ranges["rate"].high))
    noise = data.draw(st.integers(0, 2**32 - 1))
    expected = by_hand(w, gradient, rate, noise, sizes["bits"], sizes["divisor"], sizes["limit"])
    assert (
        int(MASTER_STEP_NOISY.run(np.array(w), np.array(gradient), rate, noise, sizes)) == expected
    )
    assert in_c(twin)(w, gradient, rate, noise) == expected


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_called_by_a_kernel(twins: dict[str, Twin], name: str, kind: str) -> None:
    """Element i takes the random number noise + i."""

    def bias(
        delta: list, b: list, rate: int, noise: int, bits: int, divisor: int, limit: int
    ) -> dict:
        gradients = [sum(column) for column in zip(*delta, strict=True)]
        moved = [
            by_hand(w, g, rate, noise + i, bits, divisor, limit)
            for i, (w, g) in enumerate(zip(b, gradients, strict=True))
        ]
        return {"b": moved}

    twins[name].agree(bias, kind)


def test_variants_are_what_they_are_called(twins: dict[str, Twin]) -> None:
    for name, twin in twins.items():
        types = {a.name: a.dtype for a in twin.step.accumulators}
        words = [types[sum_][3:] for sum_ in ("gradient", "scaled", "moved")]
        assert " ".join(words) == name.split(",")[0]


@pytest.mark.parametrize("name", VARIANTS)
def test_no_gradient_and_no_rate_move_nothing(twins: dict[str, Twin], name: str) -> None:
    """Whatever the random number; rows of weights without a gradient are left out by that."""
    limit, worst = twins[name].step.update.sizes["limit"], worst_gradient(twins[name])
    for noise in range(1000):
        w = (-limit, -1, 0, 1, limit)[noise % 5]
        assert in_c(twins[name])(w, 0, 1, noise) == in_c(twins[name])(w, worst, 0, noise) == w


@pytest.mark.parametrize("gradient", [-300, -256, -100, -1, 1, 100, 256, 300, 5000])
def test_it_rounds_to_the_true_step_on_average(twins: dict[str, Twin], gradient: int) -> None:
    """By one of the two neighbours; 5 standard deviations at most."""
    sizes, rate, count = twins["32 32 32"].step.update.sizes, 16, 20_000
    w = MASTER_STEP_NOISY.run(np.zeros(count, np.int16), np.full(count, gradient), rate, 99, sizes)
    true = -gradient * rate / sizes["divisor"]
    floor, share = true // 1, true % 1
    assert set(w.tolist()) <= {int(floor), int(floor) + 1}
    assert abs(w.mean() - true) <= 5 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize("name", VARIANTS)
def test_c_counts_what_the_clamp_holds_back(twins: dict[str, Twin], name: str) -> None:
    """In a debug build: a weight that would go beyond the clamp, not one that just reaches it."""
    twin = twins[name]
    sizes, rate = twin.step.update.sizes, VARIANTS[name].ranges["rate"].high
    limit, fraction = sizes["limit"], scattered(5) // 2 ** (32 - sizes["bits"])
    for w in (-limit, 0, limit):
        for gradient in gradients(twin, rate):
            before = twin.library.clamped
            in_c(twin)(w, gradient, rate, 5)
            beyond = abs(w - (gradient * rate + fraction) // sizes["divisor"]) > limit
            assert (twin.library.clamped - before) % 2**32 == beyond, (w, gradient)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("gradient", [Range.symmetric(1), Range.symmetric(9)])
@pytest.mark.parametrize("rate", [Range(0, 1), Range(0, 3)])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_bound_is_reached_and_never_exceeded(
    limit: int, gradient: Range, rate: Range, bits: int
) -> None:
    """By every fraction of so many bits."""
    w, divisor = Range.symmetric(limit), 2**bits
    bound = MASTER_STEP_NOISY.bound(
        {"w": w, "gradient": gradient, "rate": rate, "noise": WORDS},
        {"bits": bits, "divisor": divisor, "limit": limit},
    )
    scaled = {g * r + f for g, r, f in product(every(gradient), every(rate), range(divisor))}
    moved = [a - s // divisor for a in every(w) for s in scaled]
    assert {a.name: a.worst for a in bound.accumulators} == {
        "scaled": max(map(abs, scaled)),
        "moved": max(map(abs, moved)),
    }
    assert bound.ranges["w"] == w


def test_cost() -> None:
    assert MASTER_STEP_NOISY.cost({}) == Cost(macs=1)
