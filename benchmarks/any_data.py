"""What the defaults reach on any data, beside float networks trained on the same samples.

Nothing is tuned here: Model.for_data chooses scaling and shifts from the training samples. Each
seed draws its own samples (or splits the digits anew), weights and order; everything is measured
once, after the last epoch, on samples that are used for nothing else. A row NAME has scikit-learn's
MLPClassifier beside it: the same hidden layers, standardised input, its own defaults otherwise. A
row NAME-pytorch is float backprop with the batch, the epochs and the input dropout of pocketgen.

Exit status: 0; 2 without a compiler, or without the float library of a row asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from float_mlp import FloatTraining, float_accuracies
from tasks import TASKS, Labels, Samples

import pocketgen as pg
from pocketgen import datasets
from pocketgen.errors import PocketgenError

RESULTS = Path(__file__).parent / "results"
TESTED = 4000  # test samples of a synthetic task
SEEDS = 5
EPOCHS = 100
HIDDEN = (100, 50)
Parts = tuple[Samples, Labels, Samples, Labels]  # to train on, to measure on


@dataclass(frozen=True)
class Row:
    """One line of the table.

    task: in tasks.TASKS, or "digits". samples: to train on; of the digits, how many data sets give
    them. floating: float backprop in PyTorch in place of pocketgen beside scikit-learn.
    """

    name: str
    what: str
    task: str
    samples: int
    hidden: tuple[int, ...] = HIDDEN
    seeds: int = SEEDS
    floating: bool = False
    table: str = "results"


MAIN = [
    Row("digits", "digits, the built-in split", "digits-built-in", 1437),
    Row("digits-splits", "digits, random splits", "digits-random", 1348, seeds=10),
    Row("spectra", "dense log-spectra of 8 bits", "spectra", 2700),
    Row("gestures", "windows of a 3-axis sensor, 16 bits", "gestures", 2000),
    Row("unequal-scales", "spreads 1 : 6000, offsets to 20 000", "unequal-scales", 3000),
    Row("unequal-classes", "classes of 90, 5, 3 and 2 %", "unequal-classes", 4000),
    Row("two-classes", "good or bad", "two-classes", 1500),
    Row("mixed-columns", "flags, counters and readings", "mixed-columns", 2500),
]
MORE = [
    Row("many-classes", "forty classes", "many-classes", 4000, table="more"),
    Row("rings", "two inputs, no straight border", "rings", 1500, table="more"),
    Row("unequal-scales-300", "few samples", "unequal-scales", 300, table="more"),
    Row("unequal-scales-32", "hidden layer of 32", "unequal-scales", 3000, (32,), table="more"),
]
PYTORCH = [
    Row(f"{row.name}-pytorch", row.what, row.task, row.samples, row.hidden, row.seeds, True)
    for row in MAIN
]
ROWS = {row.name: row for row in (*MAIN, *MORE, *PYTORCH)}

TEXT = """`python benchmarks/any_data.py` trains every row anew; `--only NAME,…` some of them.

Test accuracy in percent after 100 epochs, mean and standard deviation over the seeds. Each seed has
its own samples (the built-in split of the digits is one), weights and order; all networks of a seed
see the same samples. The difference is taken seed by seed, its ± is the standard deviation of the
differences. pocketgen: `Model.for_data` with its defaults, 100 and 50 hidden units unless said, raw
integers in, compiled C. scikit-learn: `MLPClassifier` with the same hidden layers and its defaults
(Adam, at most 200 epochs, no dropout) on standardised input; the digits are divided by 16 instead,
by which it gains 0.6 to 0.8 points.

**Read the lead with care: pocketgen has input dropout by default, scikit-learn has none.** The last
column is float backprop with pocketgen's dropout, batch and epochs (`benchmarks/float_mlp.py`:
tanh, SGD at rate 0.1 falling to 0, the same input), the fairer opponent: it draws level with
pocketgen on all but the spectra. Neither float network was tuned.
"""
TITLES = (
    ("Results", "results"),
    ("Harder: few inputs, many classes, few samples, a small net", "more"),
)
MORE_TEXT = """
Few samples whose classes are several groups each, and a single small hidden layer: there the
defaults fall behind by more than half a point.
"""


def drawn(row: Row, seed: int) -> Parts:
    """The row's samples for a seed."""
    if row.task in TASKS:
        x, y = TASKS[row.task](row.samples + TESTED, seed)
        return x[: row.samples], y[: row.samples], x[row.samples :], y[row.samples :]
    data = datasets.load("digits")
    x_train, x_test = (part.reshape(len(part), -1) for part in (data.x_train, data.x_test))
    if row.task == "digits-built-in":
        return x_train, data.y_train, x_test, data.y_test
    x, y = np.concatenate([x_train, x_test]), np.concatenate([data.y_train, data.y_test])
    order = np.random.default_rng(seed).permutation(len(y))
    kept, aside = order[: row.samples], order[row.samples :]
    return x[kept], y[kept], x[aside], y[aside]


