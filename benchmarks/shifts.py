"""Images as another camera would give them: inverted, turned, noisy. Integers only.

Every function takes and returns images uint8 (samples, 784), rows of 28 x 28 pixels, and gives the
same on any machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pocketgen.intmath import draw_symmetric, stream_key

Images = NDArray[np.uint8]

SIDE = 28
ONE = 2**14  # of the sine and cosine
COSINE, SINE = 15826, 4240  # of 15 degrees
NOISE = 128  # a pixel's noise is uniform in -128..128
NOISE_SEED = 15


def inverted(images: Images, stream: int) -> Images:
    """Black for white."""
    return 255 - images


def rotated(images: Images, stream: int) -> Images:
    """By 15 degrees anticlockwise around the middle; bilinear, and 0 from beyond the edge."""
    # Twice the distance from the middle, so that it is an integer; a place is in 1 / (2 ONE).
    down, right = np.mgrid[0:SIDE, 0:SIDE] * 2 - (SIDE - 1)
    row = COSINE * down + SINE * right + (SIDE - 1) * ONE
    column = COSINE * right - SINE * down + (SIDE - 1) * ONE
    row, column = row.ravel(), column.ravel()
    framed = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1))).astype(np.int64)
    total = np.zeros((len(images), SIDE * SIDE), dtype=np.int64)
    for below in (0, 1):
        for beside in (0, 1):
            top, left = row // (2 * ONE), column // (2 * ONE)
            share = weight(row, below) * weight(column, beside)
            at = np.clip(top + below, -1, SIDE) + 1, np.clip(left + beside, -1, SIDE) + 1
            total += framed[:, at[0], at[1]] * share
    half = 2 * ONE * ONE
    return ((total + half) // (2 * half)).astype(np.uint8)


def weight(place: NDArray[np.int64], after: int) -> NDArray[np.int64]:
    """How much of a pixel before or after a place counts, of 2 ONE."""
    part = place % (2 * ONE)
    return part if after else 2 * ONE - part


def noisy(images: Images, stream: int) -> Images:
    """Uniform noise added to every pixel, cut off at 0 and 255; stream: which noise."""
    drawn = draw_symmetric(stream_key(NOISE_SEED, stream), np.arange(images.size), NOISE)
    return np.clip(images + drawn.reshape(images.shape), 0, 255).astype(np.uint8)


SHIFTS: dict[str, Callable[[Images, int], Images]] = {
    "inverted": inverted,
    "rotated": rotated,
    "noisy": noisy,
}
