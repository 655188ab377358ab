"""Any data: the scaling that Model.for_data chooses, by hand, in numpy and in compiled C."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pocketgen as pg
from kernels.single import limited, trunc
from pocketgen.bounds import bounds
from pocketgen.errors import DataError, ModelError, PocketgenError
from pocketgen.examples import EXAMPLES
from pocketgen.intmath import INT_LIMITS
from pocketgen.lower import lower
from support import data_folder, require

INT32_MAX = 2**31 - 1


@pytest.fixture(scope="module", autouse=True)
def _throw_away_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def refused(make: Callable[[], object], *words: object, error: type = DataError) -> None:
    """make raises one line that holds all the words."""
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert isinstance(caught.value, PocketgenError)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message


# --- Scale.auto by hand -------------------------------------------------------------------------

BY_HAND: dict[str, tuple[list[list[int]], pg.Scale]] = {
    # 9 of 12 are 0; the others' mean 20 goes into (48, 96]: 20 * 4 = 80.
    "mostly zero, small": (
        [[0, 0, 0, 10], [0, 0, 20, 0], [0, 30, 0, 0]],
        pg.Scale(0, 4, 0),
    ),
    # Mean 200: 200 > 96, 100 > 96, 50.
    "mostly zero, large": ([[0, 200], [0, 200]], pg.Scale(0, 1, 2)),
    # Signs do not matter: the mean magnitude is 96, which stays; 97 would be halved.
    "mostly zero, of both signs": ([[0, -192], [0, 0], [1, -1]], pg.Scale(0, 1, 0)),
    "mean magnitude 96": ([[0, -96], [0, 96]], pg.Scale(0, 1, 0)),
    "mean magnitude 97": ([[0, -97], [0, 97]], pg.Scale(0, 1, 1)),
    "mean magnitude 48": ([[0, -48], [0, 48]], pg.Scale(0, 2, 0)),
    "nothing but zeros": ([[0, 0], [0, 0]], pg.Scale(0, 1, 0)),
    # 3 of 8 are 0: just mostly zero. Mean 64.
    "three eighths zero": ([[0, 64, 64, 64], [0, 0, 64, 64]], pg.Scale(0, 1, 0)),
    # 2 of 8: not. One column is, with a mean distance of 0: 64 values seen once become 80,
    # 40 * 2 * 2^s / 64 = 5/4 2^s. The constant columns become 0.
    "a quarter zero": (
        [[0, 64, 64, 64], [0, 64, 64, 64], [7, 64, 64, 64]],
        pg.Scale((0, 64, 64, 64), (23406, 0, 0, 0), 11),
    ),
    # 12, 16: mean 13, distances 3 + 1 + 1 + 3 = 8 from it, 4 and 4 from the columns' own means:
    # one map. 40 * 4 * 2^s / 8 = 20 * 2^s is below 32768 with s = 10.
    "dense and alike": ([[10, 12], [14, 16]], pg.Scale(13, 20480, 10)),
    # Means -2.5 and 2.5 are rounded away from 0; distances 0 + 1: 40 * 2 * 2^s / 1, s = 8.
    "half below zero": ([[-3], [-2]], pg.Scale(-3, 20480, 8)),
    "half above zero": ([[3], [2]], pg.Scale(3, 20480, 8)),
    # Distances 2 and 14 from 0: 4 * 2 * 2 = 16 is just a quarter of the average times 4.
    "a quarter of the average spread": ([[-1, -7], [1, 7]], pg.Scale(0, 20480, 11)),
    # 2 and 16: no longer. 40 * 2 * 2^s / 2 and / 16: 40 * 2^s and 5 * 2^s, s = 9.
    "less than a quarter of it": ([[-1, -8], [1, 8]], pg.Scale((0, 0), (20480, 2560), 9)),
    # Means 4 and -4, distances 4 each; from the common mean 0: 6 + 2 + 6 + 2 = 16, just double.
    "offsets that double the spread": ([[6, -6], [2, -2]], pg.Scale(0, 20480, 11)),
    # Means 5 and -5: 20 > 2 * 8. 40 * 2 * 2^s / 4 = 20 * 2^s each.
    "offsets that more than double it": (
        [[7, -7], [3, -3]],
        pg.Scale((5, -5), (20480, 20480), 10),
    ),
    # Means 100 and 2, distances 40 and 2: 40 * 4 * 2^s / 40 and / 2, 4 * 2^s and 80 * 2^s.
    "unequal columns": (
        [[100, 1], [120, 2], [80, 3], [100, 2]],
        pg.Scale((100, 2), (1024, 20480), 8),
    ),
    # Raw values / 16 would lose the flag, one of five values seen. The flag becomes 80, as
    # 40 * 2 * 1 * 2^s / 1; the readings 1000 +- 20 become +- 40 on average.
    "a flag beside readings": (
        [[1, 1000], [0, 1040], [0, 960], [0, 1000]],
        pg.Scale((0, 1000), (20480, 512), 8),
    ),
    "a constant column": (
        [[9, 100], [9, 120], [9, 80], [9, 100]],
        pg.Scale((9, 100), (0, 2**5 * 1024 // 2), 12),
    ),
    "nothing but a constant": ([[9, -9], [9, -9]], pg.Scale((9, -9), (0, 0), 16)),
    # 2.5e-3 apart: the shift stops where the small multiplier would fall below 2, the large one is
    # cut off. 40 * 4 * 2^s / 120 000 = 2^s / 750: 3 at 11, 1 at 10. 40 * 4 * 2^11 / 1 is too large.
    "a nearly constant column": (
        [[5, 30000], [5, -30000], [5, 30000], [6, -30000]],
        pg.Scale((5, 0), (32767, 3), 11),
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_auto_by_hand(name: str) -> None:
    x, expected = BY_HAND[name]
    assert pg.Scale.auto(x) == expected


def plain(x: list[list[int]]) -> pg.Scale:
    """The rule as docs/data.md has it, in plain integers, value by value."""
    n, k = len(x), len(x[0])
    values = [v for row in x for v in row]
    others = [abs(v) for v in values if v]

    def nearest(a: int, b: int) -> int:
        return (2 * abs(a) + b) // (2 * b) * (1 if a >= 0 else -1)

    def sparse(some: list[int]) -> bool:
        return 8 * some.count(0) >= 3 * len(some)

    if sparse(values):
        factors = [2**e for e in range(7) if sum(others) * 2**e <= 96 * len(others)]
        shift = next(s for s in range(17) if sum(others) <= 96 * len(others) * 2**s)
        m = factors[-1] if others and factors else 1
        if 8 * sum(not 1 <= v * m >> shift <= 254 for v in others) <= len(others):
            return pg.Scale(0, m, shift)
    offsets, pairs = [], []
    for column in ([row[j] for row in x] for j in range(k)):
        zeros = sparse(column) and any(column)
        offsets.append(0 if zeros else nearest(sum(column), n))
        far = sum(abs(v - offsets[-1]) for v in column)
        pairs.append((far, 2 * sum(v != 0 for v in column) if zeros else n))
    mean, together = nearest(sum(values), n * k), sum(far for far, _ in pairs)
    spread = sum(abs(v - mean) for v in values)
    one = (
        not any(sparse(column) and any(column) for column in zip(*x, strict=True))
        and all(4 * k * far >= together for far, _ in pairs)
        and spread <= 2 * together
    )
    if one:
        offsets, pairs = [mean], [(spread, n * k)]

    def at(s: int) -> list[int]:
        return [nearest(40 * count * 2**s, far) for far, count in pairs if far]

    s = 16
    while s and at(s) and max(at(s)) > 32767 and min(at(s - 1)) >= 2:
        s -= 1
    moving = iter(at(s))
    found = [min(next(moving), 32767) if far else 0 for far, _ in pairs]
    return pg.Scale(mean, found[0], s) if one else pg.Scale(tuple(offsets), tuple(found), s)


RAW = st.one_of(
    st.integers(-3, 3),
    st.just(0),
    st.integers(-300, 300),
    st.integers(-32768, 32767),
    st.sampled_from([-32768, -32767, 32767]),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[int]]:
    """Few columns, each of one kind of values, so that the rule's branches are all met."""
    rows = draw(st.integers(1, 9))
    kinds = st.sampled_from(
        [RAW, st.integers(0, 1), st.integers(-5, 5), st.integers(95, 105), st.just(7), st.just(0),
         st.integers(-32768, 32767), st.sampled_from([-32768, 32767])]
    )  # fmt: skip
    columns = draw(st.lists(kinds, min_size=1, max_size=5))
    return [[draw(kind) for kind in columns] for _ in range(rows)]


