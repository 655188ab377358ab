"""e = 256 (softmax(q) - onehot(label)), q = (h + half) / divisor, rounded down."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import single
from kernels.single import INT8, INT16, INT32, Range, Twin, Variant, every
from pocketgen.ir import Cost
from pocketgen.kernels import ERROR_SOFTMAX
from pocketgen.rules.cross_entropy_rule import exponentials

ENTRIES = Range(1, 32767)


def variant(h: Range, n: int = 10, divisor: int = 512, flash: tuple[str, ...] = ()) -> Variant:
    return Variant(
        ERROR_SOFTMAX,
        {"h": h, "label": Range(0, n - 1), "table": ENTRIES},
        {"n": n, "half": divisor // 2, "divisor": divisor, "entries": 256},
        flash,
        dtypes={"table": "int16"},
    )


VARIANTS = {
    "sums": variant(Range.symmetric(2_000_000)),
    "flash": variant(Range.symmetric(2_000_000), flash=("table",)),
    "2 classes": variant(INT16, n=2, divisor=16),
    "3 classes": variant(INT16, n=3, divisor=128),
    "40 classes": variant(INT16, n=40, divisor=128),
    "300 classes": variant(INT16, n=300, divisor=128),
    "int8": variant(INT8, divisor=2),
    "not divided": variant(INT16, divisor=1),
    "int64": variant(INT32, divisor=2),
    "int64 by the distance": variant(INT32, divisor=1),
    "one sign": variant(Range(1000, 9000), divisor=16),
}
twins = single.twins_of(VARIANTS)


def by_hand(h: list, label: list, table: list, half: int, divisor: int) -> dict:
    def errors(sums: list[int], wanted: int) -> list[int]:
        q = [(value + half) // divisor for value in sums]
        powers = [table[min(max(q) - value, 255)] for value in q]
        total = sum(powers)
        p = [(256 * power + total // 2) // total for power in powers]
        return [value - (256 if c == wanted else 0) for c, value in enumerate(p)]

    return {"e": [errors(*pair) for pair in zip(h, label, strict=True)]}


def of(twin: Twin, rows: list[list[int]], labels: list[int]) -> dict[str, np.ndarray]:
    """Sums, labels and the true table."""
    return {
        "h": np.array(rows, twin.program.buffers["h"].dtype),
        "label": np.array(labels, np.uint16),
        "table": exponentials().astype(np.int16),
    }


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c_with_any_table(twins: dict[str, Twin], name: str, kind: str) -> None:
    twins[name].agree(by_hand, kind)


@pytest.mark.parametrize("kind", single.KINDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_plain_numpy_and_c(twins: dict[str, Twin], name: str, kind: str) -> None:
    data = twins[name].data(kind)
    twins[name].agree(by_hand, {**data, "table": exponentials().astype(np.int16)})


@pytest.mark.parametrize("name", ["sums", "2 classes", "int64", "int64 by the distance"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_values(twins: dict[str, Twin], name: str, data: st.DataObject) -> None:
    twin = twins[name]
    n, samples = twin.step.sizes["n"], twin.variant.samples
    limits = twin.program.buffers["h"].proven
    row = st.lists(st.integers(limits.low, limits.high), min_size=n, max_size=n)
    rows = data.draw(st.lists(row, min_size=samples, max_size=samples))
    labels = data.draw(st.lists(st.integers(0, n - 1), min_size=samples, max_size=samples))
    twin.agree(by_hand, of(twin, rows, labels))


def test_variants_are_what_they_are_called() -> None:
    wide = {name for name, v in VARIANTS.items() if v.accumulators["rounded"] == "int64"}
    assert wide == {"int64", "int64 by the distance"}
    assert {v.accumulators["scaled"] for v in VARIANTS.values()} == {"int32"}
    assert {v.program("k").buffers["e"].dtype for v in VARIANTS.values()} == {"int16"}


@pytest.mark.parametrize(
    ("name", "share"),
    [("2 classes", 128), ("3 classes", 85), ("sums", 26), ("40 classes", 6), ("300 classes", 1)],
)
def test_equal_sums_share_alike(twins: dict[str, Twin], name: str, share: int) -> None:
    """256 / n to the nearest, whatever the sums are; this is the largest total."""
    n = twins[name].step.sizes["n"]
    rows = [[value] * n for value in (-32767, -1, 0, 9, 32767)]
    e = twins[name].agree(by_hand, of(twins[name], rows, [0, 1, n - 1, 0, 1]))["e"]
    assert set(e.ravel().tolist()) == {share, share - 256}
    (_, total, scaled) = twins[name].step.accumulators
    assert total.worst == n * 32767
    assert scaled.worst == 256 * 32767 + n * 32767 // 2


@pytest.mark.parametrize("name", VARIANTS)
def test_huge_distances_are_certain(twins: dict[str, Twin], name: str) -> None:
    """Right: nothing to learn but roundings; wrong: -256 and 256, the ends of e."""
    n, limits = twins[name].step.sizes["n"], twins[name].program.buffers["h"].proven
    rows = [[limits.high if c == winner else limits.low for c in range(n)] for winner in (0, n - 1)]
    e = twins[name].agree(by_hand, of(twins[name], rows, [0, 0]))["e"].tolist()
    if name == "int8":  # 127 apart: exp(-8) is left
        assert (e[0][0], e[1][0], e[1][-1]) == (-1, -256, 255)
    elif name == "300 classes":  # 299 entries of 1
        assert (e[0][0], e[1][0], e[1][-1]) == (-2, -256, 254)
    else:
        assert (e[0][0], e[1][0], e[1][-1]) == (0, -256, 256)
    assert set(e[0][1:]) == set(e[1][1:-1]) | {0} == {0}


@pytest.mark.parametrize("apart", [0, 1, 254, 255, 256, 257, 1000])
def test_around_the_last_entry(twins: dict[str, Twin], apart: int) -> None:
    """A table in which the last two entries are unlike the others."""
    twin = twins["2 classes"]
    data = of(twin, [[0, -16 * apart], [-16 * apart, 0]], [0, 0])
    data["table"][254:] = 30000, 20000
    twin.agree(by_hand, data)


@pytest.mark.parametrize("divisor", [2, 16, 512])
def test_sums_are_rounded_to_the_nearest_and_halves_up(divisor: int) -> None:
    """A table with unlike entries shows on which side of a step a sum lies."""
    half = divisor // 2
    twin = single.compile_all({"v": variant(INT16, n=2, divisor=divisor)})["v"]
    places = [-half - 1, -half, half - 1, half, -divisor - half, -divisor - half - 1]
    steps = [-1, 0, 0, 1, -1, -2]
    data = of(twin, [[place, 10 * divisor] for place in places], [1] * len(places))
    data["table"][9:13] = 3000, 6000, 9000, 12000  # of the distances from 10
    e = twin.agree(by_hand, data)["e"]
    exact = of(twin, [[step * divisor, 10 * divisor] for step in steps], [1] * len(places))
    np.testing.assert_array_equal(e, twin.agree(by_hand, {**exact, "table": data["table"]})["e"])
    assert len({tuple(row) for row in e.tolist()}) == len(set(steps))


def test_only_the_label_is_told_apart(twins: dict[str, Twin]) -> None:
    rows = [list(range(0, 10_000, 1000))] * 10
    e = twins["sums"].agree(by_hand, of(twins["sums"], rows, list(range(10))))["e"]
    p = e + 256 * np.eye(10, dtype=int)
    np.testing.assert_array_equal(p, np.tile(p[0], (10, 1)))


@pytest.mark.parametrize("spread", [10, 1000, 10_000, 100_000])
def test_it_is_softmax(twins: dict[str, Twin], spread: int) -> None:
    """Within a rounding of the true probabilities, which add up to 1."""
    rows = np.random.default_rng(spread).integers(-spread, spread, (50, 10))
    e = twins["sums"].agree(by_hand, of(twins["sums"], rows.tolist(), [0] * 50))["e"]
    q = (rows + 256) // 512
    powers = np.exp((q - q.max(axis=1, keepdims=True)) / 16)
    p = powers / powers.sum(axis=1, keepdims=True)
    probabilities = e + 256 * (np.arange(10) == 0)
    assert np.abs(probabilities - 256 * p).max() < 0.6
    assert probabilities.min() >= 0
    assert np.abs(probabilities.sum(axis=1) - 256).max() <= 5


def test_the_table() -> None:
    """32767 exp(-i / 16), never 0 and never rising: so no sum is 0."""
    table = exponentials().tolist()
    assert len(table) == 256
    assert (table[0], table[-1]) == (32767, 1)
    assert table == sorted(table, reverse=True)
    for i, entry in enumerate(table):
        assert abs(entry - 32767 * math.exp(-i / 16)) <= 0.5 or entry == 1


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("divisor", [1, 2, 4])
@pytest.mark.parametrize("h", [Range(-9, 8), Range(3, 9), Range(-9, -4), Range(0, 0)])
def test_bound_is_reached_and_never_exceeded(h: Range, divisor: int, n: int) -> None:
    half, table = divisor // 2, [700, 300, 1, *[1] * 253]
    bound = ERROR_SOFTMAX.bound(
        {"h": h, "label": Range(0, n - 1), "table": Range(1, 700)},
        {"n": n, "half": half, "divisor": divisor},
    )
    held = {"rounded": 0, "total": 0, "scaled": 0}
    for row in product(every(h), repeat=n):
        q = [(value + half) // divisor for value in row]
        powers = [table[max(q) - value] for value in q]
        seen = {
            "rounded": [*row, *(value + half for value in row), *(max(q) - value for value in q)],
            "total": [sum(powers)],
            "scaled": [256 * power + sum(powers) // 2 for power in powers],
        }
        held = {name: max(worst, *map(abs, seen[name])) for name, worst in held.items()}
        (e,) = by_hand([list(row)], [0], table, half, divisor)["e"]
        assert bound.ranges["e"] == Range(-256, 256)
        assert all(-256 <= value <= 256 for value in e)
    assert {a.name: a.worst for a in bound.accumulators} == held


@given(
    powers=st.lists(st.integers(1, 32767), min_size=2, max_size=40),
    label=st.integers(0, 39),
)
def test_e_never_leaves_its_range(powers: list[int], label: int) -> None:
    """Whatever the entries: 256 p, rounded, lies within 0..256."""
    table = np.array([*powers, *[1] * (256 - len(powers))])
    h = -np.arange(len(powers))[np.newaxis]
    e = np.zeros(h.shape, np.int16)
    sizes = {"n": len(powers), "half": 0, "divisor": 1}
    ERROR_SOFTMAX.run(h, np.array([label]), table, e, sizes)
    assert -256 <= e.min() <= e.max() <= 256


@pytest.mark.parametrize("n", [2, 65536])
def test_every_number_of_classes_has_room(n: int) -> None:
    """A label has 16 bits. The template gives the total the type of what is divided by it."""
    many = replace(variant(INT16, n=n), ranges={"h": INT16, "label": Range(0, 1), "table": ENTRIES})
    assert many.accumulators["total"] == many.accumulators["scaled"] == "int32"


def test_cost() -> None:
    assert ERROR_SOFTMAX.cost({"n": 7}) == Cost(divisions=7)
