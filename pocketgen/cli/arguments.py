"""What the words of a command line mean: models, data, weights, and the options that repeat.

In: words. Out: models and arrays, checked against each other before anything is compiled.
Not here: printing.
"""

from __future__ import annotations

import contextlib
import difflib
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import pocketgen
from pocketgen import datasets
from pocketgen.errors import DataError, PocketgenError
from pocketgen.examples import EXAMPLES, Example
from pocketgen.fit import Shuffle
from pocketgen.model import Model

Array = NDArray[Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
force_option = click.option(
    "--force", is_flag=True, help="Overwrite edited files and files of your own."
)
model_argument = click.argument("model_word", metavar="MODEL")
data_option = click.option(
    "--data",
    metavar="D",
    help="A data set's name, or a .npz, .csv or IDX file, or a folder of images by class. "
    "An example has its own.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["c", "numpy"]),
    default="c",
    show_default=True,
    help="What computes: the compiled C or the numpy reference.",
)


def nearest(word: str, known: Sequence[str]) -> str:
    """A remark that names the nearest known word, or all of them."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def load_model(word: str) -> tuple[Model, Example | None]:
    """MODEL: the name of an example, or a Python file with a ``model`` in it."""
    example = EXAMPLES.get(word.replace("-", "_"))
    if example is not None:
        return example.model, example
    path = Path(word)
    if path.suffix == ".py" or len(path.parts) > 1 or path.exists():
        return _model_of_file(path), None
    raise PocketgenError(
        f"no example {word!r}{nearest(word, list(EXAMPLES))} "
        "(MODEL may also be a Python file with a model in it)"
    )


def _model_of_file(path: Path) -> Model:
    """The ``model`` that a Python file makes; what it prints goes to stderr."""
    if not path.is_file():
        what = "is a folder, not a Python file" if path.is_dir() else "does not exist"
        raise PocketgenError(f"{path} {what}: MODEL is an example or a Python file with a model")
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = runpy.run_path(str(path), run_name=path.stem)
    except SystemExit as error:
        raise PocketgenError(f"{path} exits ({error}) instead of making a model") from error
    except Exception as error:
        raise PocketgenError(f"{path}{_line_of(error, path)}: {_last_line(error)}") from error
    finally:
        sys.path.remove(folder)
    model = found.get("model")
    if model is None:
        raise PocketgenError(f"{path} has no 'model': give it a line model = pocketgen.Model(...)")
    if not isinstance(model, Model):
        raise PocketgenError(
            f"{path}: 'model' is of type {type(model).__name__}, not a pocketgen.Model"
        )
    return model


def _line_of(error: Exception, path: Path) -> str:
    """The line of the file that raised, as a remark."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _last_line(error: Exception) -> str:
    """The last line of the traceback, without the name of our own module."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    words = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {words[-1]}".rstrip(": ")


def load_data(source: str | None, example: Example | None) -> datasets.Dataset:
    """The data that were asked for, else the example's own."""
    if example is not None and source in (None, example.data, example.name):
        return example.load()
    if source is None:
        raise PocketgenError("this model is not an example, so it needs --data: a file or a name")
    return datasets.load(source)


def check_fit(model: Model, data: datasets.Dataset) -> None:
    """Raise DataError, before anything is compiled, where the data cannot be this model's."""
    features = data.x_train.shape[1]
    if features != model.input.features:
        raise DataError(
            f"{data.name} has {features} features a sample, but model {model.name} takes "
            f"{model.input.features}: other data, or Input(({features},), ...)"
        )
    low = min(int(x.min()) for x in (data.x_train, data.x_test))
    high = max(int(x.max()) for x in (data.x_train, data.x_test))
    limits = model.input.limits
    if low < limits.low or high > limits.high:
        raise DataError(
            f"{data.name} holds values {low}..{high}, but model {model.name} takes "
            f"{limits.low}..{limits.high} ({model.input.dtype}): other data or another Input"
        )
    learns_classes = model.rule.expects == "label"
    if learns_classes != bool(data.classes):
        has, wants = ("labels", "targets") if data.classes else ("targets", "labels")
        raise DataError(f"{data.name} has {has}, but model {model.name} learns from {wants}")
    if learns_classes and len(data.classes) > model.classes:
        raise DataError(
            f"{data.name} has {len(data.classes)} classes, but model {model.name} has "
            f"{model.classes} outputs: make the last layer Dense({len(data.classes)}, ...)"
        )
    if not learns_classes and data.y_train.shape[1] != model.classes:
        raise DataError(
            f"{data.name} has {data.y_train.shape[1]} targets a sample, but model {model.name} "
            f"has {model.classes} outputs"
        )


def held_back(
    data: datasets.Dataset, fraction: float | None, seed: int
) -> tuple[Array, Array, tuple[Array, Array], str]:
    """Training samples, what to measure after each epoch, and what to call that."""
    if fraction is None:
        return data.x_train, data.y_train, (data.x_test, data.y_test), "test"
    count = len(data.x_train)
    held = min(max(1, round(fraction * count)), count - 1)
    if held < 1:
        raise DataError(f"{data.name} has {count} training samples: too few to hold any back")
    order = Shuffle(count, seed).next()
    kept, aside = np.sort(order[held:]), np.sort(order[:held])
    validation = (data.x_train[aside], data.y_train[aside])
    return data.x_train[kept], data.y_train[kept], validation, "validation"


def weights_of(model: Model, path: str) -> dict[str, Array]:
    """The weights in a blob; BlobError where it is not this model's."""
    net = pocketgen.build(model, engine="numpy")
    net.load(path)
    return net.weights()