@given(tables())
def test_auto_against_plain_arithmetic(x: list[list[int]]) -> None:
    assert pg.Scale.auto(x) == plain(x)


@given(tables())
def test_every_product_fits_32_bits(x: list[list[int]]) -> None:
    """For every value of the sensor's type, seen or not."""
    scale = pg.Scale.auto(x)
    low, high = INT_LIMITS["int16"]
    offsets, multipliers = scale.columns(len(x[0]))
    for offset, multiplier in zip(offsets, multipliers, strict=True):
        assert 0 <= multiplier <= 32767
        assert max(high - offset, offset - low) * multiplier <= INT32_MAX


@pytest.mark.parametrize(
    ("dtype", "x"),
    [
        ("uint16", [[0, 65535, 65535], [1, 65535, 0], [2, 65534, 9], [1, 65535, 5]]),
        ("int16", [[-32768, 32767, 0], [-32767, -32768, 1], [-32768, 32767, 0]]),
        ("int16", [[32767], [32767], [32766]]),
    ],
)
def test_the_c_needs_no_64_bits_to_scale(dtype: str, x: list[list[int]]) -> None:
    model = pg.Model.for_data("wide", np.array(x, dtype), [0, 1, 0, 1][: len(x)], (4,))
    (step,) = [s for s in bounds(lower(model)).forward if s.kernel.name.startswith("scale_")]
    products = [a for a in step.accumulators if a.name in ("difference", "product")]
    assert [a.dtype for a in products] == ["int32", "int32"]


