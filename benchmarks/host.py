"""Training and inference on one core of this machine, beside PyTorch and scikit-learn.

784-100-50-10 on MNIST, batch 20: CPU seconds of one epoch over the 60 000 training images and of
one pass over the 10 000 test images, and samples per second at batch 1. The systems take turns,
several times over, and each figure is the median; so a busy machine slows all of them, and the
ratio to PyTorch, taken within each turn, stays true. What is not installed is left out, with the
reason.

Exit status: 0; 2 if there is no data or no compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pocketnn_run import RESULTS, published_model

import pocketgen as pg
from pocketgen import datasets
from pocketgen.datasets import Dataset
from pocketgen.errors import PocketgenError
from pocketgen.host import ALWAYS, FLAGS

BATCH = 20
REFERENCE = "PyTorch eager"
COUNT_FLAGS = ("-std=c99", "-O3")  # the instruction counts: no -march, so any x86-64 agrees
COUNTED_BATCHES = 20


@dataclass
class System:
    """One way to train and run the network.

    epoch: train on every sample once. hits: right test images of one pass. single: labels of the
    first n test images, one call from Python for each. stream: the same in one call of compiled
    code that takes one image after the other, where a system has that.
    """

    name: str
    epoch: Callable[[], object]
    hits: Callable[[], int]
    single: Callable[[int], object]
    singles: int  # images in one timing of `single`, which takes some hundredths of a second
    stream: Callable[[int], object] | None = None


@dataclass
class Figures:
    """What was measured of a system, one entry for each turn: CPU seconds, samples/s, hits."""

    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    stream: list[float] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)


@contextlib.contextmanager
def c_compiler(name: str) -> Iterator[None]:
    """CC set to name for a while."""
    before = os.environ.get("CC")
    os.environ["CC"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["CC"]
        else:
            os.environ["CC"] = before


def with_pocketgen(data: Dataset, compiler: str) -> System:
    """pocketgen's compiled C, driven by the calls that a user makes."""
    with c_compiler(compiler):
        net = pg.build(published_model("mnist", BATCH))
    rng = np.random.default_rng(1)

    def single(n: int) -> None:
        for k in range(n):
            net.predict(data.x_test[k : k + 1])

    return System(
        f"pocketgen, {compiler}",
        lambda: net.train_samples(data.x_train, data.y_train, rng.permutation(len(data.x_train))),
        lambda: int(net.evaluate(data.x_test, data.y_test)["hits"]),
        single,
        singles=5000,
        stream=lambda n: net.predict(data.x_test[:n]),
    )


def with_torch(data: Dataset, batch: int, name: str) -> System:
    """PyTorch on the CPU, eager, one thread, float32: plain SGD on cross-entropy."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    x = torch.from_numpy(data.x_train.astype(np.float32) / 255)
    y = torch.from_numpy(data.y_train.astype(np.int64))
    x_test = torch.from_numpy(data.x_test.astype(np.float32) / 255)
    y_test = torch.from_numpy(data.y_test.astype(np.int64))
    sizes = (784, 100, 50, 10)
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers[:-1])
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * batch / 20)

    def epoch() -> None:
        order = torch.randperm(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()

    def hits() -> int:
        with torch.inference_mode():
            return int((net(x_test).argmax(1) == y_test).sum())

    def single(n: int) -> None:
        with torch.inference_mode():
            for k in range(n):
                int(net(x_test[k : k + 1]).argmax())

    return System(name, epoch, hits, single, singles=5000)


def with_sklearn(data: Dataset, dtype: str) -> System:
    """scikit-learn's MLPClassifier, one epoch a call: plain SGD."""
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    x, x_test = (
        part.astype(dtype) / np.dtype(dtype).type(255) for part in (data.x_train, data.x_test)
    )
    net = MLPClassifier(
        (100, 50), activation="tanh", solver="sgd", batch_size=BATCH, learning_rate_init=0.1,
        momentum=0, alpha=0, random_state=1,
    )  # fmt: skip
    labels = np.arange(10)

    def single(n: int) -> None:
        for k in range(n):
            net.predict(x_test[k : k + 1])

    return System(
        f"scikit-learn, {dtype}",
        lambda: net.partial_fit(x, data.y_train, classes=labels),
        lambda: int((net.predict(x_test) == data.y_test).sum()),
        single,
        singles=500,
    )