def model_of(row: Row, parts: Parts, epochs: int, seed: int) -> pg.Model:
    """What pocketgen makes of the training samples, by its defaults."""
    return pg.Model.for_data("any_data", parts[0], parts[1], row.hidden, epochs, seed)


def balanced(guesses: Labels, y: Labels) -> float:
    """The mean over the classes of the share found; classes count alike however rare they are."""
    return statistics.fmean(float((guesses[y == k] == k).mean()) for k in np.unique(y))


def integers(row: Row, parts: Parts, epochs: int, seed: int) -> tuple[float, float]:
    """Accuracy and balanced accuracy of the integer network, trained in compiled C."""
    x, y, x_test, y_test = parts
    net = pg.build(model_of(row, parts, epochs, seed))
    net.fit(x, y, epochs=epochs)
    return net.evaluate(x_test, y_test)["accuracy"], balanced(net.predict(x_test), y_test)


def scaled(row: Row, parts: Parts) -> tuple[Any, Any]:
    """Training and test input of the float networks: standardised by the training samples.

    Digits are divided by their largest value instead: scikit-learn does better by it.
    """
    x, x_test = parts[0], parts[2]
    if row.task.startswith("digits"):
        return x / 16, x_test / 16
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation == 0] = 1
    return (x - mean) / deviation, (x_test - mean) / deviation


