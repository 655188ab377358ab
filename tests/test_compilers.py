"""Every example's generated C before every compiler: no diagnostic, no hidden need, no static data.

Three variants of each example are built: `training` (initial weights), `trained` (weights in
flash, training code) and `inference` (weights in flash, nothing else). Host compilers build all
of them, and the self-test is run; the cross compilers' objects are opened and looked at.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import pocketgen as pg
from pocketgen.examples import EXAMPLES
from support import compiler

WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow"]
C99 = ["-std=c99", *WARNINGS, "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror"]
CPP = ["-x", "c++", "-std=c++11", *WARNINGS, "-Werror"]

VARIANTS = ["training", "trained", "inference"]
PROJECTS = [(example, variant) for example in EXAMPLES for variant in VARIANTS]

# avr-gcc's sizes are signed 16-bit numbers: no array and no struct may be larger than this.
AVR_LARGEST_OBJECT = 32767
# avr-gcc's data pointers have 16 bits.
AVR_ADDRESS_SPACE = 65536


@dataclass(frozen=True)
class Target:
    """A compiler with its flags; `binutils` is the prefix of the tools that open its objects."""

    name: str
    tool: str
    flags: tuple[str, ...]
    binutils: str = ""

    @property
    def is_host(self) -> bool:
        """Whether there is an operating system (and with it a `main`)."""
        return not self.binutils


def bare_metal(name: str, binutils: str, *flags: str) -> list[Target]:
    """The target at -O2 and at -Os."""
    return [
        Target(f"{name}{level}", f"{binutils}gcc", (*C99, level, *flags), binutils)
        for level in ("-O2", "-Os")
    ]


HOSTS = [
    Target("gcc", "gcc", (*C99, "-O2")),
    Target("clang", "clang", (*C99, "-O2")),
    Target("g++", "g++", (*CPP, "-O2")),
]
ARM = [
    target
    for core in ("cortex-m0plus", "cortex-m4")
    for target in bare_metal(core, "arm-none-eabi-", f"-mcpu={core}", "-mthumb", "-ffreestanding")
]
AVR = bare_metal("atmega2560", "avr-", "-mmcu=atmega2560")
RISCV = bare_metal(
    "rv32imac", "riscv64-unknown-elf-", "-march=rv32imac", "-mabi=ilp32", "-ffreestanding"
)
BARE_METAL = [*ARM, *AVR, *RISCV]


def run(command: list[str], folder: Path, timeout: int = 300) -> str:
    """What the command prints on stdout; it must succeed and say nothing on stderr."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    report = f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, report
    assert done.stderr == "", report
    return done.stdout


@dataclass(frozen=True)
class Project:
    """One generated folder."""

    prefix: str
    folder: Path

    @property
    def sources(self) -> list[Path]:
        """The C files that belong on a device."""
        return sorted(self.folder.glob("*.c"))

    @property
    def host_sources(self) -> list[Path]:
        """The C files that need an operating system."""
        return sorted(self.folder.glob("host/*.c"))

    @property
    def header(self) -> str:
        """The text of the public header."""
        return (self.folder / f"{self.prefix}.h").read_text("utf-8")

    def compile(self, target: Target, into: Path) -> list[Path]:
        """Compile every file; return the objects."""
        sources = self.sources + (self.host_sources if target.is_host else [])
        tool = compiler(target.tool)
        into.mkdir(parents=True, exist_ok=True)
        run([tool, *target.flags, f"-I{self.folder}", "-c", *map(str, sources)], into)
        return [into / f"{source.stem}.o" for source in sources]


def some_weights(model: pg.Model) -> dict[str, np.ndarray]:
    """Weights as training might leave them, small enough for every clamp."""
    random = np.random.default_rng(7)
    shapes = pg.build(model, engine="numpy").weights()
    return {name: random.integers(-99, 100, w.shape, dtype=np.int16) for name, w in shapes.items()}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Project]:
    """The generated folder of an example's variant, made when first asked for."""
    made: dict[tuple[str, str], Project] = {}

    def make(example: str, variant: str) -> Project:
        if (example, variant) not in made:
            model = EXAMPLES[example].model
            files = pg.generate(
                model,
                weights=None if variant == "training" else some_weights(model),
                inference_only=variant == "inference",
            )
            folder = tmp_path_factory.mktemp(f"{example}-{variant}")
            for name, text in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, "utf-8", newline="\n")
            made[example, variant] = Project(model.name, folder)
        return made[example, variant]

    return make


