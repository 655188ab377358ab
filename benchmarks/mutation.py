"""Would the tests notice? One fault at a time in the generator, and the bench must see it.

Templates and the arithmetic Python files are copied to a scratch folder. Rules make mutants there:
a dropped cast, a clamp shifted by one, `<` for `<=`, a loop that ends too early, a check of a blob
left out. Each mutant runs through the stages of the bench until one of them fails:

compile      generated C compiles, Python imports; a mutant that does not is "refused" and counts
             neither as caught nor as survived
three-way    oracle = numpy = C (-O1, UBSan without recovery) on fixed models that use every
             kernel, with inputs at their extremes and weights at their clamps
self-test    the self-test that ships with the C, of every model
16-bit int   the same on an ATmega2560 (avr-gcc, simavr), where int has 16 bits
blob         tests/test_store.py
warnings     a diagnostic of the compiler that the unchanged C does not cause
tests        the test files of what was mutated

    python benchmarks/mutation.py --sample 400 --seed 1 --jobs 2 --write
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tokenize
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "mutation.md"
COPIED = ("pocketgen", "templates", "tests", "pyproject.toml", "README.md")
FEW = 7  # of the fixed models are compiled first; they suffice for most mutants
CPU_SECONDS = 120  # of one mutant; a bench takes 3 to 25, so a mutant that needs more hangs
STAGES = ("three-way", "self-test", "16-bit int", "blob", "warnings", "tests")
# Whether a target's limit is also its type's decides whether gcc finds the check superfluous.
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wno-type-limits")
CHECKED = ("-fPIC", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


# --- the mutants --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One fault: text[start:end] of a file replaced by new. before, after: its line(s)."""

    file: str
    line: int
    rule: str
    number: int  # of its rule in this line, from 1
    start: int
    end: int
    new: str
    before: str
    after: str

    @property
    def name(self) -> str:
        suffix = f"#{self.number}" if self.number > 1 else ""
        return f"{self.file}:{self.line}:{self.rule}{suffix}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same when lines above are added or removed."""
        return self.file, self.before, self.after


