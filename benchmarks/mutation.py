"""Would the tests notice? One fault at a time in the generator, and the project's tests against it.

Rules make mutants of the C templates and of the Python that computes, and on request of rules,
layers and lowering: a cast dropped, a clamp shifted by one, `<` for `<=`, a loop that ends too
early, a bias or a check of a blob left out. Each mutant goes into a copy of the project, where the
tests run, the cheapest first, until one fails:

its own     tests/kernels/test_K.py (UBSan, -Werror), the module's test file, or the oracle
the rest    C: self-tests where int has 16 bits, structure, random models against the oracle;
            Python: bounds and models as well; what joins kernels: also plan, blobs, Net

A mutant that is no program (C that does not compile, Python without a name) is "refused" and not
counted. The comparison with generated/ is no part of this: it would notice harmless changes too.
Survivors are explained in mutation_survivors.py; those that are the same program count as well.

    python benchmarks/mutation.py --jobs 2 --partial outcomes.jsonl --write
    python benchmarks/mutation.py --list --only clamp

Exit status: 0 every survivor is explained, nothing else is, and of 200 or more at least 95 % are
caught; 1 not so; 2 the tests fail without a fault.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

from mutation_survivors import SURVIVORS

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "mutation.md"
COPIED = ("pocketgen", "templates", "tests", "pyproject.toml", "README.md")
# Of what has no test file to itself.
ORACLE_OF_C = ["tests/test_agreement.py::test_oracle_numpy_and_c_agree"]
ORACLE_OF_PYTHON = ["tests/test_bounds.py", "tests/test_agreement.py::test_oracle_and_numpy_agree"]
ARITHMETIC_FILES = "kernels/|intmath|bounds|store|templates/model"  # mutated unless asked
# What else is run, the cheapest first.
REST_OF_C = ("avr", "structure", "agreement")
REST_OF_PYTHON = ("bounds", "model", "structure", "agreement", "avr")
REST_OF_WHAT_JOINS = ("plan", "store", "net")  # besides, for all but
LOOKED_INTO = re.compile(r"/kernels/|/intmath|bounds|store")
REQUIRED = 0.95  # of the mutants that are programs, when there are at least
ENOUGH = 200
PATIENCE = 120.0  # seconds for a test file; without a fault it must take less than a third

# --- the rules ----------------------------------------------------------------------------------

Change = tuple[str, int, int, str]  # rule, start, end, new text
New = str | Callable[[re.Match[str]], str]

COMPARISONS: tuple[tuple[str, str, New], ...] = (
    ("< to <=", r"(?<=[^<\-]) < (?=[^<=])", " <= "),
    ("<= to <", r" <= ", " < "),
    ("> to >=", r"(?<=[^>\-]) > (?=[^>=])", " >= "),
    (">= to >", r" >= ", " > "),
    ("== to !=", r" == ", " != "),
    ("!= to ==", r" != ", " == "),
)
# `x < low ? low : x` is the same with `<=`, whatever x: no mutant.
SAME_AT_THE_LIMIT = re.compile(r"(\S+) [<>]=? (\S+)\s+\? (?:\2(?=[\s;)])|\1 : \2(?=[\s;)]))")
ARITHMETIC: tuple[tuple[str, str, New], ...] = (
    ("+ to -", r" \+ ", " - "),
    ("- to +", r" - ", " + "),
    ("no sum", r" \+= ", " = "),
    ("* to +", r" \* (?=[\w({])(?!const)", " + "),
    ("shift", r"(>>|<<) (\d+)", lambda m: f"{m[1]} {int(m[2]) - 1}"),
    ("constant + 1", r"(?<![\w.{%])(\d+)(?=(?:u|UL)?\b)(?!x)", lambda m: str(int(m[1]) + 1)),
    ("constant ^ 1", r"\b0x([0-9a-fA-F]+)", lambda m: f"0x{int(m[1], 16) ^ 1:0{len(m[1])}x}"),
)  # fmt: skip
TYPE = r"(?:u?int(?:8|16|32|64)_t|size_t|\{\{ [\w.]+\.(?:type|unsigned|wide) \}\})"
SIZE = r"\{\{ (k\.(?:limit|low|high|lr_inv|gradient_limit|divisor|target|offset|multiplier|block))"
CONDITION = r"(?:[^;{}|]|\|\||\{\{[^{}]*\}\})"
C_RULES: tuple[tuple[str, str, New], ...] = (
    *COMPARISONS,
    *ARITHMETIC,
    # Before a shift it tells the reader what the operand is anyway: no mutant.
    ("no cast", rf"\({TYPE}\)(?!\w+ >>)(?=[\w({{])", ""),
    ("loop start", r"(?<=for \()(\w+) = ([01]);", lambda m: f"{m[1]} = {1 - int(m[2])};"),
    ("loop end", r"(?<=; )(\w+) < ([^;]+);", r"\1 + 1 < \2;"),
    ("loop end", r"(?<=; )(\w+) < ([^;]+);", r"\1 < \2 + 1;"),
    ("limit + 1", rf"{SIZE} \}}\}}", r"({{ \1 }} + 1)"),
    ("limit - 1", rf"{SIZE} \}}\}}", r"({{ \1 }} - 1)"),
    ("sign", r"(?<=[ (])-(?=[\w{(])(?!>)", ""),
    ("index 0", r"at\(\"(\w)\"\)", r'at("0")'),
    ("index 0", r"(?<=\w)\[(\w+)\](?=[^;]*;)", "[0]"),
    ("wrong size", r"k\.fan_in ", "k.fan_out "),
    ("wrong size", r"k\.fan_out ", "k.fan_in "),
    ("no bias", r"\{\{ k\.b\.at\(\"o\"\) \}\}", "0"),
    ("rounding", r"\{\{ (k\.div_trunc_\w+) \}\}\(([^()]+), ([^()]+)\)", r"({{ \1 }}(\2, \3) + 1)"),
    ("rounding", r"return n / d;", "return n / d - (n % d != 0 && (n < 0) != (d < 0));"),
    ("rounding", r"return n / d;", "return (n + d / 2) / d;"),
    ("no check", rf"if \((?![01]\)){CONDITION}*?\) \{{(?=\n)", "if (0) {"),
    ("half a check", rf"(?<= \|\| ){CONDITION}+?(?=\) \{{\n|\s+\|\|)", "0"),
    ("swapped", r"\? (-?[\w.]+) : (-?[\w.]+)(?=[;)])", r"? \2 : \1"),
    ("not complemented", r" \^ 0xffffffffUL", ""),
    ("no statement", r"^( +)(?!return|const|typedef|\w+_t |int |volatile|extern)"
     r"[\w*](?:[^;{}%\n]|\{\{[^{}]*\}\})*;(?=\n| /\*)", r"\1;"),
    ("no statement", r"\{\{ (?:call\.text|line|plan\.forward_call) \}\}$", ";"),
    ("no not", r"!(?=\{\{)", ""),
)  # fmt: skip
PYTHON_RULES: tuple[tuple[str, str, New], ...] = (
    *COMPARISONS,
    *ARITHMETIC,
    ("constant - 1", r"(?<![\w.\"'])([1-9]\d*)(?![\w\"'x.])", lambda m: f"{int(m[1]) - 1}"),
    ("rounding", r"\bdiv_trunc\(([^()]+), ([^()]+)\)", r"(wide(\1) // (\2))"),
    ("rounding", r"\bdiv_trunc\(([^()]+), ([^()]+)\)", r"(div_trunc(\1, \2) + 1)"),
    ("wrong end", r"\.low\b", ".high"),
    ("wrong end", r"\.high\b", ".low"),
    ("wrong extreme", r"\bmin\(", "max("),
    ("wrong extreme", r"\bmax\(", "min("),
    ("not transposed", r"\.T\b", ""),
    ("one term", r"\.sum_of\([^()]*\)", ""),
    ("size 1", r'sizes\["(?:n|classes|batch|fan_in|fan_out)"\]', "1"),
    ("limit + 1", r'sizes\["(?:limit|low|high|gradient_limit|saturate)"\]', r"(\g<0> + 1)"),
    ("limit - 1", r'sizes\["(?:limit|low|high|gradient_limit|saturate)"\]', r"(\g<0> - 1)"),
    ("no clamp", r"(?<!def )\bclamp\(([^(),]+(?:\([^()]*\))?), [^()]*\)$", r"(\1)"),
    ("and to or", r" and ", " or "),
    ("or to and", r" or ", " and "),
    ("no not", r"\bnot (?!in\b)", ""),
    ("never", r"^( +)if (.+):$", r"\1if False and (\2):"),
    ("always", r"^( +)if (.+):$", r"\1if True or (\2):"),
    ("byte order", r'"little"', '"big"'),
    ("forwards", r"reversed\((list\(zip\(.*?\)\))\)", r"\1"),
    ("sign", r"(?<=[(\[ ,])-(?=[a-z\[])", ""),
)  # fmt: skip
WORDS_THAT_COUNT = re.compile(r'"(?:little|n|classes|batch|fan_in|fan_out|limit|low|high|saturate'
                              r'|gradient_limit)"$')  # fmt: skip
PYTHON_FILES = ("kernels/*.py", "rules/*.py", "layers/dense*.py", "bounds.py", "intmath.py",
                "lower.py", "store.py")  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: text[start:end] of a file replaced by new. before, after: its line(s)."""

    file: str
    rule: str
    start: int
    end: int
    new: str
    before: str
    after: str
    number: int  # among the file's mutants of equal lines, from 1

    @property
    def name(self) -> str:
        """Stays the same when other lines change."""
        text = "\n".join((self.file, self.before, self.after, str(self.number)))
        return f"{self.file}:{self.rule}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def why(self) -> str:
        """What mutation_survivors.py says of it, or nothing."""
        return SURVIVORS.get(self.name, ("", ""))[1]


