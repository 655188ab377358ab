"""Samples and their labels or targets, as integer arrays.

In: the name of a data set, or a path to an NPZ, CSV or IDX file or to a folder of images.
Out: a `Dataset`. Every source that cannot be used ends in one `DataError` of one line.
Not here: the file formats (`datafiles`), and the scaling to a network's input type, which belongs
to the model (`pocketgen.Scale`).
"""

from __future__ import annotations

import difflib
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketgen.datafiles import (
    IDX_STEMS,
    Parts,
    beside,
    parse_idx,
    read_npz,
    read_path,
    reading,
    unpacked,
)
from pocketgen.errors import DataError
from pocketgen.intmath import INT_LIMITS, mix, stream_key

Integers = NDArray[np.integer[Any]]

# What a network's input can be, and the integers that a Quantization makes of it.
_INPUT_TYPES = ("uint8", "int8", "uint16", "int16")
_QUANTIZED = {name: (max(low, -high), high) for name, (low, high) in INT_LIMITS.items()}
_TEST_FRACTION = 0.2  # where a source has no test set of its own and the caller names no fraction
_DIGITS_TEST = 360  # the built-in digits: the last 360 of 1797 samples, as they stand


@dataclass(frozen=True)
class Quantization:
    """The affine map from real numbers to integers: integer = round(real / factor) + zero_point.

    `factor` and `zero_point` hold one number for all features, or one for each feature. What the
    map sends outside the type's range is clamped: -127..127 for int8 and -32767..32767 for int16
    (so that every value has its negative), 0..255 for uint8 and 0..65535 for uint16.
    """

    dtype: str
    factor: tuple[float, ...]
    zero_point: tuple[int, ...]

    def apply(self, x: ArrayLike) -> Integers:
        """The integers of floating-point x, (n, features) or any shape if there is one factor."""
        real = _finite("x", x)
        if len(self.factor) not in (1, real.shape[-1]):
            raise DataError(f"x has {real.shape[-1]} features, the map {len(self.factor)}")
        with np.errstate(over="ignore"):  # an infinite quotient is clamped like any other
            scaled = np.rint(real / np.array(self.factor)) + np.array(self.zero_point)
        clamped: Integers = np.clip(scaled, *_QUANTIZED[self.dtype]).astype(self.dtype)
        return clamped


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test samples of one data set.

    x_train, x_test: (n, features) uint8, int8, uint16 or int16; pictures row by row, and the
    colours of a pixel side by side. y_train, y_test: (n,) uint16 labels below len(classes), or
    (n, outputs) integer targets; `classes` is empty for targets. `quantization` is the map that
    made the features of floating-point columns, if there were any.
    """

    name: str
    x_train: Integers
    y_train: Integers
    x_test: Integers
    y_test: Integers
    classes: tuple[str, ...]
    quantization: Quantization | None = None


class _Published(NamedTuple):
    """A data set known by name: its IDX files, as published."""

    folders: tuple[str, ...]  # names in POCKETGEN_DATA
    mirrors: tuple[str, ...]
    sha256: tuple[str, ...]  # of the *unpacked* files in the order of IDX_STEMS: any gzip will do
    classes: tuple[str, ...]


_PUBLISHED = {
    "mnist": _Published(
        folders=("mnist",),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        classes=tuple("0123456789"),
    ),
    "fashion-mnist": _Published(
        folders=("fashion_mnist", "fashion-mnist"),
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
}
NAMES = ("digits", "xor", "sine", "sensor", *_PUBLISHED)


def load(
    source: str | os.PathLike[str],
    *,
    test_fraction: float | None = None,
    seed: int = 0,
    label: int | Sequence[int] = -1,
    quantize: str | None = None,
) -> Dataset:
    """Load a data set by its name or from a file or folder.

    source: a name from `NAMES` (`./mnist` or a `Path` means the folder of that name), or a path to

    - `.npz`: x_train, y_train[, x_test, y_test] or x, y[, classes]; x is (n, ...) integers, y is
      (n,) labels or (n, outputs) targets;
    - `.csv`: one sample a row, with or without a row of column names;
    - an IDX file of images, plain or gzip, with its labels file beside it; or a folder with the
      four files that MNIST is published as;
    - a folder with a folder of images for each class, or with two such folders `train` and `test`.

    test_fraction: the part of the samples, chosen by `seed` (0..2**32 - 1) and the same on every
    platform, that becomes the test set where the source has none of its own: 0.2 unless given.
    (The digits' test set is their last 360 samples unless a fraction is given.)
    label: for CSV, the column of the labels (-1: the last), or several columns of integer targets.
    quantize: "uint8", "int8", "uint16" or "int16" makes floating-point features integers, each
    feature by its own `Quantization`, chosen from the training samples.

    Raises DataError, one line, for everything that is missing, damaged, empty or out of range.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise DataError(f"{source!r} is not the name of a data set or a path")
    if test_fraction is not None and not 0 < test_fraction < 1:
        raise DataError(f"test_fraction is {test_fraction}; it must lie between 0 and 1")
    if quantize is not None:
        _quantized_range(quantize)  # refuse an unknown type before a long read
    name = source.replace("_", "-") if isinstance(source, str) else ""
    if name in ("xor", "sine", "sensor"):
        if test_fraction is not None:
            raise DataError(f"{name} has its own test set; leave test_fraction out")
        if quantize is not None:
            raise DataError(f"{name} holds integers; leave quantize out")
        return {"xor": xor, "sine": sine, "sensor": sensor}[name]()
    if name == "digits":
        parts = read_npz(Path(__file__).parent / "data" / "digits.npz")
        if test_fraction is None:
            cut = len(parts.x) - _DIGITS_TEST
            parts = Parts(parts.x[:cut], parts.y[:cut], parts.x[cut:], parts.y[cut:])
    elif name in _PUBLISHED:
        parts = _read_published(name)
    else:
        with reading(Path(source)):
            path = Path(source).expanduser()
            exists = path.exists()
        if not exists:
            near = difflib.get_close_matches(str(source), NAMES, 1)
            raise DataError(
                f"no data set, file or folder {str(source)!r}:"
                + (f" did you mean {near[0]!r}?" if near else "")
                + f" known names are {', '.join(NAMES)}"
            )
        name = str(source)
        parts = read_path(path, label, floats=quantize is not None)
    return _assemble(name, parts, test_fraction, seed, quantize)


def quantize(
    x: ArrayLike,
    dtype: str = "int16",
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    *,
    per_feature: bool = False,
) -> tuple[Integers, Quantization]:
    """Turn floating-point x into integers of dtype by an affine map, and return the map with them.

    low, high: the real numbers that become the type's smallest and largest integer, to within the
    rounding of the zero point; x's own smallest and largest unless given (for each column of
    (n, features) with per_feature). One number each, or one for each feature. What lies beyond is
    clamped. The firmware must apply the same map before it calls the network. Raises DataError for
    NaN, infinity, no data, and a range that needs a zero point of more than 32 bits.
    """
    smallest, largest = _quantized_range(dtype)
    real = _finite("x", x)
    axis = 0 if per_feature else None
    bottom = np.ravel(real.min(axis=axis) if low is None else _finite("low", low))
    top = np.ravel(real.max(axis=axis) if high is None else _finite("high", high))
    count = max(bottom.size, top.size)
    if not {bottom.size, top.size} <= {1, count} or count not in (1, real.shape[-1]):
        raise DataError(f"low and high must be one number or one for each of {real.shape[-1]}")
    bottom, top = np.broadcast_to(bottom, count), np.broadcast_to(top, count)
    if np.any(top < bottom):
        raise DataError(f"high {top[top < bottom][0]} is below low {bottom[top < bottom][0]}")
    with np.errstate(all="ignore"):  # what overflows is refused below
        # A feature that never changes has no range: any width will do.
        width = np.where(top == bottom, np.maximum(np.abs(bottom), 1.0), top - bottom)
        factor = width / (largest - smallest)
        zero_point = np.rint(smallest - bottom / factor)
        usable = np.isfinite(factor) & (factor > 0) & (np.abs(zero_point) < 2**31)
    if not usable.all():
        raise DataError(
            f"the range {bottom[~usable][0]}..{top[~usable][0]} does not fit an affine map with a"
            " 32-bit zero point; subtract an offset first"
        )
    chosen = Quantization(dtype, tuple(factor.tolist()), tuple(int(z) for z in zero_point))
    return chosen.apply(real), chosen


def xor() -> Dataset:
    """Exclusive or: 4 points of two uint8 inputs, 0 or 127, labels 0 and 1; test = training."""
    x = np.array([[0, 0], [0, 127], [127, 0], [127, 127]], np.uint8)
    y = np.array([0, 1, 1, 0], np.uint16)
    return Dataset("xor", x, y, x.copy(), y.copy(), ("0", "1"))


def sine(n: int = 400) -> Dataset:
    """One period of a sine as a regression: n points, 10..65536; every fifth one is for testing.

    x is (n, 1) int16, the angle in 1/65536 turns; y is (n, 1) int8, 100 * sin(angle), rounded.
    """
    if not 10 <= n <= 65536:
        raise DataError(f"sine has {n} points; choose 10..65536")
    angles = [(65536 * i) // n - 32768 for i in range(n)]
    x = np.array(angles, np.int16).reshape(n, 1)
    y = np.array([_sine_100(angle) for angle in angles], np.int8).reshape(n, 1)
    tested = np.arange(n) % 5 == 2
    return Dataset("sine", x[~tested], y[~tested], x[tested], y[tested], ())


def _sine_100(angle: int) -> int:
    """100 * sin of angle in 1/65536 turns, rounded: Taylor's series, in integers everywhere."""
    radians = (angle * 3373259426) >> 15  # pi * 2**30; from here on fixed point with 30 places
    term = total = radians
    for k in range(2, 22, 2):
        term = -((((term * radians) >> 30) * radians) >> 30) // (k * (k + 1))
        total += term
    return (100 * total + (1 << 29)) >> 30


def sensor(n: int = 1200, seed: int = 1) -> Dataset:
    """Windows of 16 int8 values of an imagined accelerometer, four classes, one fifth for testing.

    idle: noise; tap: a short ringing pulse; shake: an oscillation; tilt: a change of level. Size,
    sign, position, period, offset and noise vary. Integers only: the same bytes everywhere.
    n is 8 or more, seed 0..2**32 - 1.
    """
    if n < 8:
        raise DataError(f"sensor has {n} samples; choose 8 or more")
    size, sign, place, offset, step, phase = (
        _draw(seed, stream, (n, 1), low, high)
        for stream, (low, high) in enumerate(
            [(24, 90), (0, 1), (2, 10), (-12, 12), (9, 17), (0, 63)]
        )
    )
    noise = _draw(seed, 6, (n, 16), -9, 9) + _draw(seed, 7, (n, 16), -9, 9)
    time = np.arange(16)
    since = time - place
    ringing = np.array([0, 8, -5, 3, -2])[np.where((since >= 0) & (since < 4), since + 1, 0)]
    triangle = np.abs((time * step + phase) % 64 - 32) * 2 - 32  # -32..32, period 64 / step
    level = np.clip(since, 0, 4)
    label = np.arange(n) % 4
    shapes = np.stack([0 * since, ringing * size // 8, triangle * size // 32, level * size // 4])
    wave = shapes[label, np.arange(n)] * (1 - 2 * sign) + offset + noise
    x, y = np.clip(wave, -127, 127).astype(np.int8), label.astype(np.uint16)
    cut = n - n // 5
    return Dataset("sensor", x[:cut], y[:cut], x[cut:], y[cut:], ("idle", "tap", "shake", "tilt"))


def _draw(seed: int, stream: int, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    """Random integers low..high, high - low < 2**16, by counter: the same on every platform."""
    upper = (_words(seed, stream, math.prod(shape)) >> 16) * (high - low + 1) >> 16
    return low + upper.reshape(shape)


def _words(seed: int, stream: int, count: int) -> NDArray[np.int64]:
    """The first random words, 0..2**32 - 1, of a stream; no two are the same (mix)."""
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise DataError(f"seed is {seed!r}; choose 0..2**32 - 1")
    counter = np.arange(count, dtype=np.uint64) + np.uint64(stream_key(seed, stream))
    return mix(counter).astype(np.int64)


# --- From what a reader found to a Dataset: every check that does not depend on the format.


def _assemble(
    name: str, parts: Parts, test_fraction: float | None, seed: int, quantized: str | None
) -> Dataset:
    """Check the parts, split them if they have no test set, narrow their types."""
    floats = quantized is not None
    x, y = _checked_samples(name, parts.x, parts.y, floats)
    train: slice | NDArray[np.int64]
    test: slice | NDArray[np.int64]
    if parts.x_test is not None and parts.y_test is not None:
        if test_fraction is not None:
            raise DataError(f"{name} has its own test set; leave test_fraction out")
        x_test, y_test = _checked_samples(f"{name} (test)", parts.x_test, parts.y_test, floats)
        for what, a, b in (("x", parts.x, parts.x_test), ("y", parts.y, parts.y_test)):
            if a.shape[1:] != b.shape[1:]:
                raise DataError(
                    f"{name}: {what} of a training sample is {a.shape[1:]}, of a test sample"
                    f" {b.shape[1:]}"
                )
        if y.dtype.kind != y_test.dtype.kind and "U" in (y.dtype.kind, y_test.dtype.kind):
            raise DataError(f"{name}: labels are names in one part and numbers in the other")
        train, test = slice(len(x)), slice(len(x), None)
        x, y = np.concatenate((x, x_test)), np.concatenate((y, y_test))
    else:
        if len(x) < 2:
            raise DataError(f"{name} has {len(x)} sample; a split needs at least 2")
        fraction = _TEST_FRACTION if test_fraction is None else test_fraction
        tested = min(max(round(len(x) * fraction), 1), len(x) - 1)
        order = np.argsort(_words(seed, 0, len(x)))
        train, test = order[:-tested], order[-tested:]
    classes: tuple[str, ...] = ()
    if y.ndim == 1:
        y, classes = _labels(name, y, parts.classes)
    else:
        y = _narrowed(f"{name}: y", y)
    if quantized is None:
        x = _narrowed(f"{name}: x", x)
        return Dataset(name, x[train], y[train], x[test], y[test], classes)
    x_train, chosen = quantize(x[train], quantized, per_feature=True)
    return Dataset(name, x_train, y[train], chosen.apply(x[test]), y[test], classes, chosen)


def _checked_samples(
    name: str, x: NDArray[Any], y: NDArray[Any], floats: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """x as (n, features) and y as (n,) or (n, outputs): numbers of at most 16 bits, or names."""
    if x.ndim == 0 or y.ndim not in (1, 2):
        raise DataError(
            f"{name}: x is {x.shape}, y {y.shape}; expected (n, ...) and (n,) or (n, k)"
        )
    if x.size == 0 or y.size == 0:
        raise DataError(f"{name} holds no samples: x is {x.shape}, y {y.shape}")
    if len(x) != len(y):
        raise DataError(f"{name}: {len(x)} samples in x, but {len(y)} in y")
    x = x.reshape(len(x), -1)
    x = _finite(f"{name}: x", x) if floats else _whole(f"{name}: x", x)
    if y.ndim == 2 or y.dtype.kind != "U":
        y = _whole(f"{name}: y", y)
    return x, y


def _whole(what: str, values: NDArray[Any]) -> Integers:
    """The values if they are integers of at most 16 bits, as int32 if their type is wider."""
    if values.dtype.kind == "f":
        _finite(what, values)
        raise DataError(
            f"{what} holds {values.dtype} numbers, a network takes integers: use astype() if they"
            " are whole, else pocketgen.datasets.quantize()"
        )
    if values.dtype.kind not in "iu":
        raise DataError(f"{what} holds {values.dtype.name} values; integers are needed")
    if values.dtype.itemsize <= 2:
        return values
    for extreme in (int(values.min()), int(values.max())):
        if not -32768 <= extreme <= 65535:
            raise DataError(f"{what} holds {extreme}, more than 16 bits (-32768..65535): scale it")
    return values.astype(np.int32)


def _narrowed(what: str, values: Integers) -> Integers:
    """The values in a type of 8 or 16 bits: their own, or the first that holds them all."""
    low, high = int(values.min()), int(values.max())
    own = values.dtype.name
    for dtype in (own, *_INPUT_TYPES) if own in _INPUT_TYPES else _INPUT_TYPES:
        if INT_LIMITS[dtype][0] <= low and high <= INT_LIMITS[dtype][1]:
            return values.astype(dtype)
    raise DataError(f"{what} spans {low}..{high}, which no type of 16 bits holds: scale it")


def _labels(name: str, y: NDArray[Any], given: tuple[str, ...]) -> tuple[Integers, tuple[str, ...]]:
    """Labels as uint16 and the classes' names: the given ones, or sorted, or counted from 0."""
    if y.dtype.kind == "U":
        names, labels = np.unique(y, return_inverse=True)
        return labels.astype(np.uint16), tuple(str(text) for text in names)
    low, high = int(y.min()), int(y.max())
    if low < 0:
        raise DataError(f"{name}: label {low} is negative; labels count from 0")
    if given and high >= len(given):
        raise DataError(f"{name}: label {high} has no name; there are {len(given)} classes")
    return y.astype(np.uint16), given or tuple(str(i) for i in range(high + 1))


def _finite(what: str, x: ArrayLike) -> NDArray[np.float64]:
    """x as float64 with at least one axis; DataError if it is empty, or has NaN or infinity."""
    try:
        real = np.atleast_1d(np.asarray(x, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not an array of numbers") from error
    if real.size == 0:
        raise DataError(f"{what} is empty")
    if not np.isfinite(real).all():
        where = np.argwhere(~np.isfinite(real))[0].tolist()
        raise DataError(f"{what} has NaN or infinity, first at {where}; remove or replace it")
    return real


def _quantized_range(dtype: str) -> tuple[int, int]:
    """The smallest and largest integer that a Quantization to dtype makes."""
    if dtype not in _INPUT_TYPES:
        raise DataError(f"cannot quantize to {dtype!r}; choose {', '.join(_INPUT_TYPES)}")
    return _QUANTIZED[dtype]


# --- Published data sets: found on this machine, or fetched.


def _read_published(name: str) -> Parts:
    """A published data set: from POCKETGEN_DATA, else from the cache, else from a mirror."""
    published = _PUBLISHED[name]
    root = os.environ.get("POCKETGEN_DATA")
    folders = [Path(root).expanduser() / folder for folder in published.folders] if root else []
    arrays = []
    for stem, sha256 in zip(IDX_STEMS, published.sha256, strict=True):
        own = next((file for folder in folders if (file := beside(folder, stem))), None)
        file = own or _fetched(name, stem, sha256)
        data = unpacked(file)
        if own and hashlib.sha256(data).hexdigest() != sha256:
            raise DataError(f"{own} is not {name} as published (its SHA-256 differs); replace it")
        arrays.append(parse_idx(file, data))
    x, y, x_test, y_test = arrays
    return Parts(x, y, x_test, y_test, published.classes)


def _fetched(name: str, stem: str, sha256: str) -> Path:
    """The unpacked file in the cache, fetched from the first mirror that has the right bytes."""
    import pooch  # here: it is slow to import and seldom needed

    def download(url: str, output_file: str, _: object) -> None:
        pooch.HTTPDownloader(timeout=(5, 30))(url, output_file, None)  # seconds: connect, read
        Path(output_file).write_bytes(unpacked(Path(output_file)))

    cache = Path(os.environ.get("POCKETGEN_CACHE") or pooch.os_cache("pocketgen")).expanduser()
    failures = []
    for mirror in _PUBLISHED[name].mirrors:
        try:
            file = pooch.retrieve(
                f"{mirror}{stem}.gz", f"sha256:{sha256}", stem, cache / name, downloader=download
            )
            return Path(file)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise DataError(
                f"cannot write to {cache} ({error.strerror}): set POCKETGEN_CACHE"
            ) from error
        except (OSError, ValueError) as error:  # those of requests are OSErrors
            wrong = isinstance(error, ValueError) and not isinstance(error, OSError)
            reason = "not the published bytes" if wrong else type(error).__name__
            failures.append(f"{mirror.split('/')[2]}: {reason}")
    raise DataError(
        f"cannot fetch {name} ({'; '.join(failures)}): without a network put the files"
        f" {', '.join(IDX_STEMS)} (plain or .gz) in a folder {_PUBLISHED[name].folders[0]!r}"
        " and set POCKETGEN_DATA to the folder that holds it"
    )
