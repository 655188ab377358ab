"""Random ranges, and inputs at nothing but their corners: no kernel leaves its bound.

The tests of each kernel hold its bound against every value of small ranges; here ranges are as
long, as short and as lopsided as hypothesis likes. Types follow from the ranges, and what does not
fit its type or its range fails. Kernels whose inputs have few ranges, or none, are left to their
own tests.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels.single import INT32, Range, Twin, Variant
from pocketgen.errors import UnsafeModelError
from pocketgen.kernels import KERNELS, SGD_STEP

DENSE = {"fan_in": 5, "fan_out": 3, "headroom": 0}
# sizes of each kernel, and how far the range of each input may reach
ACCEPTED: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "dense_forward": (DENSE, {"x": 2**16, "W": 32767, "b": 32767}),
    "dense_forward_wide": (DENSE, {"x": 2**16, "W": 32767, "b": 32767}),
    "pocket_relu8bit": ({"n": 5}, {"h": 2**31 - 1}),
    "pocket_leakyrelu": ({"n": 5}, {"h": 2**31 - 1}),
    "identity": ({"n": 5}, {"h": 2**31 - 1}),
    "error_vector": ({"n": 5}, {"a": 2**30, "y": 32767}),
    "feedback_project": ({"n": 3, "classes": 4}, {"e": 2**31 - 1, "R": 32767}),
    "dense_input_gradient": (DENSE, {"delta": 2**31 - 1, "W": 32767}),
}


def test_the_kernels_are_there() -> None:
    assert set(ACCEPTED) <= set(KERNELS)


@st.composite
def ranges(draw: st.DrawFn, limit: int) -> Range:
    """Any interval within the limit; often one that ends there or at 0."""
    end = st.integers(-limit, limit) | st.sampled_from([-limit, -1, 0, 1, limit])
    low, high = sorted((draw(end), draw(end)))
    return Range(low, high)


def symmetric(name: str, values: Range) -> Range:
    """Weights are clamped alike on both sides, and by 1 at least."""
    return Range.symmetric(max(values.magnitude, 1)) if name in ("W", "b") else values


@pytest.mark.parametrize("name", ACCEPTED)
@settings(max_examples=40)
@given(data=st.data())
def test_corners_stay_within_the_bound(name: str, data: st.DataObject) -> None:
    sizes, limits = ACCEPTED[name]
    chosen = {arg: symmetric(arg, data.draw(ranges(limit))) for arg, limit in limits.items()}
    try:
        twin = Twin(Variant(KERNELS[name], chosen, sizes), "k")
    except UnsafeModelError:
        assume(False)
    inputs = twin.data("extreme", data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):  # every input at one and the same corner
        for argument, buffer in twin.inputs.items():
            ends = (buffer.proven.low, buffer.proven.high)
            inputs[argument][...] = data.draw(st.sampled_from(ends))
    for output, values in twin.by_numpy(inputs).items():
        proven = twin.program.buffers[output].proven
        assert proven.low <= int(values.min()) <= int(values.max()) <= proven.high


@settings(max_examples=200)
@given(
    limit=st.integers(1, 32767),
    lr_inv=st.integers(1, 2**31 - 1) | st.integers(1, 9),
    gradient=ranges(2**62),
    lr_shift=st.integers(0, 15),
)
def test_corners_of_the_update(limit: int, lr_inv: int, gradient: Range, lr_shift: int) -> None:
    """Every mixture of a weight's and a gradient's corners; and what stands between is bounded."""
    sizes = {"lr_inv": lr_inv, "limit": limit}
    given_ranges = {"w": Range.symmetric(limit), "gradient": gradient}
    bound = SGD_STEP.bound(given_ranges, sizes)
    corners = [(w, g) for w in (-limit, limit) for g in (gradient.low, gradient.high)]
    w, g = (np.array(column, np.int64) for column in zip(*corners, strict=True))
    moved = SGD_STEP.run(w, g, lr_shift, {**sizes, **bound.sizes})
    assert int(np.abs(moved).max()) <= bound.ranges["w"].magnitude <= limit
    assert all(a.worst <= INT32.high for a in bound.accumulators if a.dtype == "int32")