def scikit_learn(row: Row, parts: Parts, seed: int) -> tuple[float, float]:
    """Accuracy and balanced accuracy of the float network, by scikit-learn's defaults."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    x, x_test = scaled(row, parts)
    net = MLPClassifier(row.hidden, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops after 200 epochs
        guesses = net.fit(x, parts[1]).predict(x_test)
    return float((guesses == parts[3]).mean()), balanced(guesses, parts[3])


def pytorch(row: Row, every: list[Parts], epochs: int) -> list[float]:
    """Accuracies of float backprop with the batch, epochs and dropout of the integer network."""
    model = model_of(row, every[0], epochs, 1)
    plan = FloatTraining(row.hidden, epochs, model.rule.batch, dropout=model.drop / 8)
    inputs = [scaled(row, parts) for parts in every]
    return float_accuracies(
        plan,
        np.stack([x for x, _ in inputs]).astype(np.float32),
        np.stack([parts[1] for parts in every]).astype(np.int64),
        np.stack([x_test for _, x_test in inputs]).astype(np.float32),
        np.stack([parts[3] for parts in every]).astype(np.int64),
        len(every),
    )


def summary(prefix: str, reached: list[float]) -> dict[str, Any]:
    """Mean, standard deviation and single values in percent."""
    percent = [100 * value for value in reached]
    return {
        f"{prefix}mean": round(statistics.fmean(percent), 2),
        f"{prefix}std": round(statistics.stdev(percent), 2) if len(percent) > 1 else 0.0,
        f"{prefix}each": [round(value, 2) for value in percent],
    }


def conditioning(model: pg.Model) -> str:
    """What Model.for_data chose, in a few words."""
    scale = model.input.scale
    if scale.per_feature:
        return f"per feature, / 2^{scale.shift}"
    offset = f"(raw − {scale.offset})" if scale.offset >= 0 else f"(raw + {-scale.offset})"
    return f"{offset if scale.offset else 'raw'} · {scale.multiplier} / 2^{scale.shift}"


def measured(row: Row, seeds: int, epochs: int) -> dict[str, Any]:
    """Train and measure a row."""
    started = time.perf_counter(), time.process_time()
    every = [drawn(row, seed) for seed in range(1, seeds + 1)]
    model = model_of(row, every[0], epochs, 1)
    result: dict[str, Any] = {
        "name": row.name,
        "what": row.what,
        "inputs": model.input.features,
        "classes": model.classes,
        "samples": len(every[0][0]),
        "tested": len(every[0][2]),
        "hidden": list(row.hidden),
        "seeds": seeds,
        "epochs": epochs,
        "dropout": model.drop,
    }
    if row.floating:
        result |= summary("", pytorch(row, every, epochs))
    else:
        numbered = list(enumerate(every, 1))
        own = [integers(row, parts, epochs, seed) for seed, parts in numbered]
        other = [scikit_learn(row, parts, seed) for seed, parts in numbered]
        result |= {
            **summary("", [a for a, _ in own]),
            **summary("float_", [a for a, _ in other]),
            **summary("difference_", [a - b for (a, _), (b, _) in zip(own, other, strict=True)]),
            **summary("balanced_", [b for _, b in own]),
            **summary("float_balanced_", [b for _, b in other]),
            "conditioning": conditioning(model),
            "input": model.input.dtype,
            "rate_shift": model.rule.rate_shift,
        }
    return {
        **result,
        "seconds": round(time.perf_counter() - started[0], 1),
        "cpu_seconds": round(time.process_time() - started[1], 1),
    }


def chosen(names: str | None) -> list[Row]:
    """The rows of a comma-separated list of names, or all of them; ValueError for an unknown."""
    if names is None:
        return list(ROWS.values())
    unknown = [name for name in names.split(",") if name not in ROWS]
    if unknown:
        raise ValueError(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    return [ROWS[name] for name in names.split(",")]


def spread(row: dict[str, Any], prefix: str = "", sign: str = "") -> str:
    """Mean ± standard deviation."""
    return f"{row[f'{prefix}mean']:{sign}.2f} ± {row[f'{prefix}std']:.2f}"


def line(row: dict[str, Any], known: dict[str, dict[str, Any]]) -> str:
    """A measured row, as a line of the table in results/any_data.md."""
    if ROWS[row["name"]].floating:
        return f"| `{row['name']}` | {row['what']} | {spread(row)} | {row['seeds']} |"
    fair = known.get(f"{row['name']}-pytorch")
    return (
        f"| `{row['name']}` | {row['what']} | {row['inputs']}, {row['classes']}, {row['samples']} "
        f"| {spread(row)} | {spread(row, 'float_')} | {spread(row, 'difference_', '+')} "
        f"| {row['balanced_mean']:.2f}, {row['float_balanced_mean']:.2f} | {row['seeds']} "
        f"| {row['conditioning']} | {row['dropout']}/8 | {spread(fair) if fair else '—'} |"
    )


def page(known: dict[str, dict[str, Any]]) -> str:
    """results/any_data.md."""
    head = (
        "| row | data | inputs, classes, samples | pocketgen | scikit-learn | difference "
        "| balanced accuracy, both | seeds | scaling (of the first seed) | dropout "
        "| PyTorch, same dropout |\n" + "|---" * 11 + "|"
    )
    text = "# Any data\n\n" + TEXT
    for title, table in TITLES:
        lines = [
            line(known[name], known)
            for name, row in ROWS.items()
            if name in known and row.table == table and not row.floating
        ]
        if lines:
            words = MORE_TEXT if table == "more" else ""
            text += f"\n## {title}\n{words}\n{head}\n" + "\n".join(lines) + "\n"
    return text


def record(measured_rows: list[dict[str, Any]]) -> None:
    """Renew these rows in results/any_data.json and the page made of it."""
    path = RESULTS / "any_data.json"
    old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    by_name = {row["name"]: row for row in [*old, *measured_rows]}
    rows = [by_name[name] for name in ROWS if name in by_name]
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "any_data.md").write_text(page(by_name), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME,…", help=f"some rows: {', '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="by default 5, 10 splits of digits")
    parser.add_argument("--epochs", type=int, metavar="E", help=f"by default {EPOCHS}")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument(
        "--write", action="store_true", help="renew these rows in benchmarks/results/any_data.*"
    )
    options = parser.parse_args(arguments)
    for name in ("seeds", "epochs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; give 1 or more")
    try:
        rows = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    done: list[dict[str, Any]] = []
    for row in rows:
        try:
            done.append(measured(row, options.seeds or row.seeds, options.epochs or EPOCHS))
        except (PocketgenError, ImportError) as error:
            print(f"{Path(__file__).name}: {row.name}: {error}", file=sys.stderr)
            return 2
        by_name = {each["name"]: each for each in done}
        print(line(done[-1], by_name), file=sys.stderr if options.json else sys.stdout, flush=True)
        if options.write:
            record(done)
    if options.json:
        print(json.dumps({"rows": done}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
