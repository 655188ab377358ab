"""pocketgen prove: the shipped C is proven, and whatever is wrong with it is seen."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import pocketgen as pg
from pocketgen import prove as prove_module
from pocketgen.bounds import bounds
from pocketgen.cli import main
from pocketgen.errors import ProverError
from pocketgen.examples import EXAMPLES
from pocketgen.lower import lower
from pocketgen.plan import Plan, plan
from pocketgen.prove import ASSUMPTIONS, Proof, prove, sha256
from pocketgen.render import render, render_proof
from pocketgen.selftest import vectors
from small_models import LIBRARIES, MODELS, Library, some_weights
from support import compiler

WIDTHS = (32, 16)
LIMIT_CPU_SECONDS = 60.0  # for MNIST; 15 to 19 s were measured
# What cannot be executed in any example, and why. The names are those of a line's file.
UNREACHED = (
    r"train.c:\d+: width = \d+u - first;",  # a last piece of a row is as long as the others
    r".c:\d+: tmp = (32u|\d+u - first);",  # dropout: all words of a row are full, or there is one
    r"store.c:\d+: \*\(value \+ i\) = limit;",  # no int16 is above the limit of 16 bits
    r".c:\d+: tmp = (low|high);",  # a clamp where nothing can leave the range at this end
)
BATCH_OF_ONE = (  # further samples, and further random words for them
    r"train.c:\d+: (error|input|sample|o) = .*",
    r"train.c:\d+: if \((input == .*|o < width)\)",
    r"train.c:\d+: (o \+\+|gradient\[o\] \+= .*);",
)
ONE_OUTPUT = (  # further outputs
    r"train.c:\d+: (int32_t const error|o) = .*",
    r"train.c:\d+: (c \+\+|o \+\+|R \+= 16u|\*\(s \+ o\) = .*);",
    r"train.c:\d+: if \(o < 16u\)",
    r"sine.c:\d+: (if \(.*a2.*\)|best = c;|c = .*)",
)
ONLY_HERE = {"sensor": BATCH_OF_ONE, "sine": ONE_OUTPUT}


def plan_of(model: pg.Model) -> Plan:
    program = bounds(lower(model))
    return plan(program, vectors(program), pg.__version__)


@pytest.fixture(autouse=True)
def frama_c() -> None:
    compiler("frama-c")


def left_open(proof: Proof) -> list[object]:
    return [item for run in proof.runs for item in (*run.alarms, *run.problems)]


@pytest.mark.slow
@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_proven(name: str, bits: int) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    proof = prove(plan_of(EXAMPLES[name].model), (bits,))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert left_open(proof) == []
    assert proof.proven
    assert [(run.what, run.int_bits) for run in proof.runs] == [("api", bits), ("selftest", bits)]
    expected = (*UNREACHED, *ONLY_HERE.get(name, ()))
    unreached = [place for run in proof.runs for place in run.unreached]
    assert [x for x in unreached if not any(re.search(f"{e}$", x) for e in expected)] == []
    if name == "mnist":
        assert after.ru_utime - before.ru_utime < LIMIT_CPU_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_small_models_are_proven(name: str) -> None:
    """Every rule, activation and scaling; own and given weights; flash; sums of 64 bits.

    Given weights differ from own ones in init alone, so each model is seen with both widths.
    """
    bits = 32 if LIBRARIES[name].start == "given" else 16
    assert left_open(prove(LIBRARIES[name].plan(), (bits,))) == []


@pytest.mark.slow
def test_mnist_for_inference_alone_is_proven() -> None:
    library = Library(EXAMPLES["mnist"].model, "inference only", largest=127)
    assert left_open(prove(library.plan(), (16,))) == []


# --- what is wrong is seen ----------------------------------------------------------------------


XOR = EXAMPLES["xor"].model


def changed(file: str, old: str, new: str, count: int = 1, model: pg.Model = XOR) -> dict[str, str]:
    """The files of the XOR example, or of another model, with a change in one."""
    files = render(plan_of(model))
    assert old in files[file], f"nothing to change: {old!r}"
    return {**files, file: files[file].replace(old, new, count)}


SIZE_CHECK = """    if (size < xor_net_payload_at) {
        return XOR_NET_ERR_SIZE;
    }
