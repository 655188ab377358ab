"""Proof of the generated C by Frama-C's EVA, a sound static analyser: no undefined behaviour.

In: a Plan. Out: a frozen Proof: what was analysed, how, every alarm, every range that was shown.
Not here: the drivers' text (templates/prove*.c.j2) and ranges (plan/claims); docs/safety.md tells
what follows from a proof and what does not.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketgen.errors import ProverError
from pocketgen.plan import Plan
from pocketgen.render import render, render_proof

# int's width: Frama-C's model of a machine. x86_16 has AVR's integer types.
MACHINES = {32: "gcc_x86_32", 16: "x86_16"}
LARGEST_OBJECT_16 = 65535  # bytes: size_t has 16 bits there, as on AVR
# A larger struct can exist where int has 16 bits but sizes have 32: x86_16 with such sizes.
FLAT = "int16_flat"
SCRIPT = """(* A machine; and which statements are reached, one in a line. *)
open Cil_types

let () =
  File.new_machdep "int16_flat"
    { Machdeps.x86_16 with size_t = "unsigned long"; ptrdiff_t = "long" }

let text s = match s.skind with
  | Instr i -> Format.asprintf "%a" Printer.pp_instr i
  | If (e, _, _, _) -> Format.asprintf "if (%a)" Printer.pp_exp e
  | Return _ -> "return"
  | _ -> ""

let () = Db.Main.extend (fun () ->
  if Eva.Analysis.is_computed () then begin
    let table = open_out "statements.txt" in
    let note s =
      let start = fst (Cil_datatype.Stmt.loc s) in
      Printf.fprintf table "%b %s:%d: %S\\n" (Eva.Results.is_reachable s)
        (Filepath.Normalized.to_pretty_string start.Filepath.pos_path)
        start.Filepath.pos_lnum (text s) in
    Globals.Functions.iter (fun f -> match f.fundec with
      | Definition (d, _) -> List.iter note d.sallstmts
      | Declaration _ -> ());
    close_out table
  end)
