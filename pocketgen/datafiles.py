"""The file formats that samples come in: NPZ, CSV, IDX, folders of images.

In: a path. Out: `Parts`, the arrays as they were found. A file that is missing or damaged, or that
no reader knows, raises a `DataError` of one line.
Not here: whether the arrays fit together and are of use to a network, which `datasets` checks.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketgen.errors import DataError

IDX_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
_INTEGER = re.compile(r"[+-]?[0-9]+")


class Parts(NamedTuple):
    """What a reader found, not yet checked: y is (n,) integers or names, or (n, outputs)."""

    x: NDArray[Any]
    y: NDArray[Any]
    x_test: NDArray[Any] | None = None
    y_test: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()


def parts_of(arrays: Sequence[NDArray[Any]], classes: tuple[str, ...] = ()) -> Parts:
    """x and y, perhaps followed by x_test and y_test."""
    x_test, y_test = arrays[2:] if len(arrays) == 4 else (None, None)
    return Parts(arrays[0], arrays[1], x_test, y_test, classes)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on a missing or damaged file into one line of DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if "pickle" in text:  # numpy would advise to unpickle, which can run any code
            text = "it holds Python objects; save plain arrays of integers"
        raise DataError(f"cannot read {path}: {' '.join(text.split())}") from error


def read_path(path: Path, label: int | Sequence[int], floats: bool) -> Parts:
    """Choose the reader for a file or folder."""
    if path.is_dir():
        found = [beside(path, stem) for stem in IDX_STEMS]
        if any(found):
            missing = [stem for stem, file in zip(IDX_STEMS, found, strict=True) if not file]
            if missing:
                raise DataError(f"{path} lacks {', '.join(missing)} (plain or .gz)")
            return parts_of([parse_idx(file, unpacked(file)) for file in found if file])
        return _read_images(path)
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    if path.suffix.lower() == ".csv":
        return _read_csv(path, label, floats)
    if "idx" in path.name or "ubyte" in path.name:
        return _read_idx_pair(path)
    raise DataError(f"{path}: unknown kind of file; .npz, .csv, IDX (*-ubyte) and folders are read")


def read_npz(path: Path) -> Parts:
    """An archive of numpy arrays; arrays of Python objects are never unpickled."""
    with reading(path), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds a single array; save x and y with numpy.savez")
        with archive, zipfile.ZipFile(file) as members:
            # numpy stops reading where an array's header says, which may be before the checksum.
            if damaged := members.testzip():
                raise DataError(f"cannot read {path}: wrong checksum of {damaged!a}")
            given = ("x_train", "y_train", "x_test", "y_test")
            keys = given if "x_train" in archive else ("x", "y")
            present = [key for key in keys if key in archive]
            if len(present) not in (2, 4) or present[:2] != list(keys[:2]):
                raise DataError(
                    f"{path} holds {', '.join(map(ascii, archive)) or 'nothing'}; needed are x and"
                    " y, or x_train and y_train, perhaps with x_test and y_test"
                )
            arrays = [archive[key] for key in present]
            classes = archive["classes"].ravel() if "classes" in archive else ()
            return parts_of(arrays, tuple(str(text) for text in classes))


def beside(folder: Path, stem: str) -> Path | None:
    """The file `stem` of a folder, plain or gzip."""
    return next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None)


def unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is gzip."""
    with reading(path):
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _read_idx_pair(images: Path) -> Parts:
    """A file of images, and the file of its labels found by its name."""
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    labels = beside(images.parent, stem)
    if "images" not in images.name:
        raise DataError(f"{images}: give the file of the images (its name has 'images' in it)")
    if labels is None:
        raise DataError(f"{images} has no {stem} (plain or .gz) beside it")
    return Parts(parse_idx(images, unpacked(images)), parse_idx(labels, unpacked(labels)))


def parse_idx(path: Path, data: bytes) -> NDArray[Any]:
    """An IDX file: 0, 0, type, number of axes, the axes' lengths (uint32), all big-endian."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or data[3] == 0:
        raise DataError(
            f"{path} is not an IDX file: it begins with 0x{data[:4].hex() or '(empty)'}"
        )
    dtype, begin = np.dtype(_IDX_TYPES[data[2]]), 4 + 4 * data[3]
    if len(data) < begin:
        raise DataError(f"{path} is truncated within its header")
    shape = struct.unpack(f">{data[3]}I", data[4:begin])
    promised = begin + math.prod(shape) * dtype.itemsize
    if len(data) != promised:
        fault = "truncated" if len(data) < promised else "too long"
        raise DataError(f"{path} is {fault}: {len(data)} bytes, its header says {promised}")
    array = np.frombuffer(data, dtype, offset=begin).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _read_images(folder: Path) -> Parts:
    """A folder of pictures for each class, or two of those: `train` and `test`."""
    if not ((folder / "train").is_dir() and (folder / "test").is_dir()):
        classes = _class_folders(folder)
        return Parts(*_read_pictures(folder, classes), classes=classes)
    classes = _class_folders(folder / "train")
    if _class_folders(folder / "test") != classes:
        raise DataError(f"{folder}: train and test do not hold the same classes")
    training = _read_pictures(folder / "train", classes)
    return Parts(*training, *_read_pictures(folder / "test", classes), classes=classes)


def _class_folders(folder: Path) -> tuple[str, ...]:
    with reading(folder):
        folders = (entry for entry in folder.iterdir() if entry.is_dir())
        names = sorted(entry.name for entry in folders if not entry.name.startswith("."))
    if not names:
        raise DataError(
            f"{folder} holds neither a folder for each class nor the IDX files of MNIST"
        )
    return tuple(names)


def _read_pictures(folder: Path, classes: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The pictures of all classes, (n, height, width[, 3]) uint8, and their labels."""
    pictures: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        with reading(folder / name):
            entries = sorted((folder / name).iterdir())
        files = [file for file in entries if file.suffix.lower() in _PICTURES]
        if not files:
            raise DataError(f"{folder / name} holds no images ({', '.join(_PICTURES)})")
        for file in files:
            pixels = _read_picture(file)
            if pictures and pixels.shape != pictures[0].shape:
                raise DataError(
                    f"{file} is {_size(pixels)}, the images before it are {_size(pictures[0])};"
                    " make them all alike"
                )
            pictures.append(pixels)
            labels.append(label)
    return np.stack(pictures), np.array(labels)


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]} {'grey' if pixels.ndim == 2 else 'RGB'}"


