"""The matrix: small models trained on every compiler, flag, checker and byte order at hand.

    python tests/matrix.py          the table of what is compared (about a minute on two cores)
    python tests/matrix.py --full   every language and flag at every level and width as well

One program holds all models, which shows besides that they live side by side. It trains each on
samples made by a formula and prints, model by model: CRC-32 of the weights, of the outputs on the
way, and of the saved blob; whether a second network that loads the blob is the same; and the
self-test's result. All of it must be what the numpy engine gives.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

import pocketgen as pg
from pocketgen.examples import EXAMPLES
from small_models import MODELS, some_weights

STEPS = 25
# What sets the learning rate, in turn, step by step.
RATES = {"lr_shift": (0, 0, 1, 0, 5), "rate": (16, 16, 3, 9)}

Start = Literal["own", "given", "inference"]


@dataclass(frozen=True)
class Subject:
    """A model in the program, and what its C starts from."""

    model: pg.Model
    start: Start = "own"

    @classmethod
    def small(cls, name: str, start: Start = "own") -> Subject:
        """A small model; its prefix says how it starts, and is no system header's name."""
        model = MODELS[name]
        return cls(replace(model, name=f"{model.name}_{start}"[-32:].strip("_")), start)

    @property
    def weights(self) -> dict[str, np.ndarray] | None:
        return None if self.start == "own" else some_weights(self.model)

    def files(self) -> dict[str, str]:
        inference_only = self.start == "inference"
        return pg.generate(self.model, weights=self.weights, inference_only=inference_only)


SUBJECTS = [
    *(Subject.small(name) for name in MODELS),
    *(Subject(EXAMPLES[name].model) for name in ("xor", "sensor")),
    Subject.small("backprop", "given"),
    Subject.small("features", "inference"),
    Subject.small("softmax", "inference"),
]


# --- what numpy gives ---------------------------------------------------------------------------


def scatter(word: np.ndarray | int) -> np.ndarray:
    """Words that look random, of counters: the twin of main.c's, modulo 2^32."""
    mask = np.uint64(0xFFFFFFFF)
    word = np.asarray(word, np.uint64) & mask
    for shift in (15, 13):
        word = ((word ^ (word >> np.uint64(shift))) * np.uint64(0x2C1B3C6D)) & mask
    return (word ^ (word >> np.uint64(16))).astype(np.int64)


def sample(model: pg.Model, number: int) -> np.ndarray:
    """In turn: scattered values, the two extremes, a ramp of period 251."""
    low, span = model.input.limits.low, model.input.limits.high - model.input.limits.low
    i = np.arange(model.input.features)
    word = scatter(number * 65536 + i)
    kinds = (word % (span + 1), (word & 1) * span, i % 251 % (span + 1))
    return low + kinds[number % 3]


def wanted(model: pg.Model, number: int) -> np.ndarray | int:
    """A sample's label or targets."""
    word = scatter(number * 65536 + 32768 + np.arange(model.classes))
    if model.rule.expects == "label":
        return int(word[0] % model.classes)
    limits = model.rule.targets
    return limits.low + word % (limits.high - limits.low + 1)


def batches(model: pg.Model) -> list[range]:
    """Sample numbers of each step: all sizes of a batch in turn."""
    sizes = [1 + step % model.rule.batch for step in range(STEPS)]
    ends = np.cumsum(sizes)
    return [range(int(end - n), int(end)) for end, n in zip(ends, sizes, strict=True)]


