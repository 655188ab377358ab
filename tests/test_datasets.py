"""Data sets: what is built in, what is read from files, and that bad input ends in one line."""

from __future__ import annotations

import builtins
import csv
import errno
import functools
import gzip
import hashlib
import http.server
import importlib
import importlib.util
import math
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pocketgen import datasets
from pocketgen.datasets import Dataset, load, quantize
from pocketgen.errors import DataError
from support import data_folder, require

PUBLISHED_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def refused(call: Callable[[], object], *words: str) -> str:
    """The message of the DataError that `call` must raise: one line with all the words in it."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"
    return message


def needed(module: str) -> Any:
    """An optional module, or the end of the test."""
    package = module.split(".")[0]
    require(importlib.util.find_spec(package), f"{package} is not installed")
    return importlib.import_module(module)


def idx_bytes(array: NDArray[Any]) -> bytes:
    codes = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    header = bytes([0, 0, codes[array.dtype.name], array.ndim])
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return header + struct.pack(f">{array.ndim}I", *array.shape) + big_endian.tobytes()


def write_csv(path: Path, rows: list[list[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def small_pair(count: int = 20, features: int = 6) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Samples that all differ (sample i begins with i), and labels that depend on them."""
    x = np.arange(count, dtype=np.int16)[:, None] + 100 * np.arange(features, dtype=np.int16)
    return x, np.arange(count) % 3


def assert_split_of(data: Dataset, x: NDArray[Any], y: NDArray[Any], tested: int) -> None:
    """Every sample is in exactly one part, with its own label; sample i begins with i."""
    assert len(data.x_test) == len(data.y_test) == tested
    together = np.concatenate((data.x_train, data.x_test))
    answers = np.concatenate((data.y_train, data.y_test))
    order = together[:, 0].astype(int)
    assert sorted(order) == list(range(len(x)))
    np.testing.assert_array_equal(together, x.reshape(len(x), -1)[order])
    np.testing.assert_array_equal(answers, y[order])


# --- Built in


def test_digits_are_those_of_scikit_learn_and_split_as_they_stand() -> None:
    bundled = needed("sklearn.datasets").load_digits()
    data = load("digits")
    assert data.name == "digits"
    assert data.classes == tuple("0123456789")
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.uint16)
    assert (data.x_train.shape, data.x_test.shape) == ((1437, 64), (360, 64))
    np.testing.assert_array_equal(np.concatenate((data.x_train, data.x_test)), bundled.data)
    np.testing.assert_array_equal(np.concatenate((data.y_train, data.y_test)), bundled.target)


def test_digits_with_a_fraction_are_shuffled() -> None:
    data = load("digits", test_fraction=0.5, seed=3)
    assert len(data.x_test) == 898
    assert not np.array_equal(data.x_test, load("digits", test_fraction=0.5, seed=4).x_test)


def test_the_digits_file_is_small_and_has_its_licence_beside_it() -> None:
    folder = Path(datasets.__file__).parent / "data"
    assert (folder / "digits.npz").stat().st_size < 50_000
    note = (folder / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in note
    assert "E. Alpaydin and C. Kaynak" in note


def test_xor() -> None:
    data = load("xor")
    np.testing.assert_array_equal(data.y_train, (data.x_train[:, 0] != data.x_train[:, 1]))
    np.testing.assert_array_equal(data.x_train, data.x_test)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.uint16)
    assert len(data.classes) == 2


@pytest.mark.parametrize("n", [10, 400, 1001, 65536])
def test_sine_is_the_rounded_sine(n: int) -> None:
    data = datasets.sine(n)
    assert (data.x_train.dtype, data.y_train.dtype, data.classes) == (np.int16, np.int8, ())
    x = np.concatenate((data.x_train, data.x_test))
    y = np.concatenate((data.y_train, data.y_test))
    assert x.shape == y.shape == (n, 1)
    assert len(np.unique(x)) == n
    exact = 100 * np.sin(x * (math.pi / 32768))
    assert np.abs(y - exact).max() <= 0.5 + 1e-6
    assert (y.min() <= -99, y.max() >= 99) == (True, True) or n == 10


def test_sensor_has_the_same_bytes_everywhere() -> None:
    data = load("sensor")
    assert (data.x_train.dtype, data.x_train.shape, data.x_test.shape) == (
        np.int8,
        (960, 16),
        (240, 16),
    )
    assert data.classes == ("idle", "tap", "shake", "tilt")
    assert np.bincount(data.y_train).tolist() == [240] * 4
    assert data.x_train.min() >= -127
    # A change of the generator changes every result measured on this set: it must be meant.
    assert zlib.crc32(data.x_train.tobytes() + data.x_test.tobytes()) == 0x5D82FAC2
    assert not np.array_equal(data.x_train, datasets.sensor(seed=2).x_train)


def test_sensor_needs_more_than_a_straight_line() -> None:
    """The classes differ in form: a linear model fails, nearest neighbours do not."""
    linear = needed("sklearn.linear_model").RidgeClassifier()
    neighbours = needed("sklearn.neighbors").KNeighborsClassifier(3)
    data = load("sensor")
    scores = []
    for model in (linear, neighbours):
        model.fit(data.x_train.astype(float), data.y_train)
        scores.append(model.score(data.x_test.astype(float), data.y_test))
    assert scores[0] < 0.6
    assert scores[1] > 0.75