def _read_picture(path: Path) -> NDArray[np.uint8]:
    """One picture, (height, width) if it is grey, else (height, width, 3); alpha is dropped."""
    try:
        from PIL import Image  # here: an optional dependency
    except ImportError as error:
        raise DataError("images need Pillow: pip install 'pocketgen[images]'") from error
    with reading(path), Image.open(path) as picture:
        if picture.mode.startswith(("I", "F")):
            raise DataError(f"{path} has more than 8 bits per pixel; convert it to 8 bits")
        grey = picture.mode in ("1", "L", "LA")
        return np.array(picture.convert("L" if grey else "RGB"), dtype=np.uint8)


def _read_csv(path: Path, label: int | Sequence[int], floats: bool) -> Parts:
    """A table: column `label` holds labels; or the columns `label` hold integer targets."""
    features: list[NDArray[Any]] = []
    targets: list[NDArray[Any]] = []
    labels: list[tuple[int, str]] = []
    width = 0
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        rows = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}, line {rows.line_num}"
            if width == 0:
                width = len(row)
                answers, inputs = _columns(path, width, label)
                cells = [row[i].strip() for i in inputs]
                if any(cells) and not any(map(_is_number, cells)):
                    continue  # the columns' names
            if len(row) != width:
                raise DataError(f"{where} has {len(row)} columns, the first row {width}")
            features.append(_numbers(where, row, inputs, floats))
            if isinstance(label, int):
                labels.append((rows.line_num, row[answers[0]].strip()))
            else:
                targets.append(_numbers(where, row, answers, floats=False))
        if not features:
            raise DataError(f"{path} holds no samples")
        y = _csv_labels(path, labels) if isinstance(label, int) else np.stack(targets)
        return Parts(np.stack(features), y)


def _columns(path: Path, width: int, label: int | Sequence[int]) -> tuple[list[int], list[int]]:
    """The numbers of the answer's columns and of the others, counted from 0."""
    asked = [label] if isinstance(label, int) else list(label)
    for column in asked:
        if not isinstance(column, int) or not -width <= column < width:
            raise DataError(f"{path} has {width} columns, there is no column {column!r} to predict")
    answers = [column % width for column in asked]
    inputs = [column for column in range(width) if column not in answers]
    if not inputs or not answers:
        raise DataError(
            f"{path}: {len(answers)} of {width} columns to predict; need one, and inputs"
        )
    return answers, inputs


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(where: str, row: list[str], columns: list[int], floats: bool) -> NDArray[Any]:
    """The cells of some columns as float64, or as int32 that fit 16 bits."""
    try:
        if floats:
            real = np.array([float(row[i]) for i in columns])
            if np.isfinite(real).all():
                return real
        else:
            whole = [int(row[i]) for i in columns]
            if min(whole) >= -32768 and max(whole) <= 65535:
                return np.array(whole, dtype=np.int32)
    except ValueError:
        pass  # named below, where time does not matter
    for i in columns:
        text = row[i].strip()
        what = f"{where}, column {i + 1}: {text!r}"
        if not text:
            raise DataError(f"{where}, column {i + 1} is empty; fill it or leave the row out")
        if not _is_number(text):
            raise DataError(f"{what} is not a number")
        if not math.isfinite(float(text)):
            raise DataError(f"{what} is not a finite number; replace it or leave the row out")
        if floats:
            continue
        if not _INTEGER.fullmatch(text):
            raise DataError(f"{what} is not an integer: load with quantize='int16', or convert it")
        if not -32768 <= float(text) <= 65535:
            raise DataError(f"{what} needs more than 16 bits (-32768..65535): load with quantize=")
    raise DataError(f"{where} holds a cell that is not a plain number")


def _csv_labels(path: Path, labels: list[tuple[int, str]]) -> NDArray[Any]:
    """Labels as integers if all of them are, as names if none of them is a number."""
    whole = [bool(_INTEGER.fullmatch(text)) for _, text in labels]
    if all(whole):
        for line, text in labels:
            if not 0 <= float(text) <= 65535:
                raise DataError(f"{path}, line {line}: label {text} is outside 0..65535")
        return np.array([int(text) for _, text in labels])
    for (line, text), is_whole in zip(labels, whole, strict=True):
        if not text:
            raise DataError(f"{path}, line {line}: the label is empty")
        if not is_whole and (_is_number(text) or any(whole)):
            raise DataError(
                f"{path}, line {line}: label {text!r}; labels are integers from 0 throughout, or"
                " names throughout"
            )
    return np.array([text for _, text in labels])