@functools.cache
def expected_line(subject: Subject) -> str:
    """What main.c must print of a model."""
    model, outputs = subject.model, b""
    only = subject.start == "inference"
    net = pg.build(model, weights=subject.weights, engine="numpy", inference_only=only)
    start = net.digest()
    for step, numbers in enumerate(batches(model)):
        x = np.stack([sample(model, number) for number in numbers])
        if not only:
            rates = RATES[model.rule.rate_state]
            net.set_rate(rates[step % len(rates)])
            net.train_batch(x, np.stack([wanted(model, number) for number in numbers]))
        output = net.forward(x[:1])[0]
        outputs += output.astype("<i4").tobytes() + bytes([int(output.argmax())])
    words = [f"outputs {zlib.crc32(outputs):08x}", f"digest {net.digest():08x}"]
    if not only:
        assert net.digest() != start, f"{model.name} learns nothing: its digests say nothing"
        words += [
            f"blob {zlib.crc32(net.to_blob()[:-4]):08x}",
            "loaded 0",
            f"as {net.digest():08x}",
        ]
    return " ".join([model.name, *words, "selftest 0"])


# --- the program --------------------------------------------------------------------------------

MAIN_HEAD = """\
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory for a network. What was in it must not matter; checkers of memory see it as never set. */
static void *fresh(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL) {
        exit(1);
    }
#ifndef NEVER_SET
    memset(memory, 0xa5, size);
#endif
    return memory;
}

static uint32_t scatter(uint32_t word)
{
    word = (uint32_t)((word ^ (word >> 15)) * 0x2c1b3c6dUL);
    word = (uint32_t)((word ^ (word >> 13)) * 0x2c1b3c6dUL);
    return word ^ (word >> 16);
}

static uint32_t crc(uint32_t crc, uint32_t byte)
{
    int bit;

    crc ^= byte & 0xffu;
    for (bit = 0; bit < 8; bit++) {
        crc = (crc >> 1) ^ (0xedb88320UL & (0u - (crc & 1u)));
    }
    return crc;
}

/* By a table: MemorySanitizer checks what an address depends on, not what printf is given */
static void show(const char *name, uint32_t value)
{
    int shift;

    printf(" %s ", name);
    for (shift = 28; shift >= 0; shift -= 4) {
        putchar("0123456789abcdef"[(value >> shift) & 15u]);
    }
}

static int32_t sample_value(uint32_t number, uint32_t i, int32_t low, uint32_t span)
{
    const uint32_t word = scatter(number * 65536u + i);

    if (number % 3 == 0) {
        return low + (int32_t)(word % (span + 1));
    }
    return low + (int32_t)(number % 3 == 1 ? (word & 1u) * span : i % 251u % (span + 1));
}
"""
MAIN_MODEL = """
#include "{p}.h"
static void drive_{p}(void)
{{
    static {p}_input_t x[{batch} * {P}_INPUT_SIZE];
    static {p}_output_t y[{P}_OUTPUT_SIZE];
    {p}_t *const net = ({p}_t *)fresh(sizeof({p}_t));
    {p}_t *const other = ({p}_t *)fresh(sizeof({p}_t));
    uint32_t number = 0, outputs = 0xffffffffUL, step, i, k;

    {p}_init(net, {P}_SEED);
    for (step = 0; step < {steps}; step++) {{
        const uint32_t n = 1 + step % {batch}u;
        for (k = 0; k < n; k++) {{
            for (i = 0; i < {P}_INPUT_SIZE; i++) {{
                x[k * {P}_INPUT_SIZE + i] =
                    ({p}_input_t)sample_value(number + k, i, {low}, {span}u);
            }}
        }}
{train}
        {p}_forward(net, x, y);
        for (i = 0; i < {P}_OUTPUT_SIZE; i++) {{
            for (k = 0; k < 4; k++) {{
                outputs = crc(outputs, (uint32_t)y[i] >> (8 * k));
            }}
        }}
        outputs = crc(outputs, {p}_predict(net, x));
        number += n;
    }}
    printf("{p}");
    show("outputs", outputs ^ 0xffffffffUL);
    show("digest", {p}_digest(net));
{save}
    free(other);
    {p}_t *const tested = ({p}_t *)fresh(sizeof({p}_t));
    printf(" selftest %d\\n", {p}_selftest(tested));
    free(tested);
    free(net);
}}
"""
TRAIN = """\
        static const uint8_t rates[] = {{{rates}}};
        static {kind} wanted[{batch} * {per_sample}];
        for (k = 0; k < n; k++) {{
            for (i = 0; i < {per_sample}; i++) {{
                const uint32_t word = scatter((number + k) * 65536u + 32768u + i);
                wanted[k * {per_sample} + i] =
                    ({kind})({target_low} + (int32_t)(word % {target_span}u));
            }}
        }}
        net->{rate} = rates[step % sizeof rates];
        if ({p}_train_batch(net, x, wanted, (uint16_t)n) != {P}_OK) {{
            printf("{p} refuses step %lu\\n", (unsigned long)step);
        }}"""