@pytest.mark.parametrize("name", ["xor", "sine", "sensor"])
def test_synthetic_sets_keep_their_own_test_set(name: str) -> None:
    refused(lambda: load(name, test_fraction=0.5), name, "leave test_fraction out")
    refused(lambda: load(name, quantize="int8"), name, "leave quantize out")


def test_synthetic_sets_refuse_sizes_and_seeds_out_of_range() -> None:
    refused(lambda: datasets.sine(9), "9", "10..65536")
    refused(lambda: datasets.sine(65537), "65537")
    refused(lambda: datasets.sensor(7), "7", "8 or more")
    refused(lambda: datasets.sensor(seed=-1), "-1", "0..2**32 - 1")
    refused(lambda: datasets.sensor(seed=2**32), "4294967296")


# --- The split


@given(
    count=st.integers(2, 60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30)
def test_a_split_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, count: int, fraction: float, seed: int
) -> None:
    path = tmp_path_factory.mktemp("split") / "a.npz"
    x, y = small_pair(count)
    np.savez(path, x=x, y=y)
    data = load(path, test_fraction=fraction, seed=seed)
    assert_split_of(data, x, y, min(max(round(count * fraction), 1), count - 1))
    again = load(path, test_fraction=fraction, seed=seed)
    np.testing.assert_array_equal(data.x_test, again.x_test)


def test_the_split_is_the_same_on_every_platform(tmp_path: Path) -> None:
    x, y = small_pair(10)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    for seed, tested in ((0, [7, 6, 2, 4, 8]), (1, [5, 6, 2, 1, 3])):
        data = load(tmp_path / "a.npz", seed=seed, test_fraction=0.5)
        assert data.x_test[:, 0].tolist() == tested


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, math.nan])
def test_fractions_out_of_range(fraction: float) -> None:
    refused(lambda: load("digits", test_fraction=fraction), "test_fraction", "between 0 and 1")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5])
def test_seeds_out_of_range(seed: Any) -> None:
    refused(lambda: load("digits", test_fraction=0.5, seed=seed), str(seed), "2**32 - 1")


# --- Names and paths


@pytest.mark.parametrize(
    ("wrong", "right"), [("mnits", "mnist"), ("fashion_mnis", "fashion-mnist"), ("digit", "digits")]
)
def test_an_unknown_name_brings_the_nearest(wrong: str, right: str) -> None:
    message = refused(lambda: load(wrong), f"{wrong!r}", f"did you mean {right!r}?")
    for name in datasets.NAMES:
        assert name in message


@pytest.mark.parametrize("source", ["nothing/here.npz", Path("mnist"), "~no_such_user/x.csv", "\0"])
def test_paths_that_lead_nowhere(
    source: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(lambda: load(source))


@pytest.mark.parametrize("source", ["", None, 7, b"digits", ["digits"]])
def test_sources_that_are_neither_name_nor_path(source: Any) -> None:
    refused(lambda: load(source), "is not the name of a data set or a path")


def test_unknown_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,2")
    refused(lambda: load(tmp_path / "a.txt"), "a.txt", "unknown kind of file")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)  # root may read every file, whatever its mode
    refused(lambda: load(tmp_path / "a.csv"), "a.csv: Permission denied")


# --- NPZ


def test_npz_with_a_test_set(tmp_path: Path) -> None:
    x, y = small_pair(10)
    parts = {"x_train": x[:7], "y_train": y[:7], "x_test": x[7:], "y_test": y[7:]}
    np.savez(tmp_path / "a.npz", **parts)
    data = load(str(tmp_path / "a.npz"))
    for key, array in parts.items():
        np.testing.assert_array_equal(getattr(data, key), array)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.int16, np.uint16)
    assert data.classes == ("0", "1", "2")
    assert data.quantization is None
    refused(lambda: load(tmp_path / "a.npz", test_fraction=0.3), "leave test_fraction out")


def test_npz_pictures_are_flattened_and_targets_stay(tmp_path: Path) -> None:
    x = np.arange(10 * 4 * 3).reshape(10, 4, 3)
    x[:, 0, 0] = np.arange(10)
    y = np.arange(20).reshape(10, 2) - 5
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    data = load(tmp_path / "a.npz")
    assert data.classes == ()
    assert data.y_train.dtype == np.int8
    assert_split_of(data, x, y, 2)


def test_npz_names_of_classes(tmp_path: Path) -> None:
    x, y = small_pair(9)
    names = np.array(["red", "green", "blue"])
    np.savez(tmp_path / "text.npz", x=x, y=names[y])
    data = load(tmp_path / "text.npz")
    assert data.classes == ("blue", "green", "red")
    np.savez(tmp_path / "given.npz", x=x, y=y, classes=names)
    data = load(tmp_path / "given.npz")
    assert data.classes == ("red", "green", "blue")
    assert_split_of(data, x, y, 2)
    np.savez(tmp_path / "few.npz", x=x, y=y, classes=names[:2])
    refused(lambda: load(tmp_path / "few.npz"), "label 2 has no name", "2 classes")