@given(tables(), st.integers(0, 2**32 - 1))
def test_types_order_and_layout_of_the_samples_do_not_matter(x: list[list[int]], seed: int) -> None:
    expected = pg.Scale.auto(x)
    data = np.array(x)
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i2"):
        limits = np.iinfo(dtype)
        if limits.min <= data.min() and data.max() <= limits.max:
            assert pg.Scale.auto(data.astype(dtype)) == expected
    shuffled = np.random.default_rng(seed).permutation(data)
    assert pg.Scale.auto(shuffled) == expected
    assert pg.Scale.auto(np.asfortranarray(data)) == expected
    assert pg.Scale.auto(np.repeat(data, 2, axis=1)[:, ::2]) == expected
    assert pg.Scale.auto(data.reshape(len(data), 1, -1)) == expected


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_pixels_are_halved_and_no_more(name: str) -> None:
    """(0, 1, 1) whether from all images or from few: zeros stay zeros."""
    data_folder(name)
    x = EXAMPLES[name].load().x_train
    for some in (x, x[:1000], x[-300:]):
        assert pg.Scale.auto(some) == pg.Scale(0, 1, 1)


def test_levels() -> None:
    """Dense columns come to a mean distance of 40, flags to 0 and 80, whatever their units."""
    rng = np.random.default_rng(1)
    x = np.stack(
        [
            rng.normal(20000, 3000, 2000),
            rng.normal(-500, 9, 2000),
            rng.integers(0, 6, 2000) == 0,
            np.full(2000, -4),
        ],
        axis=1,
    ).astype(np.int16)
    scale = pg.Scale.auto(x)
    assert scale.per_feature
    a = scale.apply(x)
    # Less the share beyond 127; and the first column's multiplier, 4.3, is rounded to 4.
    assert np.abs(a[:, :2]).mean(axis=0).tolist() == pytest.approx([40, 40], abs=4)
    assert np.abs(a[:, :2].mean(axis=0)).max() < 3  # half a count of the second column is 2.8
    assert sorted(set(a[:, 2].tolist())) == [0, 80]
    assert not a[:, 3].any()
    # A field's value that training never saw cannot upset a feature that was constant.
    assert scale.apply([[20000, -500, 1, 32767]])[0, 2:].tolist() == [80, 0]


@pytest.mark.parametrize("x", [[], np.zeros((0, 4), int), np.zeros((4, 0), int), 5, [[1.5]]])
def test_auto_of_what_is_no_data(x: Any) -> None:
    refused(lambda: pg.Scale.auto(x), "scale: needs integer training data")


@pytest.mark.parametrize("x", [[[True]], [["a"]], [[None]], [[float("nan")]]])
def test_auto_of_other_types(x: Any) -> None:
    refused(lambda: pg.Scale.auto(x), "scale: needs integer training data", "quantize")


