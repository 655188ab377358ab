"""Training over many epochs: order of the samples, validation, early stopping, history.

In: a network that can train on a list of rows (``Net``, either engine) and arrays.
Out: the trained network (changed in place) and a ``History``.
Not here: the arithmetic of a training step (kernels), and printing (cli).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketgen.errors import DataError, PocketgenError
from pocketgen.health import Health

Array = NDArray[Any]

MAX_LR_SHIFT = 15  # the rate is 1 / (lr_inv * 2**lr_shift), both in the compiled code's int32
ZERO_SEED = 2463534242  # xorshift cannot leave the state 0; this is Marsaglia's own first state
FIRST_CALL_BATCHES = 256
CALL_SECONDS = (0.05, 0.2)  # one call of compiled code: long enough to pay, short enough for Ctrl-C


class Trainable(Protocol):
    """What ``fit`` needs of a network; ``Net`` has it."""

    lr_shift: int

    @property
    def model(self) -> Any:
        """The description: ``model.rule`` and ``model.seed`` are read."""

    @property
    def lr_inv(self) -> int:
        """The inverse learning rate now in force."""

    def set_rate(self, value: int) -> None:
        """Set what the rule's learning rate depends on."""

    @property
    def batch(self) -> int:
        """Samples in a full batch."""

    @property
    def regression(self) -> bool:
        """Whether it learns target vectors rather than classes."""

    def check_pairs(self, x: Any, y: Any) -> tuple[Array, Array]:
        """Samples and labels (or targets) as the network takes them; DataError if it does not."""

    def train_samples(self, x: Any, y: Any, order: Any) -> tuple[int, int]:
        """Train on the rows ``order``, batch by batch; (sum of losses, hits)."""

    def clamped(self) -> Mapping[str, int]:
        """How many values of each array of weights stand at their clamp."""

    def health(self, x: Any, y: Any) -> Health:
        """Flat and dead units and weights that do not move, measured without effect."""

    def evaluate(self, x: Any, y: Any) -> Mapping[str, Any]:
        """Measure on samples: "accuracy" (classes only) and "loss"."""

    def weights(self) -> dict[str, Array]:
        """A copy of all weights."""

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Put weights back."""


@dataclass(frozen=True)
class Epoch:
    """One finished pass over the training samples.

    loss, accuracy: of the training samples, each measured before the update it took part in;
    loss is the mean over samples. val_loss, val_accuracy: of the validation samples, after the
    epoch. Accuracies are fractions 0..1, and None for regression or without validation data.
    lr_inv: the inverse learning rate in force, rounded down. seconds: training only.
    clamped: weights and biases that stood at their clamp after the epoch, by array. health: of a
    few training samples after the epoch, where it was asked for.
    """

    epoch: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    samples_per_second: float
    lr_inv: int
    clamped: Mapping[str, int] = field(default_factory=dict)
    health: Health | None = None


@dataclass(frozen=True)
class History:
    """What happened: one row for each finished epoch, in order.

    interrupted: Ctrl-C ended the training. stopped_early: patience ran out.
    best_epoch: with patience, the epoch whose weights the network has now, else None.
    """

    epochs: tuple[Epoch, ...] = ()
    interrupted: bool = False
    stopped_early: bool = False
    best_epoch: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts, lists and numbers."""
        return {**asdict(self), "epochs": [asdict(row) for row in self.epochs]}

    def to_json(self) -> str:
        """The same as JSON text, two columns of indent, ending in a line feed."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


@dataclass(frozen=True)
class Status:
    """Where training stands, given to the progress callback several times in a second.

    epoch: of epochs, from 1. samples: of total, in this epoch. loss, accuracy: means over this
    epoch so far. finished: the epoch's row, in the last call for it, else None.
    """

    epoch: int
    epochs: int
    samples: int
    total: int
    loss: float
    accuracy: float | None
    samples_per_second: float
    finished: Epoch | None = None


Progress = Callable[[Status], None]


class Shuffle:
    """The order of the samples, epoch after epoch: the same on every machine and numpy version.

    Each epoch continues the shuffle (Fisher and Yates) of the last epoch's list:
    for i = n-1 … 1, j = (r * (i + 1)) >> 32 with r the next word of xorshift32 (13, 17, 5).
    """

    def __init__(self, count: int, seed: int) -> None:
        self._order = list(range(count))
        self._state = seed & 0xFFFFFFFF or ZERO_SEED

    def next(self) -> Array:
        """The next epoch's order: each of 0 … count-1 once."""
        order, state = self._order, self._state
        for i in range(len(order) - 1, 0, -1):
            state ^= (state << 13) & 0xFFFFFFFF
            state ^= state >> 17
            state ^= (state << 5) & 0xFFFFFFFF
            j = (state * (i + 1)) >> 32
            order[i], order[j] = order[j], order[i]
        self._state = state
        return np.array(order, dtype=np.int64)


