"""The published PocketNN program's runs, number by number, in the generated and compiled C.

PocketNN (arXiv 2201.02863) trains from raw pixels 0..255 in batches of 20, with direct feedback
alignment and every random number from glibc's rand() with its default seed. Each epoch shuffles
the running list of sample numbers; the first backward pass, so after the first shuffle, draws the
feedback matrices. Repeating this order of draws repeats the run: every sum of losses and every
count below is exact, on every machine and with every compiler.

Exit status: 0; 1 if MNIST's numbers are not those of the published program; 2 if there is no data
or no compiler.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from glibc_rand import GlibcRand
from numpy.typing import NDArray

import pocketgen as pg
from pocketgen import datasets
from pocketgen.errors import PocketgenError

UNITS = {"mnist": (100, 50, 10), "fashion-mnist": (200, 100, 50, 10)}
RESULTS = Path(__file__).parent / "results"

# What the published program, unchanged, printed on MNIST.
PUBLISHED: list[dict[str, int]] = [
    {"loss_sum": 1070190, "train_hits": 54667, "test_hits": 9484},
    {"loss_sum": 597476, "train_hits": 57266, "test_hits": 9584},
    {"loss_sum": 489390, "train_hits": 57843, "test_hits": 9643},
]
PUBLISHED_AFTERWARDS = 58249  # right of the 60 000 training images after its three epochs


def published_model(data: str, batch: int = 20) -> pg.Model:
    """The published program's network for a data set.

    Its weights pass the clamp of ±10741 that 32-bit sums would need, hence the wide sums.
    """
    layers = [pg.Dense(units, "pocket_tanh") for units in UNITS[data]]
    # The run moves weights of layer 1 to ±16 554, so it needs PocketNN's own clamp of ±32 767.
    rule = pg.DFA(lr_inv=1000, batch=batch, target=15, wide_sums=True)
    return pg.Model(data.replace("-", "_"), pg.Input((784,), "uint8"), layers, rule)


def draw_feedback(rand: GlibcRand, model: pg.Model) -> dict[str, NDArray[np.int64]]:
    """R of each hidden layer (classes, units), drawn from the last hidden layer to the first."""
    units = [layer.units for layer in model.layers]
    fan_in = [784, *units]
    feedback = {}
    for k in reversed(range(len(units) - 1)):
        limit = math.isqrt(12 * 32767 // (fan_in[k] + units[k]))
        drawn = [[rand.nonzero(limit) for _ in range(units[k])] for _ in range(units[-1])]
        feedback[f"R{k + 1}"] = np.array(drawn)
    return feedback


def replay(data: str, epochs: int = 3) -> dict[str, Any]:
    """Run the published program in compiled C.

    Returns "epochs": [{"loss_sum", "train_hits", "test_hits"}, ...], with train_hits counted
    before each update; "afterwards": right of the training images with the final weights;
    "seconds": CPU time of each epoch's training.
    """
    samples = datasets.load(data)
    rand = GlibcRand(seed=1)
    order = np.arange(len(samples.x_train))
    net = None
    rows, seconds = [], []
    for epoch in range(1, epochs + 1):
        rand.shuffle(order)
        if net is None:
            model = published_model(data)
            net = pg.build(model, feedback=draw_feedback(rand, model))
        net.lr_shift = min(epoch // 10, 15)  # the program halves its rate in every tenth epoch
        start = time.process_time()
        loss_sum, train_hits = net.train_samples(samples.x_train, samples.y_train, order)
        seconds.append(time.process_time() - start)
        test_hits = net.evaluate(samples.x_test, samples.y_test)["hits"]
        rows.append({"loss_sum": loss_sum, "train_hits": train_hits, "test_hits": int(test_hits)})
    assert net is not None
    afterwards = int(net.evaluate(samples.x_train, samples.y_train)["hits"])
    return {"epochs": rows, "afterwards": afterwards, "seconds": seconds}


def differences(result: dict[str, Any]) -> list[str]:
    """How a run on MNIST departs from the published one: nothing, if all is well."""
    rows = result["epochs"]
    found = [
        f"epoch {epoch}: {name} is {row[name]}, published {published[name]}"
        for epoch, (row, published) in enumerate(zip(rows, PUBLISHED, strict=False), 1)
        for name in published
        if row[name] != published[name]
    ]
    if len(rows) == len(PUBLISHED) and result["afterwards"] != PUBLISHED_AFTERWARDS:
        found.append(f"afterwards {result['afterwards']} are right, not {PUBLISHED_AFTERWARDS}")
    return found


def table(data: str, result: dict[str, Any]) -> str:
    """The run for people."""
    units = "-".join(str(n) for n in (784, *UNITS[data]))
    lines = [
        f"{data}, {units}, in compiled C",
        "epoch  sum of losses  right in training  right in test  training, CPU s",
    ]
    for epoch, (row, seconds) in enumerate(zip(result["epochs"], result["seconds"], strict=True)):
        lines.append(
            f"{epoch + 1:5}  {row['loss_sum']:13}  {row['train_hits']:17}  {row['test_hits']:13}"
            f"  {seconds:15.2f}"
        )
    lines.append(f"afterwards {result['afterwards']} training images are right")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=sorted(UNITS), default="mnist")
    parser.add_argument("--epochs", type=int, default=3, help="3 in the published program")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument(
        "--write", action="store_true", help="record the counts in benchmarks/results"
    )
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error(f"--epochs is {options.epochs}; give 1 or more")

    try:
        result = replay(options.data, options.epochs)
    except PocketgenError as error:
        print(f"{Path(__file__).name}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=1) if options.json else table(options.data, result))
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        exact = {name: value for name, value in result.items() if name != "seconds"}
        path = RESULTS / f"pocketnn_run_{options.data}.json"
        path.write_text(json.dumps(exact, indent=1) + "\n", encoding="utf-8")
    if options.data != "mnist":
        return 0
    wrong = differences(result)
    for line in wrong:
        print(f"NOT the published run: {line}", file=sys.stderr)
    if not wrong and not options.json:
        print("exactly the published program's numbers")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