@pytest.mark.parametrize(
    ("x", "found"),
    [
        ([[0, 65536]], "0..65536"),
        ([[-1, 32768]], "-1..32768"),
        ([[-32769, 0]], "-32769..0"),
        (np.array([[2**63]], np.uint64), 2**63),
        (np.array([[-(2**63)]]), -(2**63)),
    ],
)
def test_auto_beyond_16_bits(x: Any, found: object) -> None:
    refused(lambda: pg.Scale.auto(x), "input: values", found, "16 bits")


def test_auto_of_rows_of_different_lengths() -> None:
    refused(lambda: pg.Scale.auto([[1, 2], [3]]), "rows of different lengths")


# --- from raw integers through compiled C -------------------------------------------------------


def sensors(dtype: str, columns: int, samples: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Raw values of one sensor type whose columns are alike, and labels that they tell."""
    low, high = INT_LIMITS[dtype]
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, samples)
    middle = low + (high - low) * 3 // 5
    level = middle + (y[:, None] - 1) * (high - low) // 12
    x = level + rng.normal(0, (high - low) / 30, (samples, columns))
    return np.clip(np.rint(x), low, high).astype(dtype), y


def conditioned_data(kind: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Data for which Scale.auto leaves raw, takes one map for all, or one for each feature."""
    x, y = sensors(dtype, 13)
    if kind == "raw":
        x = np.where(np.random.default_rng(4).random(x.shape) < 0.5, 0, x).astype(dtype)
    if kind == "per feature":
        x[:, ::2] = x[:, ::2] // 16 + 3
        x[:, 5] = 7
    return x, y


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("kind", ["raw", "global", "per feature"])
def test_c_scales_the_raw_integers_as_numpy_does(kind: str, dtype: str) -> None:
    x, y = conditioned_data(kind, dtype)
    model = pg.Model.for_data("raw_path", x, y, (6,), epochs=2, batch=8, dropout=0)
    scale = model.input.scale
    assert scale is not None
    assert scale.per_feature == (kind == "per feature")
    assert (kind == "raw") == (scale.offset == 0 and scale.multiplier & (scale.multiplier - 1) == 0)
    ends = np.array(INT_LIMITS[dtype])
    extremes = np.stack([np.roll(np.resize(ends, 13), k) for k in range(2)]).astype(dtype)
    raw = np.concatenate([x, extremes])
    nets = {
        engine: pg.build(model, engine=engine, flags=("-O1",) if engine == "c" else None)
        for engine in ("c", "numpy")
    }
    assert (nets["c"].forward(raw) == nets["numpy"].forward(raw)).all()
    offsets, multipliers = scale.columns(13)
    for net in nets.values():
        net.train_batch(raw[-8:], np.zeros(8, int))
        by_hand = [
            [
                limited(trunc((v - o) * m, 2**scale.shift), -127, 127)
                for v, o, m in zip(row, offsets, multipliers, strict=True)
            ]
            for row in raw[-8:].tolist()
        ]
        assert net.buffers["a0"].tolist() == by_hand
        net.fit(x, y, epochs=2)
    assert nets["c"].digest() == nets["numpy"].digest()
    assert (nets["c"].forward(raw) == nets["numpy"].forward(raw)).all()


# --- Model.for_data -----------------------------------------------------------------------------

x = (np.arange(60).reshape(10, 6) * 7 % 41 + 100).astype(np.int64)
y = np.arange(10) % 3


def test_for_data_in_full() -> None:
    """Nothing hidden: the same model in the words of Model, and its digest for ever."""
    made = pg.Model.for_data("plain", x, y, (5, 4), 30, 9, batch=4)
    assert made == pg.Model(
        "plain",
        pg.Input((6,), "uint8", scale=pg.Scale.auto(x)),
        [pg.Dense(5), pg.Dense(4), pg.Dense(3, "identity")],
        pg.CrossEntropyDFA(batch=4, rate_shift=11),
        9,
    )
    assert (
        lower(made).digest == lower(pg.Model.for_data("plain", x, y, [5, 4], 30, 9, batch=4)).digest
    )
    assert f"{made.layout_digest:016x}" == "77a54098387a8641"


def test_the_defaults_of_for_data() -> None:
    made = pg.Model.for_data("plain", x, y)
    assert made.layers == (pg.Dense(100), pg.Dense(50), pg.Dense(3, "identity"))
    assert made.seed == 1
    assert made.rule == pg.CrossEntropyDFA(rate_shift=11)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_the_sensor_s_type_is_kept(dtype: str) -> None:
    assert pg.Model.for_data("kept", x.astype(dtype) % 100, y).input.dtype == dtype


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, "uint8"),
        (-1, 127, "int8"),
        (-128, 0, "int8"),
        (0, 256, "uint16"),
        (0, 65535, "uint16"),
        (-1, 128, "int16"),
        (-32768, 32767, "int16"),
    ],
)
def test_other_types_become_the_narrowest_that_fits(low: int, high: int, dtype: str) -> None:
    data = np.array([[low, high], [high, low]])
    for given_type in (np.int64, np.int32):
        made = pg.Model.for_data("narrow", data.astype(given_type), [0, 1])
        assert made.input.dtype == dtype
    assert pg.Model.for_data("narrow", data.tolist(), [0, 1]).input.dtype == dtype