TYPE = r"(?:u?int(?:8|16|32|64)_t|size_t|\{\{ [\w.]+\.(?:type|unsigned) \}\})"
COMPARISONS = (
    ("less-equal", r"(?<=[^<\-]) < (?=[^<=])", " <= "),
    ("less", r" <= ", " < "),
    ("greater-equal", r"(?<=[^>\-]) > (?=[^>=])", " >= "),
    ("greater", r" >= ", " > "),
    ("not-equal", r" == ", " != "),
    ("equal", r" != ", " == "),
)
SIZE = r"\{\{ k\.(?:limit|low|high|lr_inv|gradient_limit|divisor|target|offset|multiplier|block)"
CONDITION = r"(?:[^;{}|]|\|\||\{\{[^{}]*\}\})"
C_RULES: tuple[tuple[str, str, str], ...] = (
    ("cast", rf"\({TYPE}\)(?=[\w({{])", ""),
    *COMPARISONS,
    ("loop-start", r"(?<=for \()(\w+) = 0;", r"\1 = 1;"),
    ("loop-start", r"(?<=for \()(\w+) = 1;", r"\1 = 0;"),
    ("loop-start", r"(?<=for \()(\w+) = 1;", r"\1 = 2;"),
    ("loop-end", r"(?<=; )(\w+) < ([^;]+);", r"\1 + 1 < \2;"),
    ("minus", r" \+ ", " - "),
    ("plus", r" - ", " + "),
    ("minus", r" \+= ", " -= "),
    ("overwrite", r" [+^*]= ", " = "),
    ("no-product", r" \* (?=[\w({])(?!const)", " + "),
    ("shift", r"(>>|<<) (\d+)", lambda m: f"{m[1]} {int(m[2]) - 1}"),
    ("shift", r"(>>|<<) (\d+)", lambda m: f"{m[1]} {int(m[2]) + 1}"),
    ("shift", r">> shift", ">> (shift + 1)"),
    ("constant", r"(?<![\w.{%])(\d+)(?=(?:u|UL)?\b)(?![\w]*x)", lambda m: str(int(m[1]) + 1)),
    ("constant", r"0x([0-9a-f]+)", lambda m: f"0x{int(m[1], 16) ^ 1:0{len(m[1])}x}"),
    ("bound", rf"({SIZE}) \}}\}}", r"\1 + 1 }}"),
    ("bound", rf"({SIZE}) \}}\}}", r"\1 - 1 }}"),
    ("sign", r"(?<=[ (])-(?=[\w{(])(?!>)", ""),
    ("index", r"at\(\"(\w)\"\)", r'at("0")'),
    ("index", r"(?<=\w)\[(\w+)\](?=[^;]*;)", "[0]"),
    ("operand", r"k\.fan_in ", "k.fan_out "),
    ("operand", r"k\.fan_out ", "k.fan_in "),
    ("no-check", rf"if \((?![01]\)){CONDITION}*?\) \{{(?=\n)", "if (0) {"),
    ("half-check", rf"(?<= \|\| ){CONDITION}+?(?=\) \{{\n|\s+\|\|)", "0"),
    ("half-check", rf"(?<=if \(){CONDITION}+?(?=\s+\|\|)", "0"),
    ("arm", r"\? ([^:?;{}]+) : ([^:?;{}]+?)(?=[;)])", r"? \2 : \1"),
    ("no-complement", r" \^ 0xffffffffUL", ""),
    ("statement", r"(?m)^( +)(?!return|const|typedef|\w+_t |volatile|break|extern)"
     r"((?:\w|\*|net->)[^;{}%\n]*|\{\{ (?:call\.text|line|plan\.forward_call) \}\})"
     r"(?:;|(?<=\}\}))$",
     r"\1;"),
    ("expression", r"\{\{ call\.text \}\}", ""),
    ("first", r"\{\{ ([\w.]+_low) \}\}", lambda m: "{{ " + m[1].replace("low", "high") + " }}"),
    ("negated", r"!(?=\{\{|\w)", ""),
)  # fmt: skip
PYTHON_RULES: tuple[tuple[str, str, Any], ...] = (
    *COMPARISONS,
    ("minus", r" \+ ", " - "),
    ("plus", r" - ", " + "),
    ("overwrite", r" \+= ", " = "),
    ("no-product", r" \* ", " + "),
    ("floor", r"div_trunc\(([^()]+), ([^()]+)\)", r"(wide(\1) // (\2))"),
    ("round", r"\bdiv_trunc\(([^()]+), ([^()]+)\)", r"(div_trunc(\1, \2) + 1)"),
    ("constant", r"(?<![\w.\"'])(\d+)(?![\w\"'x.])", lambda m: str(int(m[1]) + 1)),
    ("constant", r"(?<![\w.\"'])([1-9]\d*)(?![\w\"'x.])", lambda m: str(int(m[1]) - 1)),
    ("constant", r"\b0x([0-9A-Fa-f]+)", lambda m: hex(int(m[1], 16) ^ 1)),
    ("end", r"\.low\b", ".high"),
    ("end", r"\.high\b", ".low"),
    ("magnitude", r"\.magnitude\b", ".high"),
    ("extreme", r"\bmin\(", "max("),
    ("extreme", r"\bmax\(", "min("),
    ("extreme", r"\.min\(", ".max("),
    ("extreme", r"\.max\(", ".min("),
    ("transposed", r"\.T\b", ""),
    ("transposed", r"\.transpose\([^)]*\)\)|\.transpose\(np\.argsort\([\w.]+\)\)", ""),
    ("sum-of-one", r"\.sum_of\([^()]*\)", ""),
    ("operand", r'"fan_in"\]', '"fan_out"]'),
    ("operand", r'"fan_out"\]', '"fan_in"]'),
    ("operand", r'sizes\["(n|classes|batch|limit)"\]', "1"),
    ("no-clamp", r"(?<!def )\bclamp\(([^(),]+(?:\([^()]*\))?), [^()]*\)$", r"(\1)"),
    ("any", r" and ", " or "),
    ("all", r" or ", " and "),
    ("negated", r"\bnot (?!in\b)", ""),
    ("never", r"^( +)if (.+):$", r"\1if False and (\2):"),
    ("always", r"^( +)if (.+):$", r"\1if True or (\2):"),
    ("byte-order", r'"little"', '"big"'),
    ("byte-order", r'"<i2"', '">i2"'),
    ("forwards", r"reversed\((list\(zip\(.*?\)\))\)", r"\1"),
    ("sign", r"(?<=[(\[ ,])-(?=[a-z\[])", ""),
    ("stream", r"(?<=\[parameter\.role\]) \+ site\.index", ""),
    ("slope", r"div_trunc\(s, g\)", "div_trunc(s, 2 * g)"),
)  # fmt: skip
# Faults that no rule makes: file, text, its replacement (the first place where text stands).
SPECIAL: tuple[tuple[str, str, str, str], ...] = (
    ("floor", "templates/intmath/div_trunc.c.j2", "n / d",
     "(n - (n % d != 0 && ((n < 0) != (d < 0)) ? d : 0)) / d"),
    ("round", "templates/intmath/div_trunc.c.j2", "n / d", "(n + (n < 0 ? -(d / 2) : d / 2)) / d"),
    ("round", "templates/intmath/div_trunc.c.j2", "n / d", "n / d + 1"),
    ("floor", "templates/intmath/div_pow2.c.j2", "x < 0 ? -quotient : quotient", "x >> shift"),
    ("no-abs", "templates/intmath/div_pow2.c.j2", "x < 0 ? 0u - ({{ f.unsigned }})x :", ""),
    ("swap", "templates/intmath/clamp.c.j2", "x < low ? low", "x < low ? high"),
    ("swap", "templates/intmath/stream_key.c.j2", "seed ^ {{ plan.prefix }}_mix(stream)",
     "stream ^ {{ plan.prefix }}_mix(seed)"),
    ("zero", "templates/intmath/draw_symmetric.c.j2", "below < 0 ? below : below + 1", "below"),
    ("swap", "templates/kernels/draw_uniform.c.j2", "(key, i, limit)", "(i, key, limit + 1)"),
    ("swap", "templates/kernels/draw_uniform.c.j2", "(seed, stream)", "(stream, seed)"),
    ("no-bias", "templates/kernels/dense_forward.c.j2", '{{ k.b.at("o") }}', "0"),
    ("no-bias", "templates/kernels/dense_forward_wide.c.j2", '{{ k.b.at("o") }}', "0"),
    ("no-clamp", "templates/kernels/dense_forward_wide.c.j2",
     "{{ k.clamp_total }}(total, -{{ k.limit }}, {{ k.limit }})", "total"),
    ("no-clamp", "templates/kernels/sgd_step.c.j2",
     "{{ k.clamp_moved }}(moved, -{{ k.limit }}, {{ k.limit }})", "moved"),
    ("no-shift", "templates/kernels/sgd_step.c.j2",
     "{{ k.div_pow2_gradient }}(gradient, lr_shift)", "gradient"),
    ("order", "templates/kernels/sgd_step.c.j2", "(({{ k.scaled.type }})scaled, -{{ k.lr_inv }})",
     "(({{ k.scaled.type }})gradient, -{{ k.lr_inv }})"),
    ("reset", "templates/kernels/dense_update_weights.c.j2", "sample = 1; sample < n",
     "sample = 1; sample < 1"),
    ("swap", "templates/kernels/dense_update_weights.c.j2", "(W[i], gradient[i]{{ k.passed }})",
     "(W[i], gradient[0]{{ k.passed }})"),
    ("end-of-row", "templates/kernels/dense_update_weights.c.j2", "continue;", "break;"),
    ("zero", "templates/kernels/dense_update_weights.c.j2", "if (error == 0)", "if (error <= 0)"),
    ("swap", "templates/model.c.j2", "> {{ plan.output_field }}[best]",
     ">= {{ plan.output_field }}[best]"),
    ("byte-order", "templates/model_store.c.j2", "(uint8_t)(bits & 0xffu));\n        crc = {{ "
     "plan.prefix }}_crc_byte(crc, (uint8_t)((uint16_t)bits >> 8)",
     "(uint8_t)((uint16_t)bits >> 8));\n        crc = {{ plan.prefix }}_crc_byte(crc, "
     "(uint8_t)(bits & 0xffu)"),
    ("target", "templates/Makefile.j2", "./{{ plan.prefix }}_host_selftest\n\t@", "true\n\t@"),
    ("objects", "templates/Makefile.j2", "rcs $@ $(OBJECTS)", "rcs $@"),
    ("rebuild", "templates/Makefile.j2", "%.o: %.c {{ plan.prefix }}.h", "%.o: %.c"),
    ("target", "templates/CMakeLists.txt.j2", "COMMAND {{ plan.prefix }}_host_selftest",
     "COMMAND true"),
    ("standard", "templates/CMakeLists.txt.j2", "c_std_99", "c_std_90"),
    ("always", "templates/CMakeLists.txt.j2", " AND NOT CMAKE_CROSSCOMPILING", ""),
    ("status", "templates/selftest_main.c.j2", "return {{ plan.prefix }}_selftest(&net)",
     "(void){{ plan.prefix }}_selftest(&net);\n    return 0"),
    ("seed", "templates/host.cdef.j2", "uint32_t seed", "uint16_t seed"),
    ("table", "templates/_tables.j2", "{% for line in table.lines %}",
     "{% for line in table.lines[1:] %}"),
    ("fields", "templates/_fields.j2", "plan.fields", "plan.fields[1:]"),
    ("kernels", "templates/_kernels.j2", "in kernels", "in kernels[1:]"),
    ("functions", "templates/_intmath.j2", "in functions", "in functions[1:]"),
    ("table", "templates/model_weights.c.j2", "plan.weight_tables", "plan.weight_tables[1:]"),
    ("code", "templates/model.h.j2", "_ERR_CRC (-5)", "_ERR_CRC (-6)"),
    ("code", "templates/model.h.j2", "_ERR_SIZE (-1)", "_ERR_SIZE (1)"),
    ("code", "templates/model.h.j2", "_OK 0", "_OK 1"),
    ("flash", "templates/model.h.j2", "((int8_t)pgm_read_byte(p))", "((int8_t)*(p))"),
    ("flash", "templates/model.h.j2", "((int16_t)pgm_read_word(p))", "((int16_t)pgm_read_byte(p))"),
    ("flash", "templates/model.h.j2", "((uint32_t)pgm_read_dword(p))",
     "((uint32_t)pgm_read_word(p))"),
    ("order", "pocketgen/rules/backprop.py",
     """            train += layer.weight_updates(site, self.update())
            if site.index > 1:
                back = self.back(scene, scene.sites[site.index - 2])
                added.append(back)
                train += layer.input_gradient(site, delta.name, back.name)
                source = back.name
""",
     """            if site.index > 1:
                back = self.back(scene, scene.sites[site.index - 2])
                added.append(back)
                train += layer.input_gradient(site, delta.name, back.name)
                source = back.name
            train += layer.weight_updates(site, self.update())
"""),
    ("order", "pocketgen/bounds.py",
     "    forward = tuple(prove(step, buffers) for step in program.forward)\n"
     "    train = tuple(prove(step, buffers) for step in program.train)\n",
     "    forward = tuple(prove(step, dict(buffers)) for step in program.forward)\n"
     "    train = tuple(prove(step, buffers) for step in program.train)\n"),
    ("limit", "pocketgen/kernels/dense_forward.py",
     'return int(div_trunc(room, max(1, sizes["fan_in"] * ranges["x"].magnitude)))',
     'return int(div_trunc(room, max(1, sizes["fan_in"] * ranges["x"].magnitude))) + 1'),
    ("limit", "pocketgen/kernels/dense_forward.py",
     'return int(div_trunc(room, max(1, sizes["fan_in"] * ranges["x"].magnitude)))',
     'return int(div_trunc(room, max(1, sizes["fan_in"] * ranges["x"].magnitude))) - 1'),
    ("headroom", "pocketgen/kernels/dense_forward.py", 'INT32_MAX - sizes["headroom"]',
     "INT32_MAX"),
    ("headroom", "pocketgen/kernels/dense_forward_wide.py", 'INT32_MAX - sizes["headroom"]',
     "INT32_MAX"),
    ("floor", "pocketgen/intmath.py", "return np.where((n < 0) != (d < 0), -magnitude, magnitude)",
     "return n // d"),
    ("no-shift", "pocketgen/kernels/sgd_step.py", "div_pow2(gradient, lr_shift)", "wide(gradient)"),
    ("no-clamp", "pocketgen/kernels/dense_forward_wide.py",
     'clamp(total, -sizes["limit"], sizes["limit"])', "total"),
    ("no-clamp", "pocketgen/kernels/scale_input.py",
     'clamp(div_trunc(product, sizes["divisor"]), sizes["low"], sizes["high"]))  # 2.',
     'div_trunc(product, sizes["divisor"]))'),
    ("no-check", "pocketgen/store.py", "    check(program, blob)\n", ""),
    ("clamped", "pocketgen/store.py", "> p.proven.magnitude:", "> 32767:"),
)  # fmt: skip
# Lines of Python that decide nothing: names, notes and types.
DULL = re.compile(r'^\s*(note=|name=|label=|equation=|layer=|f?"|from |import |@|def |class )')
PYTHON_FILES = (
    "pocketgen/kernels/*.py",
    "pocketgen/rules/*.py",
    "pocketgen/layers/dense.py",
    "pocketgen/bounds.py",
    "pocketgen/intmath.py",
    "pocketgen/lower.py",
    "pocketgen/store.py",
)


