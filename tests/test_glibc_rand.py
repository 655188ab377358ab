"""The repetition of glibc's rand() against its known numbers and, where there is one, glibc."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from types import ModuleType

import numpy as np
import pytest

from support import repository_root


def load() -> ModuleType:
    """benchmarks/ is no package: its programs are run, and import their neighbours, in place."""
    path = repository_root / "benchmarks" / "glibc_rand.py"
    specification = importlib.util.spec_from_file_location("glibc_rand", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


GlibcRand = load().GlibcRand


def test_the_well_known_first_numbers_of_seed_1() -> None:
    rand = GlibcRand()
    known = [1804289383, 846930886, 1681692777, 1714636915, 1957747793, 424238335, 719885386]
    assert [rand.next() for _ in known] == known


def test_blocks_and_single_numbers_are_one_stream() -> None:
    one, other = GlibcRand(7), GlibcRand(7)
    in_parts = [*one.block(0), *one.block(5), one.next(), *one.block(2500), *one.block(1024)]
    assert in_parts == other.block(5 + 1 + 2500 + 1024).tolist()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this machine's libc is not glibc")
@pytest.mark.parametrize("seed", [0, 1, 2, 123456789, 2**31 - 1, 2**31, 2**32 - 1])
def test_against_the_libc_of_this_machine(seed: int) -> None:
    libc = ctypes.CDLL(None)
    libc.srand(ctypes.c_uint(seed))
    expected = [libc.rand() for _ in range(5000)]
    assert GlibcRand(seed).block(5000).tolist() == expected


def test_numbers_without_zero() -> None:
    rand, raw = GlibcRand(), GlibcRand()
    values = [rand.nonzero(1) for _ in range(50)]
    expected = [v for v in (raw.block(400) % 3 - 1).tolist() if v != 0]
    assert values == expected[:50]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1500])
def test_the_shuffle_is_fisher_yates_from_the_end(n: int) -> None:
    rand, raw = GlibcRand(3), GlibcRand(3)
    order = np.arange(n)
    rand.shuffle(order)
    expected = list(range(n))
    for i in range(n - 1, 0, -1):
        j = raw.next() % (i + 1)
        expected[i], expected[j] = expected[j], expected[i]
    assert order.tolist() == expected
    assert rand.next() == raw.next()


def test_a_seed_out_of_range() -> None:
    with pytest.raises(ValueError, match="seed"):
        GlibcRand(-1)