def test_samples_keep_their_shape() -> None:
    made = pg.Model.for_data("shaped", x.reshape(10, 2, 3), y)
    assert made.input.shape == (2, 3)
    assert made.input.scale == pg.Scale.auto(x)
    net = pg.build(made, engine="numpy")
    net.fit(x.reshape(10, 2, 3), y)
    assert (net.predict(x.reshape(10, 2, 3)) == net.predict(x)).all()


@pytest.mark.parametrize(
    ("epochs", "shift"),
    [(1, 11), (6553, 11), (6554, 12), (26214, 12), (26215, 13), (838860, 13), (838861, 14)],
)
def test_the_rate_follows_the_samples_seen(epochs: int, shift: int) -> None:
    """10 samples: 2^16, 2^18 and 2^23 seen are 6553.6, 26 214.4 and 838 860.8 epochs."""
    assert pg.Model.for_data("rate", x, y, epochs=epochs).rule.rate_shift == shift
    assert pg.Model.for_data("rate", x, y, epochs=epochs, rate_shift=9).rule.rate_shift == 9


@pytest.mark.parametrize(
    ("inputs", "drop", "hidden", "output"),
    [(11, 0, 32, 128), (12, 1, 64, 256), (47, 1, 64, 256), (48, 1, 128, 512), (95, 1, 128, 512),
     (96, 2, 128, 512), (255, 2, 128, 512), (256, 3, 128, 512)],
)  # fmt: skip
def test_shifts_and_dropout_follow_the_inputs(
    inputs: int, drop: int, hidden: int, output: int
) -> None:
    data = np.arange(2 * inputs).reshape(2, inputs)
    made = pg.Model.for_data("sized", data, [0, 1], (inputs,))
    assert made.drop == drop
    assert made.rule.int8(inputs, last=False).divisor == hidden
    assert made.rule.softmax_sizes(inputs) == {"half": output // 2, "divisor": output}


BAD_INPUTS: dict[str, tuple[Any, tuple[object, ...]]] = {
    "floats": (x * 1.0, ("integer training data", "float64", "quantize")),
    "NaN": (np.full((10, 2), np.nan), ("integer training data",)),
    "truth values": (x > 3, ("bool",)),
    "no samples": (x[:0], ("(0, 6)",)),
    "no features": (x[:, :0], ("(10, 0)",)),
    "one number": (5, ("()",)),
    "one column": (x[:, 0], ("(10,)", "(samples, features)")),
    "ragged": ([[1, 2], [3]], ("rows of different lengths",)),
    "nothing": (None, ("()",)),
    "names": ([["low"] * 6] * 10, ("quantize",)),
    "17 bits": (x * 1000, ("values", "16 bits")),
    "17 bits of both signs": (x * 2000 - 201000, ("values", "16 bits")),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_inputs_that_are_refused(name: str) -> None:
    data, words = BAD_INPUTS[name]
    refused(lambda: pg.Model.for_data("bad", data, y), *words)


BAD_LABELS: dict[str, tuple[Any, tuple[object, ...]]] = {
    "too few": (y[:5], ("(5,)", "10 samples")),
    "a column": (y[:, None], ("(10, 1)",)),
    "a number": (3, ("()",)),
    "floats": (y * 1.0, ("float64",)),
    "names": ([str(label) for label in y], ("labels",)),
    "truth values": (y > 0, ("bool",)),
    "ragged": ([[1], [1, 2]], ("labels: rows of different lengths",)),
    "negative": (y - 1, ("-1..1", "from 0")),
    "a single class": (y * 0, ("0..0", "two")),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_labels_that_are_refused(name: str) -> None:
    labels, words = BAD_LABELS[name]
    refused(lambda: pg.Model.for_data("bad", x, labels), *words)


def test_labels_beyond_all_layers() -> None:
    refused(lambda: pg.Model.for_data("bad", x, y * 40000), "layer 3: units", error=ModelError)


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True, "3", None])
def test_epochs_that_make_no_sense(epochs: Any) -> None:
    made = lambda: pg.Model.for_data("bad", x, y, epochs=epochs)  # noqa: E731
    refused(made, "model bad: epochs", repr(epochs), error=ModelError)


@pytest.mark.parametrize("hidden", [5, "64", None, 1.5])
def test_hidden_layers_that_are_no_list(hidden: Any) -> None:
    made = lambda: pg.Model.for_data("bad", x, y, hidden)  # noqa: E731
    refused(made, "model bad: hidden", repr(hidden), error=ModelError)


def test_without_hidden_layers() -> None:
    assert pg.Model.for_data("straight", x, y, ()).layers == (pg.Dense(3, "identity"),)


def test_what_model_and_rule_refuse() -> None:
    for options, words in (
        ({"hidden": (0,)}, "layer 1: units"),
        ({"hidden": ("a",)}, "layer 1: units"),
        ({"seed": -1}, "seed is -1"),
        ({"batch": 0}, "batch is 0"),
        ({"dropout": 8}, "dropout is 8"),
    ):
        refused(
            lambda given=options: pg.Model.for_data("bad", x, y, **given), words, error=ModelError
        )
    refused(lambda: pg.Model.for_data("no name", x, y), "no name", error=ModelError)
    wide = np.zeros((2, 65536), np.uint8)
    refused(lambda: pg.Model.for_data("bad", wide, [0, 1]), "65536 features", error=ModelError)


# --- it learns ----------------------------------------------------------------------------------


def groups(
    unequal: bool, samples: int, features: int = 16, classes: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Two groups of each class around centres; as raw values of 16 bits, offset and scaled."""
    fixed, rng = np.random.default_rng(7), np.random.default_rng(8)
    centres = fixed.normal(0, 1.5, (classes, 2, 6))
    y = rng.integers(0, classes, samples)
    points = centres[y, rng.integers(0, 2, samples)] + rng.normal(0, 1, (samples, 6))
    mixed = points @ (fixed.normal(0, 1, (6, features)) / 6**0.5)
    mixed += rng.normal(0, 0.3, mixed.shape)
    if unequal:
        spread = np.geomspace(2, 3000, features)
        raw = mixed * spread + fixed.integers(-15000, 15000, features)
    else:
        raw = mixed * 90 + 2048
    return np.clip(np.rint(raw), -32768, 32767).astype(np.int16), y


def float_accuracy(data: np.ndarray, labels: np.ndarray, trained: int) -> float:
    """scikit-learn's MLP on the same samples, standardised; accuracy on the others."""
    require(importlib.util.find_spec("sklearn"), "scikit-learn is not installed")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    seen = data[:trained]
    inputs = (data - seen.mean(axis=0)) / seen.std(axis=0)
    net = MLPClassifier((24, 12), max_iter=60, batch_size=20, random_state=1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(inputs[:trained], labels[:trained])
    return float(net.score(inputs[trained:], labels[trained:]))


@pytest.mark.parametrize("unequal", [False, True], ids=["one offset", "unequal scales"])
def test_the_defaults_keep_up_with_a_float_network(unequal: bool) -> None:
    """A margin of four points, for one seed; the same network without scaling is far behind.

    benchmarks/any_data.py measures the difference itself, over many seeds.
    """
    trained = 500
    data, labels = groups(unequal, 2500)
    model = pg.Model.for_data("keeps_up", data[:trained], labels[:trained], (24, 12), 60)
    assert model.input.scale is not None
    assert model.input.scale.per_feature == unequal
    reached = {}
    for name, scale in (("chosen", model.input.scale), ("none", pg.Scale())):
        taken = replace(model.input, scale=scale)
        net = pg.build(pg.Model(name, taken, model.layers, model.rule, model.seed))
        net.fit(data[:trained], labels[:trained], epochs=60)
        reached[name] = net.evaluate(data[trained:], labels[trained:])["accuracy"]
    floating = float_accuracy(data, labels, trained)
    assert floating > 0.75
    assert reached["chosen"] > floating - 0.04
    assert reached["none"] < floating - 0.1