def all_mutants(root: Path) -> list[Mutant]:
    """Every mutant of the tree, in a fixed order; the same text is made only once."""
    found: list[Mutant] = []
    files = sorted(p for p in (root / "templates").rglob("*") if p.is_file())
    for pattern in PYTHON_FILES:
        files += sorted(p for p in root.glob(pattern) if p.name != "__init__.py")
    for path in files:
        text, file = path.read_text("utf-8"), path.relative_to(root).as_posix()
        made = list(python_changes(text) if path.suffix == ".py" else c_changes(text, file))
        for rule, where, old, new in SPECIAL:
            if where == file:
                at = text.find(old)
                if at < 0:
                    raise SystemExit(f"mutation.py: {file} has no {old!r} any more")
                made.append((rule, at, at + len(old), new))
        found += numbered(text, file, made)
    return found


def numbered(text: str, file: str, made: Sequence[tuple[str, int, int, str]]) -> list[Mutant]:
    """Changes as mutants, in the order of the file."""
    seen, count, result = set(), Counter[tuple[int, str]](), []
    for rule, start, end, new in sorted(made, key=lambda change: (change[1], change[0])):
        changed = text[:start] + new + text[end:]
        digest = hashlib.sha256(changed.encode()).digest()
        if changed == text or digest in seen:
            continue
        seen.add(digest)
        line = text.count("\n", 0, start) + 1
        count[line, rule] += 1
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        before, after = text[first:last], text[first:start] + new + text[end:last]
        result.append(
            Mutant(file, line, rule, count[line, rule], start, end, new,
                   " ".join(before.split()), " ".join(after.split()))
        )  # fmt: skip
    return result