"""
# Frama-C tells static functions of the same name apart by _0: the one in the training file.
# What is changed, for which width, and the kind of alarm and the function where it must be seen.
HOSTILE = {
    "a clamp too loose": (
        ("xor_net_train.c", "(moved, -32767, 32767)", "(moved, -32768, 32767)"),
        32,
        ("user check", "end"),
    ),
    "load without its size check": (
        ("xor_net_store.c", SIZE_CHECK, ""),
        32,
        ("mem_access", "xor_net_load"),
    ),
    "load takes over what is out of range": (
        ("xor_net_store.c", "(read < -limit ? (int16_t)-limit : read)", "read"),
        32,
        ("user check", "end"),
    ),
    "any number of samples": (
        ("xor_net_train.c", "n == 0u || n > XOR_NET_BATCH", "n == 0u"),
        32,
        ("mem_access", "xor_net_train_batch"),
    ),
    "one label too many": (
        (
            "xor_net_train.c",
            "for (i = 0; i < n; i++) {\n        if",
            "for (i = 0; i <= n; i++) {\n        if",
        ),
        32,
        ("mem_access", "xor_net_train_batch"),
    ),
    "a slope of 0": (
        ("xor_net.c", "? 2\n                                              : 1);", "? 2\n : 0);"),
        16,
        ("division_by_zero", "xor_net_div_trunc_i32_0"),
    ),
    "a sum that starts from nothing": (
        ("xor_net_train.c", "gradient = 0;", "gradient;"),
        16,
        ("initialization", "xor_net_dense_update_bias_2"),
    ),
    "a learning rate's shift beyond the type": (
        ("xor_net_store.c", "net->lr_shift = payload[0];", "net->lr_shift = 16;"),
        16,
        ("user check", "end"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_change_is_seen(name: str) -> None:
    change, bits, where = HOSTILE[name]
    proof = prove(plan_of(XOR), (bits,), changed(*change))
    assert not proof.proven
    api, selftest = proof.runs
    assert where in {(alarm.kind, alarm.function) for alarm in api.alarms}
    assert selftest.proven


SOFTMAX = MODELS["raw"]
# The rule of the image sets: dropout, rounding and scaling aside, all that is its own.
HOSTILE_SOFTMAX = {
    "a distance beyond the table": (
        ("distance = raw_clamp_i32(distance, 0, 255);", ""),
        ("mem_access", "raw_error_softmax_3"),
    ),
    "a probability above 1": (
        ("p = raw_clamp_i32(p, 0, 256);", "p = raw_clamp_i32(p, 0, 257);"),
        ("user check", "end"),
    ),
    "a weight beyond its limit": (
        ("(moved, -32512, 32512)", "(moved, -32512, 32513)"),
        ("user check", "end"),
    ),
    "an exponential of 0 at a distance of 0": (
        ("    32767, ", "    0, "),
        ("division_by_zero", "raw_div_trunc_i32_0"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE_SOFTMAX)
def test_a_hostile_change_of_the_cross_entropy_rule_is_seen(name: str) -> None:
    (old, new), where = HOSTILE_SOFTMAX[name]
    files = changed("raw_train.c", old, new, count=-1, model=SOFTMAX)
    api, selftest = prove(plan_of(SOFTMAX), (16,), files).runs
    assert where in {(alarm.kind, alarm.function) for alarm in api.alarms}
    assert selftest.proven


def test_a_product_of_16_bits_is_seen_where_int_has_16() -> None:
    """AVR's case: a widening cast that a machine of 32 bits does not miss."""
    files = changed("xor_net.c", "(int32_t)x[i] * row[i]", "x[i] * row[i]")
    wide, narrow = prove(plan_of(XOR), (32,), files), prove(plan_of(XOR), (16,), files)
    assert wide.proven
    assert not narrow.proven
    assert {(a.kind, a.file) for a in narrow.runs[0].alarms} == {("signed_overflow", "xor_net.c")}


