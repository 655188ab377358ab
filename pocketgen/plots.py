"""Pictures of a training, with matplotlib (the extra ``plot``): PNG files as bytes.

In: a ``History``, or a confusion matrix. Out: bytes. Not here: files, terminals.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketgen.fit import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE = "#2b6cb0", "#dd6b20"  # told apart by every kind of colour vision
MAX_NUMBERED = 20  # classes up to which each cell of a confusion matrix shows its number


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def learning_curve(history: History, title: str, measured_on: str = "validation") -> bytes:
    """Loss and, for classes, accuracy over the epochs, as a PNG.

    history: at least one epoch. measured_on: what the val_ columns were measured on.
    """
    from matplotlib.ticker import MaxNLocator

    rows = history.epochs
    epochs = [row.epoch for row in rows]
    panels: list[tuple[str, str, str, float]] = [("loss per sample", "loss", "val_loss", 1.0)]
    if rows[0].accuracy is not None:
        panels.append(("accuracy, %", "accuracy", "val_accuracy", 100.0))
    figure = _figure(4.6 * len(panels), 3.6)
    for number, (label, trained, measured, factor) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), number)
        marker = "o" if len(rows) <= 20 else ""
        shown: list[float] = []
        for field, color, name in ((trained, BLUE, "training"), (measured, ORANGE, measured_on)):
            values = [getattr(row, field) for row in rows]
            if None not in values:
                scaled = [factor * value for value in values]
                shown += scaled
                axes.plot(epochs, scaled, color=color, marker=marker, markersize=3, label=name)
        if min(shown) > 0 and max(shown) > 30 * min(shown):
            axes.set_yscale("log")  # else all but the first epochs would be one flat line
        if history.best_epoch is not None:
            axes.axvline(history.best_epoch, color="0.6", linestyle=":", label="kept")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    figure.suptitle(title)
    return _png(figure)


def confusion(matrix: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """A confusion matrix as a PNG; matrix[true, predicted] are counts, one row for each class.

    Colours are fractions of the row, so that a rare class shows like a frequent one.
    """
    count = len(classes)
    side = min(10.0, 2.2 + 0.42 * count)
    figure = _figure(side, side)
    axes = figure.add_subplot()
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    if count <= MAX_NUMBERED:
        for true, predicted in np.argwhere(matrix > 0):
            axes.text(
                predicted,
                true,
                str(matrix[true, predicted]),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if fractions[true, predicted] > 0.5 else "black",
            )
        long = max(map(len, classes)) > 3
        axes.set_xticks(range(count), classes, rotation=90 if long else 0)
        axes.set_yticks(range(count), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    """A figure without a window or any global state; inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()
