"""Learning as a device does: one sample at a time, few bytes, few samples.

Two tables on MNIST. The first trains the example's network online, each sample used once or ten
times, with less and less memory, beside training in batches. The second takes a trained network to
images of another kind and trains on with the first ten of each class. Settings were chosen on the
last 10 000 training images (--validation trains on the others and measures on these).

Exit status: 0; 1 if seeded feedback gave other weights than stored; 2 if there is no data or no
compiler.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import RESULTS, chosen, renewed, split
from shifts import SHIFTS

import pocketgen as pg
from pocketgen.errors import PocketgenError
from pocketgen.examples import EXAMPLES
from pocketgen.fit import Shuffle
from pocketgen.model import rate_shift
from pocketgen.net import Net
from pocketgen.report import report

EXAMPLE = "mnist"
SEEDS = 3
IMAGES = 60_000  # to train on; learning rates are planned for so many
SHOTS = 10  # samples of each class that a device sees of other images
TRAINED_EPOCHS = 20  # in batches, before a device gets the network
DEVICE = {"batch": 1, "schedule": "constant"}  # what a device changes of the example's rule
INT8 = {"weights": "int8", "rounding": "stochastic"}
SEEDED = {"feedback": "seeded"}
CENTRED = pg.Scale(offset=128, shift=1)  # pixels become -64..63: an inverted image only a sign
# Chosen with --validation: how often a device uses each of a few samples.
FEW_PASSES = 3
ALONE_PASSES = 100
FRESH_RATES = {"int16": 1, "int8": 8}  # in place of 16


@dataclass(frozen=True)
class Row:
    """One line of a table.

    changes: of the example's rule. epochs: of training with all images. shift: the other images
    that the device then meets. fresh_rate: pixels are CENTRED from the start, and the device begins
    to learn the other images with an output layer of zeros, at this rate.
    """

    name: str
    what: str
    epochs: int
    changes: Mapping[str, Any]
    shift: str | None = None
    fresh_rate: int | None = None

    @property
    def device(self) -> dict[str, Any]:
        """The changes of the rule on the device."""
        return {**self.changes, **(DEVICE if self.shift else {})}


def online_rows(prefix: str, passes: int) -> list[Row]:
    """Training from nothing with all images."""
    planned = {"rate_shift": rate_shift(IMAGES * passes)}
    changed: dict[str, tuple[str, dict[str, Any]]] = {
        "batch": ("batches of 20, planned rate", planned),
        "planned": ("one sample at a time, planned rate", planned | {"batch": 1}),
        "planned-int8": ("8 bits, planned rate", planned | {"batch": 1} | INT8),
        "online": ("one sample at a time", DEVICE),
        "online-seeded": ("no stored feedback", DEVICE | SEEDED),
        "online-int8": ("8 bits", DEVICE | INT8),
        "online-int8-seeded": ("8 bits, no stored feedback", DEVICE | INT8 | SEEDED),
    }
    return [
        Row(f"{prefix}-{name}", what, passes, changes) for name, (what, changes) in changed.items()
    ]


def shifted_rows(shift: str, fresh: bool = False) -> list[Row]:
    """Training on with a few images of another kind; fresh: see Row.fresh_rate."""
    return [
        Row(
            f"{shift}-{weights}{'-fresh' if fresh else ''}",
            f"{shift}, {weights.removeprefix('int')} bits{', fresh output layer' if fresh else ''}",
            TRAINED_EPOCHS,
            changes,
            shift,
            FRESH_RATES[weights] if fresh else None,
        )
        for weights, changes in (("int16", {}), ("int8", INT8))
    ]


ROWS = {
    row.name: row
    for row in (
        *online_rows("one-pass", 1),
        *online_rows("ten-passes", 10),
        *(row for shift in SHIFTS for row in shifted_rows(shift)),
        *shifted_rows("inverted", fresh=True),
    )
}


@dataclass(frozen=True, eq=False)  # compared by identity: arrays make no keys of a cache
class Images:
    """Images and labels to train on and to measure on."""

    x: Any
    y: Any
    x_test: Any
    y_test: Any


@lru_cache
def images(samples: int | None, validation: bool) -> Images:
    """MNIST, only the first training images of so many."""
    x, y, x_test, y_test = split(EXAMPLES[EXAMPLE].load(), validation)
    return Images(x[:samples], y[:samples], x_test, y_test)


TEXT = """`python benchmarks/device.py` trains every row anew; `--only NAME,…` some of them.

