"""The integer primitives that kernels are written with: C99's meaning, in numpy.

In: integers and integer arrays of any dtype. Out: int64 (uint32 for the random numbers).
Not here: anything that knows about networks. A kernel that needs integer division, a clamp or a
random number calls these by the names that the generated C uses too, because numpy's own
operators mean something else: ``-257 // 256`` is -2, C99's ``-257 / 256`` is -1.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int64 = NDArray[np.int64]
UInt32 = NDArray[np.uint32]

INT_LIMITS: dict[str, tuple[int, int]] = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")
}
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


def is_whole(value: object) -> bool:
    """Whether value is a whole number and not a truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def make_plain(record: Any) -> None:
    """Turn numpy's integers in a frozen dataclass into Python's, which never overflow."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.integer):
            object.__setattr__(record, field.name, int(value))


def is_rising_pair(value: object) -> bool:
    """Whether value is two whole numbers, the second the larger."""
    pair = value if isinstance(value, (tuple, list)) else ()
    return len(pair) == 2 and all(is_whole(end) for end in pair) and pair[0] < pair[1]


def wide(x: ArrayLike) -> Int64:
    """x as int64, the type in which every kernel of the reference computes."""
    return np.asarray(x).astype(np.int64)


def div_trunc(numerator: ArrayLike, denominator: ArrayLike) -> Int64:
    """C99's ``numerator / denominator``: the quotient truncated toward zero; denominator != 0."""
    n, d = wide(numerator), wide(denominator)
    magnitude = np.abs(n) // np.abs(d)
    return np.where((n < 0) != (d < 0), -magnitude, magnitude)


def div_pow2(x: ArrayLike, shift: int) -> Int64:
    """x / 2**shift, truncated toward zero; shift 0..31."""
    return div_trunc(x, 1 << int(shift))


def floor_pow2(x: ArrayLike, divisor: int) -> Int64:
    """x / divisor rounded down, for a power of two 1..2**31 as the divisor."""
    if divisor < 1 or divisor & (divisor - 1):
        raise AssertionError(f"divisor {divisor} is no power of two")
    return wide(x) >> (int(divisor).bit_length() - 1)


def clamp(x: ArrayLike, low: int, high: int) -> Int64:
    """x limited to [low, high]."""
    return np.minimum(np.maximum(wide(x), low), high)


def isqrt(n: int) -> int:
    """The largest integer whose square is at most n; n >= 0."""
    return math.isqrt(n)


def mix(x: ArrayLike) -> UInt32:
    """A bijection of the 32-bit words that scatters neighbours: the counter-based random number.

    Two rounds of xor-shift and multiplication modulo 2**32, a hash from the "lowbias32" family
    (C. Wellons, hash-prospector). A random number is ``mix(key + index)``, so that loop order,
    tiling and vector width cannot change it.
    """
    v = np.asarray(x, dtype=np.uint64) & np.uint64(0xFFFFFFFF)
    low_word = np.uint64(0xFFFFFFFF)
    v = v ^ (v >> np.uint64(16))
    v = (v * np.uint64(0x7FEB352D)) & low_word
    v = v ^ (v >> np.uint64(15))
    v = (v * np.uint64(0x846CA68B)) & low_word
    v = v ^ (v >> np.uint64(16))
    word: UInt32 = v.astype(np.uint32)
    return word


def next_word(x: ArrayLike) -> Int64:
    """x + 1 modulo 2**32."""
    return (wide(x) + 1) & 0xFFFFFFFF


def stream_key(seed: int, stream: int) -> int:
    """The key of one stream of random numbers, from a seed and the stream's number (uint32)."""
    return int(mix(int(seed) ^ int(mix(stream))))


def drop_word(key: int, index: ArrayLike, drop: int) -> UInt32:
    """Words of 32 random bits, each set with probability drop / 8, number ``index`` of a stream.

    A bit is set where a random number of three binary digits is less than drop; drop 0..7.
    """
    first = wide(index) * 3 + key
    less = np.zeros(first.shape, dtype=np.uint32)
    for digit in range(3):
        random = mix(first + digit)
        wanted = np.uint32(0xFFFFFFFF if drop >> digit & 1 else 0)
        less = (wanted & ~random) | (~(wanted ^ random) & less)
    return less


def high_bits(word: UInt32, bits: int) -> Int64:
    """The upper bits of random words, as numbers of so many bits; bits 1..31."""
    return wide(word >> np.uint32(32 - bits))


def low_bits(word: UInt32, count: int) -> Int64:
    """The bits 0 .. count - 1 of words, lowest first, along a new last axis; count 1..32."""
    return wide((word[..., np.newaxis] >> np.arange(count, dtype=np.uint32)) & np.uint32(1))


def draw_symmetric(key: int, index: ArrayLike, limit: int) -> Int64:
    """Integers in [-limit, limit] without 0, number ``index`` of a stream; limit 1..32767.

    The upper 16 bits of the random word are scaled to 0 .. 2*limit - 1, then 0 is stepped over.
    """
    counter = np.asarray(index, dtype=np.uint64) + np.uint64(key)
    word = mix(counter & np.uint64(0xFFFFFFFF))
    scaled = ((wide(word) >> 16) * (2 * limit)) >> 16  # both operands are non-negative
    below = scaled - limit
    return np.where(below < 0, below, below + 1)


def first_maximum(x: NDArray[Any]) -> Int64:
    """The index of the first largest element along the last axis."""
    return wide(np.argmax(x, axis=-1))


def ramp(count: int, period: int = 251) -> Int64:
    """0, 1, … period - 1, 0, 1, …: a prime period shows blocks that were swapped or shifted."""
    return np.arange(count, dtype=np.int64) % period


def matmul(a: ArrayLike, b: ArrayLike) -> Int64:
    """a @ b exactly, as int64; the caller's bounds exclude overflow of int64.

    Where no partial sum can reach 2**53 the product runs in float64, which is then exact in any
    order of summation and much faster than numpy's integer product.
    """
    left, right = wide(a), wide(b)
    largest = int(np.abs(left).max(initial=0)) * int(np.abs(right).max(initial=0))
    if largest * left.shape[-1] < 2**53:
        return wide(left.astype(np.float64) @ right.astype(np.float64))
    return left @ right


def store(target: NDArray[Any], value: ArrayLike) -> None:
    """Write value into target in place; AssertionError if it does not fit target's dtype."""
    exact = wide(value)
    low, high = INT_LIMITS[target.dtype.name]
    if exact.size and (int(exact.min()) < low or int(exact.max()) > high):
        raise AssertionError(f"{exact.min()}..{exact.max()} does not fit {target.dtype.name}")
    target[...] = exact