# --- opening objects ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Symbol:
    """One line of nm: `kind` is its letter, `size` in bytes (0 where nm tells none)."""

    name: str
    kind: str
    size: int


def symbols(binutils: str, objects: list[Path]) -> Iterator[Symbol]:
    """All symbols but the assembler's own labels."""
    tool = compiler(f"{binutils}nm")
    for line in run([tool, "-S", *map(str, objects)], objects[0].parent).splitlines():
        match = re.fullmatch(r"\s*(?:[0-9a-f]+ )?(?:([0-9a-f]+) )?([A-Za-z]) (\S+)", line)
        if match and not match[3].startswith(("$", ".L")):
            yield Symbol(match[3], match[2], int(match[1] or "0", 16))


def sections(binutils: str, objects: list[Path]) -> dict[str, int]:
    """The bytes of each section, over all objects."""
    tool = compiler(f"{binutils}size")
    total: dict[str, int] = {}
    for line in run([tool, "-A", *map(str, objects)], objects[0].parent).splitlines():
        match = re.fullmatch(r"(\.?\S+)\s+(\d+)\s+\d+", line)
        if match:
            total[match[1]] = total.get(match[1], 0) + int(match[2])
    return total


def writable_bytes(target: Target, objects: list[Path]) -> dict[str, int]:
    """Sections that stand in RAM. avr-gcc copies `.rodata` to RAM: only PROGMEM is flash there."""
    in_ram = [".data", ".bss", ".sdata", ".sbss", ".noinit", ".tdata", ".tbss", ".init_array"]
    if target.binutils == "avr-":
        in_ram.append(".rodata")
    return {
        name: size
        for name, size in sections(target.binutils, objects).items()
        if size and any(name == start or name.startswith(f"{start}.") for start in in_ram)
    }


# The compiler makes these itself: register names on AVR, tables of a switch, copies of constants.
COMPILERS_OWN = re.compile(r"__(SP_H|SP_L|SREG|RAMPZ|EIND|CCP|tmp_reg|zero_reg)__|(CSWTCH|C)\.\d.*")


def foreign_definitions(prefix: str, target: Target, objects: list[Path]) -> set[str]:
    """Symbols that the objects define under a name which is not the user's."""
    return {
        symbol.name
        for symbol in symbols(target.binutils, objects)
        if symbol.kind not in "Uw"
        and not symbol.name.startswith(f"{prefix}_")
        and not COMPILERS_OWN.fullmatch(symbol.name)
    }


def needs(target: Target, objects: list[Path]) -> set[str]:
    """Symbols that the objects together leave undefined."""
    found = list(symbols(target.binutils, objects))
    return {s.name for s in found if s.kind in "Uw"} - {s.name for s in found if s.kind not in "Uw"}


def object_sizes(project: Project, scratch: Path) -> list[int]:
    """Bytes of the network's struct and of every constant array, as the host compiler sees them."""
    probe = scratch / "probe.c"
    probe.write_text(f'#include "{project.prefix}.h"\nchar network[sizeof({project.prefix}_t)];\n')
    sources = [probe, *project.sources]
    run(["gcc", "-std=c99", f"-I{project.folder}", "-c", *map(str, sources)], scratch)
    objects = [scratch / f"{source.stem}.o" for source in sources]
    return [symbol.size for symbol in symbols("", objects) if symbol.kind in "rRdDbBC"]


def fits_avr(project: Project, scratch: Path) -> bool:
    """Whether an 8-bit AVR's compiler can take the model at all, by its own limits."""
    compiler("gcc")
    sizes = object_sizes(project, scratch)
    return max(sizes) <= AVR_LARGEST_OBJECT and sum(sizes) <= AVR_ADDRESS_SPACE


# --- host compilers -----------------------------------------------------------------------------


@pytest.mark.parametrize("target", HOSTS, ids=lambda target: target.name)
@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_host_compilers_say_nothing(
    project: Callable[[str, str], Project],
    tmp_path: Path,
    example: str,
    variant: str,
    target: Target,
) -> None:
    project(example, variant).compile(target, tmp_path)