MNIST and the `mnist` example, 784-100-50-10, with the changes named. Accuracy in percent of the
10 000 test images, mean and standard deviation over the seeds; settings were chosen on the last
10 000 training images. RAM is the network's struct with everything that training needs, without
the sample itself (784 bytes) and the stack; flash is constants, without code.
"""
ONLINE_TEXT = """From random weights on all 60 000 training images, every image once or ten times,
in a new random order each time. A device does not know how many samples will come: its rate is the
example's first, 16 / 2^13, and stays. A planned rate is what `Model.for_data` takes for so many
samples, falling from pass to pass. Where the feedback is not stored, the same training with stored
feedback was done too: one digest of all weights is shown because both are equal.
"""
SHIFTED_TEXT = f"""A network trained in batches for {TRAINED_EPOCHS} epochs, as a device gets it,
meets other images: inverted (255 - x), rotated by 15 degrees, or noisy (uniform noise of ±128, cut
off at 0 and 255). It trains on at the rate above, one sample at a time, {FEW_PASSES} times with
the first {SHOTS} training images of each class, changed in the same way: {SHOTS * 10} samples.
Before, after: of the changed test images. Old images: of the test images as they are. Alone: by a
network that starts from random weights and trains {ALONE_PASSES} times with these samples only.

An inverted image drives more than half of the first layer's units to a flat end of their
activation, where nothing is learned. With one network, measured on 2 500 validation images, none of
eight rates from 1 / 2^15 to 64 / 2^11 and up to 300 passes at the lower ones brought more than
22 %; nor did 50 000 inverted images bring more than 43 %. To start anew is better. What helps is a
network trained with pixels around 0 from the start, `Scale(offset=128, shift=1)`, for which an
inverted image is only a change of sign: its hidden layers still tell the digits apart, and only the
output layer has to be learned anew. The rows `fresh` set its weights to 0 first, and the rate to
{FRESH_RATES["int16"]} / 2^13, or {FRESH_RATES["int8"]} / 2^13 for 8 bits. Old images are
then lost.
"""
TABLES = (
    (
        "Online",
        ONLINE_TEXT,
        "| row | what | accuracy, % | seeds | RAM, bytes | flash, bytes | digest, seed 1 |",
    ),
    (
        "A few samples of another kind",
        SHIFTED_TEXT,
        "| row | what | before | after | alone | old images before | old images after | seeds "
        "| RAM, bytes |",
    ),
)


def model_of(row: Row, changes: Mapping[str, Any], seed: int) -> pg.Model:
    """The row's model with a changed rule and a seed of its own."""
    base = EXAMPLES[EXAMPLE].model
    given = replace(base.input, scale=CENTRED) if row.fresh_rate else base.input
    return pg.Model(base.name, given, base.layers, replace(base.rule, **changes), seed)


def percent(net: Net, x: Any, y: Any) -> float:
    """How many of the images are right."""
    return round(100 * net.evaluate(x, y)["accuracy"], 2)


def first_of_each(y: Any, count: int) -> Any:
    """Rows of the first so many samples of each class, in their order."""
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:count] for label in np.unique(y)]))


@lru_cache
def trained(model: pg.Model, epochs: int, data: Images) -> tuple[bytes, int, float]:
    """A network trained from nothing: its blob, its digest, and its accuracy in percent."""
    net = pg.build(model)
    net.fit(data.x, data.y, epochs=epochs)
    return net.to_blob(), net.digest(), percent(net, data.x_test, data.y_test)


def trained_online(row: Row, seed: int, epochs: int, data: Images) -> dict[str, Any]:
    """Accuracy of a network trained from nothing, and digests of its weights.

    There are two digests, which must be equal, where the feedback is drawn: the second is of the
    same training with stored feedback.
    """
    variants = [row.changes]
    if row.changes.get("feedback") == "seeded":
        variants.append({**row.changes, "feedback": "stored"})
    runs = [trained(model_of(row, changes, seed), epochs, data) for changes in variants]
    return {"accuracy": runs[0][2], "digests": [f"{digest:08x}" for _, digest, _ in runs]}


@lru_cache
def few_of(shift: str, data: Images) -> Images:
    """The few images of the other kind that the device sees, and all to measure on."""
    change, rows = SHIFTS[shift], first_of_each(data.y, SHOTS)
    return Images(change(data.x[rows], 0), data.y[rows], change(data.x_test, 1), data.y_test)