def fit(
    net: Trainable,
    x: ArrayLike,
    y: ArrayLike,
    epochs: int = 1,
    validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    shuffle_seed: int | None = None,
    order: ArrayLike | None = None,
    patience: int | None = None,
    halve_every: int | None = None,
    health: bool = False,
    progress: Progress | None = None,
) -> History:
    """Train on all samples, ``epochs`` times; the network is changed in place.

    x: (n, inputs) or (n, *input shape) integers in the model's range.
    y: (n,) labels 0 … outputs-1, or (n, outputs) integers for a regression.
    validation_data: (x, y) to measure after each epoch; never trained on.
    shuffle_seed: of the order of the samples; the model's seed by default.
    order: (epochs, m) row numbers instead of a shuffle; any m >= 1, rows may repeat.
    patience: stop after so many epochs in a row without a better validation result (accuracy,
    at equal accuracy loss; for a regression loss). At the end, also at an ordinary end and after
    Ctrl-C, the network then has the weights of the best epoch, not of the last one.
    halve_every: halve the learning rate after every so many epochs (``net.lr_shift`` + 1, up to
    15). It stays halved afterwards; set ``net.lr_shift = 0`` to train on at the full rate.
    health: also measure the network's health after each epoch, on a few of the training samples,
    at the rate then in force. It changes nothing of the training and costs about a percent.
    progress: called with a ``Status`` several times a second and at the end of each epoch.

    Ctrl-C ends training, keeps what was learned and returns with ``interrupted`` set.

    Raises DataError for data that do not fit the model, PocketgenError for options that make no
    sense; in both cases before any weight has moved.
    """
    _require_positive("epochs", epochs)
    if patience is not None:
        _require_positive("patience", patience)
        if validation_data is None:
            raise PocketgenError("patience needs validation_data: it waits for a better result")
    if halve_every is not None:
        _require_positive("halve_every", halve_every)
        if net.model.rule.rate_state != "lr_shift":
            raise PocketgenError("halve_every goes with DFA and Backprop; this rule has a schedule")
    samples, answers = _checked(net, x, y, "training")
    validation = None
    if validation_data is not None:
        validation = _checked(net, *validation_data, "validation")
    orders = _orders(order, epochs, len(samples), _seed(net, shuffle_seed))

    rows: list[Epoch] = []
    best: tuple[tuple[float, float], int, dict[str, Array]] | None = None
    interrupted = stopped_early = False
    try:
        for number in range(1, epochs + 1):
            rows_in_order = next(orders)
            rate = net.model.rule.scheduled_rate(number - 1, epochs)
            if rate is not None:
                net.set_rate(rate)
            row = _train_epoch(net, samples, answers, rows_in_order, number, epochs, progress)
            if validation is not None:
                row = _with_validation(row, net.evaluate(*validation))
            if health:
                row = replace(row, health=net.health(samples, answers))
            rows.append(row)
            if progress is not None:
                progress(_status_of(row, epochs, len(rows_in_order)))
            if patience is not None:
                merit = _merit(row)
                if best is None or merit > best[0]:
                    best = (merit, number, net.weights())
                elif number - best[1] >= patience:
                    stopped_early = number < epochs
                    break
            if halve_every is not None and number % halve_every == 0 and number < epochs:
                net.lr_shift = min(net.lr_shift + 1, MAX_LR_SHIFT)
    except KeyboardInterrupt:
        interrupted = True
    if best is not None:
        net.set_weights(best[2])
    return History(
        epochs=tuple(rows),
        interrupted=interrupted,
        stopped_early=stopped_early,
        best_epoch=None if best is None else best[1],
    )


