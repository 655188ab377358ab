"""The commands train and evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

import pocketgen
from pocketgen import output, plots
from pocketgen.cli.arguments import (
    check_fit,
    data_option,
    engine_option,
    force_option,
    held_back,
    json_option,
    load_data,
    load_model,
    model_argument,
)
from pocketgen.cli.terminal import (
    TrainingBar,
    network,
    percent,
    print_json,
    print_measured,
    remark,
    remark_end,
)
from pocketgen.errors import PocketgenError
from pocketgen.fit import History
from pocketgen.net import Net

Array = NDArray[Any]
EngineName = Literal["c", "numpy"]

DEFAULT_EPOCHS = 10  # of a model that is not an example
TRAINING_MANIFEST = "pocketgen-training.json"  # so that code and training may share a folder
TRAINED_FILES = ("weights.pkt", "history.json", "learning_curve.png", "confusion.png")


@click.command()
@model_argument
@data_option
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help=f"Passes over the data. [default: the example's own, else {DEFAULT_EPOCHS}]",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="FRACTION",
    help="Hold back this part of the training samples to measure on after each epoch.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    metavar="N",
    help="Stop after N epochs without a better validation result and keep the best weights.",
)
@click.option(
    "--halve-every",
    type=click.IntRange(0),
    metavar="N",
    help="Halve the learning rate every N epochs; 0: never. [default: the example's own, else 0]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Of the initial weights, the order of the samples and what is held back. "
    "[default: the model's]",
)
@click.option(
    "--health",
    is_flag=True,
    help="Tell after each epoch how much is saturated, dead, or does not move (docs/recipe.md).",
)
@click.option("--out", metavar="DIR", help="Write weights, history and pictures here.")
@engine_option
@click.option("--weights", metavar="F", help="Go on from these weights (a .pkt file).")
@force_option
@json_option
def train(
    model_word: str,
    data: str | None,
    epochs: int | None,
    validation: float | None,
    patience: int | None,
    halve_every: int | None,
    seed: int | None,
    health: bool,
    out: str | None,
    engine: EngineName,
    weights: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Train MODEL in compiled C; Ctrl-C keeps what was learned.

    --out writes weights.pkt (the very blob that the C loads and saves), history.json and, with
    matplotlib installed, learning_curve.png and confusion.png.

    \b
    Examples:
      pocketgen train digits --out run
      pocketgen train mymodel.py --data measured.csv --epochs 50 --validation 0.1 --patience 8
    """
    model, example = load_model(model_word)
    if patience is not None and validation is None:
        raise PocketgenError(
            "--patience needs --validation: choosing by the test samples would spoil them"
        )
    if out is not None:
        output.refuse_unsafe(out, TRAINED_FILES, force, model.name, TRAINING_MANIFEST)
    samples = load_data(data, example)
    check_fit(model, samples)
    chosen_seed = model.seed if seed is None else seed
    x, y, measured_data, measured_on = held_back(samples, validation, chosen_seed)
    if epochs is None:
        epochs = DEFAULT_EPOCHS if example is None else example.epochs
    if halve_every is None:
        halve_every = None if example is None else example.halve_every

    net = pocketgen.build(model, engine=engine)
    net.init(chosen_seed)
    if weights is not None:
        net.load(weights)
    remark(
        f"{model.name}: {network(model)}, {len(x)} samples of {samples.name}, "
        f"{epochs} epochs in {'compiled C' if engine == 'c' else 'numpy'}"
    )
    with TrainingBar(measured_on) as bar:
        history = net.fit(
            x,
            y,
            epochs,
            validation_data=measured_data,
            shuffle_seed=chosen_seed,
            patience=patience,
            halve_every=halve_every or None,
            health=health,
            progress=bar,
        )
    remark_end(history, epochs)
    measured = net.evaluate(samples.x_test, samples.y_test)
    matrix = None if net.regression else confusion(net, samples.x_test, samples.y_test)
    written: tuple[str, ...] = ()
    if out is not None:
        files = _trained_files(net, history, measured_on, measured, matrix, samples.classes)
        # A picture that cannot be made this time must not survive from the time before.
        result = output.write_files(out, files, force, model.name, TRAINING_MANIFEST)
        written = tuple(sorted((*result.written, *result.unchanged)))
    if as_json:
        print_json(
            {
                "model": model.name,
                "data": samples.name,
                "engine": engine,
                "history": history.to_dict(),
                "test": dict(measured),
                "confusion": None if matrix is None else matrix.tolist(),
                "digest": f"{net.digest():08x}",
                "out": out,
                "files": list(written),
            }
        )
        return
    print_measured(measured, "test", matrix, samples.classes)
    if out is None:
        remark("Nothing was kept: --out DIR writes weights, history and pictures.")
        return
    click.echo(f"\nwrote in {out}: {', '.join(written)}")
    if not plots.available():
        remark("For pictures of the training: pip install 'pocketgen[plot]'")
    remark(f"Next: pocketgen generate {model_word} --weights {out}/weights.pkt -o {model.name}_c")


@click.command()
@model_argument
@click.option("--weights", metavar="F", required=True, help="Trained weights (a .pkt file).")
@data_option
@engine_option
@json_option
def evaluate(
    model_word: str, weights: str, data: str | None, engine: EngineName, as_json: bool
) -> None:
    """Measure trained weights on the test samples.

    \b
    Example:
      pocketgen evaluate digits --weights run/weights.pkt
    """
    model, example = load_model(model_word)
    samples = load_data(data, example)
    check_fit(model, samples)
    net = pocketgen.build(model, engine=engine)
    net.load(weights)
    measured = net.evaluate(samples.x_test, samples.y_test)
    matrix = None if net.regression else confusion(net, samples.x_test, samples.y_test)
    if as_json:
        counts = None if matrix is None else matrix.tolist()
        names = {"model": model.name, "data": samples.name, "digest": f"{net.digest():08x}"}
        print_json({**names, **measured, "confusion": counts})
        return
    print_measured(measured, "test", matrix, samples.classes)


def _trained_files(
    net: Net,
    history: History,
    measured_on: str,
    measured: Mapping[str, float],
    matrix: NDArray[np.int64] | None,
    classes: Sequence[str],
) -> dict[str, output.Content]:
    """What --out keeps of a training; pictures where matplotlib is installed."""
    record = {"model": net.model.name, **history.to_dict(), "test": dict(measured)}
    files: dict[str, output.Content] = {
        "weights.pkt": net.to_blob(),
        "history.json": json.dumps(record, indent=2) + "\n",
    }
    if plots.available():
        if history.epochs:
            files["learning_curve.png"] = plots.learning_curve(history, net.model.name, measured_on)
        if matrix is not None:
            title = f"{net.model.name}: {percent(measured['accuracy'])} of the test samples right"
            names = [classes[k] if k < len(classes) else str(k) for k in range(len(matrix))]
            files["confusion.png"] = plots.confusion(matrix, names, title)
    return files


def confusion(net: Net, x: Array, y: Array) -> NDArray[np.int64]:
    """Counts [true class, predicted class]."""
    matrix = np.zeros((net.model.classes, net.model.classes), dtype=np.int64)
    np.add.at(matrix, (y.astype(np.int64), net.predict(x).astype(np.int64)), 1)
    return matrix
