"""What people see: lines, tables and bars. Results go to stdout, remarks and progress to stderr.

In: results. Out: text. Not here: what is computed, and when.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from types import TracebackType

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pocketgen.fit import History, Status
from pocketgen.health import Health
from pocketgen.model import Model
from pocketgen.verify import Verification

LINES_OF_PROGRESS = 10  # for a whole training
MAX_MATRIX = 20  # classes up to which a confusion matrix is shown whole


def remark(text: str) -> None:
    """A line beside the results."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    """The result for programs."""
    click.echo(json.dumps(value, indent=2))


def network(model: Model) -> str:
    """Sizes from input to output, such as 784-100-50-10."""
    sizes = [model.input.features, *(math.prod(shape) for shape in model.in_shapes[1:])]
    return "-".join(map(str, [*sizes, model.classes]))


def rate(per_second: float) -> str:
    """Samples per second with three digits."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if per_second >= limit:
            return f"{per_second / limit:.3g} {unit} samples/s"
    return f"{per_second:.0f} samples/s"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage; nothing where there is none."""
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def epoch_line(status: Status, measured_on: str) -> str:
    """One finished epoch, in columns."""
    row = status.finished
    assert row is not None
    words = [
        f"epoch {row.epoch:>{len(str(status.epochs))}}/{status.epochs}",
        f"loss {row.loss:8.2f}",
    ]
    if row.accuracy is not None:
        words.append(f"accuracy {percent(row.accuracy):>8}")
    if row.val_accuracy is not None:
        words.append(f"{measured_on} {percent(row.val_accuracy):>8}")
    elif row.val_loss is not None:
        words.append(f"{measured_on} loss {row.val_loss:8.2f}")
    if row.health is not None:
        return "  ".join([*words, health_words(row.health)])
    return "  ".join([*words, rate(row.samples_per_second)])


def health_words(found: Health) -> str:
    """Health in columns."""
    return (
        f"saturated {100 * found.saturated:4.1f} %  dead {found.dead_units}/{found.hidden_units}  "
        f"zero updates {100 * found.zero_updates:4.1f} %"
    )


class TrainingBar:
    """Shows a training: a bar on a terminal, now and then a line everywhere."""

    def __init__(self, measured_on: str, lines: int = LINES_OF_PROGRESS, indent: str = "") -> None:
        self._measured_on = measured_on
        self._indent = indent
        self._lines = lines
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn(indent + "{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[now]}"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=None, now="")

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, status: Status) -> None:
        now = [rate(status.samples_per_second), f"loss {status.loss:.2f}"]
        if status.accuracy is not None:
            now.append(percent(status.accuracy))
        self._bar.update(
            self._task,
            description=f"epoch {status.epoch}/{status.epochs}",
            total=status.epochs * status.total,
            completed=(status.epoch - 1) * status.total + status.samples,
            now="  ".join(now),
        )
        every = math.ceil(status.epochs / self._lines) if self._lines else status.epochs + 1
        last = status.epoch == status.epochs
        if status.finished is not None and self._lines and (status.epoch % every == 0 or last):
            line = self._indent + epoch_line(status, self._measured_on)
            if self._bar.disable:
                remark(line)
            else:
                self._bar.console.print(line, markup=False, highlight=False)


@contextlib.contextmanager
def stepping(word: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for a known number of steps, on a terminal only."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=console, expand=True, transient=True, disable=not console.is_terminal
    )
    task = bar.add_task(word, total=None)
    with bar:
        yield lambda done, steps: bar.update(task, completed=done, total=steps)


def remark_end(history: History, epochs: int) -> None:
    """Say so where a training did not simply run to its end."""
    if history.interrupted:
        done = len(history.epochs)
        remark(
            f"Stopped by Ctrl-C after {done} of {epochs} whole epochs; what was learned is kept."
        )
    if history.stopped_early:
        remark(f"Stopped early after {len(history.epochs)} epochs.")
    if history.best_epoch is not None:
        remark(f"The weights are those of epoch {history.best_epoch}, the best on validation.")
    held = most_clamped(history)
    if held:
        names = ", ".join(f"{n} of {name}" for name, n in held.items())
        remark(f"At their clamp after an epoch, so held back in learning: {names} (see: report).")


def most_clamped(history: History) -> dict[str, int]:
    """By array, how many weights stood at their clamp after the epoch with the most of them."""
    most: dict[str, int] = {}
    for epoch in history.epochs:
        for name, count in epoch.clamped.items():
            most[name] = max(most.get(name, 0), count)
    return {name: count for name, count in most.items() if count}


def confusion_lines(matrix: NDArray[np.int64], classes: Sequence[str]) -> Iterator[str]:
    """The matrix as text, or of many classes the pairs that are confused most."""
    names = [classes[k] if k < len(classes) else str(k) for k in range(len(matrix))]
    numbered = [n if n == str(k) else f"{k} {n}" for k, n in enumerate(names)]
    if len(matrix) > MAX_MATRIX:
        wrong = matrix - np.diag(np.diag(matrix))
        for flat in np.argsort(wrong, axis=None)[::-1][:10]:
            true, predicted = divmod(int(flat), len(matrix))
            if wrong[true, predicted]:
                yield f"{numbered[true]} taken for {numbered[predicted]}: {wrong[true, predicted]}"
        return
    side = max(map(len, numbered))
    cell = max(3, len(str(matrix.max())), len(str(len(matrix) - 1))) + 1
    heads = "".join(f"{k:>{cell}}" for k in range(len(matrix)))
    yield click.style(f"{'':>{side}} {heads}   right", dim=True)
    for true, counts in enumerate(matrix):
        cells = []
        for predicted, count in enumerate(counts):
            if true == predicted:
                cells.append(click.style(f"{count:>{cell}}", fg="green", bold=True))
            elif count:
                cells.append(click.style(f"{count:>{cell}}", fg="red"))
            else:
                cells.append(click.style(f"{'.':>{cell}}", dim=True))
        share = f"{100 * counts[true] / counts.sum():6.1f} %" if counts.sum() else ""
        yield f"{numbered[true]:>{side}} {''.join(cells)}  {share}"


def print_measured(
    measured: Mapping[str, float],
    where: str,
    matrix: NDArray[np.int64] | None,
    classes: Sequence[str],
) -> None:
    """How well a network does, for people."""
    if matrix is None:
        error, squared = measured["mae"], measured["mse"]
        click.echo(
            f"mean error {error:.3g}, mean squared error {squared:.4g} "
            f"on {measured['samples']} {where} samples"
        )
        return
    click.echo(
        f"{percent(measured['accuracy'])} of {measured['samples']} {where} samples right "
        f"({measured['hits']})"
    )
    click.echo("\nrows: true class, columns: predicted")
    for line in confusion_lines(matrix, classes):
        click.echo(line)


def verification_line(result: Verification) -> str:
    """The outcome in a sentence."""
    if result.mismatch is None:
        return (
            f"C = numpy: {len(result.buffers)} buffers equal after each of {result.steps} steps "
            f"({result.values:,} integers)"
        )
    m = result.mismatch
    index = ", ".join(map(str, m.index))
    return (
        f"C differs from numpy after step {m.step} ({m.inputs} input): "
        f"{m.buffer}[{index}] is {m.c} in C, {m.numpy} in numpy; weights have CRC-32 "
        f"{result.digest_c:08x} in C, {result.digest_numpy:08x} in numpy"
    )


def verification_json(result: Verification) -> dict[str, object]:
    """The outcome for programs; digests as in the text."""
    digests = {
        "digest_c": f"{result.digest_c:08x}",
        "digest_numpy": f"{result.digest_numpy:08x}",
    }
    return {"agrees": result.agrees, **asdict(result), **digests}
