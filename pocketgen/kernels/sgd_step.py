"""w = clamp(w + G / 2^lr_shift / -lr_inv): stochastic gradient descent with an inverse rate.

Source: PocketNN (arXiv 2201.02863): integer training divides by lr_inv = 1 / (learning rate).
lr_shift halves the rate that many times. A gradient too long for 32 bits is first limited to where
w reaches its clamp from either end, which changes no result and makes the division a 32-bit one.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import INT32_MAX, clamp, div_pow2, div_trunc, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(w: Array, gradient: Array, lr_shift: int, sizes: Sizes) -> Array:
    """w, gradient: any equal shape; the new w as int64."""
    scaled = div_pow2(gradient, lr_shift)  # 1.
    if sizes["gradient_limit"]:
        scaled = clamp(scaled, -sizes["gradient_limit"], sizes["gradient_limit"])  # 2.
    moved = wide(w) + div_trunc(scaled, -sizes["lr_inv"])  # 3.
    return clamp(moved, -sizes["limit"], sizes["limit"])  # 4.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """w stays in [-limit, limit]; beyond 2 * limit * lr_inv a gradient changes nothing more."""
    gradient, limit = ranges["gradient"].magnitude, sizes["limit"]
    gradient_limit = 0
    moved = limit + int(div_trunc(gradient, sizes["lr_inv"]))
    if max(gradient, moved) > INT32_MAX:
        gradient_limit = gradient = min(gradient, (2 * limit + 1) * sizes["lr_inv"])
        moved = limit + int(div_trunc(gradient, sizes["lr_inv"]))
    return Bound(
        ranges={"w": Range.symmetric(limit)},
        sizes={"gradient_limit": gradient_limit},
        accumulators=(
            Accumulator.of("scaled", Range.symmetric(gradient)),
            Accumulator.of("moved", Range.symmetric(moved)),
        ),
    )


def cost(sizes: Sizes) -> Cost:
    """One division by a constant for each weight."""
    return Cost(divisions=1)


SGD_STEP = Kernel(
    name="sgd_step",
    equation="w = clamp(w + (G / 2^lr_shift) / -lr_inv)",
    args=(
        Arg("w", "inout"),
        Arg("gradient", "in"),
        Arg("lr_shift", "in"),
    ),
    sizes=("lr_inv", "limit", "gradient_limit"),
    label=("lr_inv", "limit"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=(
        "div_pow2:gradient",
        "clamp:gradient",
        "div_trunc:scaled",
        "clamp:moved",
    ),
    element=True,
)