def all_mutants(root: Path = ROOT) -> list[Mutant]:
    """Every mutant of the tree, in a fixed order."""
    files = sorted((root / "templates").rglob("*.c.j2"))
    files = [path for path in files if not path.name.startswith("prove")]  # no C that ships
    for pattern in PYTHON_FILES:
        found = sorted((root / "pocketgen").glob(pattern))
        files += [path for path in found if path.name != "__init__.py"]
    return [mutant for path in files for mutant in mutants_of(path, root)]


def mutants_of(path: Path, root: Path) -> Iterator[Mutant]:
    """The mutants of a file; two rules that make the same text make one mutant."""
    text, file = path.read_text("utf-8"), path.relative_to(root).as_posix()
    made = python_changes(text) if path.suffix == ".py" else c_changes(text)
    seen: set[str] = {text}
    count: Counter[tuple[str, str]] = Counter()
    for rule, start, end, new in sorted(made, key=lambda change: (change[1], change[0])):
        changed = text[:start] + new + text[end:]
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        before = " ".join(text[first:last].split())
        after = " ".join((text[first:start] + new + text[end:last]).split())
        strictness = "=" in rule and rule[:1] in "<>"
        if changed in seen or (strictness and SAME_AT_THE_LIMIT.search(before)):
            continue
        seen.add(changed)
        count[before, after] += 1
        yield Mutant(file, rule, start, end, new, before, after, count[before, after])