def test_a_function_that_never_returns_proves_nothing() -> None:
    """The analysis ends there: nothing that follows can raise an alarm, and that must not count."""
    files = changed(
        "xor_net.c", "    uint16_t best = 0;\n", "    uint16_t best = 0;\n\n    for (;;) {\n    }\n"
    )
    run = prove(plan_of(XOR), (32,), files).runs[0]
    assert not run.proven
    assert [(a.kind, a.condition) for a in run.alarms] == [("user check", "best < 2u")]
    assert any("never to return" in problem for problem in run.problems)
    assert any("checks are shown" in problem for problem in run.problems)


def test_dead_code_in_a_function_of_its_own_is_seen() -> None:
    extra = "int xor_net_more(int n);\nint xor_net_more(int n)\n{\n    return n;\n}\n"
    old = "int xor_net_load("
    run = prove(plan_of(XOR), (32,), changed("xor_net_store.c", old, extra + old)).runs[0]
    assert not run.proven
    assert len(run.problems) == 1
    assert re.fullmatch(r"(\d+) of (\d+) functions are reached", run.problems[0])


def test_dead_code_in_a_function_that_is_reached_is_named() -> None:
    new = f"    if (blob == NULL && size == 7u) {{\n        size = 8u;\n    }}\n{SIZE_CHECK}"
    run = prove(plan_of(XOR), (32,), changed("xor_net_store.c", SIZE_CHECK, new)).runs[0]
    named = [x.split(": ", 1)[1] for x in run.unreached if x.startswith("xor_net_store.c:")]
    assert {"size = 8u;", "*(value + i) = limit;"} <= set(named)
    assert run.statements[0] + len(run.unreached) == run.statements[1]


def test_c_that_does_not_compile_proves_nothing() -> None:
    proof = prove(plan_of(XOR), (32,), changed("xor_net.h", "#define XOR_NET_OK 0", ""))
    assert not proof.proven
    assert "Frama-C ends with status 1" in proof.runs[0].problems[0]


def tight(low: int, high: int) -> Callable[[Plan], dict[str, str]]:
    """Drivers that claim every range smaller at one of its ends."""

    def drivers(made: Plan) -> dict[str, str]:
        text = render_proof(made)["api"]
        for c in made.claims:
            claimed = (
                f"({c.low} .. {c.high})" if c.count else f"{c.low} <= net.{c.name} <= {c.high}"
            )
            ends = c.low + low, c.high - high
            tighter = (
                f"({ends[0]} .. {ends[1]})"
                if c.count
                else f"{ends[0]} <= net.{c.name} <= {ends[1]}"
            )
            line = next(x for x in text.splitlines() if f"check {c.name}:" in x)
            assert claimed in line
            text = text.replace(line, line.replace(claimed, tighter))
        return {"api": text}

    return drivers


