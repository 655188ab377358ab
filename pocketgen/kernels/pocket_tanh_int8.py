"""a = PocketTanh(z) with the slope itself, z = h / divisor rounded to the nearest.

Source: PocketNN (arXiv 2201.02863), table of pocket activations. In place of the published inverse
slopes 1, 2, 8, 127 training multiplies by four times the true ones: 8, 4, 1, 0. The curve is odd:
its pieces hold for |z|, and a takes z's sign.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketgen.intmath import div_trunc, floor_pow2, store, wide
from pocketgen.ir import Accumulator, Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(h: Array, a: Array, sizes: Sizes, f: Array | None = None) -> None:
    """h, a, f: (samples, n)."""
    z = floor_pow2(wide(h) + sizes["half"], sizes["divisor"])  # 1.
    size = np.abs(z)
    pieces = [size < 32, size < 75, size < 128]
    curve = np.select(pieces, [2 * size, size + 32, div_trunc(size, 4) + 88], 127)  # 2.
    store(a, np.where(z < 0, -curve, curve))
    if f is not None:
        store(f, np.select(pieces, [8, 4, 1], 0))  # 3.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """a: the curve at both ends of h's range (it never falls); f: any of the four."""
    h = ranges["h"]
    rounded = Range(h.low, h.high + sizes["half"])  # before and after half is added
    a = np.zeros(2, dtype=np.int64)
    run(h=np.array([h.low, h.high], dtype=np.int64), a=a, sizes=sizes)
    return Bound(
        ranges={"a": Range(int(a[0]), int(a[1])), "f": Range(0, 8)},
        accumulators=(Accumulator.of("rounded", rounded),),
    )


def cost(sizes: Sizes) -> Cost:
    """Shifts and comparisons only."""
    return Cost()


POCKET_TANH_INT8 = Kernel(
    name="pocket_tanh_int8",
    equation="a = PocketTanh(z), f = 4 slope, z = (h + half) / divisor, rounded down",
    args=(
        Arg("h", "in", ("n",)),
        Arg("a", "out", ("n",)),
        Arg("f", "out", ("n",), optional=True),
    ),
    sizes=("n", "half", "divisor"),
    label=("n", "divisor"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("floor_pow2:rounded", "div_trunc:rounded"),
)