def c_changes(text: str, file: str) -> Iterator[tuple[str, int, int, str]]:
    """Rule, start, end, new text: of C inside templates, not of comments or template control."""
    if not file.endswith(".c.j2"):
        return
    masked = [m.span() for m in re.finditer(r"/\*.*?\*/|\{%.*?%\}|^#.*?$", text, re.S | re.M)]
    yield from changes(text, C_RULES, masked)


def python_changes(text: str) -> Iterator[tuple[str, int, int, str]]:
    """Rule, start, end, new text: of Python that computes, not of words, names and refusals."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.AST) -> tuple[int, int]:
        # Columns count bytes of UTF-8; only comments and messages have wider characters.
        return (starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno])

    masked = []
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)):
            masked.append(span(node))
        elif isinstance(node, ast.FunctionDef):
            masked.append((starts[node.lineno - 1], starts[node.body[0].lineno - 1]))
        elif isinstance(node, ast.AnnAssign):
            masked.append((span(node)[0], starts[node.lineno - 1] + node.annotation.end_col_offset))
    for node in tree.body:
        named = isinstance(node, (ast.Assign, ast.AnnAssign)) and "Kernel" in ast.dump(node)
        if named or (isinstance(node, ast.Assign) and "__all__" in ast.dump(node)):
            masked.append(span(node))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        first, last = (starts[row - 1] + column for row, column in (token.start, token.end))
        wordy = token.type == tokenize.STRING and (
            token.string.startswith(('"""', 'f"')) or " " in token.string
        )
        if token.type == tokenize.COMMENT or wordy:
            masked.append((first, last))
    for number, line in enumerate(text.splitlines()):
        if DULL.match(line):
            masked.append((starts[number], starts[number + 1]))
    yield from changes(text, PYTHON_RULES, masked)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for start, end in droppable(function, span):
                margin = len(text[:start]) - text.rfind("\n", 0, start) - 1
                yield "statement", start, end, "pass\n" if margin else "\n"