@pytest.mark.parametrize("target", HOSTS, ids=lambda target: target.name)
@pytest.mark.parametrize("batch", [1, 2, 65534, 65535])
@pytest.mark.parametrize("rule", [pg.DFA, pg.CrossEntropyDFA, pg.CrossEntropyBackprop])
def test_the_ends_of_the_batch(
    tmp_path: Path, rule: type[pg.DFA], batch: int, target: Target
) -> None:
    """No comparison that is always true, no parameter that is never read."""
    layers = [pg.Dense(2, "pocket_tanh"), pg.Dense(2, "identity")]
    model = pg.Model("ends", pg.Input((13,), "int8"), layers, rule(batch=batch))
    for name, text in pg.generate(model).items():
        if "/" not in name:
            (tmp_path / name).write_text(text, "utf-8")
    sources = sorted(str(path) for path in tmp_path.glob("*.c"))
    run([compiler(target.tool), *target.flags, "-c", *sources], tmp_path)


@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_self_test_passes_under_sanitizers(
    project: Callable[[str, str], Project], tmp_path: Path, example: str, variant: str
) -> None:
    made = project(example, variant)
    sources = [str(path) for path in made.sources + made.host_sources]
    checks = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
    command = [compiler("gcc"), "-std=c99", "-O1", "-g", *checks, f"-I{made.folder}", *sources]
    run([*command, "-o", "selftest"], tmp_path)
    run([str(tmp_path / "selftest")], tmp_path)


@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_every_symbol_and_macro_has_the_prefix(
    project: Callable[[str, str], Project], tmp_path: Path, example: str, variant: str
) -> None:
    made = project(example, variant)
    # unoptimised: what is inlined elsewhere still has its symbol here
    unoptimised = Target("gcc-O0", "gcc", ("-std=c99", "-O0", "-w"))
    objects = [path for path in made.compile(unoptimised, tmp_path) if "main" not in path.name]
    assert foreign_definitions(made.prefix, unoptimised, objects) == set()
    for path in sorted(made.folder.rglob("*.[ch]")):
        macros = re.findall(r"^\s*#\s*define\s+(\w+)", path.read_text("utf-8"), re.MULTILINE)
        assert [m for m in macros if not m.startswith(f"{made.prefix.upper()}_")] == [], path.name


@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_only_freestanding_headers_are_included(
    project: Callable[[str, str], Project], example: str, variant: str
) -> None:
    made = project(example, variant)
    own = {path.name for path in made.folder.glob("*.h")}
    for path in [*made.sources, *made.folder.glob("*.h")]:
        included = set(re.findall(r"#\s*include\s*[<\"]([^>\"]+)", path.read_text("utf-8")))
        assert included <= {"stdint.h", "stddef.h", "avr/pgmspace.h"} | own, path.name


# --- bare metal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [*ARM, *RISCV], ids=lambda target: target.name)
@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_32_bit_microcontrollers(
    project: Callable[[str, str], Project],
    tmp_path: Path,
    example: str,
    variant: str,
    target: Target,
) -> None:
    made = project(example, variant)
    objects = made.compile(target, tmp_path)
    assert writable_bytes(target, objects) == {}
    assert foreign_definitions(made.prefix, target, objects) == set()
    if target in ARM:
        check_what_arm_needs(made, target, objects)


def check_what_arm_needs(made: Project, target: Target, objects: list[Path]) -> None:
    """What is undefined is the compiler's runtime, and the banner names it."""
    needed = needs(target, objects)
    assert not {name for name in needed if re.search(r"mem(cpy|set|move|cmp)", name)}
    banner = set(re.findall(r"\w+", made.header))
    assert needed <= banner, f"{made.prefix}.h does not name {sorted(needed - banner)}"
    public = {symbol.name for symbol in symbols(target.binutils, objects) if symbol.kind == "T"}
    assert f"{made.prefix}_predict" in public
    start = objects[0].parent / "start.c"
    lines = [f"extern int {name}(void);" for name in sorted(public)]
    calls = " + ".join(f"{name}()" for name in sorted(public))
    start.write_text(
        "\n".join([*lines, "int _start(void);", f"int _start(void) {{ return {calls}; }}"])
    )
    link = [compiler(target.tool), *target.flags, "-nostdlib", str(start), *map(str, objects)]
    run([*link, "-lgcc", "-o", "linked.elf"], start.parent)


@pytest.mark.parametrize("target", AVR, ids=lambda target: target.name)
@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_avr(
    project: Callable[[str, str], Project],
    tmp_path: Path,
    example: str,
    variant: str,
    target: Target,
) -> None:
    made = project(example, variant)
    if not fits_avr(made, tmp_path):
        return  # which ones fit is pinned by test_small_examples_fit_avr
    objects = made.compile(target, tmp_path / target.name)
    assert writable_bytes(target, objects) == {}
    assert foreign_definitions(made.prefix, target, objects) == set()