@given(
    low=st.integers(-32768, 65535), high=st.integers(-32768, 65535), wide=st.sampled_from("il>u>i")
)
@settings(max_examples=40)
def test_wide_integers_become_the_first_type_that_holds_them(
    tmp_path_factory: pytest.TempPathFactory, low: int, high: int, wide: str
) -> None:
    low, high = min(low, high), max(low, high)
    path = tmp_path_factory.mktemp("wide") / "a.npz"
    x = np.array([[low], [high], [low], [high], [low]], dtype=np.int64)
    np.savez(path, x=x.astype(">i4" if wide == ">" else "int64"), y=[0, 1, 0, 1, 0])
    if low < 0 and high > 32767:
        refused(lambda: load(path), f"{low}..{high}", "16 bits")
        return
    data = load(path)
    assert data.x_train.dtype.name in ("uint8", "int8", "uint16", "int16")
    assert set(np.concatenate((data.x_train, data.x_test)).ravel().tolist()) == {low, high}
    fits = [np.iinfo(t).min <= low and high <= np.iinfo(t).max for t in ("uint8", "int8")]
    assert (data.x_train.dtype.itemsize == 1) == any(fits)


def test_both_parts_get_one_type(tmp_path: Path) -> None:
    y = np.array([0, 1])
    np.savez(
        tmp_path / "a.npz",
        x_train=np.array([[1], [200]], np.uint8),
        y_train=y,
        x_test=np.array([[-1], [1]], np.int8),
        y_test=y,
    )
    data = load(tmp_path / "a.npz")
    assert data.x_train.dtype == data.x_test.dtype == np.int16


X, Y = np.arange(12, dtype=np.int16).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
BAD_ARRAYS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "keys": ({"a": X, "b": Y}, ("'a', 'b'", "x and y")),
    "no y": ({"x": X}, ("'x'", "x and y")),
    "half a test set": ({"x_train": X, "y_train": Y, "x_test": X}, ("x_test and y_test",)),
    "no arrays": ({}, ("nothing",)),
    "counts": ({"x": X, "y": Y[:5]}, ("6 samples in x", "5 in y")),
    "empty": ({"x": X[:0], "y": Y[:0]}, ("no samples",)),
    "no features": ({"x": X[:, :0], "y": Y}, ("no samples",)),
    "one sample": ({"x": X[:1], "y": Y[:1]}, ("1 sample", "at least 2")),
    "a number": ({"x": 3, "y": Y}, ("expected",)),
    "cube of labels": ({"x": X, "y": X.reshape(6, 2, 1)}, ("expected",)),
    "floats": ({"x": X / 2, "y": Y}, ("x holds float64", "quantize()")),
    "NaN": ({"x": np.where(X == 5, np.nan, X), "y": Y}, ("x has NaN", "[2, 1]")),
    "infinity": ({"x": X, "y": np.where(Y == 2, np.inf, Y)}, ("y has NaN or infinity", "[2]")),
    "float labels": ({"x": X, "y": Y / 2}, ("y holds float64",)),
    "bool": ({"x": X > 3, "y": Y}, ("bool", "integers")),
    "complex": ({"x": X * 1j, "y": Y}, ("complex", "integers")),
    "text": ({"x": X.astype(str), "y": Y}, ("x holds str", "integers")),
    "too wide": ({"x": X * np.int64(10**9), "y": Y}, ("x holds 11000000000", "16 bits")),
    "negative label": ({"x": X, "y": Y - 1}, ("label -1 is negative",)),
    "large label": ({"x": X, "y": Y + 65534}, ("65536",)),
    "shapes": (
        {"x_train": X, "y_train": Y, "x_test": X.reshape(4, 3), "y_test": Y[:4]},
        ("x of a training sample is (2,)", "(3,)"),
    ),
    "targets and labels": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": X},
        ("y of a training sample is ()", "(2,)"),
    ),
    "names and numbers": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)},
        ("names in one part",),
    ),
    "bad test set": (
        {"x_train": X, "y_train": Y, "x_test": X / 2, "y_test": Y},
        ("(test)", "float64"),
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_of_no_use(case: str, tmp_path: Path) -> None:
    arrays, words = BAD_ARRAYS[case]
    np.savez(tmp_path / "bad.npz", **arrays)
    refused(lambda: load(tmp_path / "bad.npz"), "bad.npz", *words)


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (builtins.exec, ("raise SystemExit('unpickled')",))

    np.savez(tmp_path / "a.npz", x=np.array([Trap(), Trap()], dtype=object), y=np.array([0, 1]))
    refused(lambda: load(tmp_path / "a.npz"), "Python objects", "plain arrays")
    np.array([Trap()], dtype=object).dump(tmp_path / "b.npz")
    refused(lambda: load(tmp_path / "b.npz"), "Python objects")


def test_npz_that_is_something_else(tmp_path: Path) -> None:
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, X)
    refused(lambda: load(tmp_path / "one.npz"), "single array", "numpy.savez")
    (tmp_path / "empty.npz").write_bytes(b"")
    refused(lambda: load(tmp_path / "empty.npz"), "cannot read")
    (tmp_path / "folder.npz").mkdir()
    refused(lambda: load(tmp_path / "folder.npz"), "neither a folder for each class")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_npz_is_refused_or_read_right(save: Any, tmp_path: Path) -> None:
    """Every bit of one byte in three is flipped: never a wrong number, never another exception."""
    path = tmp_path / "a.npz"
    x, y = small_pair(8)
    save(path, x=x, y=y)
    whole = path.read_bytes()
    expected = load(path)
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            data = load(path)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most flips, not all, must raise
        else:
            np.testing.assert_array_equal(data.x_train, expected.x_train)
            np.testing.assert_array_equal(data.y_test, expected.y_test)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refused(lambda: load(path), "cannot read")


