"""x = a, or 0 with probability drop / 8: a function of (seed, step, row, index)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, Range, Twin, Variant, every, key_of, scattered, spanned
from pocketgen.kernels import DROPOUT

WORDS = Range(0, 2**32 - 1)
UINT8 = Range(0, 255)


def variant(n: int, drop: int = 3, a: Range = INT8, dtype: str = "", **sizes: int) -> Variant:
    known = {"n": n, "words": -(-n // 32), "drop": drop, "seed": 7, "streams": 5, "stream": 1}
    ranges = {"a": a, "step": WORDS, "row": Range(0, 65534)}
    return Variant(DROPOUT, ranges, {**known, **sizes}, dtypes={"a": dtype})


VARIANTS = {
    **{f"{n} elements": variant(n) for n in (1, 2, 31, 32, 33, 63, 64, 65, 784)},
    **{f"drop {drop}": variant(70, drop) for drop in range(1, 8)},
    "uint8": variant(40, a=UINT8, dtype="uint8"),
    "int16": variant(40, a=INT16),
    "never 0": variant(40, 5, a=Range(5, 90)),
    "negative": variant(40, 5, a=Range(-90, -5)),
    "another seed": variant(70, 3, seed=2**32 - 1),
    "another stream": variant(70, 3, stream=2),
}
twins = single.twins_of(VARIANTS)


def by_hand(
    a: list, step: int, row: list, n: int, drop: int, seed: int, streams: int, stream: int
) -> dict:
    key = key_of(seed, (step * streams + stream) % 2**32)
    words_of_a_row = (n + 31) // 32

    def gone(place: int, index: int) -> bool:
        """Three binary digits, the highest from the last word, are a number below drop."""
        counter = key + 3 * (place * words_of_a_row + index // 32)
        digits = [scattered(counter + k) // 2 ** (index % 32) % 2 for k in range(3)]
        return digits[0] + 2 * digits[1] + 4 * digits[2] < drop

    rows = zip(row, a, strict=True)
    return {"x": [[0 if gone(r, i) else v for i, v in enumerate(values)] for r, values in rows]}


def of_ones(twin: Twin, rows: list[int], step: int = 0) -> dict[str, np.ndarray]:
    """Inputs that are all 1: x shows what is left."""
    a = twin.program.buffers["a"]
    return {
        "a": np.ones((len(rows), a.size), a.dtype),
        "step": np.array(step, np.uint32),
        "row": np.array(rows, np.uint16),
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("name", ["1 elements", "33 elements", "int16", "never 0"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twins[name].agree(by_hand, twins[name].drawn(data.draw))


@pytest.mark.parametrize("step", [0, 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("row", [0, 1, 65534])
@pytest.mark.parametrize("name", ["784 elements", "drop 7"])
def test_the_ends_of_step_and_row(twins: dict[str, Twin], name: str, row: int, step: int) -> None:
    twins[name].agree(by_hand, of_ones(twins[name], [row, row], step))


def test_the_numbers_of_samples_and_elements_change_nothing(twins: dict[str, Twin]) -> None:
    """A batch of fewer samples, or in another order: each place in it keeps its numbers."""
    twin = twins["784 elements"]
    whole = twin.agree(by_hand, of_ones(twin, [0, 1, 2, 3, 4]))["x"]
    for rows in ([0], [0, 1, 2], [4, 2]):
        np.testing.assert_array_equal(twin.agree(by_hand, of_ones(twin, rows))["x"], whole[rows])
    narrow = [twins[f"{n} elements"].by_c(of_ones(twins[f"{n} elements"], [0]))["x"][0]
              for n in (1, 2, 31, 32, 33, 63, 64, 65)]  # fmt: skip
    for x in narrow:
        np.testing.assert_array_equal(x, whole[0][: len(x)])


def test_rows_steps_seeds_and_streams_differ(twins: dict[str, Twin]) -> None:
    twin = twins["drop 3"]
    masks = [
        *twin.by_c(of_ones(twin, [0, 1, 2]))["x"],
        *twin.by_c(of_ones(twin, [0, 1, 2], step=1))["x"],
        *(twins[f"another {word}"].by_c(of_ones(twins[f"another {word}"], [0]))["x"][0]
          for word in ("seed", "stream")),
    ]  # fmt: skip
    assert len({mask.tobytes() for mask in masks}) == len(masks)


@pytest.mark.parametrize("drop", range(1, 8))
def test_as_many_are_dropped_as_asked_for(drop: int) -> None:
    """Of all, of each of 784 places, and of neighbours both: 5 standard deviations at most."""
    rows, p = 2000, drop / 8
    a = np.ones((rows, 784), np.int8)
    x = np.empty_like(a)
    DROPOUT.run(a, np.array(3), np.arange(rows), x, variant(784, drop).sizes)
    gone = x == 0
    assert abs(gone.mean() - p) < 5 * (p * (1 - p) / gone.size) ** 0.5
    assert np.abs(gone.mean(axis=0) - p).max() < 5 * (p * (1 - p) / rows) ** 0.5
    for both in (gone[:, 1:] & gone[:, :-1], gone[:, 32:] & gone[:, :-32], gone[1:] & gone[:-1]):
        # neighbours overlap, which makes the mean vary a little more
        assert abs(both.mean() - p * p) < 8 * (p * p * (1 - p * p) / both.size) ** 0.5


@pytest.mark.parametrize("a", [Range(-3, 4), Range(2, 9), Range(-9, -2), Range(0, 0)])
def test_bound_is_exact(a: Range) -> None:
    bound = DROPOUT.bound({"a": a}, variant(1).sizes)
    assert bound.ranges == {"x": spanned([0, *every(a)])}