def systems(data: Dataset) -> tuple[list[System], list[str]]:
    """Every system that can run here, and why the others are left out."""
    found, left_out = [], []
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            found.append(with_pocketgen(data, compiler))
        else:
            left_out.append(f"pocketgen, {compiler}: {compiler} is not installed")
    if not found:
        found.append(with_pocketgen(data, os.environ.get("CC") or "cc"))
    others = (
        (lambda: with_torch(data, BATCH, REFERENCE), REFERENCE, "torch"),
        (lambda: with_torch(data, 128, "PyTorch eager, batch 128"), "its batch of 128", "torch"),
        (lambda: with_sklearn(data, "float32"), "scikit-learn, float32", "scikit-learn"),
        (lambda: with_sklearn(data, "float64"), "scikit-learn, float64", "scikit-learn"),
    )
    for make, name, package in others:
        try:
            found.append(make())
        except ImportError as error:
            left_out.append(f"{name}: {package} is not installed ({error})")
    return found, left_out


def cpu_seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of one call, and its result."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def images_per_second(action: Callable[[int], object], images: int) -> float:
    """How many images a second of CPU time `action` takes."""
    return images / cpu_seconds(lambda: action(images))[0]


def measure(found: Sequence[System], data: Dataset, repeats: int) -> dict[str, Figures]:
    """Every system in turn, `repeats` times."""
    figures = {system.name: Figures() for system in found}
    for _ in range(repeats):
        for system in found:
            own = figures[system.name]
            own.train.append(cpu_seconds(system.epoch)[0])
            seconds, hits = cpu_seconds(system.hits)
            own.test.append(seconds)
            own.hits.append(hits)
            own.single.append(images_per_second(system.single, system.singles))
            if system.stream:
                own.stream.append(images_per_second(system.stream, len(data.x_test)))
    return figures


def summary(figures: dict[str, Figures], test_samples: int) -> list[dict[str, Any]]:
    """The medians of every system, and its ratio to PyTorch at the same batch."""
    rows = []
    reference = figures.get(REFERENCE)
    for name, own in figures.items():
        both = [a + b for a, b in zip(own.train, own.test, strict=True)]
        row = {
            "system": name,
            "train_s": statistics.median(own.train),
            "test_s": statistics.median(own.test),
            "sum_s": statistics.median(both),
            "ratio": None,
            "single_per_s": statistics.median(own.single),
            "stream_per_s": statistics.median(own.stream) if own.stream else None,
            "accuracy": own.hits[-1] / test_samples,
        }
        if reference:
            theirs = [a + b for a, b in zip(reference.train, reference.test, strict=True)]
            row["ratio"] = statistics.median(a / b for a, b in zip(both, theirs, strict=True))
        rows.append(row)
    return rows


COUNTING_MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include "mnist.h"

static mnist_t net;
static uint8_t blob[MNIST_BLOB_SIZE];
static uint8_t x[BATCHES * MNIST_BATCH * MNIST_INPUT_SIZE];
static uint16_t label[BATCHES * MNIST_BATCH];

static void get(const char *path, void *to, size_t size)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fread(to, 1, size, file) != size) {
        exit(1);
    }
    fclose(file);
}

int main(void)
{
    unsigned sum = 0, k;

    get("weights", blob, sizeof blob);
    get("x", x, sizeof x);
    get("label", label, sizeof label);
    mnist_init(&net, 1);
    if (mnist_load(&net, blob, sizeof blob) != MNIST_OK) {
        return 1;
    }
    for (k = 0; k < BATCHES * MNIST_BATCH; k++) {
        sum += mnist_predict(&net, x + (size_t)k * MNIST_INPUT_SIZE);
    }
    for (k = 0; k < BATCHES; k++) {
        if (mnist_train_batch(&net, x + (size_t)k * MNIST_BATCH * MNIST_INPUT_SIZE,
                label + k * MNIST_BATCH, MNIST_BATCH) != MNIST_OK) {
            return 1;
        }
    }
    return sum == 0;
}
"""


def instructions(data: Dataset) -> list[dict[str, Any]]:
    """Instructions of one inference and of one update from 20 samples, after an epoch."""
    model = published_model("mnist", BATCH)
    net = pg.build(model)
    net.train_samples(data.x_train, data.y_train, np.arange(len(data.x_train)))
    count = COUNTED_BATCHES * BATCH
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        units = ("mnist.c", "mnist_train.c", "mnist_store.c")
        for name, text in pg.generate(model).items():
            if name in (*units, "mnist.h"):
                (folder / name).write_text(text)
        (folder / "main.c").write_text(COUNTING_MAIN)
        (folder / "weights").write_bytes(net.to_blob())
        (folder / "x").write_bytes(data.x_train[:count].tobytes())
        (folder / "label").write_bytes(data.y_train[:count].astype(np.uint16).tobytes())
        for compiler in ("gcc", "clang"):
            if not shutil.which(compiler):
                continue
            command = [compiler, *COUNT_FLAGS, f"-DBATCHES={COUNTED_BATCHES}", "-o", "count"]
            subprocess.run([*command, "main.c", *units], cwd=folder, check=True)
            rows.append(
                {
                    "compiler": compiler,
                    "inference": counted(folder, "mnist_predict") // count,
                    "update": counted(folder, "mnist_train_batch") // COUNTED_BATCHES,
                }
            )
    return rows


def counted(folder: Path, function: str) -> int:
    """Instructions that ./count executes within a function."""
    subprocess.run(
        [
            *("valgrind", "--tool=callgrind", "--collect-atstart=no", "--quiet"),
            *(f"--toggle-collect={function}", "--callgrind-out-file=counted", "./count"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    found = re.search(r"^(?:summary|totals): (\d+)", (folder / "counted").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1))


def version_of(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """What the figures depend on."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        fields = dict(line.split("\t: ", 1) for line in lines if "\t: " in line)
        named = {key.strip(): value for key, value in fields.items()}
        processor = (
            f"{named['model name']} (family {named['cpu family']}, model {named['model']})"
            if "cpu family" in named
            else named.get("model name", processor)
        )
    compilers = {}
    for name in ("gcc", "clang"):
        if shutil.which(name):
            asked = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
            compilers[name] = asked.stdout.splitlines()[0]
    packages = ("pocketgen", "numpy", "torch", "scikit-learn")
    return {
        "processor": processor,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "compilers": compilers,
        "flags": " ".join((*ALWAYS, *FLAGS)),
        "packages": {name: version_of(name) for name in packages if version_of(name)},
    }


