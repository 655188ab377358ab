"""What the integer rules reach on MNIST and Fashion-MNIST, row by row, beside float backprop.

Every row trains some networks of different seeds and measures them once, after the last epoch, on
the test images: mean and standard deviation in percent. Rows are named after the examples; a name
with something behind it is the example with one thing changed. Settings were chosen on the last
10 000 training images (--validation trains on the others and measures on these).

Exit status: 0; 2 if there is no data, no compiler, or no PyTorch for a float row that was asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from float_mlp import FloatTraining, float_accuracies

import pocketgen as pg
from pocketgen import datasets
from pocketgen.datasets import Dataset
from pocketgen.errors import PocketgenError
from pocketgen.examples import EXAMPLES

RESULTS = Path(__file__).parent / "results"
HELD_BACK = 10_000  # training images of a validation
SEEDS = 5
FLOAT_RATES = {"mnist": 0.1, "fashion_mnist": 0.1}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    example: whose model, data and epochs. changes: of its rule. what: in words. floating: float
    backprop on the same network with the same dropout. seeds, epochs: by default SEEDS and the
    example's.
    """

    name: str
    what: str
    example: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    floating: bool = False
    epochs: int | None = None
    seeds: int = SEEDS
    table: str = "results"


def rows_of(example: str) -> list[Row]:
    """The rows of an image set's main table."""
    dry = {"dropout": 0}
    return [
        Row(example, "the example as it is", example),
        Row(f"{example}-no-dropout", "without input dropout", example, dry),
        Row(f"{example}-float", "float backprop, PyTorch, the same dropout", example, {}, True),
        Row(
            f"{example}-float-no-dropout",
            "float backprop, PyTorch, no dropout",
            example,
            dry,
            floating=True,
        ),
    ]


def variants() -> list[Row]:
    """What each ingredient brings: MNIST, fewer epochs, one thing changed at a time."""
    changed: dict[str, tuple[str, dict[str, Any]]] = {
        "mnist-40": ("as the example, for comparison with the rows below", {}),
        "mnist-40-no-dropout": ("no input dropout", {"dropout": 0}),
        "mnist-40-stochastic": ("stochastic rounding", {"rounding": "stochastic"}),
        "mnist-40-int8": (
            "weights of 8 bits, no master: half the memory",
            {"rounding": "stochastic", "weights": "int8"},
        ),
        "mnist-40-batch-1": ("one sample a time, as a device learns", {"batch": 1}),
        "mnist-40-feedback-127": ("feedback twice as large", {"feedback_limit": 127}),
        "mnist-40-feedback-1": ("feedback of plus and minus 1", {"feedback_limit": 1}),
        "mnist-40-constant-rate": ("the rate does not fall", {"schedule": "constant"}),
    }
    return [
        Row(name, what, "mnist", changes, epochs=40, seeds=3, table="ingredients")
        for name, (what, changes) in changed.items()
    ]


ROWS = {row.name: row for row in (*rows_of("mnist"), *rows_of("fashion_mnist"), *variants())}


def model_of(row: Row, seed: int) -> pg.Model:
    """The row's model with a seed of its own."""
    base = EXAMPLES[row.example].model
    rule = replace(base.rule, **row.changes)
    return pg.Model(base.name, base.input, base.layers, rule, seed)


def split(data: Dataset, validation: bool) -> tuple[Any, Any, Any, Any]:
    """Images and labels to train on, and to measure on."""
    x, y = data.x_train.reshape(len(data.x_train), -1), data.y_train
    if validation:
        return x[:-HELD_BACK], y[:-HELD_BACK], x[-HELD_BACK:], y[-HELD_BACK:]
    return x, y, data.x_test.reshape(len(data.x_test), -1), data.y_test


def measured(row: Row, seeds: int, epochs: int, validation: bool) -> dict[str, Any]:
    """Train and measure a row."""
    example = EXAMPLES[row.example]
    x, y, x_test, y_test = split(example.load(), validation)
    started = time.perf_counter(), time.process_time()
    if row.floating:
        base = model_of(row, 1)
        hidden = tuple(layer.units for layer in base.layers[:-1])
        plan = FloatTraining(
            hidden,
            epochs,
            base.rule.batch,
            FLOAT_RATES[row.example],
            base.rule.drop / 8,
        )
        scaled = (x.astype(np.float32) / 255, x_test.astype(np.float32) / 255)
        reached = float_accuracies(
            plan, scaled[0], y.astype(np.int64), scaled[1], y_test.astype(np.int64), seeds
        )
    else:
        reached = []
        for seed in range(1, seeds + 1):
            net = pg.build(model_of(row, seed))
            net.fit(x, y, epochs=epochs)
            reached.append(net.evaluate(x_test, y_test)["accuracy"])
    percent = [round(100 * value, 2) for value in reached]
    return {
        "name": row.name,
        "what": row.what,
        "mean": round(statistics.fmean(percent), 2),
        "std": round(statistics.stdev(percent), 2) if seeds > 1 else 0.0,
        "seeds": seeds,
        "epochs": epochs,
        "seconds": round(time.perf_counter() - started[0], 1),
        "cpu_seconds": round(time.process_time() - started[1], 1),
        "each": percent,
        "measured_on": "the last 10 000 training images" if validation else "the test images",
    }