# --- IDX


def write_published(folder: Path, packed: bool = False, pixels: int = 4) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        PUBLISHED_IDX[0]: np.arange(12 * pixels * 2, dtype=np.uint8).reshape(12, pixels, 2),
        PUBLISHED_IDX[1]: np.arange(12, dtype=np.uint8) % 3,
        PUBLISHED_IDX[2]: np.arange(5 * pixels * 2, dtype=np.uint8).reshape(5, pixels, 2) + 7,
        PUBLISHED_IDX[3]: np.arange(5, dtype=np.uint8) % 3,
    }
    for stem, array in arrays.items():
        data = idx_bytes(array)
        if packed:
            (folder / f"{stem}.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / stem).write_bytes(data)
    return arrays


@pytest.mark.parametrize("packed", [False, True])
def test_idx_folder(packed: bool, tmp_path: Path) -> None:
    arrays = write_published(tmp_path, packed)
    data = load(tmp_path)
    parts = (data.x_train, data.y_train, data.x_test, data.y_test)
    for part, array in zip(parts, arrays.values(), strict=True):
        np.testing.assert_array_equal(part, array.reshape(len(array), -1).squeeze())
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.uint16)
    missing = PUBLISHED_IDX[3] + (".gz" if packed else "")
    (tmp_path / missing).unlink()
    refused(lambda: load(tmp_path), "lacks t10k-labels-idx1-ubyte")


@given(
    dtype=st.sampled_from(["uint8", "int8", "int16", "int32"]),
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=3),
    packed=st.tuples(st.booleans(), st.booleans()),
)
@settings(max_examples=30)
def test_idx_pair(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    shape: list[int],
    packed: tuple[bool, bool],
) -> None:
    folder = tmp_path_factory.mktemp("idx")
    x = (np.arange(9 * math.prod(shape)) % 100).astype(dtype).reshape(9, *shape)
    x.reshape(9, -1)[:, 0] = np.arange(9)
    y = np.arange(9, dtype=np.int32) % 4
    names = []
    for name, array, gz in zip(("my-images-idx3", "my-labels-idx1"), (x, y), packed, strict=True):
        data = idx_bytes(array)
        names.append(folder / (name + (".gz" if gz else "")))
        names[-1].write_bytes(gzip.compress(data, mtime=0) if gz else data)
    assert_split_of(load(names[0]), x, y, 2)


def test_idx_names(tmp_path: Path) -> None:
    (tmp_path / "images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((4, 2), np.uint8)))
    refused(lambda: load(tmp_path / "images-idx3-ubyte"), "no labels-idx1-ubyte", "beside it")
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    refused(lambda: load(tmp_path / "labels-idx1-ubyte"), "give the file of the images")
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
    refused(lambda: load(tmp_path / "images-idx3-ubyte"), "4 samples in x, but 3 in y")


GOOD_IDX = idx_bytes(np.arange(24, dtype=np.uint8).reshape(6, 4))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ("not an IDX file", "(empty)")),
        (b"\0\0", ("not an IDX file",)),
        (b"\x01" + GOOD_IDX[1:], ("not an IDX file", "0x01000802")),
        (b"\0\0\x07" + GOOD_IDX[3:], ("not an IDX file", "0x00000702")),
        (b"\0\0\x08\0", ("not an IDX file",)),
        (b"P5 2 2 255 0000", ("not an IDX file", "0x50352032")),
        (GOOD_IDX[:9], ("truncated within its header",)),
        (GOOD_IDX[:-1], ("truncated", "35 bytes", "header says 36")),
        (GOOD_IDX + b"\0", ("too long", "37 bytes", "header says 36")),
        (b"\0\0\x08\x03" + b"\xff" * 12, ("truncated",)),
        (b"\0\0\x08\xff" + b"\xff" * 1020, ("truncated",)),
        (gzip.compress(GOOD_IDX, mtime=0)[:-9], ("cannot read",)),
        (gzip.compress(GOOD_IDX, mtime=0)[:12] + b"\xff" * 30, ("cannot read",)),
        (idx_bytes(np.zeros((0, 4), np.uint8)), ("no samples",)),
        (idx_bytes(np.zeros((6, 4), np.float32)), ("float32", "quantize()")),
        (idx_bytes(np.full((6, 4), np.nan)), ("NaN",)),
    ],
)
def test_bad_idx(data: bytes, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "images-idx3-ubyte").write_bytes(data)
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(6, np.uint8)))
    refused(lambda: load(tmp_path / "images-idx3-ubyte"), *words)


