"""key = key(seed, step streams + stream): the key of one update's random numbers in one place.

Every update and every place in the network has a stream of its own, so that neither loop order nor
tiling can change a random number.
"""

from __future__ import annotations

from collections.abc import Mapping

from pocketgen.intmath import store, stream_key
from pocketgen.ir import Arg, Array, Bound, Cost, Kernel, Range, Sizes


def run(step: Array, key: Array, sizes: Sizes) -> None:
    """step: updates so far; key: of this update; both uint32 scalars."""
    store(key, stream_key(sizes["seed"], int(step) * sizes["streams"] + sizes["stream"]))  # 1.


def bound(ranges: Mapping[str, Range], sizes: Sizes) -> Bound:
    """key: any word."""
    return Bound(ranges={"key": Range(0, 2**32 - 1)})


def cost(sizes: Sizes) -> Cost:
    """Two random numbers."""
    return Cost()


STEP_KEY = Kernel(
    name="step_key",
    equation="key = key(seed, step streams + stream)",
    args=(
        Arg("step", "in"),
        Arg("key", "out"),
    ),
    sizes=("seed", "streams", "stream"),
    passed=("streams", "stream"),
    run=run,
    bound=bound,
    cost=cost,
    primitives=("mix", "stream_key"),
)