SAVE = """\
    static uint8_t blob[{P}_BLOB_SIZE];
    uint32_t sum = 0xffffffffUL;
    if ({p}_save(net, blob, sizeof blob) == {P}_BLOB_SIZE) {{
        for (i = 0; i < {P}_BLOB_SIZE - 4; i++) {{ /* a CRC over its own is always the same */
            sum = crc(sum, blob[i]);
        }}
    }}
    show("blob", sum ^ 0xffffffffUL);
    printf(" loaded %d", {p}_load(other, blob, sizeof blob));
    show("as", {p}_digest(other));"""


def driver(subject: Subject) -> str:
    """The C that trains one model and prints its line."""
    model, rule = subject.model, subject.model.rule
    labelled = rule.expects == "label"
    low, high = model.input.limits.low, model.input.limits.high
    names: dict[str, object] = {
        "p": model.name,
        "P": model.name.upper(),
        "batch": rule.batch,
        "steps": STEPS,
        "low": low,
        "span": high - low,
        "rate": rule.rate_state,
        "rates": ", ".join(map(str, RATES[rule.rate_state])),
        "kind": "uint16_t" if labelled else f"{model.name}_target_t",
        "per_sample": 1 if labelled else model.classes,
        "target_low": 0 if labelled else rule.targets.low,
        "target_span": model.classes if labelled else rule.targets.high - rule.targets.low + 1,
    }
    inference_only = subject.start == "inference"
    train = "" if inference_only else TRAIN.format(**names)
    save = "" if inference_only else SAVE.format(**names)
    return MAIN_MODEL.format(**names, train=train, save=save)


@dataclass(frozen=True)
class Sources:
    """The program's files. One unit holds the files of one kind of all models: few to compile."""

    folder: Path
    subjects: tuple[Subject, ...]

    @classmethod
    def write(cls, folder: Path, subjects: Iterable[Subject] = tuple(SUBJECTS)) -> Sources:
        subjects = tuple(subjects)
        units: dict[str, list[str]] = {}
        drivers = [MAIN_HEAD]
        for subject in subjects:
            prefix = subject.model.name
            for name, text in subject.files().items():
                if name.startswith(prefix):
                    (folder / name).write_text(text, "utf-8")
                if name.endswith(".c") and "/" not in name:
                    kind = name.removeprefix(prefix).removesuffix(".c").strip("_") or "forward"
                    units.setdefault(f"all_{kind}.c", []).append(f'#include "{name}"\n')
            drivers.append(driver(subject))
        calls = "".join(f"    drive_{subject.model.name}();\n" for subject in subjects)
        drivers.append(f"\nint main(void)\n{{\n{calls}    return 0;\n}}\n")
        for name, includes in units.items():
            (folder / name).write_text("".join(includes), "utf-8")
        (folder / "main.c").write_text("".join(drivers), "utf-8")
        return cls(folder, subjects)

    @property
    def units(self) -> list[str]:
        """The generated code alone."""
        return sorted(str(path) for path in self.folder.glob("all_*.c"))

    @property
    def expected(self) -> str:
        """What the program must print."""
        return "".join(f"{expected_line(subject)}\n" for subject in self.subjects)

    @property
    def program(self) -> list[str]:
        return [*self.units, str(self.folder / "main.c")]