@given(data=st.binary(max_size=80), begin=st.sampled_from([b"", GOOD_IDX[:4], GOOD_IDX[:12]]))
@settings(max_examples=100)
def test_any_bytes_as_idx(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, begin: bytes
) -> None:
    folder = tmp_path_factory.mktemp("idx")
    (folder / "images-idx3-ubyte").write_bytes(begin + data)
    (folder / "labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(6, np.uint8)))
    try:
        assert load(folder / "images-idx3-ubyte").x_train.shape[0] == 5
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a few inputs are valid files


# --- CSV


@given(
    table=st.lists(
        st.tuples(st.integers(-99, 999), st.integers(-999, 9999), st.integers(0, 5)),
        min_size=2,
        max_size=20,
    ),
    header=st.booleans(),
    delimiter=st.sampled_from([",", ";", "\t"]),
    text=st.booleans(),
    bom=st.booleans(),
)
@settings(max_examples=40)
def test_csv_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[int, int, int]],
    header: bool,
    delimiter: str,
    text: bool,
    bom: bool,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    x = np.array([(i, a, b) for i, (a, b, _) in enumerate(table)])
    labels = np.array([label for _, _, label in table])
    rows: list[list[object]] = [["number", "a", "b", "class"]] if header else []
    for row, label in zip(x.tolist(), labels, strict=True):
        rows.append([*row, f"class {label}" if text else label])
    write_csv(path, rows, delimiter)
    if bom:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n\r\n")
    data = load(path)
    present = sorted(set(labels.tolist()))
    y = np.searchsorted(present, labels) if text else labels
    assert_split_of(data, x, y, min(max(round(len(x) * 0.2), 1), len(x) - 1))
    if text:
        assert data.classes == tuple(f"class {label}" for label in present)
    else:
        assert data.classes == tuple(str(i) for i in range(present[-1] + 1))


def test_csv_columns(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [[i % 3, i, 10 * i, -i] for i in range(10)])
    data = load(path, label=0)
    assert data.classes == ("0", "1", "2")
    np.testing.assert_array_equal(data.y_train, data.x_train[:, 0] % 3)
    data = load(path, label=(2, -1))
    assert data.classes == ()
    assert data.x_train.shape == (8, 2)
    sample = data.x_train[:, 1].astype(int)
    np.testing.assert_array_equal(data.y_train, np.stack((10 * sample, -sample), axis=1))
    refused(lambda: load(path, label=4), "4 columns", "no column 4")
    refused(lambda: load(path, label=(0, -5)), "no column -5")
    refused(lambda: load(path, label=()), "0 of 4")
    refused(lambda: load(path, label=(0, 1, 2, 3)), "4 of 4")


def test_csv_floats_by_quantize(tmp_path: Path) -> None:
    real = np.stack((np.arange(20), np.linspace(-1, 3, 20), np.full(20, 101325.0)), axis=1)
    rows: list[list[object]] = [[*row, i % 2] for i, row in enumerate(real.tolist())]
    path = write_csv(tmp_path / "a.csv", rows)
    refused(lambda: load(path), "line 1, column 1", "'0.0'", "quantize='int16'")
    data = load(path, quantize="int16")
    assert data.x_train.dtype == data.x_test.dtype == np.int16
    assert data.quantization is not None
    assert len(data.quantization.factor) == 3
    # The training samples alone choose the range.
    assert data.x_train[:, :2].min() == -32767
    assert data.x_train[:, :2].max() == 32767
    back = (data.x_train - np.array(data.quantization.zero_point)) * data.quantization.factor
    rows_back = np.rint(back[:, 0]).astype(int)
    np.testing.assert_allclose(back, real[rows_back], atol=3.3)
    np.testing.assert_allclose(back[:, :2], real[rows_back, :2], atol=4e-4)
    refused(lambda: load(path, quantize="int32"), "int32", "choose uint8, int8, uint16, int16")