def _train_epoch(
    net: Trainable,
    x: Array,
    y: Array,
    order: Array,
    number: int,
    epochs: int,
    progress: Progress | None,
) -> Epoch:
    """One pass over the rows ``order``, in calls of some hundred batches each."""
    regression = net.regression
    total = len(order)
    batches = FIRST_CALL_BATCHES
    loss = hits = done = 0
    seconds = 0.0
    while done < total:
        rows = order[done : done + batches * net.batch]
        started = time.perf_counter()
        # The rows are handed over side by side: what is checked and read is only this call's.
        call_loss, call_hits = net.train_samples(x[rows], y[rows], np.arange(len(rows)))
        call_seconds = time.perf_counter() - started
        loss += int(call_loss)
        hits += int(call_hits)
        done += len(rows)
        seconds += call_seconds
        # The size of a call changes nothing of the result: it is always whole batches.
        if call_seconds < CALL_SECONDS[0]:
            batches *= 2
        elif call_seconds > CALL_SECONDS[1]:
            batches = max(1, batches // 2)
        if progress is not None and done < total:
            progress(
                Status(
                    epoch=number,
                    epochs=epochs,
                    samples=done,
                    total=total,
                    loss=loss / done,
                    accuracy=None if regression else hits / done,
                    samples_per_second=done / max(seconds, 1e-9),
                )
            )
    return Epoch(
        epoch=number,
        loss=loss / total,
        accuracy=None if regression else hits / total,
        val_loss=None,
        val_accuracy=None,
        seconds=seconds,
        samples_per_second=total / max(seconds, 1e-9),
        lr_inv=net.lr_inv,
        clamped=net.clamped(),
    )


def _with_validation(row: Epoch, measured: Mapping[str, Any]) -> Epoch:
    accuracy = measured.get("accuracy")
    return replace(
        row,
        val_loss=float(measured["loss"]),
        val_accuracy=None if accuracy is None else float(accuracy),
    )


def _status_of(row: Epoch, epochs: int, total: int) -> Status:
    return Status(
        epoch=row.epoch,
        epochs=epochs,
        samples=total,
        total=total,
        loss=row.loss,
        accuracy=row.accuracy,
        samples_per_second=row.samples_per_second,
        finished=row,
    )


def _merit(row: Epoch) -> tuple[float, float]:
    """Larger is better: validation accuracy first, then a small validation loss."""
    accuracy = 0.0 if row.val_accuracy is None else row.val_accuracy
    loss = float("inf") if row.val_loss is None else row.val_loss
    return (accuracy, -loss)


def _seed(net: Trainable, shuffle_seed: int | None) -> int:
    return int(net.model.seed if shuffle_seed is None else shuffle_seed)


def _orders(order: ArrayLike | None, epochs: int, count: int, seed: int) -> Iterator[Array]:
    """The row numbers of one epoch after the other."""
    if order is None:
        shuffle = Shuffle(count, seed)
        return (shuffle.next() for _ in range(epochs))
    rows = np.asarray(order)
    if rows.ndim != 2 or rows.shape[0] != epochs or rows.shape[1] < 1:
        raise DataError(
            f"order has shape {rows.shape}, but {epochs} epochs need ({epochs}, samples): "
            "one line of row numbers for each epoch"
        )
    if not np.issubdtype(rows.dtype, np.integer):
        raise DataError(f"order has dtype {rows.dtype}, but row numbers are integers")
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= count:
        outside = low if low < 0 else high
        raise DataError(f"order names row {outside}, but the samples are rows 0 to {count - 1}")
    return iter(rows.astype(np.int64))


def _checked(net: Trainable, x: ArrayLike, y: ArrayLike, which: str) -> tuple[Array, Array]:
    """All samples and labels, checked and converted once, before any weight has moved."""
    samples, answers = np.asarray(x), np.asarray(y)
    if np.ndim(samples) < 1 or len(samples) == 0:
        raise DataError(f"the {which} data are empty: at least one sample is needed")
    if np.ndim(answers) < 1 or len(answers) != len(samples):
        found = len(answers) if np.ndim(answers) else "no"
        raise DataError(f"the {which} data have {len(samples)} samples but {found} labels")
    return net.check_pairs(samples, answers)


def _require_positive(name: str, value: object) -> None:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1:
        return
    raise PocketgenError(f"{name} is {value!r}, but must be a whole number of at least 1")
