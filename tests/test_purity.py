"""Objects, opened: only the prefix, nothing writable, nothing undefined, no float, bounded stack.

test_compilers.py asks this of every example as it is shipped; here it is asked of models chosen to
be unlike, at every level, of unoptimised code (in which nothing has been folded away yet), and of
clang as a cross compiler. The worst-case stack comes from the compiler's call graph and is held
against the stack that a run on an emulated Arm core really used.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from matrix import LEVELS, SUBJECTS, Sources, Subject
from pocketgen.stack import FLAGS, CallGraph, stack
from support import compiler, require

PREFIXES = tuple(f"{subject.model.name}_" for subject in SUBJECTS)


@dataclass(frozen=True)
class Target:
    """A compiler, what makes it build for its machine, and the nm that opens its objects."""

    name: str
    command: tuple[str, ...]
    nm: str
    # What it may leave undefined; "" is what the generated headers name.
    runtime: str = ""

    def compile(self, sources: list[str], include: Path, folder: Path, *flags: str) -> list[Path]:
        command = [compiler(self.command[0]), *self.command[1:], "-std=c99", *flags]
        done = subprocess.run(
            [*command, f"-I{include}", "-c", *sources],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [folder / f"{Path(source).stem}.o" for source in sources]

    def symbols(self, objects: list[Path]) -> Iterator[tuple[str, str]]:
        """nm's letter and the name of every symbol but the assembler's own labels."""
        done = subprocess.run(
            [compiler(self.nm), *map(str, objects)], capture_output=True, text=True, check=True
        )
        for line in done.stdout.splitlines():
            match = re.fullmatch(r"\s*(?:[0-9a-f]+ )?([A-Za-z]) (\S+)", line)
            if match and not match[2].startswith(("$", ".L")):
                yield match[1], match[2]

    def undefined(self, objects: list[Path]) -> set[str]:
        found = set(self.symbols(objects))
        return {name for kind, name in found if kind in "Uw"} - {
            name for kind, name in found if kind not in "Uw"
        }


# Integers only: si, di, hi, qi are integers of 4, 8, 2 and 1 bytes; sf and df would be floats.
# muluhisi3, mulsidi3 and the like multiply narrow factors to a wide product.
OPERATIONS = "u?(div|mod|divmod)|mulo?|us?mul|ash[lr]|lshr|neg|add|sub|u?cmp"
INTEGER = rf"__({OPERATIONS})[uso]?(qi|hi|si|di){{1,2}}\d?(_s8)?"
GCC_HOST = Target("gcc", ("gcc",), "nm")
M0PLUS = Target(
    "gcc cortex-m0plus", ("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"), "arm-none-eabi-nm"
)
M4 = Target(
    "gcc cortex-m4", ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"), "arm-none-eabi-nm"
)
CLANG_ARM = Target(
    "clang cortex-m0plus",
    ("clang", "--target=arm-none-eabi", "-mcpu=cortex-m0plus", "-ffreestanding"),
    "arm-none-eabi-nm",
)
AVR = Target("gcc atmega2560", ("avr-gcc", "-mmcu=atmega2560"), "avr-nm", INTEGER)
RISCV = Target(
    "gcc rv32imac",
    ("riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", "-ffreestanding"),
    "riscv64-unknown-elf-nm",
    INTEGER,
)
CROSS = [
    *((target, level) for target in (M0PLUS, CLANG_ARM) for level in LEVELS),
    *((target, level) for target in (M4, RISCV) for level in ("-O0", "-O3")),
    *((AVR, level) for level in ("-O2", "-Os")),
]
ARM_RUNTIME = re.compile(r"\b__aeabi_\w+")


def banner_names(folder: Path, prefix: str) -> set[str]:
    """The run-time functions that a generated header says a compiler may call."""
    return set(ARM_RUNTIME.findall((folder / f"{prefix}.h").read_text("utf-8")))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources.write(tmp_path_factory.mktemp("sources"))


# --- symbols ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "level"), CROSS, ids=lambda it: it if isinstance(it, str) else it.name
)
def test_no_undefined_symbol_beyond_the_named_ones(
    sources: Sources, tmp_path: Path, target: Target, level: str
) -> None:
    """All models in one go. Without -ffreestanding gcc is freer to call memcpy: even then not."""
    objects = target.compile(sources.units, sources.folder, tmp_path, level)
    needed = target.undefined(objects)
    if target.runtime:
        named = {name for name in needed if re.fullmatch(target.runtime, name)}
    else:
        named = set().union(*(banner_names(sources.folder, p.rstrip("_")) for p in PREFIXES))
    assert needed - named == set()


@pytest.mark.parametrize("target", [M0PLUS, CLANG_ARM], ids=lambda target: target.name)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.model.name)
def test_each_header_names_what_its_own_files_need(
    sources: Sources, tmp_path: Path, target: Target, subject: Subject
) -> None:
    prefix = subject.model.name
    names = [name for name in subject.files() if name.endswith(".c") and "/" not in name]
    files = [str(sources.folder / name) for name in names]
    objects = target.compile(files, sources.folder, tmp_path, "-O2")
    assert target.undefined(objects) - banner_names(sources.folder, prefix) == set()


def test_a_float_is_seen(tmp_path: Path) -> None:
    """The run-time functions of floats are not on the lists."""
    source = tmp_path / "average.c"
    source.write_text(
        "int average(int a, int b); \nint average(int a, int b) { return a * 0.5 + b; }\n"
    )
    for target in (M0PLUS, AVR, RISCV):
        objects = target.compile([str(source)], tmp_path, tmp_path, "-O2")
        needed = target.undefined(objects)
        assert any(not re.fullmatch(INTEGER, name) for name in needed), needed
        assert not needed <= {"__aeabi_idiv", "__aeabi_lmul"}


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_prefix_and_constants_in_host_objects(sources: Sources, tmp_path: Path, level: str) -> None:
    """T t: code, R r: constants; a, d, b or C would be something writable."""
    objects = GCC_HOST.compile(sources.units, sources.folder, tmp_path, level, "-fno-inline")
    # on a host with a division instruction nothing at all is missing
    assert GCC_HOST.undefined(objects) == set()
    for kind, name in GCC_HOST.symbols(objects):
        if kind == "U":
            continue
        assert kind in "TtRr", f"{name} is of kind {kind}"
        assert name.startswith(PREFIXES), name


# --- no float -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["-O0", "-O3"])
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_it_compiles_for_a_machine_without_floats(
    sources: Sources, tmp_path: Path, name: str, level: str
) -> None:
    """-mgeneral-regs-only takes away all registers that hold floats: float code is an error."""
    target = Target(name, (name, "-mgeneral-regs-only"), "nm")
    require(refuses_floats(target, tmp_path), f"{name} -mgeneral-regs-only refuses no floats here")
    target.compile(sources.units, sources.folder, tmp_path, level)


def refuses_floats(target: Target, folder: Path) -> bool:
    source = folder / "half.c"
    source.write_text("double half(double x);\ndouble half(double x) { return x / 2; }\n")
    try:
        objects = target.compile([str(source)], folder, folder, "-O1")
    except AssertionError:
        return True
    return bool(target.undefined(objects))


# --- stack and recursion ------------------------------------------------------------------------


GRAPH = [flag for flag in FLAGS if flag not in ("-std=c99", "-c")]
# libgcc comes without call graphs. The deepest of its integer functions,
# __aeabi_ldivmod on Cortex-M0+, takes 96 bytes with what it calls, by its disassembly.
RUNTIME_STACK = 96


class AnyRuntime(dict):
    """The same allowance for every run-time function."""

    def __missing__(self, name: str) -> int:
        assert name.startswith(("__aeabi_", "__gnu_thumb1_case_")), name
        return RUNTIME_STACK


@pytest.mark.parametrize("level", ["-O0", "-O3"])
@pytest.mark.parametrize("target", [M0PLUS, M4], ids=lambda target: target.name)
def test_the_stack_is_bounded(sources: Sources, tmp_path: Path, target: Target, level: str) -> None:
    """No recursion, no frame of a size known at run time only, no call through a pointer."""
    objects = target.compile(sources.units, sources.folder, tmp_path, level, *GRAPH)
    graph = CallGraph.read([path.with_suffix(".ci") for path in objects])
    assert len(graph.frames) > 100
    assert set(graph.kinds.values()) == {"static"}
    assert "__indirect_call" not in set().union(*graph.calls.values())
    for title in graph.frames:
        assert graph.worst(title, AnyRuntime()) < 2000, title


def test_recursion_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "deep.c"
    source.write_text(
        "int deep(int n, int *p);\nint other(int n, int *p);\n"
        "int deep(int n, int *p) { int a[9]; a[n] = *p; return n ? other(n - 1, a) + a[1] : *p; }\n"
        "int other(int n, int *p) { int a[9]; a[n] = *p; return deep(n, a) + a[2]; }\n"
    )
    objects = M4.compile([str(source)], tmp_path, tmp_path, "-O0", *GRAPH)
    graph = CallGraph.read([path.with_suffix(".ci") for path in objects])
    with pytest.raises(AssertionError, match="recursion: deep calls other calls deep"):
        graph.worst("deep", AnyRuntime())


PAINT_HEAD = """\
#include <stddef.h>
#include <stdint.h>
#define WORDS 1024
static uint32_t stack[WORDS];
void on_stack(uint32_t *top, void (*call)(void));
int _start(void);
/* Calls a function on another stack; the call itself takes nothing of it. */
__asm__(".syntax unified\\n.thumb\\n.global on_stack\\n.thumb_func\\n"
        ".type on_stack, %function\\non_stack:\\n"
        "push {r4, lr}\\nmov r4, sp\\nmov sp, r0\\nblx r1\\nmov sp, r4\\npop {r4, pc}\\n");
