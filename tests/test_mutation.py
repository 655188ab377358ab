"""The mutation test tests: its mutants, its verdicts, its recorded result, and a fixed sample."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import compiler, repository_root

benchmarks = repository_root / "benchmarks"
sys.path.insert(0, str(benchmarks))  # as if run from there

import mutation  # noqa: E402
from mutation_survivors import SURVIVORS  # noqa: E402

FILL_ZERO = "templates/kernels/fill_zero.c.j2"


# --- mutants ------------------------------------------------------------------------------------


def lines_after(folder: Path, name: str, text: str) -> set[str]:
    path = folder / name
    path.write_text(text, "utf-8")
    return {f"{m.rule}: {m.after}" for m in mutation.mutants_of(path, folder)}


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("    return n / d;", {"rounding: return (n + d / 2) / d;"}),
        ("    x = (int32_t)a * b;", {"no cast: x = a * b;", "* to +: x = (int32_t)a + b;"}),
        ("    return x > {{ k.limit }};", {"limit + 1: return x > ({{ k.limit }} + 1);",
                                           "limit - 1: return x > ({{ k.limit }} - 1);",
                                           "> to >=: return x >= {{ k.limit }};"}),
        ("    for (i = 0; i < n; i++) {", {"loop start: for (i = 1; i < n; i++) {",
                                           "loop end: for (i = 0; i + 1 < n; i++) {",
                                           "< to <=: for (i = 0; i <= n; i++) {"}),
        ('    sum = {{ k.b.at("o") }};', {"no bias: sum = 0;", "no statement: ;"}),
        ("    y = x[i];", {"index 0: y = x[0];"}),
        ("    if (crc != crc_of(blob)) {\n", {"no check: if (0) {"}),
        ("    crc = word >> 16;", {"shift: crc = word >> 15;"}),
        ("    return x < low ? high : x;", {"swapped: return x < low ? x : high;"}),
    ],
)  # fmt: skip
def test_faults_in_c(tmp_path: Path, source: str, faults: set[str]) -> None:
    assert faults <= lines_after(tmp_path, "k.c.j2", source + "\n")


def test_what_is_no_fault_in_c(tmp_path: Path) -> None:
    """Comments, template control, and `<=` where both sides of the limit give the limit."""
    assert not lines_after(
        tmp_path, "k.c.j2", "/* a + b < c */\n{% if a < b %}\n#define A (1 + 2)\n"
    )
    made = lines_after(tmp_path, "k.c.j2", "    return x < low ? low : (x > high ? high : x);\n")
    assert made
    assert not any(fault.startswith(("< to", "> to")) for fault in made)


def test_faults_in_python(tmp_path: Path) -> None:
    source = '''
def run(x, sizes):
    """x + 1"""
    total = x * 2  # x + 2
    total = total + clamp(x, -sizes["limit"], sizes["limit"])
    if total > 3:
        raise ValueError(f"{x + 1} > 3")
    return div_trunc(total, 4)
'''
    made = lines_after(tmp_path, "k.py", source)
    assert {
        "* to +: total = x + 2 # x + 2",
        "no statement: pass",
        "never: if False and (total > 3):",
        "> to >=: if total >= 3:",
        "rounding: return (wide(total) // (4))",
        'limit + 1: total = total + clamp(x, -(sizes["limit"] + 1), sizes["limit"])',
    } <= made
    assert not any("raise" in fault or "def" in fault or '"""' in fault for fault in made)


def test_a_mutant_keeps_its_name_when_other_lines_change(tmp_path: Path) -> None:
    path = tmp_path / "k.c.j2"
    path.write_text("    y = a + b;\n    y = a + b;\n", "utf-8")
    names = [m.name for m in mutation.mutants_of(path, tmp_path)]
    assert len(set(names)) == len(names)
    path.write_text("/* sums */\n\n    y = a + b;\n    y = a + b;\n", "utf-8")
    assert [m.name for m in mutation.mutants_of(path, tmp_path)] == names