def droppable(
    function: ast.FunctionDef, span: Callable[[ast.AST], tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Statements without which the function still makes sense to Python."""
    known = {a.arg for a in function.args.args}
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield span(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in known:
                yield span(node)
            known.add(node.targets[0].id)


def changes(
    text: str, rules: Iterable[tuple[str, str, Any]], masked: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, int, int, str]]:
    """Every place where a rule applies outside what is masked."""
    for rule, pattern, new in rules:
        for match in re.finditer(pattern, text, re.M):
            if any(low < match.end() and match.start() < high for low, high in masked):
                continue
            made = new(match) if callable(new) else match.expand(new)
            yield rule, match.start(), match.end(), made


def chosen(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """A sample in which every file and every rule of it has its turn before any has its second."""
    if not count or count >= len(mutants):
        return list(mutants)
    order = list(mutants)
    random.Random(seed).shuffle(order)
    rules, files = Counter[tuple[str, str]](), Counter[str]()
    turns = []
    for mutant in order:
        rules[mutant.file, mutant.rule] += 1
        turns.append((rules[mutant.file, mutant.rule], mutant))
    turns.sort(key=lambda turn: turn[0])
    ranked = []
    for _, mutant in turns:
        files[mutant.file] += 1
        ranked.append((files[mutant.file], mutant))
    ranked.sort(key=lambda turn: turn[0])
    picked = {mutant.name for _, mutant in ranked[:count]}
    return [mutant for mutant in mutants if mutant.name in picked]


# --- the bench, in a process of its own whose pocketgen is the mutant's -------------------------


class RefusedError(Exception):
    """The mutant is no program."""


class Bench:
    """The stages, inside the folder of one mutant."""

    def __init__(self, folder: Path, store: Path, touched: str, avr: bool) -> None:
        self.folder = folder
        self.store = store  # compiled libraries of all mutants, by their text
        self.touched = touched
        self.avr = avr
        self.warned = ""
        self.loaded: dict[str, Any] = {}  # libraries of many models, by model
        self.separately: Any = None  # the host's own way to load one model's library

    def run(self, stage_begins: Callable[[str], None], quick: bool = False) -> str:
        """What failed, or nothing."""
        os.chdir(self.folder)
        sys.path[:0] = [str(self.folder), str(self.folder / "tests")]
        os.environ["POCKETGEN_CACHE"] = str(self.folder / "cache")
        try:
            import pocketgen
            import test_agreement
            from pocketgen import host
        except Exception as error:  # noqa: BLE001 - whatever a mutant raises
            raise RefusedError(f"import: {error!r}") from None
        assert Path(pocketgen.__file__).is_relative_to(self.folder)
        host.compile_library = self.compile
        self.separately = host.load
        for stage, part in (
            ("three-way", lambda: self.three_way(test_agreement)),
            ("self-test", self.self_test),
            ("16-bit int", self.sixteen_bits),
            ("blob", lambda: self.pytest(["tests/test_store.py"])),
            ("warnings", self.warnings),
            ("tests", lambda: self.pytest(tests_of(self.touched))),
        ):
            if quick and stage in ("warnings", "tests"):
                continue
            if stage not in ("three-way", "self-test"):
                host.load = self.separately
            stage_begins(stage)
            try:
                part()
            except RefusedError:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a mutant raises
                lines = traceback.format_exception_only(error)
                return " ".join("".join(lines).split())[:200] or type(error).__name__
        return ""

    # - compiling

    def compile(self, command: Sequence[str], sources: dict[str, str], path: Path) -> None:
        """In place of the host's call of the compiler, with checks."""
        shutil.copy(self.library([dict(units(sources))]), path)

    def library(self, models: Sequence[dict[str, str]]) -> Path:
        """A library of some models. What stands in files of one kind becomes one file."""
        kinds: dict[str, str] = {}
        for made in models:
            for kind, text in made.items():
                kinds[kind] = kinds.get(kind, "") + text
        objects = [self.object(text) for _, text in sorted(kinds.items())]
        names = " ".join(path.stem for path in objects)
        path = self.store / f"{hashlib.sha256(names.encode()).hexdigest()[:24]}.so"
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            done = run("gcc", "-shared", *CHECKED, "-o", str(part), *map(str, objects))
            if done.returncode != 0:
                raise RefusedError(f"gcc: {first_error(done.stderr)}")
            part.replace(path)
        return path

    def object(self, text: str) -> Path:
        """One compiled file; what a mutant does not change is compiled only once."""
        path = self.store / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.o"
        if not path.exists():
            source = self.folder / f"source-{path.stem}.c"
            source.write_text(text)
            part = path.with_suffix(f".{os.getpid()}")
            done = run("gcc", "-std=c99", *CHECKED, *WARNINGS, "-c", "-o", str(part), str(source))
            if done.returncode != 0:
                raise RefusedError(f"gcc: {first_error(done.stderr)}")
            path.with_suffix(".log").write_text(done.stderr)
            part.replace(path)
        self.warned = self.warned or first_error(path.with_suffix(".log").read_text())
        return path

    # - stages

    def three_way(self, agreement: Any) -> None:
        """Oracle, numpy and C: every buffer of the fixed models after every step."""
        from pocketgen import verify

        few, more = cases(agreement)[:FEW], cases(agreement)[FEW:]
        self.load_at_once(agreement, few, [], [])
        for case in few:
            agreement.agree(case, agreement.ENGINES)
        self.load_at_once(agreement, more, wide_models(), shipped())
        for case in more:
            agreement.agree(case, agreement.ENGINES)
        for model in wide_models():
            found = verify.verify(model, steps=12)
            assert found.agrees, found.mismatch

    def self_test(self) -> None:
        """The self-test of what trains from its own start, from given weights, and not at all."""
        import numpy as np

        from pocketgen.host import Engine
        from small_models import samples

        for library in shipped():
            program, made = library.program(), library.plan()
            engine = Engine(program, made)
            assert engine.selftest() == 0, f"self-test of {program.name}"
            if not program.training:
                pair = [self.net(library, engine) for engine in ("c", "numpy")]
                x, _ = samples(library.model, 7)
                for asked in ("forward", "predict"):
                    np.testing.assert_array_equal(*(getattr(net, asked)(x) for net in pair))
                assert pair[0].digest() == pair[1].digest()

    def net(self, library: Any, engine: str) -> Any:
        import pocketgen

        return pocketgen.build(library.model, engine=engine, **library.options)

    def sixteen_bits(self) -> None:
        """The self-tests once more where int has 16 bits."""
        if not self.avr:
            return
        sources, heads, calls = [], "", ""
        for library in on_avr():
            files, name = library.files(), library.model.name
            sources.append(dict(units(files)))
            heads += f"{files[name + '.h']}static {name}_t net_{name};\n"
            calls += f"    if ({name}_selftest(&net_{name}) != 0) {{ say('F'); stop(); }}\n"
        main = AVR_MAIN.format(heads=heads, calls=calls)
        digest = hashlib.sha256(repr((sources, main)).encode()).hexdigest()[:24]
        path = self.store / f"{digest}.avr"
        if not path.exists():
            path.write_text(self.simulated(sources, main))
        assert path.read_text() == "passed", "self-test with 16-bit int: " + path.read_text()

    def simulated(self, sources: Sequence[dict[str, str]], main: str) -> str:
        """What a simulated ATmega2560 says of the self-tests."""
        names = []
        for kind in sources[0]:
            names.append(self.folder / f"avr{kind}.c")
            names[-1].write_text("".join(source.get(kind, "") for source in sources))
        names.append(self.folder / "avr_main.c")
        names[-1].write_text(main)
        program = str(self.folder / "avr.elf")
        built = run("avr-gcc", "-std=c99", "-Os", "-mmcu=atmega2560", "-o", program,
                    *map(str, names))  # fmt: skip
        if built.returncode != 0:
            return first_error(built.stderr)
        ran = run("timeout", "100", "simavr", "-m", "atmega2560", "-f", "16000000", program)
        said = ran.stdout + ran.stderr
        return "passed" if "PASSED" in said else " ".join(said.split())[-200:] or "hangs"

    def warnings(self) -> None:
        assert not self.warned, self.warned

    def pytest(self, arguments: Sequence[str]) -> None:
        """Tests in this process; what they print goes to a file."""
        import pytest

        if not arguments:
            return
        log = (self.folder / "pytest.log").open("w+")
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            status = pytest.main(
                ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0",
                 "--tb=line", "-W", "ignore::pytest.PytestAssertRewriteWarning",
                 f"--basetemp={self.folder / 'pytest'}", *arguments]
            )  # fmt: skip
        log.seek(0)
        failed = [line for line in log.read().splitlines() if line.startswith(("FAILED", "ERROR"))]
        assert status == 0, (failed or [f"pytest status {status}"])[0]

    def load_at_once(
        self, agreement: Any, some: Sequence[Any], models: Sequence[Any], libraries: Sequence[Any]
    ) -> None:
        """Many models as one library: two compilations for each mutant instead of thirty."""
        import numpy as np
        from cffi import FFI

        import pocketgen as pg
        from pocketgen import host
        from pocketgen.bounds import bounds
        from pocketgen.lower import lower
        from pocketgen.plan import plan
        from pocketgen.render import render, render_host
        from pocketgen.selftest import vectors

        programs = []
        for case in some:
            rng = np.random.default_rng(case.data_seed)
            _, _, feedback = agreement.starting_point(case, case.limits(), rng)
            programs.append(bounds(lower(case.model(), None, feedback)))
        programs += [bounds(lower(model)) for model in models]
        plans = [plan(program, vectors(program), pg.__version__) for program in programs]
        plans += [library.plan() for library in libraries]
        ffi, sources = FFI(), []
        for made in plans:
            try:
                files, extra = render(made), render_host(made)
            except Exception as error:  # noqa: BLE001 - whatever a mutant raises
                raise RefusedError(f"template: {error}") from None
            ffi.cdef(extra.pop("host.cdef"))
            sources.append(dict(units(files | extra)))
        library = ffi.dlopen(str(self.library(sources)))
        self.loaded |= {made.prefix: (ffi, library) for made in plans}

        def load(made: Any, flags: tuple[str, ...]) -> Any:
            return self.loaded.get(made.prefix) or self.separately(made, flags)

        host.load = load


def units(files: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The kind of each C file of a model (_train, _store, …) and its text with its headers."""
    own = re.compile(r'^#include "(\w+\.h)"$', re.M)
    prefix = next(name for name in files if name.endswith(".h"))[:-2]
    for name, text in files.items():
        if name.endswith(".c") and "/" not in name:
            yield name[len(prefix) : -2], own.sub(lambda m: files[m[1]], text)


def first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line or "warning" in line]
    return re.sub(r"^\S*/", "", (lines or text.splitlines() or [""])[0])[:200]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


AVR_MAIN = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
{heads}
static void say(char c)
{{
    while (!(UCSR0A & _BV(UDRE0))) {{ }}
    UDR0 = (uint8_t)c;
}}
static void stop(void)
{{
    say('\\n');
    cli();
    sleep_enable();
    for (;;) {{ sleep_cpu(); }}
}}
int main(void)
{{
    const char *c;
    UCSR0B |= _BV(TXEN0);
{calls}
    for (c = "PASSED"; *c; c++) {{ say(*c); }}
    stop();
    return 0;
}}
"""


# --- the fixed models ---------------------------------------------------------------------------


def cases(agreement: Any) -> list[Any]:
    """Small models that use every kernel, at the ends of what their numbers can be."""
    import pocketgen as pg

    @dataclass(frozen=True)
    class Named(agreement.Case):
        name: str = ""

        def model(self) -> pg.Model:
            plain = super().model()
            return pg.Model(self.name, plain.input, plain.layers, plain.rule, plain.seed)

    def case(name: str, dims: tuple[int, ...], activations: str, **options: Any) -> Any:
        names = {"t": "pocket_tanh", "s": "pocket_sigmoid", "r": "pocket_relu8bit",
                 "l": "pocket_leakyrelu", "i": "identity"}  # fmt: skip
        options.setdefault("batch", 4)
        options.setdefault(
            "steps",
            (
                (4, "extreme", 0),
                (3, "random", 1),
                (4, "ramp", 0),
                (1, "random", 2),
                (4, "random", 0),
            ),
        )
        return Named(
            name=name, dims=dims, activations=tuple(names[a] for a in activations), **options
        )

    centres, factors = tuple(range(0, 65000, 13000)), (-9, 1, 99, 999, 9000)
    return [
        case("dfa", (6, 5, 4, 3), "ttt", lr_inv=3, parameters="wide"),
        case("vector", (6, 5, 2), "li", target=None, target_range=(-300, 500), dtype="int16",
             scale=pg.Scale(100, 3, 8, "int16"), parameters="small", lr_inv=3),
        case("features", (5, 6, 3), "ti", rule="Backprop", target=-20, dtype="uint16",
             scale=pg.Scale(centres, factors, 12), lr_inv=13, parameters="small"),
        case("seeded", (4, 7, 6, 3), "rst", lr_inv=7, feedback="seeded", seed=9, dtype="int8",
             parameters="small"),
        case("start", (7, 9, 8, 3), "tts", lr_inv=50, rule="Backprop", seed=2**32 - 1),
        case("dfa_clamp", (7, 6, 5, 4), "lts", lr_inv=5, parameters="clamp", dtype="int8"),
        case("deep", (2, 8, 8, 8, 8), "illi", rule="Backprop", batch=9, lr_inv=1, dtype="int8",
             target=32767, parameters="clamp",
             steps=((9, "extreme", 0), (3, "random", 15), (1, "extreme", 0))),
        case("dfa_start", (6, 5, 3), "tt", lr_inv=2, target=127, seed=5),
        case("dfa_tables", (5, 9, 4), "rl", lr_inv=11, feedback="extreme", target=-32767,
             parameters="small"),
        case("dfa_given", (3, 300, 2), "rt", lr_inv=1, feedback="given", parameters="small",
             dtype="int8"),
        case("many", (300, 3, 2), "tt", lr_inv=9, parameters="wide", rule="Backprop"),
        case("tight", (4, 2, 1), "ii", rule="Backprop", dtype="int8", lr_inv=1),
        case("slow", (3, 4, 2), "rr", rule="Backprop", lr_inv=2**31 - 1, parameters="wide"),
        case("one", (1, 1), "i", batch=1, lr_inv=1, steps=((1, "extreme", 0), (1, "random", 3))),
        case("pieces", (2, 90, 5), "st", lr_inv=17, parameters="wide", dtype="int16",
             scale=pg.Scale(0, 1, 6, "int16"), rule="Backprop"),
        case("leaky", (2, 40, 3), "lr", lr_inv=40, parameters="small", dtype="int16",
             rule="Backprop"),
        case("late", (40, 3), "i", batch=9, lr_inv=1000, dtype="int16", parameters="wide",
             steps=((9, "extreme", 0), (9, "random", 9), (9, "ramp", 0))),
    ]  # fmt: skip


def wide_models() -> list[Any]:
    """What the oracle does not know: sums of 64 bits under PocketNN's own clamp."""
    import pocketgen as pg
    from small_models import MODELS, TANH, stack

    return [
        MODELS["wide"],
        pg.Model("wide_deep", pg.Input((400,), "int16"),
                 stack((6, "identity"), (5, TANH), (3, TANH)),
                 pg.DFA(lr_inv=1, batch=3, wide_sums=True)),
    ]  # fmt: skip


def shipped() -> list[Any]:
    """Libraries whose self-test runs on this machine."""
    from dataclasses import replace

    from small_models import MODELS, Library

    def library(name: str, start: str, largest: int) -> Library:
        model = MODELS[name]
        short = f"{name.split()[0]}_{start.split()[0]}"
        return Library(replace(model, name=short), start, largest)

    return [
        library("dfa", "own", 50),
        library("seeded", "given", 30000),
        library("vector", "own", 50),
        library("features", "given", 900),
        library("regression", "inference only", 20000),
        library("features", "inference only", 900),
        library("backprop", "own", 50),
    ]


def on_avr() -> list[Any]:
    """Libraries whose self-test runs in 8 kB of RAM: every kernel, weights up to their clamps."""
    import pocketgen as pg
    from small_models import MODELS, TANH, Library, stack

    def model(name: str, taken: pg.Input, layers: list[Any], rule: Any) -> pg.Model:
        return pg.Model(name, taken, layers, rule, seed=3)

    vector = pg.DFA(lr_inv=3, batch=2, target="vector", target_range=(-30000, 30000))
    return [
        Library(model("small_a", pg.Input((9,)), stack((7, TANH), (5, TANH), (3, TANH)),
                      pg.DFA(lr_inv=2, batch=3, target=127)), "given", 32000),
        Library(model("small_b", pg.Input((5,), "int16", scale=pg.Scale(-900, 700, 12, "int16")),
                      stack((7, "pocket_leakyrelu"), (3, "pocket_leakyrelu")), vector),
                "given", 90),
        Library(model("small_c", pg.Input((6,), "int8"), stack((6, "pocket_relu8bit"),
                      (5, "pocket_sigmoid"), (3, "identity")),
                      pg.Backprop(lr_inv=40, batch=3, target=32767)), "own"),
        Library(model("small_d", pg.Input((300,)), stack((2, TANH), (2, TANH)),
                      pg.DFA(lr_inv=1, batch=2, wide_sums=True, feedback="seeded")),
                "given", 32767),
        Library(MODELS["features"], "given", 900),
        Library(model("small_e", pg.Input((4,), "int16"), stack((5, "pocket_relu8bit"), (2, TANH)),
                      pg.Backprop(lr_inv=9, batch=2)), "given", 9000),
        Library(model("small_f", pg.Input((4,), "int8"), stack((5, TANH), (2, TANH)),
                      pg.DFA()), "inference only", 32767),
    ]  # fmt: skip


USERS = {
    "clamp": ("sgd_step", "scale_input", "dense_forward_wide"),
    "div_pow2": ("sgd_step",),
    "div_trunc": ("slope_divide", "pocket_tanh", "scale_input"),
    "draw_symmetric": ("draw_uniform", "feedback_project_seeded"),
    "mix": ("draw_uniform",),
    "stream_key": ("draw_uniform",),
}


def tests_of(touched: str) -> list[str]:
    """The arguments of pytest for a file: the tests of what it does."""
    stem = Path(touched).name.split(".")[0]
    refusals = ["tests/test_agreement.py", "-k", "refus or edge or start or feedback"]
    if "/intmath/" in touched:
        return [f"tests/kernels/test_{kernel}.py" for kernel in USERS[stem]]
    if "/kernels/" in touched:
        python = touched.endswith(".py")
        more = ["tests/test_bounds.py"] if python else []
        more += ["tests/test_report.py"] if stem == "sgd_step" else []
        return [f"tests/kernels/test_{stem}.py", *more]
    if "Makefile" in touched or "CMake" in touched or stem == "selftest_main":
        return ["tests/test_compilers.py", "-k", "make"]
    if stem == "intmath":
        return ["tests/test_intmath.py"]
    if stem == "bounds":
        return ["tests/test_bounds.py", *refusals]
    if stem == "store":
        return ["tests/test_store.py"]
    if stem in ("lower", "dense") or "/rules/" in touched:
        return ["tests/test_model.py", "tests/test_net.py", "tests/test_bounds.py",
                "tests/test_plan.py"]  # fmt: skip
    return ["tests/test_net.py", "tests/test_plan.py", "tests/test_render.py"]


# --- running mutants ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """caught: at stage; refused; or survived. detail: what the stage said."""

    name: str
    verdict: str
    stage: str
    detail: str
    seconds: float


class Runner:
    """Mutants in processes forked from this one, which has imported what is slow to import."""

    def __init__(self, jobs: int, quick: bool = False) -> None:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        import cffi
        import hypothesis.extra.numpy
        import jinja2
        import numpy
        import pytest

        assert all((cffi, hypothesis.extra.numpy, jinja2, numpy, pytest))
        self.jobs = jobs
        self.quick = quick
        self.avr = bool(shutil.which("avr-gcc") and shutil.which("simavr"))
        self.base = Path(tempfile.mkdtemp(prefix="mutation-")).resolve()
        self.store = self.base / "compiled"
        self.store.mkdir()
        self.source = self.base / "source"
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        self.source.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.source / name, ignore=ignore)
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, self.source / name)

    def close(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    def run(self, mutants: Sequence[Mutant]) -> Iterator[Outcome]:
        """Outcomes as they come."""
        waiting = list(reversed(mutants))
        running: dict[int, tuple[Mutant, Path, float]] = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop()
                folder = self.folder(mutant)
                running[self.fork(mutant, folder)] = mutant, folder, time.monotonic()
            pid, status = os.wait()
            if pid in running:
                mutant, folder, started = running.pop(pid)
                yield self.outcome(mutant, folder, status, time.monotonic() - started)
                shutil.rmtree(folder, ignore_errors=True)

    def folder(self, mutant: Mutant) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="mutant-", dir=self.base))
        shutil.copytree(self.source, folder, dirs_exist_ok=True)
        path = folder / mutant.file
        if mutant.rule:
            text = path.read_text("utf-8")
            path.write_text(text[: mutant.start] + mutant.new + text[mutant.end :], "utf-8")
        return folder

    def fork(self, mutant: Mutant, folder: Path) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        with (folder / "outcome").open("a", buffering=1) as outcome:
            status = 70
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
                quiet = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
                os.dup2(quiet, 1)
                os.dup2(quiet, 2)
                bench = Bench(folder, self.store, mutant.file, self.avr)
                try:
                    found = bench.run(lambda stage: print(stage, file=outcome), self.quick)
                    outcome.write(f"={'caught' if found else 'survived'}\n{found}\n")
                except RefusedError as refused:
                    outcome.write(f"=refused\n{refused}\n")
                status = 0
            finally:
                outcome.flush()
                os._exit(status)

    def outcome(self, mutant: Mutant, folder: Path, status: int, seconds: float) -> Outcome:
        lines = (folder / "outcome").read_text().splitlines()
        stage = next((line for line in reversed(lines) if line in STAGES), "")
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return Outcome(mutant.name, "caught", stage, f"ended by {name}", seconds)
        at = next((k for k, line in enumerate(lines) if line.startswith("=")), None)
        if at is None:
            said = (folder / "output").read_text("utf-8", "replace").strip().splitlines()
            words = next((line for line in said if "runtime error" in line), "ended")
            return Outcome(mutant.name, "caught", stage, words[-160:], seconds)
        verdict, detail = lines[at][1:], " ".join(lines[at + 1 :])
        stage = "" if verdict == "survived" else stage
        return Outcome(mutant.name, verdict, stage, detail, seconds)