# --- how it is built and run --------------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """One line of the table. runner: what runs the program; "" in kind: nothing is run."""

    name: str
    command: tuple[str, ...]
    runner: tuple[str, ...] = ()
    runs: bool = True
    probe: str = ""

    @property
    def tools(self) -> tuple[str, ...]:
        return (self.command[0], *self.runner[:1])


@dataclass(frozen=True)
class Result:
    """verdict: "same", "clean" (nothing is run), "missing" or "FAILED"; detail: why."""

    build: Build
    verdict: str
    detail: str
    seconds: float


GCC_WARNINGS = (
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wcast-qual",
    "-Wcast-align",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wredundant-decls",
    "-Wdouble-promotion",
    "-Wundef",
    "-Wvla",
    "-Wlogical-op",
    "-Wduplicated-cond",
    "-Wduplicated-branches",
    "-Wformat=2",
    "-Wnull-dereference",
    "-Wswitch-default",
    "-Wstrict-overflow=2",
    "-Wold-style-definition",
)

# clang's -Weverything also holds advice that does not fit this code:
CLANG_EXCLUDED = (
    # the struct ends in narrow fields, so its end is padded: documented, and no field is
    "-Wno-padded",
    # it warns of what C90 had not: the code is C99
    "-Wno-declaration-after-statement",
    # newer clangs: pointers and indices are unsafe in their view; the code is C
    "-Wno-unsafe-buffer-usage",
    "-Wno-unknown-warning-option",  # so that older clangs do not stumble over the line above
)
SANITIZED = ("-g", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
LANGUAGES = (("-std=c11",), ("-std=c17",), ("-x", "c++", "-std=c++11"), ("-x", "c++", "-std=c++17"))
# Signedness of char; what signed overflow would do, if there were any; this machine's vectors.
MEANINGS = (("-funsigned-char",), ("-fwrapv",), ("-ftrapv",), ("-march=native",))
BIG_ENDIAN = {"powerpc": "qemu-ppc", "s390x": "qemu-s390x", "mips": "qemu-mips"}
WIDTHS: tuple[tuple[str, ...], ...] = ((), ("-m32",))


def host(compiler: str, *flags: str, name: str = "", **options: object) -> Build:
    probe = "-m32" if "-m32" in flags else ""
    language = () if any(flag.startswith("-std=") for flag in flags) else ("-std=c99",)
    title = name or " ".join([compiler, *flags])
    return Build(title, (compiler, *language, *flags), probe=probe, **options)  # type: ignore[arg-type]


def builds(full: bool = False) -> list[Build]:
    """The matrix."""
    made: list[Build] = []
    for compiler, level, width in product(("gcc", "clang"), LEVELS, WIDTHS):
        made.append(host(compiler, level, *width))
        if full or (level, width) == ("-O2", ()):
            made += [host(compiler, level, *width, *flags) for flags in (*LANGUAGES, *MEANINGS)]
    if not full:
        made.append(host("gcc", "-O3", "-m32", "-ftrapv"))
    undefined_address = "-fsanitize=undefined,address"
    made += [
        host("gcc", "-O1", undefined_address, *SANITIZED, name="gcc UBSan ASan"),
        host("clang", "-O1", undefined_address, *SANITIZED, name="clang UBSan ASan"),
        host("gcc", "-O2", "-m32", undefined_address, *SANITIZED, name="gcc -m32 UBSan ASan"),
        host("clang", "-O1", "-DNEVER_SET", "-fsanitize=memory", *SANITIZED, name="clang MSan"),
        host(
            "gcc",
            "-O1",
            "-g",
            "-DNEVER_SET",
            name="valgrind",
            runner=("valgrind", "-q", "--error-exitcode=9"),
        ),
    ]
    for machine, emulator in BIG_ENDIAN.items():
        for level in LEVELS if full else ("-O0", "-O2"):
            command = (f"{machine}-linux-gnu-gcc", "-std=c99", "-static", level)
            made.append(Build(f"{machine} {level}", command, (emulator,)))
    analysis = ("-c", "-Werror")
    made += [
        host(
            "gcc", "-O2", "-fanalyzer", *GCC_WARNINGS, *analysis, name="gcc -fanalyzer", runs=False
        ),
        host(
            "clang",
            "-Weverything",
            *CLANG_EXCLUDED,
            *analysis,
            name="clang -Weverything",
            runs=False,
        ),
    ]
    return made


@functools.cache
def works(compiler: str, flag: str) -> bool:
    """Whether a compiler makes programs with a flag: -m32 needs another C library."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
        command = [compiler, flag, str(source), "-o", str(Path(folder, "probe"))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def missing(build: Build) -> str:
    """What a build lacks on this machine, in words; "" if nothing."""
    for tool in build.tools:
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if build.probe and not works(build.command[0], build.probe):
        return f"{build.command[0]} {build.probe} makes no programs here"
    return ""


def attempt(build: Build, sources: Sources) -> Result:
    """Compile, run, compare. A machine without the tools is no failure here."""
    started = time.monotonic()

    def result(verdict: str, detail: str = "") -> Result:
        return Result(build, verdict, detail, time.monotonic() - started)

    lacking = missing(build)
    if lacking:
        return result("missing", lacking)
    with tempfile.TemporaryDirectory() as folder:
        include = f"-I{sources.folder}"
        files = sources.program if build.runs else sources.units
        output = ["-o", "program"] if build.runs else []
        command = [*build.command, include, *files, *output]
        compiled = run(command, folder)
        if compiled.returncode != 0 or compiled.stderr:
            words = f"{' '.join(command)}\n{compiled.stdout}{compiled.stderr}"
            return result("FAILED", words[:4000])
        if not build.runs:
            return result("clean")
        done = run([*build.runner, str(Path(folder, "program"))], folder)
    if done.returncode != 0 or done.stderr:
        return result("FAILED", f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    if done.stdout != sources.expected:
        return result("FAILED", difference(done.stdout, sources.expected))
    return result("same")


def run(command: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def difference(seen: str, wished: str) -> str:
    """The lines of models that are not as numpy gives them."""
    pairs = zip(seen.splitlines(), wished.splitlines(), strict=False)
    lines = [f"here:  {one}\nnumpy: {other}" for one, other in pairs if one != other]
    return "\n".join(lines) or f"{len(seen.splitlines())} lines, not {len(wished.splitlines())}"


def attempt_all(
    chosen: Iterable[Build], sources: Sources, report: Callable[[Result], None]
) -> list[Result]:
    """All builds, as many at a time as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = []
        for result in pool.map(lambda build: attempt(build, sources), chosen):
            report(result)
            results.append(result)
    return results


def main() -> int:
    started = time.monotonic()
    print(f"{len(SUBJECTS)} models, {STEPS} training steps each")

    def report(result: Result) -> None:
        detail = f"  {result.detail}" if result.detail else ""
        print(f"{result.verdict:<8} {result.seconds:5.1f} s  {result.build.name}{detail}")

    with tempfile.TemporaryDirectory() as folder:
        sources = Sources.write(Path(folder))
        print(sources.expected, end="")
        results = attempt_all(builds("--full" in sys.argv), sources, report)
    count = {verdict: sum(r.verdict == verdict for r in results) for verdict in VERDICTS}
    print(", ".join(f"{n} {verdict}" for verdict, n in count.items() if n), end="")
    print(f" in {time.monotonic() - started:.0f} s")
    return 1 if count["FAILED"] else 0


VERDICTS = ("same", "clean", "missing", "FAILED")

if __name__ == "__main__":
    sys.exit(main())