def pin() -> None:
    """One core for this process, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def as_text(result: dict[str, Any]) -> str:
    """The result in Markdown, also readable as it is."""
    where = result["environment"]
    lines = [
        "| system | epoch, CPU s | test pass, CPU s | sum | ratio to PyTorch "
        "| samples/s at batch 1, in C | a Python call each "
        f"| accuracy after {result['repeats']} epochs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        stream = "" if row["stream_per_s"] is None else f"{row['stream_per_s']:,.0f}"
        lines.append(
            f"| {row['system']} | {row['train_s']:.3f} | {row['test_s']:.3f} | {row['sum_s']:.3f} "
            f"| {ratio} | {stream} | {row['single_per_s']:,.0f} | {row['accuracy']:.2%} |"
        )
    lines += [f"\nLeft out: {reason}." for reason in result["left_out"]]
    if result["instructions"]:
        lines += [
            "\nInstructions executed, counted by callgrind; compiled for plain x86-64 with "
            f"`{' '.join(COUNT_FLAGS)}`, weights after one epoch:\n",
            "| compiler | one inference | one update from 20 samples |",
            "|---|---|---|",
        ]
        for row in result["instructions"]:
            lines.append(f"| {row['compiler']} | {row['inference']:,} | {row['update']:,} |")
    lines += [
        "",
        f"- Processor: {where['processor']}; {where['system']}; one thread on one core.",
        f"- Median of {result['repeats']} turns; {result['samples']:,} training images.",
        *(f"- {name}: {text}" for name, text in where["compilers"].items()),
        f"- Flags: `{where['flags']}`",
        "- " + ", ".join(f"{name} {version}" for name, version in where["packages"].items()),
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of each system (5)")
    parser.add_argument("--samples", type=int, default=60000, help="training images to use (all)")
    parser.add_argument(
        "--callgrind", action="store_true", help="count instructions too (needs valgrind)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument(
        "--write", action="store_true", help="write the table to benchmarks/results/host.md"
    )
    options = parser.parse_args(arguments)
    if options.repeats < 1 or options.samples < BATCH:
        parser.error(f"give --repeats of at least 1 and --samples of at least {BATCH}")
    if options.callgrind and not shutil.which("valgrind"):
        parser.error("--callgrind needs valgrind, which is not installed")

    pin()
    try:
        full = datasets.load("mnist")
        data = Dataset(
            full.name, full.x_train[: options.samples], full.y_train[: options.samples],
            full.x_test, full.y_test, full.classes,
        )  # fmt: skip
        found, left_out = systems(data)
        result = {
            "rows": summary(measure(found, data, options.repeats), len(data.x_test)),
            "left_out": left_out,
            "instructions": instructions(data) if options.callgrind else [],
            "repeats": options.repeats,
            "samples": len(data.x_train),
            "environment": environment(),
        }
    except PocketgenError as error:
        print(f"{Path(__file__).name}: {error}", file=sys.stderr)
        return 2
    text = as_text(result)
    print(json.dumps(result, indent=1) if options.json else text)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        given = " ".join(sys.argv[1:] if arguments is None else arguments)
        heading = f"# MNIST on one core\n\nMade by `python benchmarks/host.py {given}`.\n\n"
        (RESULTS / "host.md").write_text(f"{heading}{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