NOTHING = Mutant("pocketgen/kernels/sgd_step.py", 1, "", 1, 0, 0, "", "", "")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Mutation test of the generator.")
    parser.add_argument("--sample", type=int, default=400, help="how many mutants; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--only", default="", help="only mutants whose name holds this")
    parser.add_argument("--list", action="store_true", help="names of the mutants, nothing run")
    parser.add_argument("--partial", type=Path, help="file of outcomes: go on from there")
    parser.add_argument("--json", action="store_true", help="JSON in place of lines")
    parser.add_argument("--write", action="store_true", help=f"renew {RESULT.name}")
    asked = parser.parse_args(arguments)
    every = all_mutants(ROOT)
    mutants = chosen([m for m in every if asked.only in m.name], asked.sample, asked.seed)
    if asked.list:
        for mutant in mutants:
            print(f"{mutant.name}\n    - {mutant.before}\n    + {mutant.after}")
        print(f"{len(mutants)} of {len(every)}")
        return 0
    done: dict[str, Outcome] = {}
    if asked.partial and asked.partial.exists():
        for line in asked.partial.read_text().splitlines():
            known = Outcome(**json.loads(line))
            done[known.name] = known
    runner = Runner(asked.jobs)
    try:
        healthy = next(iter(runner.run([NOTHING])))
        if healthy.verdict != "survived":
            print(f"The bench fails without a fault, at {healthy.stage}: {healthy.detail}")
            return 2
        waiting = [m for m in mutants if m.name not in done]
        random.Random(asked.seed).shuffle(waiting)  # so that what is done so far is typical
        for outcome in runner.run(waiting):
            done[outcome.name] = outcome
            if asked.partial:
                with asked.partial.open("a") as file:
                    file.write(json.dumps(outcome.__dict__) + "\n")
            if not asked.json:
                print(f"{outcome.verdict:9}{outcome.stage:11}{outcome.seconds:5.1f} s "
                      f"{outcome.name}: {outcome.detail[:90]}", flush=True)  # fmt: skip
    finally:
        runner.close()
    told = report(mutants, len(every), done, runner.avr)
    if asked.write:
        RESULT.write_text(told.text, "utf-8")
    if asked.json:
        outcomes = [done[m.name].__dict__ for m in mutants]
        print(json.dumps({**told.counts, "outcomes": outcomes}, indent=1))
    else:
        print(" ".join(f"{name} {count}" for name, count in told.counts.items()))
    return 0 if told.rate >= REQUIRED else 1


