"""w = clamp(w - G rate / divisor), rounded up or down at random: stochastic rounding.

The chance to round up is the fraction that rounding cuts off, so that steps below w's unit move it
on average as they should. A weight's random word is a function of (this update's key, its index).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import clamp, floor_pow2, high_bits, mix, wide
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes
from pocketgen.kernels.master_step import descent


def run(w: Array, gradient: Array, rate: int, noise: int, sizes: Sizes) -> Array:
    """w, gradient: any equal shape; noise: the key; the new w as int64."""
    word = mix(noise + np.arange(w.size, dtype=np.int64).reshape(w.shape))  # 1.
    fraction = high_bits(word, sizes["bits"])
    scaled = wide(gradient) * rate + fraction  # 2.
    moved = wide(w) - floor_pow2(scaled, sizes["divisor"])  # 3.
    return clamp(moved, -sizes["limit"], sizes["limit"])  # 4.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """w stays in [-limit, limit]; the fraction of so many bits is below divisor."""
    product = ranges["gradient"].product(ranges["rate"])
    return descent(product, Range(0, sizes["divisor"] - 1), sizes)


def cost(sizes: Sizes) -> Cost:
    """One random number, one multiplication and one shift for each weight."""
    return Cost(macs=1)


MASTER_STEP_NOISY = Kernel(
    name="master_step_noisy",
    equation="w = clamp(w - (G rate + fraction) / divisor), rounded down, fraction random",
    args=(
        Arg("w", "inout"),
        Arg("gradient", "in"),
        Arg("rate", "in"),
        Arg("noise", "in"),
    ),
    sizes=("bits", "divisor", "limit"),
    label=("divisor",),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("mix", "high_bits", "floor_pow2:scaled", "clamp:moved"),
    element=True,
)