@pytest.mark.parametrize("ends", [(1, 0), (0, 1)], ids=["low", "high"])
def test_ranges_claimed_too_tight_are_not_shown(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks are at work: no single one of them can be made smaller by one."""
    made = plan_of(XOR)
    monkeypatch.setattr(prove_module, "render_proof", tight(*ends))
    (run,) = prove(made, (32,)).runs
    assert not run.proven
    assert {alarm.kind for alarm in run.alarms} == {"user check"}
    assert len(run.alarms) == len(made.claims)


# --- the tool itself ------------------------------------------------------------------------------


def fake(folder: Path, body: str) -> str:
    """A PATH with a frama-c that only tells its version, and then does as body says."""
    script = folder / "frama-c"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo 25.0; exit 0; fi\n{body}\n', "utf-8"
    )
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


SUMMARY = """echo '[eva:summary] ====== ANALYSIS SUMMARY ======'
echo '  50 functions analyzed (out of 50): 100% coverage.'
echo '  No errors or warnings raised during the analysis.'
echo '  0 alarms generated by the analysis.'"""
HEAD = "printf 'directory\\tfile\\tline\\tfunction\\tproperty kind\\tstatus\\tproperty\\n'"
FAILURES = {
    "says nothing": "exit 0",
    "is killed": f"{SUMMARY}\nkill -9 $$",
    "fails": f"{SUMMARY}\nexit 1",
    "writes no table": SUMMARY,
    "writes an empty table": f"{HEAD} > properties.csv\n{SUMMARY}",
    "has shown too little": (
        f"{HEAD} > properties.csv\n"
        "printf '.\\tprove_api.c\\t9\\tend\\tuser check\\tValid\\tx\\n' >> properties.csv\n"
        f"{SUMMARY}"
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_tool_that_fails_proves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", fake(tmp_path, FAILURES[name]))
    proof = prove(plan_of(XOR))
    assert not proof.proven
    assert not any(run.proven for run in proof.runs)


def test_a_proof_without_a_run_proves_nothing() -> None:
    proof = Proof("m", "d", "0", "25", {}, {}, ASSUMPTIONS, ())
    assert not proof.proven


# --- the certificate and the command ------------------------------------------------------------


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["prove", *words])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_proves_and_writes_a_certificate(tmp_path: Path) -> None:
    target = tmp_path / "proof.json"
    code, out, _ = invoke("xor", "--certificate", str(target))
    assert code == 0
    assert "xor_net: proven for int of 32 and 16 bits" in out
    told = json.loads(target.read_text("utf-8"))
    assert told["proven"] is True
    made = plan_of(XOR)
    files = {n: text for n, text in render(made).items() if n.startswith("xor_net")}
    assert told["files"] == {name: sha256(text) for name, text in files.items()}
    assert told["ranges"]["W1"] == [-32767, 32767]
    assert told["frama_c"].startswith("25")
    assert told["assumptions"] == list(ASSUMPTIONS)
    for run in told["runs"]:
        assert "-warn-signed-downcast" in run["command"]
        assert run["checks"][0] == run["checks"][1] > 0
        assert run["functions"][0] == run["functions"][1] > 0


def test_json_and_an_analysis_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", fake(tmp_path, "echo 'User Error: none of this'; exit 4"))
    code, out, _ = invoke("xor", "--json", "--int", "32")
    assert code == 1
    told = json.loads(out)
    assert told["proven"] is False
    problem = "Frama-C ends with status 4: User Error: none of this"
    assert [run["problems"][0] for run in told["runs"]] == [problem, problem]
    code, out, _ = invoke("xor", "--int", "32")
    assert code == 1
    assert "xor_net: NOT proven" in out
    assert problem in out


def test_alarms_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    files = changed("xor_net_store.c", SIZE_CHECK, "")
    monkeypatch.setattr(prove_module, "render", lambda made: files)
    code, out, _ = invoke("xor", "--int", "32")
    assert code == 1
    assert re.search(r"xor_net_store\.c:\d+: mem_access in xor_net_load: \\valid_read", out)


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("xor", "--inference-only")[0] == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = invoke("xor")
    assert code == 2
    assert "sudo apt install frama-c-base" in err
    with pytest.raises(ProverError):
        prove(plan_of(XOR))
    fake(tmp_path, "exit 0")
    code, _, err = invoke("xor")
    assert code == 2
    assert "ocamlfind" in err
    assert "sudo apt install frama-c-base ocaml-findlib" in err


def test_trained_weights_in_flash(tmp_path: Path) -> None:
    net = pg.build(XOR, engine="numpy")
    net.set_weights(some_weights(XOR))
    net.save(tmp_path / "w.pkt")
    code, out, _ = invoke("xor", "--weights", str(tmp_path / "w.pkt"), "--inference-only")
    assert code == 0, out