"""
FLAT_HEADER = """#define __FC_MACHDEP_X86_16
#include "__fc_machdep.h"
#undef __SIZE_T
#define __SIZE_T unsigned long
#undef __FC_SIZE_MAX
#define __FC_SIZE_MAX __FC_ULONG_MAX
"""
OWN_FILES = {"pocketgen.ml": SCRIPT, f"{FLAT}.h": FLAT_HEADER}
FLAT_OPTION = f"-cpp-extra-args=-include {FLAT}.h"
# What C leaves undefined, EVA always reports. These report what C leaves to the compiler, too.
STRICT = (
    "-warn-signed-overflow",
    "-warn-signed-downcast",
    "-warn-left-shift-negative",
    "-warn-right-shift-negative",
    "-warn-invalid-pointer",
    "-warn-pointer-downcast",
)
# volatile keeps compilers from making a loop a call of memset. EVA would take what is written
# through it for unknown, so it is read without.
READING = "-cpp-extra-args=-Dvolatile="
# gauges: a sum grows by at most so much in each turn of its loop, so its bound follows from the
# number of turns. Widening at once saves time; it cannot lose an alarm.
PRECISION = (
    "-eva-precision",
    "0",
    "-eva-domains",
    "gauges",
    "-eva-widening-delay",
    "1",
    "-eva-widening-period",
    "1",
)
REMEDY = (
    "on Debian or Ubuntu: sudo apt install frama-c-base ocaml-findlib; elsewhere: "
    "https://frama-c.com/html/get-frama-c.html"
)
PROVEN = ("Valid", "Considered valid")  # the latter: what Frama-C's own functions promise
ASSUMPTIONS = (
    "the struct's values are within their ranges at the start, as init, load and every call leave "
    "them; per-sample rows and scratch, too",
    "x, labels or targets, and blob are as long as the header asks for; train_batch gets memory "
    "for all rows of a full batch, whatever n is",
    "accesses are checked against whole objects: one that leaves a member of the struct for its "
    "neighbour is seen where it breaks a range",
    "flash is read like RAM, as on any machine but AVR",
    "of loops that the C has twice, the one without SSE2 vectors is analysed, which "
    "microcontrollers run",
    "the self-test is analysed with init, forward, train_batch and digest replaced by any outcome; "
    "that its samples are filled completely is not shown here",
    "targets are all in range, all below or all above it; volatile, which only keeps compilers "
    "from calling memset, is left out for the analysis",
    "the release build: the counters of a debug build are not analysed",
    "Frama-C, the C compiler and the machine do what they promise",
)


@dataclass(frozen=True)
class Alarm:
    """Something that could not be excluded: where, what kind, and the condition in question."""

    file: str
    line: int
    function: str
    kind: str
    condition: str


@dataclass(frozen=True)
class Run:
    """One analysis. checks: of ranges and results, shown and asked for. problems: in words.

    functions, statements: of the C, reached and all; the copies of an unrolled loop count once.
    unreached: the others, as file, line and text: they cannot be executed, or the proof has a gap.
    """

    what: str
    int_bits: int
    machine: str
    command: str
    driver_sha256: str
    seconds: float
    functions: tuple[int, int]
    statements: tuple[int, int]
    unreached: tuple[str, ...]
    checks: tuple[int, int]
    alarms: tuple[Alarm, ...]
    problems: tuple[str, ...]

    @property
    def proven(self) -> bool:
        """Whether nothing at all is left open."""
        return not self.alarms and not self.problems


@dataclass(frozen=True)
class Proof:
    """A certificate: the analysed files by digest, the ranges shown, and how."""

    model: str
    digest: str
    pocketgen: str
    frama_c: str
    ranges: Mapping[str, tuple[int, int]]
    files: Mapping[str, str]
    assumptions: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def proven(self) -> bool:
        """Whether every run is."""
        return bool(self.runs) and all(run.proven for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """The certificate as plain values."""
        runs = [{"proven": run.proven, **asdict(run)} for run in self.runs]
        return {"proven": self.proven, **asdict(self), "runs": runs}


def prove(
    plan: Plan, int_bits: Sequence[int] = (32, 16), files: Mapping[str, str] | None = None
) -> Proof:
    """Analyse the C of a plan, once for each width of int.

    files: the C to analyse in place of the plan's own rendering. Raises ProverError where Frama-C
    is missing or does not start, or where no width of int is left; whatever Frama-C finds or fails
    to show is in the Proof.
    """
    tool = shutil.which("frama-c")
    if tool is None:
        raise ProverError(f"frama-c is not installed: {REMEDY}")
    if shutil.which("ocamlfind") is None:
        raise ProverError(f"ocamlfind, which Frama-C needs here, is not installed: {REMEDY}")
    version = subprocess.run([tool, "-version"], capture_output=True, text=True, check=False)
    if version.returncode != 0:
        raise ProverError(f"frama-c -version fails with status {version.returncode}: {REMEDY}")
    given = {
        name: text
        for name, text in (files or render(plan)).items()
        if name.endswith((".h", ".c")) and "/" not in name
    }
    with tempfile.TemporaryDirectory(prefix="pocketgen_prove_") as scratch:
        jobs = [
            Job(plan, Path(scratch) / f"{what}{bits}", tool, given, what, driver, bits)
            for bits in int_bits
            for what, driver in render_proof(plan).items()
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = tuple(pool.map(analyse, jobs))
    return Proof(
        model=plan.prefix,
        digest=plan.digest,
        pocketgen=plan.version,
        frama_c=version.stdout.strip(),
        ranges={claim.name: (claim.low, claim.high) for claim in (*plan.claims, plan.output_claim)},
        files={name: sha256(text) for name, text in given.items()},
        assumptions=ASSUMPTIONS,
        runs=runs,
    )


def machine_of(plan: Plan, int_bits: int) -> str:
    """Frama-C's model of a machine: one that can hold the struct."""
    large = int_bits == 16 and plan.ram_bytes > LARGEST_OBJECT_16
    return FLAT if large else MACHINES[int_bits]


@dataclass(frozen=True)
class Job:
    """What one run of the analyser is given."""

    plan: Plan
    folder: Path
    tool: str
    files: Mapping[str, str]
    what: str
    driver: str
    int_bits: int

    @property
    def sources(self) -> list[str]:
        """The C files of this run, the driver first."""
        selftest = f"{self.plan.prefix}_selftest.c"
        kept = [selftest] if self.what == "selftest" else [n for n in self.files if n != selftest]
        return [f"prove_{self.what}.c", *(name for name in kept if name.endswith(".c"))]

    @property
    def command(self) -> list[str]:
        """Frama-C's arguments."""
        name = machine_of(self.plan, self.int_bits)
        machine = ("-load-script", "pocketgen.ml", "-machdep", name)
        flat = (FLAT_OPTION,) if name == FLAT else ()
        main = ("-main", "pocketgen_prove")
        table = ("-then", "-report-csv", "properties.csv")
        # the path without vectors: what microcontrollers run
        portable = f"-cpp-extra-args=-D{self.plan.prefix.upper()}_PORTABLE"
        return [
            *machine,
            *flat,
            READING,
            portable,
            *STRICT,
            "-eva",
            *PRECISION,
            *main,
            *self.sources,
            *table,
        ]