# --- the report ---------------------------------------------------------------------------------

REQUIRED = 0.95  # of the mutants that compile and are not the same program
# Survivors that change nothing anyone could see: file, changed line (or its start), why.
EQUIVALENT: tuple[tuple[str, str, str], ...] = ()
# Survivors that do change something: why no test sees them.
MISSED: tuple[tuple[str, str, str], ...] = ()


def why(mutant: Mutant, table: Sequence[tuple[str, str, str]]) -> str:
    """What a table says of a mutant, or nothing."""
    return next(
        (
            reason
            for file, after, reason in table
            if file == mutant.file and mutant.after.startswith(after)
        ),
        "",
    )


@dataclass(frozen=True)
class Report:
    """The result as text, and its numbers. rate: caught of those that could be."""

    text: str
    counts: dict[str, int]
    rate: float


def report(
    mutants: Sequence[Mutant], every: int, done: dict[str, Outcome], with_avr: bool
) -> Report:
    """What was caught, where, and every survivor with its reason."""
    by = {
        verdict: [m for m in mutants if done[m.name].verdict == verdict]
        for verdict in ("caught", "refused", "survived")
    }
    equivalent = [m for m in by["survived"] if why(m, EQUIVALENT)]
    missed = [m for m in by["survived"] if not why(m, EQUIVALENT)]
    caught, able = len(by["caught"]), len(by["caught"]) + len(missed)
    programs = caught + len(by["survived"])
    stages = Counter(done[m.name].stage for m in by["caught"])
    counts = {"mutants": len(mutants), **{name: len(some) for name, some in by.items()}}
    counts |= {"equivalent": len(equivalent), "missed": len(missed)}
    lines = [
        "# Mutation test of the generator",
        "",
        "One fault at a time in templates/ and in the arithmetic of pocketgen/; does the bench",
        "notice? Made by `python benchmarks/mutation.py`, whose head describes the stages.",
        "",
        f"**{caught} of {able} caught, {100 * caught / max(able, 1):.1f} %** "
        f"({100 * caught / max(programs, 1):.1f} % if equivalent ones count as not caught).",
        "",
        "| mutants | |",
        "|---|---|",
        f"| that the rules make | {every} |",
        f"| of which run (every file and every rule of it in turn) | {len(mutants)} |",
        "| refused: C does not compile, Python does not import; not counted "
        f"| {counts['refused']} |",
        f"| caught | {caught} |",
        f"| survived, the same program (explained below) | {len(equivalent)} |",
        f"| survived, missed (explained below) | {len(missed)} |",
        "",
        "| caught by | mutants |",
        "|---|---|",
        *(f"| {stage} | {stages[stage]} |" for stage in STAGES),
        "",
        "A stage sees only what those above it let through. "
        + (
            "16-bit int: avr-gcc and simavr."
            if with_avr
            else "avr-gcc or simavr were missing: 16-bit int was not tested."
        ),
        "",
        "| file | caught | same | missed | refused |",
        "|---|---|---|---|---|",
    ]
    for file in sorted({m.file for m in mutants}):
        numbers = [
            sum(m.file == file for m in some)
            for some in (by["caught"], equivalent, missed, by["refused"])
        ]
        lines.append(f"| {file} | " + " | ".join(map(str, numbers)) + " |")
    for title, some, table in (
        ("Survivors that are the same program", equivalent, EQUIVALENT),
        ("Survivors that no test sees", missed, MISSED),
    ):
        lines += ["", f"## {title}", "", *([] if some else ["None."])]
        for mutant in some:
            lines += [
                f"- `{mutant.name}`: {why(mutant, table) or 'not explained yet'}",
                "",
                "  ```diff",
                f"  - {mutant.before}",
                f"  + {mutant.after}",
                "  ```",
            ]
    lines += ["", "## Refused", ""]
    lines += [f"- `{m.name}`: {done[m.name].detail[:100]}" for m in by["refused"]]
    return Report("\n".join(lines) + "\n", counts, caught / max(able, 1))


if __name__ == "__main__":
    sys.exit(main())