static int32_t system_call(uint32_t number, uint32_t a, const void *b, uint32_t c)
{
    register uint32_t r7 __asm__("r7") = number;
    register uint32_t r0 __asm__("r0") = a;
    register const void *r1 __asm__("r1") = b;
    register uint32_t r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r1), "r"(r2), "r"(r7) : "memory");
    return (int32_t)r0;
}
static void paint(void (*call)(void))
{
    uint32_t i, used;
    for (i = 0; i < WORDS; i++) {
        stack[i] = 0xdeadbeefUL;
    }
    on_stack(stack + WORDS, call);
    for (i = 0; i < WORDS && stack[i] == 0xdeadbeefUL; i++) {
    }
    used = (WORDS - i) * 4u;
    system_call(4, 1, &used, 4); /* write */
}
"""
PAINT_MODEL = """
#include "{p}.h"
static {p}_t {p}_net;
static {p}_input_t {p}_x[{batch} * {P}_INPUT_SIZE];
static {p}_output_t {p}_y[{P}_OUTPUT_SIZE];
static {kind} {p}_wanted[{batch} * {P}_OUTPUT_SIZE];
static uint8_t {p}_blob[{P}_BLOB_SIZE];
static volatile uint32_t {p}_result;
void call_{p}_init(void) {{ {p}_init(&{p}_net, 1); }}
void call_{p}_forward(void) {{ {p}_forward(&{p}_net, {p}_x, {p}_y); }}
void call_{p}_predict(void) {{ {p}_result = {p}_predict(&{p}_net, {p}_x); }}
void call_{p}_digest(void) {{ {p}_result = {p}_digest(&{p}_net); }}
void call_{p}_selftest(void) {{ {p}_result = (uint32_t){p}_selftest(&{p}_net); }}
"""
PAINT_TRAINING = """\
void call_{p}_train(void)
{{
    {p}_result = (uint32_t){p}_train_batch(&{p}_net, {p}_x, {p}_wanted, {batch});
}}
void call_{p}_save(void) {{ {p}_result = {p}_save(&{p}_net, {p}_blob, sizeof {p}_blob); }}
void call_{p}_load(void) {{ {p}_result = (uint32_t){p}_load(&{p}_net, {p}_blob, sizeof {p}_blob); }}
"""
CALLS = ("init", "forward", "predict", "digest", "selftest")
TRAINING_CALLS = ("train", "save", "load")


def painting(subjects: list[Subject]) -> tuple[str, list[str]]:
    """A program that tells the stack of every public function, and their names in its order."""
    parts, calls = [PAINT_HEAD], []
    for subject in subjects:
        prefix, rule = subject.model.name, subject.model.rule
        names = {
            "p": prefix,
            "P": prefix.upper(),
            "batch": rule.batch,
            "kind": "uint16_t" if rule.expects == "label" else f"{prefix}_target_t",
        }
        parts.append(PAINT_MODEL.format(**names))
        chosen = CALLS
        if subject.start != "inference":
            # without the declarations that an inference-only header lacks
            parts.append(PAINT_TRAINING.format(**names))
            chosen += TRAINING_CALLS
        else:
            parts[-1] = re.sub(r".*(_wanted|_blob)\[.*\n", "", parts[-1])
        calls += [f"call_{prefix}_{name}" for name in chosen]
    body = "".join(f"    paint({name});\n" for name in calls)
    parts.append(f"int _start(void)\n{{\n{body}    return system_call(1, 0, NULL, 0);\n}}\n")
    return "".join(parts), calls


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("target", [M0PLUS, M4], ids=lambda target: target.name)
def test_the_worst_case_covers_the_painted_stack(
    sources: Sources, tmp_path: Path, target: Target, level: str
) -> None:
    """Not a word of stack beyond the worst case is touched in an emulated run."""
    text, calls = painting(SUBJECTS)
    main = tmp_path / "paint.c"
    main.write_text(text, "utf-8")
    files = [*sources.units, str(main)]
    objects = target.compile(files, sources.folder, tmp_path, level, *GRAPH)
    graph = CallGraph.read([path.with_suffix(".ci") for path in objects])
    link = [compiler(target.command[0]), *target.command[1:], "-nostdlib", *map(str, objects)]
    subprocess.run([*link, "-lgcc", "-o", "paint"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [compiler("qemu-arm"), "paint"], cwd=tmp_path, capture_output=True, check=True
    )
    painted = dict(zip(calls, struct.unpack(f"<{len(calls)}I", done.stdout), strict=True))
    for name, used in painted.items():
        worst = graph.worst(name, AnyRuntime())
        assert used <= worst, f"{name}: {used} bytes used, worst case {worst}"
        if not graph.unknown(name):
            # nothing rests on the allowance, so the two differ by branches not taken alone
            assert used >= worst // 2, f"{name}: {used} bytes used, worst case {worst}"


@pytest.mark.parametrize("target", [M0PLUS, M4], ids=lambda target: target.name)
def test_the_stack_that_is_reported_is_this_worst_case(tmp_path: Path, target: Target) -> None:
    """`pocketgen report --stack` names every function of the header, and what comes on top."""
    subject = Subject.small("seeded")
    compiler(target.command[0])
    command = [*target.command, "-O2"]
    found = {row.function: row for row in stack(subject.files(), command).rows}
    prefix = subject.model.name
    header = subject.files()[f"{prefix}.h"]
    declared = set(re.findall(rf"^\w+ ({prefix}_\w+)\(", header, re.MULTILINE))
    assert set(found) == declared - {f"{prefix}_clamped"}

    sources = Sources.write(tmp_path, [subject])
    objects = target.compile(sources.units, sources.folder, tmp_path, "-O2", *GRAPH)
    graph = CallGraph.read([path.with_suffix(".ci") for path in objects])
    for name, row in found.items():
        assert set(row.unknown) == graph.unknown(name)
        assert row.bytes == graph.worst(name, dict.fromkeys(row.unknown, 0))
    assert found[f"{prefix}_train_batch"].bytes > found[f"{prefix}_forward_row"].bytes > 0