def analyse(job: Job) -> Run:
    """Run Frama-C and read what it says, trusting nothing that is not said in full."""
    job.folder.mkdir()
    driver = f"prove_{job.what}.c"
    for name, text in {**job.files, driver: job.driver, **OWN_FILES}.items():
        (job.folder / name).write_text(text, "utf-8")
    started = time.perf_counter()
    done = subprocess.run(
        [job.tool, *job.command],
        cwd=job.folder,
        env={**os.environ, "PWD": str(job.folder)},  # which Frama-C believes rather than the cwd
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.perf_counter() - started
    table = job.folder / "properties.csv"
    rows = read_table(table.read_text("utf-8", "replace")) if table.is_file() else []
    asked = job.driver.count("/*@ check ")
    shown = sum(row.kind == "user check" and row.file == driver for row in rows if row.valid)
    functions = numbers(r"(\d+) functions? analyzed \(out of (\d+)\)", done.stdout)
    list_of_all = job.folder / "statements.txt"
    said = list_of_all.read_text("utf-8", "replace") if list_of_all.is_file() else ""
    statements = read_statements(said, job.files)
    unreached = tuple(place for place, reached in statements.items() if not reached)
    alarms = tuple(row.alarm for row in rows if not row.valid)
    return Run(
        what=job.what,
        int_bits=job.int_bits,
        machine=machine_of(job.plan, job.int_bits),
        command=" ".join(["frama-c", *job.command]),
        driver_sha256=sha256(job.driver),
        seconds=round(seconds, 2),
        functions=functions,
        statements=(len(statements) - len(unreached), len(statements)),
        unreached=unreached,
        checks=(shown, asked),
        alarms=alarms,
        problems=tuple(
            problems(done, functions, len(statements), (shown, asked), len(rows), len(alarms))
        ),
    )


def problems(
    done: subprocess.CompletedProcess[str],
    functions: tuple[int, int],
    statements: int,
    checks: tuple[int, int],
    properties: int,
    alarms: int,
) -> list[str]:
    """Why a run proves nothing even where it lists no alarm."""
    found = []
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = next((x for x in lines if "error" in x.lower()), lines[-1] if lines else "")
        found.append(f"Frama-C ends with status {done.returncode}: {said.strip()}")
    counted = re.search(r"(\d+) alarms? generated by the analysis", done.stdout)
    if properties == 0 or counted is None:
        found.append("the analysis has not come to its end")
    elif int(counted[1]) > alarms:
        found.append(f"Frama-C counts {counted[1]} alarms, but lists {alarms}")
    if not quiet(done.stdout):
        found.append("Frama-C warns of its own analysis")
    if "NON TERMINATING" in done.stdout:
        found.append("a function is found never to return, so what follows it is not analysed")
    if functions[0] != functions[1] or functions[1] == 0:
        found.append(f"{functions[0]} of {functions[1]} functions are reached")
    if statements == 0:
        found.append("no statement is counted")
    if checks[0] != checks[1] or checks[1] == 0:
        found.append(f"{checks[0]} of {checks[1]} checks are shown")
    return found


def quiet(said: str) -> bool:
    """Whether Frama-C warns of nothing in its own work but of its missing macro for FLAT."""
    if "No errors or warnings raised during the analysis." in said:
        return True
    return (
        said.count("Warning: machdep int16_flat has no registered macro") == 1
        and re.search(r"by the Eva analyzer:\s+0 errors\s+0 warnings", said) is not None
        and re.search(r"by the Frama-C kernel:\s+0 errors\s+1 warning\b", said) is not None
    )


@dataclass(frozen=True)
class Row:
    """One property in Frama-C's table."""

    file: str
    line: int
    function: str
    kind: str
    status: str
    condition: str

    @property
    def valid(self) -> bool:
        """Whether it is shown."""
        return self.status in PROVEN

    @property
    def alarm(self) -> Alarm:
        """The property as what could not be shown."""
        return Alarm(self.file, self.line, self.function, self.kind, self.condition)


def read_table(text: str) -> list[Row]:
    """The properties of the C and its driver; those of Frama-C's own library are its own."""
    rows = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [
        Row(file, int(line), function, kind, status, condition)
        for folder, file, line, function, kind, status, condition in list(rows)[1:]
        if not folder.startswith("FRAMAC_SHARE")
    ]


def read_statements(text: str, files: Mapping[str, str]) -> dict[str, bool]:
    """Every statement of the C by its place and text, and whether any copy of it is reached.

    Frama-C numbers variables and those of copies: x_0, x_unroll_1. Jumps and blocks have no text:
    what they lead to has.
    """
    reached: dict[str, bool] = {}
    for word, file, line, quoted in re.findall(r'^(\w+) (.+):(\d+): "(.*)"$', text, re.MULTILINE):
        if file in files and quoted.strip(";"):
            plain = re.sub(r"(_\d+)?_unroll_\d+\b|_\d+\b", "", quoted)
            plain = re.sub(r"(\\n| )+", " ", plain).replace(", ", ",")
            place = f"{file}:{line}: {plain}"
            reached[place] = reached.get(place, False) or word == "true"
    return reached


def numbers(pattern: str, text: str) -> tuple[int, int]:
    """The two numbers of a pattern; (0, 0) where it is not there."""
    found = re.search(pattern, text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def sha256(text: str) -> str:
    """The digest of a file's text."""
    return hashlib.sha256(text.encode()).hexdigest()