BAD_CSV = {
    "empty": ("", ("no samples",)),
    "blank": ("\n\n , \n", ("no samples",)),
    "header only": ("a,b,c\n", ("no samples",)),
    "one column": ("1\n2\n", ("1 of 1 columns",)),
    "ragged": ("1,2,0\n3,1\n", ("line 2 has 2 columns", "3")),
    "long": ("1,2,0\n3,1,1,1\n", ("line 2 has 4 columns",)),
    "empty cell": ("1,2,0\n3,,1\n", ("line 2, column 2 is empty",)),
    "empty cell at first": ("1,,0\n3,2,1\n", ("line 1, column 2 is empty",)),
    "no cells at first": (",,0\n3,2,1\n", ("line 1, column 1 is empty",)),
    "word": ("1,2,0\n3,two,1\n", ("line 2, column 2: 'two' is not a number",)),
    "word at first": ("1,two,0\n3,2,1\n", ("line 1, column 2: 'two' is not a number",)),
    "NaN": ("a,b,c\n1,2,0\nNaN,2,0\n", ("line 3, column 1: 'NaN' is not a finite",)),
    "infinity": ("1,2,0\n-inf,2,0\n", ("line 2, column 1: '-inf' is not a finite",)),
    "float": ("1,2,0\n1,2.5,0\n", ("line 2, column 2: '2.5' is not an integer", "quantize=")),
    "wide": ("1,2,0\n1,65536,0\n", ("line 2, column 2: '65536' needs more than 16 bits",)),
    "very wide": ("1,2,0\n1," + "9" * 40 + ",0\n", ("line 2, column 2", "more than 16 bits")),
    "endless": ("1,2,0\n1," + "9" * 5000 + ",0\n", ("line 2, column 2", "not a finite")),
    "span": ("-1,0\n65535,1\n", ("-1..65535",)),
    "negative label": ("1,2,0\n1,2,-1\n", ("line 2: label -1 is outside 0..65535",)),
    "large label": ("1,2,0\n1,2,65536\n", ("line 2: label 65536 is outside",)),
    "float label": ("1,2,0\n1,2,0.5\n", ("line 2: label '0.5'",)),
    "all float labels": ("1,2,1.0\n1,2,0.5\n", ("line 1: label '1.0'",)),
    "NaN label": ("1,2,nan\n1,2,nan\n", ("line 1: label 'nan'",)),
    "empty label": ("1,2,a\n1,2,\n", ("line 2: the label is empty",)),
    "mixed labels": ("1,2,0\n1,2,one\n", ("line 2: label 'one'", "throughout")),
    "numbers as header": ("0,1,label\n1,2,0\n", ("line 1: label 'label'",)),
    "one sample": ("1,2,0\n", ("1 sample", "at least 2")),
    "quote": ('1,2,0\n1,"2,0\n', ("cannot read", "unexpected end of data")),
    "binary": ("\x00\x01,2\n", ()),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(case: str, tmp_path: Path) -> None:
    text, words = BAD_CSV[case]
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    refused(lambda: load(tmp_path / "bad.csv"), "bad.csv", *words)


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n\xff\xfe\x80,1\n")
    refused(lambda: load(tmp_path / "a.csv"), "cannot read", "utf-8")


def test_csv_of_bad_floats_with_quantize(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0.5,0\nnan,1\n")
    refused(lambda: load(tmp_path / "a.csv", quantize="int8"), "line 2, column 1", "not a finite")
    (tmp_path / "a.csv").write_text("0.5,0\nx,1\n")
    refused(lambda: load(tmp_path / "a.csv", quantize="int8"), "'x' is not a number")


@given(text=st.text(alphabet='0123456789,;.-"\n\r eanif\t', max_size=60))
@settings(max_examples=150)
def test_any_text_as_csv(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        data = load(path)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a few inputs are valid tables
    else:
        assert data.x_train.size
        assert data.y_train.max() < len(data.classes)


# --- Images


def write_pictures(folder: Path, mode: str, per_class: int = 4, size: int = 5) -> NDArray[Any]:
    """Pictures of the classes cat and dog; picture i begins with pixel i."""
    image = needed("PIL.Image")
    shape = (2 * per_class, size, size) + ((3,) if mode == "RGB" else ())
    pixels = (np.arange(math.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    pixels.reshape(len(pixels), -1)[:, 0] = np.arange(len(pixels))
    for i, picture in enumerate(pixels):
        target = folder / ("cat" if i < per_class else "dog") / f"{i:03}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(picture).save(target)
    return pixels


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_by_class(mode: str, tmp_path: Path) -> None:
    pixels = write_pictures(tmp_path, mode)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.x_train.dtype == np.uint8
    assert_split_of(data, pixels, np.arange(8) // 4, 2)


def test_pictures_with_a_test_set(tmp_path: Path) -> None:
    training = write_pictures(tmp_path / "train", "L")
    testing = write_pictures(tmp_path / "test", "L", per_class=2)
    data = load(tmp_path)
    np.testing.assert_array_equal(data.x_train, training.reshape(8, -1))
    np.testing.assert_array_equal(data.x_test, testing.reshape(4, -1))
    assert data.y_test.tolist() == [0, 0, 1, 1]
    refused(lambda: load(tmp_path, test_fraction=0.5), "leave test_fraction out")
    (tmp_path / "test" / "emu").mkdir()
    refused(lambda: load(tmp_path), "do not hold the same classes")
    (tmp_path / "test" / "emu").rmdir()
    write_pictures(tmp_path / "test", "L", per_class=2, size=4)
    refused(lambda: load(tmp_path), "(5, 5)", "(4, 4)")


def test_transparency_is_dropped_and_palettes_are_colours(tmp_path: Path) -> None:
    image = needed("PIL.Image")
    colour = image.fromarray(np.full((3, 3, 3), (9, 80, 200), np.uint8))
    (tmp_path / "a").mkdir()
    for i, mode in enumerate(("RGB", "RGBA", "P")):
        colour.convert(mode, palette=image.Palette.ADAPTIVE).save(tmp_path / "a" / f"{i}.png")
    data = load(tmp_path)
    assert data.x_train.tolist() == [[9, 80, 200] * 9] * 2


def test_bad_pictures(tmp_path: Path) -> None:
    image = needed("PIL.Image")
    refused(lambda: load(tmp_path), "neither a folder for each class nor the IDX files")
    pixels = write_pictures(tmp_path, "L")
    image.fromarray(pixels[0][:4]).save(tmp_path / "dog" / "bad.png")
    refused(lambda: load(tmp_path), "bad.png is 5x4 grey", "5x5 grey", "make them all alike")
    image.fromarray(pixels[0]).convert("RGB").save(tmp_path / "dog" / "bad.png")
    refused(lambda: load(tmp_path), "bad.png is 5x5 RGB", "5x5 grey")
    image.fromarray(pixels[0].astype(np.uint16) * 200).save(tmp_path / "dog" / "bad.png")
    refused(lambda: load(tmp_path), "bad.png", "more than 8 bits")
    (tmp_path / "dog" / "bad.png").write_bytes(b"no picture")
    refused(lambda: load(tmp_path), "cannot read", "bad.png")
    for file in (tmp_path / "dog").iterdir():
        file.unlink()
    refused(lambda: load(tmp_path), "dog holds no images", ".png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif"])
def test_truncated_pictures(suffix: str, tmp_path: Path) -> None:
    image = needed("PIL.Image")
    noise = np.random.default_rng(1).integers(0, 256, (16, 16), dtype=np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image.fromarray(noise).save(tmp_path / name / f"1.{suffix}")
    victim = tmp_path / "b" / f"1.{suffix}"
    whole = victim.read_bytes()
    assert len(load(tmp_path).x_train) == 1
    for length in (0, 1, 10, len(whole) // 2):
        victim.write_bytes(whole[:length])
        refused(lambda: load(tmp_path), "cannot read", f"1.{suffix}")


def test_pictures_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    refused(lambda: load(tmp_path), "pip install 'pocketgen[images]'")


# --- Floating-point data


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    dtype=st.sampled_from(["uint8", "int8", "uint16", "int16"]),
)
def test_quantize_is_within_half_a_step(values: list[float], dtype: str) -> None:
    x = np.array(values)
    low, high = min(values), max(values)
    # Ranges narrower than their offset allows are refused; that is tested below.
    if 0 < high - low < 1e-3:
        return
    integers, chosen = quantize(x, dtype)
    assert integers.dtype.name == chosen.dtype == dtype
    back = (integers.astype(float) - chosen.zero_point[0]) * chosen.factor[0]
    # Half a step for the value and half for the zero point, which is an integer too.
    assert np.abs(back - x).max() <= chosen.factor[0] * (1 + 1e-6)
    if low <= 0 <= high:
        assert chosen.apply([0.0]).tolist() == [chosen.zero_point[0]] or low == high
    np.testing.assert_array_equal(chosen.apply(x), integers)


def test_quantize_with_a_given_range_clamps() -> None:
    integers, chosen = quantize([[-2.0, 0.5], [0.0, 9.0]], "int8", low=-1, high=1)
    assert integers.tolist() == [[-127, 64], [0, 127]]
    assert chosen.zero_point == (0,)
    assert chosen.factor == (1 / 127,)
    integers, chosen = quantize([[0, 10.0], [1, 30.0]], "uint8", low=[0, 10], high=[1, 30])
    assert integers.tolist() == [[0, 0], [255, 254]]  # the zero point -127.5 is rounded
    assert quantize([[0, 10.0], [1, 30.0]], "uint8", per_feature=True)[1] == chosen


def test_quantize_a_feature_that_never_changes() -> None:
    for value in (0.0, 7.5, -1e9, 1e300):
        integers, _ = quantize([value, value], "int16")
        assert integers.tolist() == [-32767, -32767]


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        ([1.0, math.nan], {}, ("NaN", "[1]")),
        ([1.0, math.inf], {}, ("infinity",)),
        ([], {}, ("empty",)),
        (["one"], {}, ("not an array of numbers",)),
        ([[1.0], [1.0, 2.0]], {}, ("not an array of numbers",)),
        ([1.0], {"dtype": "float32"}, ("float32", "choose uint8")),
        ([1.0], {"low": 2, "high": 1}, ("high 1.0 is below low 2.0",)),
        ([1.0], {"low": math.nan}, ("low has NaN",)),
        ([1.0], {"high": math.inf}, ("high has NaN or infinity",)),
        ([[1.0, 2.0, 3.0]], {"low": [0, 1]}, ("one for each of 3",)),
        ([1e9, 1e9 + 1], {}, ("32-bit zero point", "subtract an offset")),
        ([-1e308, 1.7e308], {}, ("does not fit",)),
        ([0.0, 5e-324], {}, ("does not fit",)),
    ],
)
def test_quantize_refuses(x: Any, options: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(lambda: quantize(x, **options), *words)


def test_a_quantization_knows_its_features() -> None:
    _, chosen = quantize([[0, 10.0], [1, 30.0]], "uint8", per_feature=True)
    refused(lambda: chosen.apply([[1.0, 2.0, 3.0]]), "3 features", "2")
    refused(lambda: chosen.apply([[1.0, math.nan]]), "NaN")
    assert chosen.apply([1e308, -1e308]).tolist() == [255, 0]


# --- Published sets: found, or fetched from a mirror that is a function here


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small "mnist" whose digests stand in for the published ones; no POCKETGEN_DATA."""
    write_published(tmp_path / "source")
    files = {stem: (tmp_path / "source" / stem).read_bytes() for stem in PUBLISHED_IDX}
    small = datasets._PUBLISHED["mnist"]._replace(
        sha256=tuple(hashlib.sha256(data).hexdigest() for data in files.values())
    )
    monkeypatch.setitem(datasets._PUBLISHED, "mnist", small)
    monkeypatch.delenv("POCKETGEN_DATA", raising=False)
    monkeypatch.setenv("POCKETGEN_CACHE", str(tmp_path / "cache"))
    return files


class Web:
    """Stands in for pooch's downloader: answers from a table, and counts."""

    def __init__(self, answers: Callable[[str], bytes]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, **_: object) -> Callable[..., None]:
        def download(url: str, output_file: str, _: object) -> None:
            self.asked.append(url)
            Path(output_file).write_bytes(self.answers(url))

        return download


def stem_of(url: str) -> str:
    return url.rsplit("/", 1)[1].removesuffix(".gz")


def test_fetched_once_from_the_first_good_mirror(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(url: str) -> bytes:
        if "ossci" in url:
            return b"<html>please log in</html>"
        return gzip.compress(
            published[stem_of(url)], compresslevel=1, mtime=0
        )  # another gzip: no matter

    web = Web(answers)
    monkeypatch.setattr("pooch.HTTPDownloader", web)
    data = load("mnist")
    assert (data.name, data.classes) == ("mnist", tuple("0123456789"))
    assert (data.x_train.shape, data.x_test.shape) == ((12, 8), (5, 8))
    assert len(web.asked) == 8
    load("mnist")
    assert len(web.asked) == 8, "the second time comes from the cache"
    (tmp_path / "cache" / "mnist" / PUBLISHED_IDX[0]).write_bytes(b"damaged")
    load("mnist")
    assert len(web.asked) == 10, "a damaged file in the cache is fetched again"


def test_fetched_over_http(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, from a server of our own that is the second mirror; the first one is deaf."""
    for stem, data in published.items():
        (tmp_path / "source" / f"{stem}.gz").write_bytes(gzip.compress(data, mtime=0))
    handler = functools.partial(SilentHandler, directory=str(tmp_path / "source"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirrors = ("http://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/")
        small = datasets._PUBLISHED["mnist"]._replace(mirrors=mirrors)
        monkeypatch.setitem(datasets._PUBLISHED, "mnist", small)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        try:
            assert load("mnist").x_train.shape == (12, 8)
        finally:
            server.shutdown()
    cached = tmp_path / "cache" / "mnist"
    assert {file.name: file.read_bytes() for file in cached.iterdir()} == published


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_offline(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(_: str) -> bytes:
        raise ConnectionError("no network")

    monkeypatch.setattr("pooch.HTTPDownloader", Web(answers))
    message = refused(lambda: load("mnist"), "ConnectionError", "POCKETGEN_DATA", "without a net")
    for stem in PUBLISHED_IDX:
        assert stem in message
    assert not list((tmp_path / "cache").rglob("*ubyte*"))


@pytest.mark.parametrize("body", [b"", b"\x1f\x8bdamaged", gzip.compress(b"other bytes", mtime=0)])
def test_wrong_bytes_from_every_mirror(
    body: bytes, published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooch.HTTPDownloader", Web(lambda _: body))
    refused(lambda: load("mnist"), "not the published bytes")
    assert not list((tmp_path / "cache").rglob("*ubyte*"))


def test_a_cache_that_is_a_file(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr("pooch.HTTPDownloader", Web(lambda url: published[stem_of(url)]))
    refused(lambda: load("mnist"), "cannot write to", "POCKETGEN_CACHE")


def test_pocketgen_data_comes_first(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = Web(lambda _: b"")
    monkeypatch.setattr("pooch.HTTPDownloader", web)
    monkeypatch.setenv("POCKETGEN_DATA", str(tmp_path / "data"))
    write_published(tmp_path / "data" / "mnist", packed=True)
    assert load("mnist").x_train.shape == (12, 8)
    assert not web.asked
    victim = tmp_path / "data" / "mnist" / f"{PUBLISHED_IDX[2]}.gz"
    victim.write_bytes(victim.read_bytes()[:-12])
    refused(lambda: load("mnist"), "cannot read", victim.name)
    victim.write_bytes(gzip.compress(idx_bytes(np.zeros((5, 4, 2), np.uint8))))
    refused(lambda: load("mnist"), victim.name, "not mnist as published", "SHA-256")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "fashion_mnist"])
def test_the_real_ones(name: str) -> None:
    data_folder(name.replace("-", "_"))
    data = load(name)
    assert data.name == name.replace("_", "-")
    assert (data.x_train.shape, data.x_test.shape) == ((60000, 784), (10000, 784))
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.uint16)
    assert len(data.classes) == 10
    assert data.y_test[:5].tolist() == ([7, 2, 1, 0, 4] if name == "mnist" else [9, 2, 1, 1, 6])
    if name == "fashion-mnist":
        assert data.classes[data.y_train[0]] == "Ankle boot"
