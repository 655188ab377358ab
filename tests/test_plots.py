"""Pictures of a training: PNG files whatever the history holds."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from pocketgen import plots
from pocketgen.fit import Epoch, History


def epoch(number: int) -> Epoch:
    return Epoch(number, 10.0 / number, 0.9, 12.0 / number, 0.8, 0.1, 1000.0, 1000)


def size(png: bytes) -> tuple[int, int]:
    from PIL import Image

    return Image.open(io.BytesIO(png)).size


def test_a_learning_curve_of_classes_has_two_panels() -> None:
    rows = tuple(epoch(k) for k in range(1, 6))
    both = plots.learning_curve(History(rows, best_epoch=3), "model")
    without = tuple(replace(row, accuracy=None, val_accuracy=None) for row in rows)
    regression = plots.learning_curve(History(without), "model", "test")
    assert size(both)[0] == 2 * size(regression)[0]


def test_a_learning_curve_without_validation_or_of_one_epoch() -> None:
    row = replace(epoch(1), val_loss=None, val_accuracy=None)
    assert size(plots.learning_curve(History((row,)), "model")) > (0, 0)


def test_a_loss_of_zero_and_one_that_falls_far() -> None:
    rows = tuple(replace(epoch(k), loss=10.0**-k, val_loss=0.0) for k in range(1, 50))
    assert size(plots.learning_curve(History(rows), "model")) > (0, 0)
    positive = tuple(replace(row, val_loss=1.0) for row in rows)
    assert size(plots.learning_curve(History(positive), "model")) > (0, 0)


@pytest.mark.parametrize("count", [1, 2, 10, 40])
def test_confusion_matrices(count: int) -> None:
    matrix = np.arange(count * count).reshape(count, count)
    matrix[0] = 0  # a class without samples
    names = [f"class number {k}" for k in range(count)]
    assert size(plots.confusion(matrix, names, "model")) > (0, 0)


def test_the_same_picture_has_the_same_bytes() -> None:
    pictures = [plots.confusion(np.eye(3, dtype=np.int64), ["a", "b", "c"], "m") for _ in range(2)]
    assert pictures[0] == pictures[1]
