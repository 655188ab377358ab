"""The integer primitives: numpy and C, against plain Python integers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import single
from kernels.single import drawn, key_of, limited, scattered, trunc
from pocketgen import intmath
from pocketgen.intmath import INT_LIMITS
from pocketgen.render import environment
from support import require

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
WORD = st.integers(0, 2**32 - 1)
EDGES_32 = [0, 1, 2, 3, 255, 256, 257, 32767, 32768, 2**31 - 2, 2**31 - 1]
EDGES_64 = [*EDGES_32, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1]


def both_signs(numbers: list[int]) -> list[int]:
    return sorted({sign * n for n in numbers for sign in (-1, 1)})


# --- the C twins, printed from their templates --------------------------------------------------

FUNCTIONS = [
    ("div_trunc", "int32_t"),
    ("div_trunc", "int64_t"),
    ("div_pow2", "int32_t"),
    ("div_pow2", "int64_t"),
    ("floor_pow2", "int32_t"),
    ("floor_pow2", "int64_t"),
    ("clamp", "int32_t"),
    ("clamp", "int64_t"),
    ("mix", ""),
    ("stream_key", ""),
    ("draw_symmetric", ""),
    ("drop_word", ""),
    ("high_bits", ""),
]


@pytest.fixture(scope="module")
def c() -> Any:
    """The library, with every primitive in every type that kernels use."""
    functions = [
        SimpleNamespace(
            name=f"p_{function}{'_64' if kind == 'int64_t' else ''}",
            template=f"intmath/{function}.c.j2",
            type=kind,
            unsigned=f"u{kind}",
        )
        for function, kind in FUNCTIONS
    ]
    text = (
        environment()
        .get_template("_intmath.j2")
        .render(functions=functions, plan=SimpleNamespace(prefix="p"))
    )
    return single.compiled(text)[1]


@pytest.fixture(autouse=True)
def _no_undefined_behaviour(capfd: pytest.CaptureFixture[str]) -> Any:
    yield
    assert "runtime error" not in capfd.readouterr().err


def test_undefined_behaviour_would_be_seen(capfd: pytest.CaptureFixture[str]) -> None:
    text = "\nstatic int p_next(int x)\n{\n    return x + 1;\n}\n"
    single.compiled(text)[1].p_next(2**31 - 1)
    seen = capfd.readouterr().err
    if not seen:
        require(False, "this compiler has no checks for undefined behaviour")
    assert "runtime error" in seen


# --- division -----------------------------------------------------------------------------------


@given(INT64, INT64.filter(bool))
def test_div_trunc(n: int, d: int) -> None:
    assert int(intmath.div_trunc(n, d)) == trunc(n, d)


def test_div_trunc_at_the_edges(c: Any) -> None:
    for n in both_signs(EDGES_64):
        for d in both_signs(EDGES_64[1:]):
            expected = trunc(n, d)
            assert int(intmath.div_trunc(n, d)) == expected
            assert c.p_div_trunc_64(n, d) == expected
            if max(abs(n), abs(d)) < 2**31:
                assert c.p_div_trunc(n, d) == expected


def test_div_trunc_is_c_s_division_not_python_s() -> None:
    assert int(intmath.div_trunc(-257, 256)) == -1
    assert -257 // 256 == -2


def test_div_trunc_of_arrays_and_of_other_types() -> None:
    n = np.array([-9, -1, 0, 1, 9], np.int8)
    np.testing.assert_array_equal(intmath.div_trunc(n, 2), [-4, 0, 0, 0, 4])
    np.testing.assert_array_equal(
        intmath.div_trunc(n, np.array([1, -1, 5, 2, -4])), [-9, 1, 0, 0, -2]
    )
    assert intmath.div_trunc(n, 2).dtype == np.int64
    assert int(intmath.div_trunc(np.int8(-128), -1)) == 128


@given(INT64, st.integers(0, 31))
def test_div_pow2(x: int, shift: int) -> None:
    assert int(intmath.div_pow2(x, shift)) == trunc(x, 2**shift)


@pytest.mark.parametrize("shift", [0, 1, 7, 15, 30, 31])
def test_div_pow2_at_the_edges(c: Any, shift: int) -> None:
    for x in both_signs(EDGES_64):
        expected = trunc(x, 2**shift)
        assert int(intmath.div_pow2(x, shift)) == expected
        assert c.p_div_pow2_64(x, shift) == expected
        if abs(x) < 2**31:
            assert c.p_div_pow2(x, shift) == expected


@given(INT32, st.integers(0, 31))
def test_div_pow2_in_c(c: Any, x: int, shift: int) -> None:
    assert c.p_div_pow2(x, shift) == c.p_div_pow2_64(x, shift) == trunc(x, 2**shift)


POWERS = st.integers(0, 30).map(lambda shift: 2**shift)


@given(INT64, st.integers(0, 31))
def test_floor_pow2(x: int, shift: int) -> None:
    assert int(intmath.floor_pow2(x, 2**shift)) == x // 2**shift


@given(INT32, POWERS)
def test_floor_pow2_in_c(c: Any, x: int, divisor: int) -> None:
    assert c.p_floor_pow2(x, divisor) == c.p_floor_pow2_64(x, divisor) == x // divisor


@given(INT64, POWERS)
def test_floor_pow2_of_64_bits_in_c(c: Any, x: int, divisor: int) -> None:
    assert c.p_floor_pow2_64(x, divisor) == x // divisor


@pytest.mark.parametrize("shift", [0, 1, 7, 8, 15, 16, 29, 30, 31])
def test_floor_pow2_at_the_edges(c: Any, shift: int) -> None:
    """The least number of each type, too: what is taken from x never goes below it."""
    divisor = 2**shift
    multiples = [k * divisor + step for k in (-3, -2, -1, 0, 1, 2) for step in (-1, 0, 1)]
    for x in [-(2**63), -(2**63) + 1, -(2**31), *both_signs(EDGES_64), *multiples]:
        assert int(intmath.floor_pow2(x, divisor)) == c.p_floor_pow2_64(x, divisor) == x // divisor
        if -(2**31) <= x < 2**31 and shift < 31:
            assert c.p_floor_pow2(x, divisor) == x // divisor


def test_floor_pow2_rounds_down_where_div_pow2_truncates() -> None:
    x = np.array([-257, -256, -255, -1, 0, 255, 256], np.int16)
    assert intmath.floor_pow2(x, 256).tolist() == [-2, -1, -1, -1, 0, 0, 1]
    assert intmath.div_pow2(x, 8).tolist() == [-1, -1, 0, 0, 0, 0, 1]
    assert intmath.floor_pow2(x, 256).dtype == np.int64


@pytest.mark.parametrize("divisor", [0, -1, -2, 3, 6, 255])
def test_floor_pow2_takes_powers_of_two_only(divisor: int) -> None:
    with pytest.raises(AssertionError, match=f"{divisor} is no power of two"):
        intmath.floor_pow2(1, divisor)


# --- clamp --------------------------------------------------------------------------------------


@given(INT32, INT32, INT32)
def test_clamp(c: Any, x: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    expected = limited(x, low, high)
    assert int(intmath.clamp(x, low, high)) == expected
    assert c.p_clamp(x, low, high) == c.p_clamp_64(x, low, high) == expected


@given(INT64, INT64, INT64)
def test_clamp_of_64_bits(c: Any, x: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert int(intmath.clamp(x, low, high)) == c.p_clamp_64(x, low, high) == limited(x, low, high)


# --- random numbers -----------------------------------------------------------------------------


@given(WORD)
def test_mix(c: Any, x: int) -> None:
    assert int(intmath.mix(x)) == c.p_mix(x) == scattered(x)


def test_mix_of_arrays_wraps_and_is_uint32() -> None:
    x = np.array([0, 1, 2**32 - 1, 2**32, 2**40 + 3])
    words = intmath.mix(x)
    assert words.dtype == np.uint32
    assert words.tolist() == [scattered(v) for v in x.tolist()]


def test_mix_is_a_bijection() -> None:
    """Each of its steps can be undone."""

    def unmixed(word: int) -> int:
        def unshift(x: int, by: int) -> int:
            y = x
            for _ in range(32 // by + 1):
                y = x ^ (y >> by)
            return y

        word = unshift(word, 16) * pow(0x846CA68B, -1, 2**32) % 2**32
        word = unshift(word, 15) * pow(0x7FEB352D, -1, 2**32) % 2**32
        return unshift(word, 16)

    for x in [0, 1, 2, 2**31, 2**32 - 1, 0x12345678]:
        assert unmixed(int(intmath.mix(x))) == x


@given(WORD, WORD)
def test_stream_key(c: Any, seed: int, stream: int) -> None:
    assert intmath.stream_key(seed, stream) == c.p_stream_key(seed, stream) == key_of(seed, stream)


@given(WORD, WORD, st.integers(1, 32767))
def test_draw_symmetric(c: Any, key: int, index: int, limit: int) -> None:
    expected = drawn(key, index, limit)
    assert int(intmath.draw_symmetric(key, index, limit)) == expected
    assert c.p_draw_symmetric(key, index, limit) == expected
    assert 1 <= abs(expected) <= limit


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_draw_symmetric_is_even(limit: int) -> None:
    """Each of the 2 * limit values comes about as often; 5 standard deviations at most."""
    count = 200_000
    values, times = np.unique(
        intmath.draw_symmetric(1, np.arange(count), limit), return_counts=True
    )
    assert values.tolist() == [*range(-limit, 0), *range(1, limit + 1)]
    expected = count / (2 * limit)
    assert np.abs(times - expected).max() < 5 * expected**0.5


def test_draw_symmetric_reaches_both_ends_of_the_widest_range() -> None:
    values = intmath.draw_symmetric(0, np.arange(2**20), 32767)
    assert (values.min(), values.max()) == (-32767, 32767)
    assert (values != 0).all()


def dropping(key: int, index: int, drop: int) -> int:
    """Bit by bit: three binary digits, the highest from the last word, are less than drop."""
    digits = [scattered(key + 3 * index + k) for k in range(3)]
    return sum(
        2**bit
        for bit in range(32)
        if sum(word // 2**bit % 2 * 2**k for k, word in enumerate(digits)) < drop
    )


@given(WORD, WORD, st.integers(0, 7))
def test_drop_word(c: Any, key: int, index: int, drop: int) -> None:
    expected = dropping(key, index, drop)
    assert int(intmath.drop_word(key, index, drop)) == expected
    assert c.p_drop_word(key, index, drop) == expected


@pytest.mark.parametrize("drop", range(8))
def test_drop_word_where_the_counter_wraps(c: Any, drop: int) -> None:
    for key, index in ((2**32 - 1, 0), (2**32 - 1, 1), (2**32 - 1, 2**32 - 1), (0, 2**32 // 3)):
        expected = dropping(key, index, drop)
        assert int(intmath.drop_word(key, index, drop)) == expected
        assert c.p_drop_word(key, index, drop) == expected


@pytest.mark.parametrize("drop", range(8))
def test_drop_word_sets_each_bit_as_often_as_asked_for(drop: int) -> None:
    """5 standard deviations at most; never and, of 8 eighths, all but one."""
    count, p = 100_000, drop / 8
    words = intmath.drop_word(1, np.arange(count), drop)
    assert words.dtype == np.uint32
    seen = intmath.low_bits(words, 32).mean(axis=0)
    assert np.abs(seen - p).max() <= 5 * (p * (1 - p) / count) ** 0.5


@given(WORD, st.integers(1, 31))
def test_high_bits(c: Any, word: int, bits: int) -> None:
    expected = word // 2 ** (32 - bits)
    assert int(intmath.high_bits(np.uint32(word), bits)) == expected
    assert c.p_high_bits(word, bits) == expected
    assert 0 <= expected < 2**bits


@pytest.mark.parametrize("bits", [1, 8, 13, 28, 31])
def test_high_bits_at_the_edges(c: Any, bits: int) -> None:
    words = np.array([0, 1, 2 ** (32 - bits) - 1, 2 ** (32 - bits), 2**31, 2**32 - 1], np.uint32)
    expected = [0, 0, 0, 1, 2 ** (bits - 1), 2**bits - 1]
    assert intmath.high_bits(words, bits).tolist() == expected
    assert [c.p_high_bits(word, bits) for word in words.tolist()] == expected


@given(WORD, st.integers(1, 32))
def test_low_bits(word: int, count: int) -> None:
    bits = intmath.low_bits(np.array([[word]], np.uint32), count)
    assert bits.dtype == np.int64
    assert bits.shape == (1, 1, count)
    assert bits.ravel().tolist() == [word // 2**k % 2 for k in range(count)]


@given(WORD)
def test_next_word(word: int) -> None:
    assert int(intmath.next_word(np.uint32(word))) == (word + 1) % 2**32
    assert int(intmath.next_word(2**32 - 1)) == 0


# --- the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [3, 2**25, 2**26, 2**27, 2**30])
def test_matmul_is_exact(largest: int) -> None:
    """Below 2**53 in float64, beyond in int64; 3 terms, largest**2 each."""
    rng = np.random.default_rng(largest)
    a = rng.integers(-largest, largest, (4, 3), endpoint=True)
    b = rng.integers(-largest, largest, (3, 5), endpoint=True)
    a[0], b[:, 0] = largest, -largest
    a[1], b[:, 1] = largest - 1, largest - 1
    exact = [
        [sum(x * y for x, y in zip(row, column, strict=True)) for column in b.T.tolist()]
        for row in a.tolist()
    ]
    result = intmath.matmul(a, b)
    assert result.dtype == np.int64
    assert result.tolist() == exact


def test_matmul_of_narrow_and_empty_arrays() -> None:
    a = np.full((2, 300), -128, np.int8)
    assert intmath.matmul(a, a.T).tolist() == [[300 * 2**14] * 2] * 2
    assert intmath.matmul(np.zeros((0, 3), np.int8), np.ones((3, 2), np.int8)).shape == (0, 2)


@given(st.integers(0, 2**40))
def test_isqrt(n: int) -> None:
    root = intmath.isqrt(n)
    assert root**2 <= n < (root + 1) ** 2


def test_first_maximum_takes_the_first() -> None:
    x = np.array([[1, 3, 3], [5, 5, 5], [-2, -9, -1]])
    assert intmath.first_maximum(x).tolist() == [1, 0, 2]


def test_ramp() -> None:
    assert intmath.ramp(503).tolist() == [k % 251 for k in range(503)]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32"])
def test_store_takes_what_fits_and_nothing_else(dtype: str) -> None:
    low, high = INT_LIMITS[dtype]
    target = np.zeros(2, dtype)
    intmath.store(target, [low, high])
    assert target.tolist() == [low, high]
    for value in (low - 1, high + 1):
        with pytest.raises(AssertionError, match=dtype):
            intmath.store(target, [value, 0])
    assert target.tolist() == [low, high]


@pytest.mark.parametrize(
    ("value", "whole"),
    [(1, True), (np.uint8(1), True), (True, False), (np.True_, False), (1.0, False), ("1", False)],
)
def test_is_whole(value: object, whole: bool) -> None:
    assert intmath.is_whole(value) is whole


def test_wide_is_a_new_int64_array() -> None:
    x = np.array([255], np.uint8)
    assert intmath.wide(x).dtype == np.int64
    intmath.wide(x)[0] = 0
    assert x[0] == 255
