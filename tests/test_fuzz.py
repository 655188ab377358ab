"""libFuzzer on generated C: `load` of any bytes, training on any samples, labels and weights.

Some seconds each in a quick run, POCKETGEN_FUZZ_SECONDS=150 in `.ci/run`, more for a long one,
which also keeps its corpus in POCKETGEN_FUZZ_CORPUS, where that is set to a folder. The targets are
in fuzz/; here they are put together with several models, built with both sanitizers, and run.
An input that broke something is printed in base64; as a file in fuzz/found/TARGET/ it is tried
first in every later run.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import pocketgen as pg
from matrix import Subject
from pocketgen.store import blob_size, item_bytes
from support import compiler, repository_root, require

SECONDS = int(os.environ.get("POCKETGEN_FUZZ_SECONDS", "15"))
SUBJECTS = [
    Subject.small(name)
    for name in ("seeded", "backprop", "vector", "features", "wide", "one", "softmax", "bytes")
] + [Subject.small("regression", "given")]

DEFINITIONS = """\
#include "{p}.h"
#define P(name) {p}_##name
#define U(name) {P}_##name
#define LABELLED {labelled}
#define WANTED_ERROR {P}_ERR_{error}
#define PARAMETERS(use) {parameters}
#define RATE {rate.name}
#define RATE_LIMIT {rate.proven.high}
#define STATE_BYTES {state_bytes}
#include "{target}.c"
#undef P
#undef U
#undef LABELLED
#undef WANTED_ERROR
#undef PARAMETERS
#undef RATE
#undef RATE_LIMIT
#undef STATE_BYTES
"""
DISPATCH = """\
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{{
    bytes_t bytes = {{data, size}};

    switch (take(&bytes) % {count}u) {{
{cases}
    default:
        break;
    }}
    return 0;
}}
"""


def entry(target: str) -> str:
    """The C file that holds a target for every model; the first byte chooses among them."""
    parts, cases = [], []
    for number, subject in enumerate(SUBJECTS):
        prefix, labelled = subject.model.name, subject.model.rule.expects == "label"
        program = pg.build(subject.model, engine="numpy").program
        limits = " ".join(
            f"use({b.name}, {b.size}, {b.proven.magnitude})" for b in program.parameters
        )
        parts.append(
            DEFINITIONS.format(
                p=prefix,
                P=prefix.upper(),
                target=target,
                labelled=int(labelled),
                error="LABEL" if labelled else "RANGE",
                parameters=limits,
                rate=program.buffers[subject.model.rule.rate_state],
                state_bytes=sum(item_bytes(state) for state in program.states),
            )
        )
        cases.append(f"    case {number}:\n        {prefix}_fuzz(bytes);\n        break;")
    return "".join([*parts, DISPATCH.format(count=len(SUBJECTS), cases="\n".join(cases))])


@dataclass(frozen=True)
class Fuzzer:
    """A target in a folder of its own: entry.c, the models' files, the program."""

    target: str
    folder: Path

    def write(self) -> None:
        for subject in SUBJECTS:
            for name, text in subject.files().items():
                if name.startswith(subject.model.name):
                    (self.folder / name).write_text(text, "utf-8")
        (self.folder / "entry.c").write_text(entry(self.target), "utf-8")

    def spoil(self, pattern: str, new: str) -> None:
        changes = 0
        for path in self.folder.glob("*.[ch]"):
            text, count = re.subn(pattern, new, path.read_text("utf-8"))
            path.write_text(text, "utf-8")
            changes += count
        assert changes > 0, f"nothing like {pattern} is generated any more"

    def build(self) -> None:
        names = [path.name for path in sorted(self.folder.glob("*.c"))]
        chosen = [name for name in names if not name.endswith("_selftest.c")]
        checks = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
        include = ["-I.", f"-I{repository_root / 'fuzz'}"]
        command = [
            compiler("clang"),
            "-std=c99",
            "-O1",
            "-g",
            "-Werror",
            *checks,
            *include,
            *chosen,
        ]
        done = self.run([*command, "-o", "fuzzer"])
        no_library = "libclang_rt.fuzzer" in done.stderr or "cannot find" in done.stderr
        require(not no_library, "clang has no libFuzzer here (Debian: libclang-rt-14-dev)")
        assert done.returncode == 0, done.stderr

    def fuzz(self, seconds: int, corpus: Path) -> subprocess.CompletedProcess[str]:
        limits = [f"-max_total_time={seconds}", "-max_len=3000", "-timeout=20", "-seed=1"]
        return self.run(["./fuzzer", *limits, "-print_final_stats=1", str(corpus)], seconds + 120)

    def run(self, command: list[str], timeout: int = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )


def seeds(target: str, folder: Path) -> Path:
    """Where the fuzzer starts: for load blobs that are good, with and without its help."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, subject in enumerate(SUBJECTS):
        net = pg.build(subject.model, engine="numpy")
        blob = net.to_blob() if target == "load" else bytes(range(256)) * 4
        for choice in range(8):
            (corpus / f"{number}-{choice}").write_bytes(bytes([number, choice]) + blob)
    for found in (repository_root / "fuzz" / "found" / target).glob("*"):
        (corpus / found.name).write_bytes(found.read_bytes())
    return corpus


def runs(done: subprocess.CompletedProcess[str]) -> int:
    """How many inputs were tried."""
    match = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stderr)
    return int(match[1]) if match else 0


@pytest.mark.parametrize("target", ["load", "train"])
def test_nothing_breaks(tmp_path: Path, target: str) -> None:
    fuzzer = Fuzzer(target, tmp_path)
    fuzzer.write()
    fuzzer.build()
    kept = os.environ.get("POCKETGEN_FUZZ_CORPUS")
    corpus = seeds(target, tmp_path)
    if kept:
        own = Path(kept, target).absolute()
        own.mkdir(parents=True, exist_ok=True)
        for path in corpus.iterdir():
            (own / path.name).write_bytes(path.read_bytes())
        corpus = own
    done = fuzzer.fuzz(SECONDS, corpus)
    assert done.returncode == 0, done.stderr[-4000:]
    assert runs(done) > 100 * SECONDS


@pytest.mark.parametrize(
    ("target", "pattern", "new", "word"),
    [
        # no limit on loaded weights
        ("load", r"value < -\(int32_t\)limit \|\| value > limit", "value == limit + 1", "broken"),
        # one weight is written before the last check
        ("load", r"(    if \(payload\[0\] > \d+u\) \{\n)", r"    net->W1[0] = 1;\n\1", "broken"),
        # the length is not asked
        ("load", r"if \(size < \w+_BLOB_SIZE\)", "if (size < 20)", "heap-buffer-overflow"),
        # any label will do
        ("train", r"label\[i\] >= \w+_OUTPUT_SIZE", "label[i] == 65535", "broken"),
        # a clamp that lets one value more through
        ("train", r"(moved, -)(\w+), (\w+)\)", r"\1\2 - 1, \3)", ""),
        # more samples than there is room for
        ("train", r"n > \w+_BATCH", "n > 9", ""),
    ],
)
def test_a_fault_is_found(tmp_path: Path, target: str, pattern: str, new: str, word: str) -> None:
    fuzzer = Fuzzer(target, tmp_path)
    fuzzer.write()
    fuzzer.spoil(pattern, new)
    fuzzer.build()
    done = fuzzer.fuzz(60, seeds(target, tmp_path))
    assert done.returncode != 0, done.stderr[-2000:]
    assert word in done.stderr


def test_the_targets_know_the_blob() -> None:
    """load.c repairs a checksum at the place where the format has it."""
    for subject in SUBJECTS:
        rule = subject.model.rule
        program = pg.build(subject.model, engine="numpy").program
        width = 1 if getattr(rule, "weights", "") == "int8" else 2
        state_bytes = 1 if rule.rate_state == "lr_shift" else 5
        weights = width * sum(b.size for b in program.parameters)
        assert blob_size(program) == 24 + weights + state_bytes