@pytest.mark.parametrize("variant", VARIANTS)
def test_small_examples_fit_avr(
    project: Callable[[str, str], Project], tmp_path_factory: pytest.TempPathFactory, variant: str
) -> None:
    fitting = [
        example
        for example in EXAMPLES
        if fits_avr(project(example, variant), tmp_path_factory.mktemp(example))
    ]
    assert len(fitting) >= 3


# --- build systems ------------------------------------------------------------------------------


def copy_of(made: Project, folder: Path) -> Path:
    """A copy of the generated folder that a build may write to."""
    for path in made.folder.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(made.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(("example", "variant"), PROJECTS)
def test_make_builds_and_tests(
    project: Callable[[str, str], Project], tmp_path: Path, example: str, variant: str
) -> None:
    compiler("gcc")
    folder = copy_of(project(example, variant), tmp_path / "project")
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    run([compiler("make"), "test", "CC=gcc"], folder)
    run([compiler("make"), "clean"], folder)
    assert {path.relative_to(folder) for path in folder.rglob("*")} == before


def smallest_example() -> str:
    """The example whose input and layers are the smallest: build systems do not care which."""
    return min(EXAMPLES, key=lambda name: int(np.prod(EXAMPLES[name].model.input.shape)))


MAKE_TOOLS = {"CC": "gcc", "AR": "ar"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_make_cross_builds_the_library(
    project: Callable[[str, str], Project], tmp_path: Path, variant: str
) -> None:
    made = project(smallest_example(), variant)
    folder = copy_of(made, tmp_path / "project")
    tools = [f"{name}={compiler(f'arm-none-eabi-{tool}')}" for name, tool in MAKE_TOOLS.items()]
    run([compiler("make"), *tools, "CFLAGS=-O2 -mcpu=cortex-m4 -mthumb"], folder)
    assert (folder / f"lib{made.prefix}.a").is_file()


@pytest.mark.parametrize("example", EXAMPLES)
def test_cmake_builds_and_tests(
    project: Callable[[str, str], Project], tmp_path: Path, example: str
) -> None:
    cmake, ctest = compiler("cmake"), compiler("ctest")
    made = project(example, "training")
    run([cmake, "-S", str(made.folder), "-B", "build"], tmp_path)
    run([cmake, "--build", "build"], tmp_path)
    report = run([ctest, "--test-dir", "build", "--output-on-failure"], tmp_path)
    assert "100% tests passed" in report
    assert "No tests were found" not in report


CONSUMER = """\
cmake_minimum_required(VERSION 3.16)
project(consumer C)
add_subdirectory("{folder}" network)
add_executable(app main.c)
target_link_libraries(app PRIVATE {prefix})
"""
CONSUMER_MAIN = """\
#include "{prefix}.h"

static {prefix}_t net;

int main(void)
{{
    return {prefix}_selftest(&net);
}}
"""
ARM_TOOLCHAIN = """\
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m4 -mthumb -ffreestanding")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_cmake_consumer_adds_the_folder(
    project: Callable[[str, str], Project], tmp_path: Path, variant: str
) -> None:
    cmake = compiler("cmake")
    made = project(smallest_example(), variant)
    names = {"folder": made.folder.as_posix(), "prefix": made.prefix}
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER.format(**names))
    (tmp_path / "main.c").write_text(CONSUMER_MAIN.format(**names))
    run([cmake, "-S", ".", "-B", "build"], tmp_path)
    run([cmake, "--build", "build"], tmp_path)
    run([str(tmp_path / "build" / "app")], tmp_path)


@pytest.mark.parametrize("variant", VARIANTS)
def test_cmake_cross_builds_the_library(
    project: Callable[[str, str], Project], tmp_path: Path, variant: str
) -> None:
    cmake = compiler("cmake")
    compiler("arm-none-eabi-gcc")
    made = project(smallest_example(), variant)
    (tmp_path / "arm.cmake").write_text(ARM_TOOLCHAIN)
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'arm.cmake'}"
    run([cmake, "-S", str(made.folder), "-B", "build", toolchain], tmp_path)
    run([cmake, "--build", "build"], tmp_path)
    assert (tmp_path / "build" / f"lib{made.prefix}.a").is_file()