def test_the_sample_takes_every_file_in_turn() -> None:
    every = mutation.all_mutants()
    files = {m.file for m in every}
    assert {m.file for m in mutation.chosen(every, len(files))} == files
    assert mutation.chosen(every, 20) == mutation.chosen(list(reversed(every)), 20)
    assert len(mutation.chosen(every, 0)) == len(every)


# --- verdicts -----------------------------------------------------------------------------------


def verdict(before: str, after: str, **patience: float) -> mutation.Outcome:
    """Of one more fault in fill_zero.c.j2, by its own test alone."""
    text = (repository_root / FILL_ZERO).read_text("utf-8")
    start = text.index(before)
    fault = mutation.Mutant(FILL_ZERO, "", start, start + len(before), after, before, after, 1)
    own = ["tests/kernels/test_fill_zero.py"]
    (outcome,) = mutation.outcomes([fault], 1, lambda m: [own], **patience)
    assert (repository_root / FILL_ZERO).read_text("utf-8") == text
    return outcome


def test_a_harmless_change_survives() -> None:
    assert verdict("else a compiler", "or a compiler").verdict == "survived"


def test_a_fault_is_caught() -> None:
    outcome = verdict("= 0; /*", "= 1; /*")
    assert (outcome.verdict, outcome.by) == ("caught", "tests/kernels/test_fill_zero.py")


def test_an_endless_loop_is_caught() -> None:
    outcome = verdict("i++", "i += 0", patience=20.0)
    assert (outcome.verdict, outcome.by) == ("caught", "a time limit")


def test_no_program_is_refused() -> None:
    assert verdict("uint32_t i;", "").verdict == "refused"


def test_tests_that_fail_without_a_fault_are_told() -> None:
    fault = mutation.Mutant(FILL_ZERO, "", 0, 0, "", "", "", 1)
    with pytest.raises(mutation.UnhealthyError):
        list(mutation.outcomes([fault], 1, lambda m: [["tests/kernels/test_none.py"]]))


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (1, "E   k.c:1:2: error: unused 'i' [-Werror=unused-variable]", "a compiler's warning"),
        (1, "k.c:7:9: runtime error: signed integer overflow", "UBSan"),
        (-11, "Fatal Python error: Segmentation fault", "a crash"),
        (None, "", "a time limit"),
        (1, "FAILED tests/test_store.py::test_x - assert", "tests/test_store.py"),
    ],
)
def test_what_caught_it(status: int | None, said: str, expected: str) -> None:
    assert mutation.judged(status, said)[:2] == ("caught", expected)


@pytest.mark.parametrize(
    "said",
    [
        "E   k.c:1:2: error: expected ';' before 'x'",
        "E   jinja2.exceptions.UndefinedError: no k.limits",
        "E   NameError: name 'total' is not defined",
    ],
)
def test_what_is_no_program(said: str) -> None:
    assert mutation.judged(1, said)[0] == "refused"


# --- results ------------------------------------------------------------------------------------


def test_what_is_explained_is_still_a_mutant() -> None:
    lines = {m.name: m.after for m in mutation.all_mutants()}
    for name, (after, why) in SURVIVORS.items():
        assert lines.get(name) == after, f"{name}: no such mutant any more"
        assert why.startswith(("Same: ", "Missed: "))


def test_the_recorded_result() -> None:
    """At least 200 mutants and 95 % of them caught, every survivor explained."""
    text = mutation.RESULT.read_text("utf-8")
    found = re.search(r"\*\*(\d+) of (\d+) caught", text)
    assert found
    caught, programs = int(found[1]), int(found[2])
    assert programs >= mutation.ENOUGH
    assert caught >= mutation.REQUIRED * programs
    assert text.count("```diff") == programs - caught
    assert "NOT EXPLAINED" not in text


def test_a_fixed_sample() -> None:
    """Mutants of kernels, in C and in Python, and of what reads and writes blobs."""
    for tool in ("gcc", "avr-gcc", "simavr"):
        compiler(tool)
    done = subprocess.run(
        [sys.executable, benchmarks / "mutation.py", "--known", "--sample", "24",
         "--only", "kernels/|model_store", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["mutants"] == 24
    assert counts["caught"] >= 20