def c_changes(text: str) -> Iterator[Change]:
    """Changes of C inside templates, not of comments, template control and preprocessor lines."""
    hidden = [m.span() for m in re.finditer(r"/\*.*?\*/|\{%.*?%\}|^#.*?$", text, re.S | re.M)]
    return changes(text, C_RULES, hidden)


def python_changes(text: str) -> Iterator[Change]:
    """Changes of Python that computes, not of words, signatures and refusals."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.AST) -> tuple[int, int]:
        return (starts[node.lineno - 1] + node.col_offset,
                starts[node.end_lineno - 1] + node.end_col_offset)  # fmt: skip

    hidden = [m.span() for m in re.finditer(r"#[^\n]*", text)]
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)):
            hidden.append(span(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if not WORDS_THAT_COUNT.match(text[slice(*span(node))]):
                hidden.append(span(node))
        elif isinstance(node, ast.FunctionDef):
            hidden.append((starts[node.lineno - 1], starts[node.body[0].lineno - 1]))
        elif isinstance(node, ast.AnnAssign):
            hidden.append((span(node)[0], span(node.annotation)[1]))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Kernel":
            hidden.append(span(node))  # names and shapes: C or numpy would not even run
    yield from changes(text, PYTHON_RULES, hidden)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for node in droppable(function):
            yield ("no statement", *span(node), "pass")


def droppable(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """Statements without which the function still makes sense to Python."""
    known = {a.arg for a in function.args.args}
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in known:
                yield node
            known.add(node.targets[0].id)


def changes(
    text: str, rules: Iterable[tuple[str, str, New]], hidden: Sequence[tuple[int, int]]
) -> Iterator[Change]:
    """Every place where a rule applies outside what is hidden."""
    for rule, pattern, new in rules:
        for match in re.finditer(pattern, text, re.M):
            if not any(low < match.end() and match.start() < high for low, high in hidden):
                yield rule, *match.span(), new(match) if callable(new) else match.expand(new)


def chosen(mutants: Sequence[Mutant], count: int) -> list[Mutant]:
    """A fixed sample: every file has its turn before any has its second, then every rule."""
    order = sorted(mutants, key=lambda m: hashlib.sha256(m.name.encode()).digest())
    for group in (lambda m: (m.file, m.rule), lambda m: m.file):
        turns: Counter[object] = Counter()
        ranked = []
        for mutant in order:
            turns[group(mutant)] += 1
            ranked.append((turns[group(mutant)], mutant))
        order = [mutant for _, mutant in sorted(ranked, key=lambda turn: turn[0])]
    return order[: count or None]


# --- the tests, in copies of the project --------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """verdict: caught, refused or survived. by: what caught it. seconds: of wall time."""

    name: str
    verdict: str
    by: str
    detail: str
    seconds: float


class UnhealthyError(Exception):
    """The tests fail without a fault, or are too slow."""


def own_tests(file: str, root: Path) -> list[str]:
    """The test files of a template or module itself."""
    stem = Path(file).name.split(".")[0].removeprefix("model_")
    if "/intmath/" in file:  # in C: tested by the kernels that call it
        calls = re.compile(rf"k\.{'draw' if stem == 'mix' else stem}")
        users = sorted((root / "templates" / "kernels").glob("*.c.j2"))
        stems = [p.name[:-5] for p in users if calls.search(p.read_text("utf-8"))]
        return [f"tests/kernels/test_{stem}.py" for stem in stems]
    test = f"tests/kernels/test_{stem}.py" if "/kernels/" in file else f"tests/test_{stem}.py"
    if (root / test).exists():
        return [test]
    return ORACLE_OF_PYTHON if file.endswith(".py") else ORACLE_OF_C


def rounds_of(mutant: Mutant) -> list[list[str]]:
    """Its own tests, then the rest."""
    own = own_tests(mutant.file, ROOT)
    names = REST_OF_C if mutant.file.endswith(".c.j2") else REST_OF_PYTHON
    if not LOOKED_INTO.search(mutant.file):
        names += REST_OF_WHAT_JOINS
    rest = [test for name in names if (test := f"tests/test_{name}.py") not in own]
    return [tests for tests in (own, rest) if tests]


def outcomes(
    mutants: Sequence[Mutant],
    jobs: int,
    rounds: Callable[[Mutant], list[list[str]]] = rounds_of,
    patience: float = PATIENCE,
) -> Iterator[Outcome]:
    """Outcomes as they come, of as many workers as there are jobs."""
    base = Path(tempfile.mkdtemp(prefix="mutation-")).resolve()
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), Worker.start, (base,))
    try:
        waiting = [pool.submit(Worker.attempt, m, rounds(m), patience) for m in mutants]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(base, ignore_errors=True)


class Worker:
    """A process with a copy of the project, which has imported what is slow to import.

    Tests run in forks of it.
    """

    copy: Path

    @classmethod
    def start(cls, base: Path) -> None:
        for name in (
            "cffi",
            "click",
            "hypothesis.extra.numpy",
            "jinja2",
            "pytest",
            "rich.progress",
        ):
            importlib.import_module(name)
        cls.copy = base / str(os.getpid())
        cls.copy.mkdir()
        cc = cls.copy / "cc"  # a fault shows without optimization, sooner
        cc.write_text(f'#!/bin/sh\nexec {os.environ.get("CC") or "cc"} "$@" -O0\n')
        cc.chmod(0o755)
        for name in COPIED:
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(ROOT / name, cls.copy / name, ignore=ignore)
            else:
                shutil.copy(ROOT / name, cls.copy / name)

    @classmethod
    def attempt(cls, mutant: Mutant, rounds: list[list[str]], patience: float) -> Outcome:
        """Rounds of tests until one fails that passes without the fault."""
        started = time.monotonic()
        for tests in rounds:
            limit = patience * len(tests)
            with changed(cls.copy / mutant.file, mutant):
                status, said = cls.run(tests, limit)
            seconds = round(time.monotonic() - started, 1)
            if status is None and 3 * cls.healthy(tests) > limit:
                raise UnhealthyError(f"{limit:.0f} s are too few for {' '.join(tests)}")
            if status != 0:
                failed = re.findall(FAILED, said, re.M)
                cls.healthy(failed or tests)
                return Outcome(mutant.name, *judged(status, said), seconds)
        return Outcome(mutant.name, "survived", "", "", seconds)

    @classmethod
    def healthy(cls, tests: list[str]) -> float:
        """The seconds that tests take without a fault; they are run once, for all workers."""
        told = cls.copy.parent / hashlib.sha256(" ".join(tests).encode()).hexdigest()
        if not told.exists():
            started = time.monotonic()
            status, said = cls.run(tests, 3600)
            if status != 0:
                raise UnhealthyError(f"they fail without a fault: {judged(status, said)[1:]}")
            part = told.with_suffix(f".{os.getpid()}")
            part.write_text(str(time.monotonic() - started))
            part.replace(told)
        return float(told.read_text())

    @classmethod
    def run(cls, tests: Sequence[str], limit: float) -> tuple[int | None, str]:
        """Status and output of tests in the copy; the status is None after limit seconds."""
        scratch = cls.copy / "scratch"
        scratch.mkdir()
        process = os.fork()
        if not process:
            cls.in_the_fork(tests, scratch)
        deadline, ended = time.monotonic() + limit, 0
        while not ended and time.monotonic() < deadline:
            time.sleep(0.02)
            ended, status = os.waitpid(process, os.WNOHANG)
        if not ended:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
        said = (scratch / "output").read_text("utf-8", "replace")
        shutil.rmtree(scratch, ignore_errors=True)
        return os.waitstatus_to_exitcode(status) if ended else None, said

    @classmethod
    def in_the_fork(cls, tests: Sequence[str], scratch: Path) -> NoReturn:
        """pytest, and the end of the process."""
        status = 70
        try:
            os.setsid()
            output = os.open(scratch / "output", os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(cls.copy)
            sys.path.insert(0, str(cls.copy))
            os.environ |= {
                "PYTHONPATH": str(cls.copy),
                "POCKETGEN_CACHE": str(cls.copy.parent / "cache"),  # compiled models, by their text
                "POCKETGEN_REQUIRE_ALL": "1",
                "POCKETGEN_EXAMPLES": "10",
                "CC": str(cls.copy / "cc"),
                "TMPDIR": str(scratch),
            }
            import pytest

            status = pytest.main(
                ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist",
                 "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]
            )  # fmt: skip
        except BaseException:  # noqa: BLE001 - told in the output
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(status))


SECONDS = itertools.count(1)


@contextlib.contextmanager
def changed(path: Path, mutant: Mutant) -> Iterator[None]:
    """The file with the fault; afterwards as it was, its time included."""
    text, times = path.read_text("utf-8"), path.stat()
    path.write_text(text[: mutant.start] + mutant.new + text[mutant.end :], "utf-8")
    # Python takes compiled code for good if the source has the same size and second: none twice.
    second = next(SECONDS)
    os.utime(path, (second, second))
    try:
        yield
    finally:
        path.write_text(text, "utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


FAILED = r"^(?:FAILED|ERROR) (tests/[\w/]+\.py)"  # in pytest's summary
# What the compiler, jinja2 or Python says of text that is no program.
NO_PROGRAM = re.compile(
    r": (?:fatal )?error: (?!.*\[-W)|undefined reference|jinja2\.exceptions|SyntaxError|NameError"
    r"|too_long\("  # a line that the fault makes too long is no fault
)


def judged(status: int | None, said: str) -> tuple[str, str, str]:
    """Verdict, what caught it, and a line of the output of tests that did not pass."""
    tests = re.findall(FAILED, said, re.M)
    tests = tests or re.findall(r"tests/[\w/]+\.py", said) or ["?"]
    wrong = [line[2:].strip() for line in said.splitlines() if line.startswith("E  ")]
    detail = (wrong or said.splitlines() or [""])[0][:160]
    if status is None:
        return "caught", "a time limit", detail
    if status < 0:
        return "caught", "a crash", tests[0]
    if NO_PROGRAM.search(said):
        return "refused", tests[0], next(filter(NO_PROGRAM.search, said.splitlines()))[:160]
    if "[-W" in said:
        return (
            "caught",
            "a compiler's warning",
            next(line for line in said.splitlines() if "[-W" in line)[:160],
        )
    if "runtime error" in said:
        return (
            "caught",
            "UBSan",
            next(line for line in said.splitlines() if "runtime error" in line)[:160],
        )
    return "caught", tests[0], detail


# --- the command --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=220, help="how many mutants (0: all)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (2)")
    told = "mutants whose name holds this ('': of rules and lowering too)"
    parser.add_argument("--only", default=ARITHMETIC_FILES, metavar="PATTERN", help=told)
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--known", action="store_true", help="do not run explained survivors again")
    parser.add_argument("--partial", type=Path, help="a file of outcomes: go on from there")
    parser.add_argument("--json", action="store_true", help="JSON in place of lines")
    parser.add_argument("--write", action="store_true", help=f"renew {RESULT.name}")
    asked = parser.parse_args(arguments)
    every = [mutant for mutant in all_mutants() if re.search(asked.only, mutant.name)]
    mutants = chosen(every, asked.sample)
    if asked.list:
        for mutant in mutants:
            print(f"{mutant.name}\n    - {mutant.before}\n    + {mutant.after}")
        print(f"{len(mutants)} of {len(every)}", file=sys.stderr)
        return 0
    done: dict[str, Outcome] = {}
    if asked.partial and asked.partial.exists():
        for line in asked.partial.read_text("utf-8").splitlines():
            known = Outcome(**json.loads(line))
            done[known.name] = known
    if asked.known:
        done |= {m.name: Outcome(m.name, "survived", "", "", 0.0) for m in mutants if m.why}
    try:
        for outcome in outcomes([m for m in mutants if m.name not in done], asked.jobs):
            done[outcome.name] = outcome
            if asked.partial:
                with asked.partial.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
            print(f"{outcome.verdict:9}{outcome.seconds:6.1f} s  {outcome.name}  {outcome.by}: "
                  f"{outcome.detail[:90]}", file=sys.stderr, flush=True)  # fmt: skip
    except UnhealthyError as error:
        print(f"mutation.py: nothing can be told by the tests: {error}", file=sys.stderr)
        return 2
    text, counts = report(mutants, done, len(every))
    if asked.write:
        RESULT.write_text(text, "utf-8")
    if asked.json:
        print(json.dumps({**counts, "outcomes": [asdict(done[m.name]) for m in mutants]}, indent=1))
    else:
        print(" ".join(f"{name} {count}" for name, count in counts.items()))
    programs = counts["caught"] + counts["survived"]
    few = programs >= ENOUGH and counts["caught"] < REQUIRED * programs
    return 1 if few or counts["unexplained"] or counts["explained in vain"] else 0


def report(
    mutants: Sequence[Mutant], done: dict[str, Outcome], every: int
) -> tuple[str, dict[str, int]]:
    """What was caught, by what, and every survivor with its reason: as text, and its numbers."""
    of = {
        verdict: sorted(
            (m for m in mutants if done[m.name].verdict == verdict), key=lambda m: m.name
        )
        for verdict in ("caught", "survived", "refused")
    }
    caught, survived = len(of["caught"]), len(of["survived"])
    same = [m for m in of["survived"] if m.why.startswith("Same")]
    counts = {"mutants": len(mutants), **{name: len(some) for name, some in of.items()}}
    counts["unexplained"] = sum(not m.why for m in of["survived"])
    counts["explained in vain"] = sum(bool(m.why) for m in of["caught"])
    lines = [
        "# Mutation test of the generator",
        "",
        "One fault at a time in the C templates and in the Python that computes: do the tests",
        "notice? Made by `python benchmarks/mutation.py --write`, whose head describes the bench.",
        "",
        f"**{caught} of {caught + survived} caught: {100 * caught / (caught + survived):.1f} %.** "
        f"Of the {survived} survivors {len(same)} are the same program as before, and count as",
        "survivors nevertheless.",
        "",
        "| mutants | |",
        "|---|---|",
        f"| that the rules make | {every} |",
        f"| in the fixed sample: files in turn, rules of a file in turn | {len(mutants)} |",
        f"| not counted: no program (no C, or a name is missing) | {counts['refused']} |",
        f"| caught | {caught} |",
        f"| survived | {survived} |",
    ]

    def table(title: str, key: Callable[[Mutant], str]) -> None:
        lines.extend(["", f"| {title} | caught | survived | no program |", "|---|---|---|---|"])
        rows = Counter((key(m), verdict) for verdict, some in of.items() for m in some)
        for name in sorted({name for name, _ in rows}):
            numbers = (rows[name, verdict] for verdict in of)
            lines.append(f"| {name} | " + " | ".join(map(str, numbers)) + " |")

    lines += ["", "A test sees only what those before it let through.", ""]
    lines += ["| caught by | mutants |", "|---|---|"]
    by = Counter(
        done[m.name].by if "/kernels/" not in done[m.name].by else "tests/kernels/"
        for m in of["caught"]
    )
    lines += [f"| {name} | {count} |" for name, count in sorted(by.items(), key=lambda b: -b[1])]
    table("rule", lambda m: f"`{m.rule}`")
    table("file", lambda m: m.file)
    lines += ["", "## Survivors", "", *([] if survived else ["None."])]
    for m in of["survived"]:
        lines += [
            f"- {m.file}: {m.why or 'NOT EXPLAINED'}",
            "",
            "  ```diff",
            f"  - {m.before}",
            f"  + {m.after}",
            "  ```",
        ]
    return "\n".join(lines) + "\n", counts


if __name__ == "__main__":
    sys.exit(main())
