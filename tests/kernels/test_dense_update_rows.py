"""W = update(W, G), G = sum over the batch of x delta, input by input."""

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
    scattered,
    trunc,
)
from pocketgen.ir import Cost
from pocketgen.kernels import DENSE_UPDATE_ROWS, MASTER_STEP, MASTER_STEP_NOISY, SGD_STEP

MASTERS = Range.symmetric(127 * 256)
BYTES = Range.symmetric(127)
DELTAS = Range.symmetric(1023)
WORDS = Range(0, 2**32 - 1)
BATCH = 5


def nearest(
    fan_in: int = 6, fan_out: int = 7, tile: int = 150, bits: int = 13, **ranges: Range
) -> Variant:
    known = {"x": INT8, "delta": DELTAS, "n": Range(1, BATCH), "W": MASTERS, "rate": Range(0, 16)}
    known |= ranges
    return Variant(
        DENSE_UPDATE_ROWS,
        known,
        {"fan_in": fan_in, "fan_out": fan_out, "batch": BATCH, "tile": min(tile, fan_out)},
        dtypes={"W": known["W"].dtype(), "x": "uint8" if known["x"].high == 255 else ""},
        element=MASTER_STEP,
        update={"half": 2**bits // 2, "divisor": 2**bits},
    )


def noisy(bits: int = 13, **options: object) -> Variant:
    made = nearest(**options)
    return replace(
        made,
        ranges={**made.ranges, "noise": WORDS},
        element=MASTER_STEP_NOISY,
        update={"bits": bits, "divisor": 2**bits},
    )


VARIANTS = {
    "int32": nearest(),
    "fast": nearest(bits=1),
    "raw": nearest(x=Range(0, 255), bits=4),
    "errors": nearest(delta=Range.symmetric(256), bits=8),
    "tight clamp": nearest(W=Range.symmetric(9), bits=4),
    "int64": nearest(x=INT16, delta=INT32, bits=20),
    "int64, fast": nearest(x=INT16, delta=INT32, bits=4),
    "one tile": nearest(fan_in=2, fan_out=64, tile=64, bits=4),
    "a tile and one": nearest(fan_in=2, fan_out=65, tile=64, bits=4),
    "small tiles": nearest(tile=3, bits=4),
    "no tile left": nearest(fan_out=6, tile=3, bits=4),
    "one": nearest(fan_in=1, fan_out=1, bits=4),
    "noisy": noisy(),
    "noisy bytes": noisy(bits=21, W=BYTES),
    "noisy bytes, fast": noisy(bits=8, W=BYTES),
    "noisy, small tiles": noisy(bits=4, tile=3),
    "noisy, no tile left": noisy(bits=4, fan_out=6, tile=3),
    "noisy, int64": noisy(bits=20, x=INT16, delta=INT32),
    "noisy, one": noisy(bits=4, fan_in=1, fan_out=1),
}
twins = single.twins_of(VARIANTS)
NEAREST = [name for name in VARIANTS if not name.startswith("noisy")]
NOISY = [name for name in VARIANTS if name.startswith("noisy")]


def gradients(x: list, delta: list) -> list:
    """One row for each input."""
    samples = list(zip(x, delta, strict=True))
    return [
        [sum(row[i] * d[o] for row, d in samples) for o in range(len(delta[0]))]
        for i in range(len(x[0]))
    ]


def to_the_nearest(
    x: list, delta: list, W: list, rate: int, half: int, divisor: int, limit: int
) -> dict:
    rows = zip(W, gradients(x, delta), strict=True)
    return {
        "W": [
            [
                limited(w - (g * rate + half) // divisor, -limit, limit)
                for w, g in zip(*row, strict=True)
            ]
            for row in rows
        ]
    }


def at_random(
    x: list, delta: list, W: list, rate: int, noise: int, bits: int, divisor: int, limit: int
) -> dict:
    """A weight's random number is that of its place, whatever was left out before it."""
    fan_out = len(W[0])

    def moved(i: int, o: int, gradient: int) -> int:
        fraction = scattered(noise + i * fan_out + o) // 2 ** (32 - bits)
        return limited(W[i][o] - (gradient * rate + fraction) // divisor, -limit, limit)

    rows = enumerate(gradients(x, delta))
    return {"W": [[moved(i, o, g) for o, g in enumerate(row)] for i, row in rows]}


def agree(twins: dict[str, Twin], name: str, data: object) -> np.ndarray:
    return twins[name].agree(at_random if name in NOISY else to_the_nearest, data)["W"]


def of_size(twin: Twin, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random data with n samples, and the largest rate."""
    rng = np.random.default_rng(seed)
    data = twin.data("random", seed)
    data |= {"n": np.array(n, np.uint16), "rate": np.array(16, np.uint8)}
    for name in ("x", "delta"):
        buffer = twin.program.buffers[name]
        limits, shape = buffer.proven, (n, *buffer.shape)
        values = rng.integers(limits.low, limits.high, shape, endpoint=True, dtype=np.int64)
        data[name] = values.astype(buffer.dtype)
    return data


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    agree(twins, name, kind)


@pytest.mark.parametrize("n", range(1, BATCH + 1))
@pytest.mark.parametrize("name", VARIANTS)
def test_every_size_of_batch(twins: dict[str, Twin], name: str, n: int) -> None:
    data = of_size(twins[name], n, seed=n)
    assert (agree(twins, name, data) != data["W"]).any()


@pytest.mark.parametrize("name", ["int32", "small tiles", "noisy", "noisy bytes, fast",
                                  "noisy, small tiles", "noisy, no tile left"])  # fmt: skip
@pytest.mark.parametrize("silent", [[0], [5], [2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]])
def test_rows_without_an_input_are_left_out(
    twins: dict[str, Twin], name: str, silent: list[int]
) -> None:
    """Inputs of 0 in the whole batch; the rows after them keep their random numbers."""
    data = of_size(twins[name], BATCH, seed=2)
    data["x"][:, silent] = 0
    W = agree(twins, name, data)
    np.testing.assert_array_equal(W[silent], data["W"][silent])
    heard = [i for i in range(6) if i not in silent]
    np.testing.assert_array_equal(W[heard], agree(twins, name, of_size(twins[name], 5, 2))[heard])
    assert (data["W"] != W).any() == bool(heard)


@pytest.mark.parametrize("name", ["fast", "small tiles", "noisy", "noisy, small tiles"])
@pytest.mark.parametrize("first", range(BATCH))
def test_the_first_samples_without_an_input(twins: dict[str, Twin], name: str, first: int) -> None:
    """Input i is silent in the first samples, in every second, in the last ones."""
    data = of_size(twins[name], BATCH, seed=3)
    data["x"][:first, 1] = 0
    data["x"][first:, 2] = 0
    data["x"][first % 2 :: 2, 3] = 0
    data["x"][:, 4] = 0
    data["x"][first, 4] = 1
    agree(twins, name, data)


@pytest.mark.parametrize("value", [-2, -1, 1, 2])
def test_none_but_0_is_left_out(twins: dict[str, Twin], value: int) -> None:
    data = of_size(twins["fast"], BATCH, seed=4)
    data["x"][...] = value
    agree(twins, "fast", data)


def test_noise_wraps(twins: dict[str, Twin]) -> None:
    data = of_size(twins["noisy"], BATCH)
    data["noise"] = np.array(2**32 - 20, np.uint32)
    agree(twins, "noisy", data)


def test_noise_is_that_of_a_place_whatever_the_tile(twins: dict[str, Twin]) -> None:
    """Small tiles or one: the same weights."""
    whole = noisy(bits=4)
    twin = single.compile_all({"whole": whole})["whole"]
    data = of_size(twin, BATCH)
    np.testing.assert_array_equal(
        twin.agree(at_random, data)["W"], agree(twins, "noisy, small tiles", data)
    )


@pytest.mark.parametrize(
    "name", ["int32", "fast", "int64", "small tiles", "noisy", "noisy bytes", "noisy, small tiles"]
)
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    agree(twins, name, twins[name].drawn(data.draw))


def test_the_step_of_another_rule() -> None:
    """Any element kernel that a gradient of 0 does not move will do: here sgd_step."""
    known = {"x": INT8, "delta": INT8, "n": Range(1, 5), "W": INT16, "lr_shift": Range(0, 15)}
    sizes = {"fan_in": 6, "fan_out": 7, "batch": BATCH, "tile": 3}
    sgd = Variant(DENSE_UPDATE_ROWS, known, sizes, element=SGD_STEP, update={"lr_inv": 3})

    def by_hand(x: list, delta: list, W: list, lr_shift: int, lr_inv: int, limit: int) -> dict:
        def moved(w: int, g: int) -> int:
            return limited(w + trunc(trunc(g, 2**lr_shift), -lr_inv), -limit, limit)

        rows = zip(W, gradients(x, delta), strict=True)
        return {"W": [[moved(*pair) for pair in zip(*row, strict=True)] for row in rows]}

    twin = single.compile_all({"sgd": sgd})["sgd"]
    for kind in single.KINDS:
        twin.agree(by_hand, kind)


def test_variants_are_what_they_are_called() -> None:
    for name, variant in VARIANTS.items():
        assert variant.accumulators["gradient"] == ("int64" if "int64" in name else "int32")


@pytest.mark.parametrize("delta", [Range(-2, 1), Range(2, 3), Range(-3, -2), Range(0, 0)])
@pytest.mark.parametrize("x", [Range(-1, 2), Range(0, 3), Range(1, 2)])
def test_bound_is_exact(x: Range, delta: Range) -> None:
    ranges = {"x": x, "delta": delta, "n": Range(1, 3), "W": MASTERS}
    sizes = {"fan_in": 1, "fan_out": 1, "batch": 3, "tile": 1}
    (accumulator,) = DENSE_UPDATE_ROWS.bound(ranges, sizes).accumulators
    terms = sorted({v * d for v, d in product(every(x), every(delta))})
    sums = [total for way in product(terms, repeat=3) for total in partial_sums(way)]
    assert accumulator.worst == max(map(abs, sums))


@pytest.mark.parametrize("name", ["int64, fast", "noisy, int64"])
def test_the_worst_gradient_is_reached_without_overflow(twins: dict[str, Twin], name: str) -> None:
    data = of_size(twins[name], BATCH)
    data["x"][...], data["delta"][...] = -32767, 2**31 - 1
    agree(twins, name, data)
    data["delta"][...] = -(2**31) + 1
    agree(twins, name, data)
    (gradient, *_) = twins[name].step.accumulators
    assert gradient.worst == BATCH * 32767 * (2**31 - 1)


@pytest.mark.parametrize("name", ["int64, fast", "noisy bytes, fast", "tight clamp"])
def test_the_clamp_from_both_sides(twins: dict[str, Twin], name: str) -> None:
    data = of_size(twins[name], BATCH)
    limits = {word: twins[name].program.buffers[word].proven for word in ("x", "delta", "W")}
    data["x"][...], data["W"][...] = limits["x"].high, 0
    data["delta"][...] = limits["delta"].high
    assert set(agree(twins, name, data).ravel().tolist()) == {limits["W"].low}
    data["delta"][...] = limits["delta"].low
    assert set(agree(twins, name, data).ravel().tolist()) == {limits["W"].high}


def test_cost() -> None:
    assert DENSE_UPDATE_ROWS.cost({"fan_in": 7, "fan_out": 5, "batch": 3}) == Cost(macs=105)