def trained_on(row: Row, seed: int, epochs: int, data: Images) -> dict[str, Any]:
    """Accuracies on other images and on the old ones, before and after training on with a few."""
    assert row.shift is not None
    blob, _, old_before = trained(model_of(row, row.changes, seed), epochs, data)
    few = few_of(row.shift, data)
    model = model_of(row, row.device, seed)
    net = pg.build(model)
    net.from_blob(blob)
    before = percent(net, few.x_test, few.y_test)
    net.rate = model.rule.rate
    if row.fresh_rate:
        last = len(model.layers)
        zeros = {name: 0 * net.weights()[name] for name in (f"W{last}", f"b{last}")}
        net.set_weights({**net.weights(), **zeros})
        net.rate = row.fresh_rate
    order = Shuffle(len(few.y), seed)
    for _ in range(FEW_PASSES):
        net.train_samples(few.x, few.y, order.next())
    return {
        "before": before,
        "after": percent(net, few.x_test, few.y_test),
        "alone": trained(model, ALONE_PASSES, few)[2],
        "old_before": old_before,
        "old_after": percent(net, data.x_test, data.y_test),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation, and the values."""
    return {
        "mean": round(statistics.fmean(values), 2),
        "std": round(statistics.stdev(values), 2) if len(values) > 1 else 0.0,
        "each": list(values),
    }


def measured(
    row: Row, seeds: int, epochs: int, samples: int | None, validation: bool
) -> dict[str, Any]:
    """Train and measure a row."""
    started = time.process_time()
    data = images(samples, validation)
    train = trained_online if row.shift is None else trained_on
    runs = [train(row, seed, epochs, data) for seed in range(1, seeds + 1)]
    costs = report(model_of(row, row.device, 1))
    return {
        "name": row.name,
        **{
            name: [run[name] for run in runs]
            if name == "digests"
            else spread([run[name] for run in runs])
            for name in runs[0]
        },
        "seeds": seeds,
        "epochs": epochs,
        "samples": len(data.x),
        "ram_bytes": costs.ram_bytes,
        "flash_bytes": costs.flash_bytes,
        "description": list(costs.description),
        "cpu_seconds": round(time.process_time() - started, 1),
        "measured_on": "the last 10 000 training images" if validation else "the test images",
    }


def differs(row: Mapping[str, Any]) -> bool:
    """Whether seeded feedback gave other weights than stored."""
    return any(len(set(digests)) > 1 for digests in row.get("digests", []))


def figure(row: Mapping[str, Any], name: str) -> str:
    """Mean and standard deviation."""
    value = row[name]
    return f"{value['mean']:.2f}" + (f" ± {value['std']:.2f}" if row["seeds"] > 1 else "")


def line(row: Mapping[str, Any]) -> str:
    """A measured row, as a line of its table in results/device.md."""
    ram, flash = (f"{row[name]:,}".replace(",", " ") for name in ("ram_bytes", "flash_bytes"))
    cells = [f"`{row['name']}`", ROWS[row["name"]].what]
    if "accuracy" in row:
        first = " ≠ ".join(sorted(set(row["digests"][0])))
        cells += [figure(row, "accuracy"), str(row["seeds"]), ram, flash, f"`{first}`"]
    else:
        measures = ("before", "after", "alone", "old_before", "old_after")
        cells += [*(figure(row, name) for name in measures), str(row["seeds"]), ram]
    return f"| {' | '.join(cells)} |"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """results/device.md."""
    text = "# Learning as a device does\n\n" + TEXT
    for (title, words, head), shifted in zip(TABLES, (False, True), strict=True):
        lines = [line(row) for row in rows if bool(ROWS[row["name"]].shift) == shifted]
        if lines:
            rule = "|---" * (head.count("|") - 1) + "|"
            text += "\n".join([f"\n## {title}\n\n{words}", head, rule, *lines, ""])
    return text


def record(measured_rows: list[dict[str, Any]]) -> None:
    """Renew these rows in results/device.json and the page made of it."""
    rows = renewed(RESULTS / "device.json", measured_rows, ROWS)
    (RESULTS / "device.md").write_text(page(rows), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME,…", help=f"some rows: {', '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, metavar="N", help=f"networks a row ({SEEDS})")
    parser.add_argument(
        "--epochs", type=int, metavar="E", help="passes over all images, by default the row's"
    )
    parser.add_argument("--samples", type=int, metavar="N", help="training images to use (all)")
    parser.add_argument(
        "--validation", action="store_true", help="measure on the last 10 000 training images"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    parser.add_argument(
        "--write", action="store_true", help="renew these rows in benchmarks/results/device.*"
    )
    options = parser.parse_args(arguments)
    for name in ("seeds", "epochs", "samples"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; give 1 or more")
    if options.write and (options.validation or options.samples or options.epochs):
        parser.error("--write records whole rows; leave out --validation, --samples and --epochs")
    try:
        rows = chosen(options.only, ROWS)
    except ValueError as error:
        parser.error(str(error))
    done: list[dict[str, Any]] = []
    for row in rows:
        epochs = options.epochs or row.epochs
        try:
            result = measured(
                row, options.seeds or SEEDS, epochs, options.samples, options.validation
            )
        except PocketgenError as error:
            print(f"{Path(__file__).name}: {row.name}: {error}", file=sys.stderr)
            return 2
        done.append(result)
        print(line(result), file=sys.stderr if options.json else sys.stdout, flush=True)
        if differs(result):
            print(f"{Path(__file__).name}: {row.name}: the weights differ", file=sys.stderr)
            return 1
        if options.write:
            record(done)
    if options.json:
        print(json.dumps({"rows": done}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
